"""The bundled suite and what suites/README.md says: both are held to the code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fetchbench.leaderboard.comparing import MOST_CONTRASTS, SEEDS_ON_ONE_TASK
from fetchbench.protocol import LEARNER_PRESETS, STOP_PRESETS, Budget, Evaluation, LearnerSettings, Scene, StopRule
from fetchbench.records.schema import RunRequest
from fetchbench.registry import bundled_folder
from fetchbench.specs import PIXEL_PRESETS
from fetchbench.suite import load_suite, requests, select
from fetchbench.suite.methods import METHOD_FIELDS
from fetchbench.suite.reading import FIELDS

README = (bundled_folder("suites") / "README.md").read_text()


def table(first_header: str) -> list[list[str]]:
    """The rows of the README's tables whose header starts so, without backquotes."""
    lines, rows = iter(README.splitlines()), []
    for line in lines:
        if line.startswith(first_header):
            next(lines)
            for row in lines:
                if not row.startswith("|"):
                    break
                rows.append([cell.strip().replace("`", "") for cell in row.strip("|").split("|")])
    return rows


def example(name: str = "my-reach-v1") -> str:
    found = re.search(rf"<!-- example: {name}\.toml -->\n```toml\n(.*?)```", README, re.DOTALL)
    assert found
    return found[1]


def test_the_readmes_example_loads_and_resolves(write, registry):
    write("my-reach-v1", example())
    suite = load_suite("my-reach-v1")
    assert suite.seeds == (0, 1, 2, 3, 4)
    assert len(requests(suite, registry)) == 5 * len(suite.methods)


def test_the_readmes_error_is_what_that_mistake_gives(write):
    text = example().replace("batch_size = 256", "batch_size = 1").replace("pixels = { stack = 3 }", "pixels = { size = 8 }")
    write("my-reach-v1", text)
    script = "from fetchbench.suite import load_suite\nload_suite('my-reach-v1')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    shown = re.search(r"```\nerror: (.*?)\n```", README, re.DOTALL)
    assert shown
    assert done.stderr.endswith(f"SuiteError: {shown[1]}\n")


def test_the_readmes_matrix_gives_what_it_says(write, registry):
    write("my-matrix-v1", example("my-matrix-v1"))
    suite = load_suite("my-matrix-v1")
    assert len(suite.methods) == 3 * 2 * 2 - 2 + 1
    assert "actor-softmax-none" in {method.name for method in suite.methods}
    assert len(requests(suite, registry)) == 5 * len(suite.methods)
    write("my-matrix-v1", example("my-matrix-v1").replace('design = "full" ', 'design = "one-at-a-time" '))
    names = [method.name for method in load_suite("my-matrix-v1").methods]
    assert names == ["blind", "critic-flat-none", "actor-flat-none", "critic-softmax-none", "critic-flat-curl"]


def test_the_readme_counts_the_runs_of_a_gpu_as_the_suites_do():
    for name, purpose in table("| suite |"):
        if found := re.search(r"(\d+) runs", purpose):
            suite = load_suite(name)
            shared = len(list(select(load_suite("reach-v1"), methods=["manipulation", "state", "blind"]).cells()))
            besides = shared if "besides" in purpose else 0
            assert int(found[1]) == len(list(suite.cells())) - besides, name


def test_the_readmes_presets_are_the_codes():
    shown = {row[0]: row[2:] for row in table("| field | what it is | `reach-cpu` | `push` | `push-state` |")}
    presets = [LEARNER_PRESETS[name].model_dump(mode="json") for name in ("reach-cpu", "push", "push-state")]
    assert shown == {
        field: ["-" if p[field] is None else json.dumps(p[field]).strip('"') for p in presets]
        for field in LearnerSettings.model_fields
    }
    pixels = {row[0]: row[2:] for row in table("| field | what it is | `reach-cpu` | `push` | `seed` |")}
    specs = [vars(PIXEL_PRESETS[name]) for name in ("reach-cpu", "push", "seed")]
    assert pixels == {field: ["-" if s[field] is None else str(s[field]) for s in specs] for field in specs[0]}


def test_the_readmes_stop_rules_are_the_codes():
    shown = {row[0]: row[2:] for row in table("| field | what it is | without a preset | `seed` |")}
    preset = STOP_PRESETS["seed"].model_dump(mode="json")
    plain = {name: field.default for name, field in StopRule.model_fields.items()} | {"after_steps": "required"}
    assert shown == {name: [str(plain[name]), str(preset[name])] for name in StopRule.model_fields}


def test_the_readme_tells_every_field():
    told = {name for row in table("| field | what it is |") for name in row[0].split(", ")}
    sections = [name for name in FIELDS if f"[{name}]" in README]
    assert {*told, *sections, "methods"} >= set(FIELDS)
    assert told >= set(METHOD_FIELDS)
    assert told >= {f"budget.{name}" for name in Budget.model_fields}
    assert told >= {f"evaluation.{name}" for name in Evaluation.model_fields}
    scene = {row[0]: row[2] for row in table("| field | values | default |")}
    assert scene == Scene().model_dump()


def test_the_readme_lists_the_suites():
    listed = {row[0] for row in table("| suite |")}
    assert listed == {path.stem for path in bundled_folder("suites").glob("*.toml")}


@pytest.mark.parametrize("path", sorted(bundled_folder("suites").glob("*.toml")), ids=lambda path: path.stem)
def test_every_bundled_suite_loads_and_resolves(path: Path, registry):
    suite = load_suite(path.stem)
    found = requests(suite, registry)
    cells = [(seed, method.name, task) for seed, method, task in suite.cells()]
    assert [(r.seed, r.method.name, r.task) for r in found] == cells
    assert len({r.key for r in found}) == len(found)
    # Whether anything was seen is asked of every suite in which something sees.
    tracks = {method.track for method in suite.methods}
    assert "blind" in tracks or tracks == {"state"}
    if len(suite.tasks) == 1 and suite.contrasts:  # or the board could never test them
        assert suite.baseline is not None
        assert len(suite.seeds_of(suite.baseline)) >= SEEDS_ON_ONE_TASK
        assert len(suite.contrasts) <= MOST_CONTRASTS


@pytest.mark.slow
def test_every_method_of_every_bundled_suite_builds_or_lacks_its_weights_alone(registry):
    """Some 150 networks, each built once: most of a minute of a core."""
    from fetchbench.run.prepare import preflight

    seen: dict[str, RunRequest] = {}
    for path in sorted(bundled_folder("suites").glob("*.toml")):
        suite = load_suite(path.stem)
        for request in requests(select(suite, seeds=[suite.seeds[0]]), registry):
            content = request.method.model_dump_json(exclude={"name"}) + request.task + request.pixel_track
            name = f"{path.stem}.{request.method.name}"
            seen.setdefault(content, request.model_copy(update={"method": request.method.model_copy(update={"name": name})}))
    found = preflight(list(seen.values()), registry)
    assert found.problems == []
    assert all("no weights" in why for why in found.lacking.values())


def test_the_demo_compares_three_representations():
    suite = load_suite("demo")
    assert (suite.tasks, suite.track) == (("FetchReach-v4",), "pixels-only")
    assert [method.name for method in suite.methods] == ["manipulation", "spatial-softmax", "blind", "state"]
    assert suite.template.encoder
    assert suite.template.routing


def test_reading_suites_imports_nothing_heavy():
    script = (
        "import sys, fetchbench.suite as s; s.load_suite('demo'); s.suite_titles(); s.select(s.load_suite('demo'), seeds=[0])\n"
        "heavy = {'torch', 'mujoco', 'numpy', 'gymnasium', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert not [m for m in sys.modules if m.startswith('fetchbench_plugin_')]"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
