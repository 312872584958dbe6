"""What the texts quote is what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fetchbench.bench import endings
from fetchbench.bench.precision import compare, read_folder, table
from fetchbench.bench.report import markdown
from fetchbench.protocol import LEARNER_PRESETS
from fetchbench.records.store import read_record

ROOT = Path(__file__).parents[2]
EVIDENCE = ROOT / "leaderboard" / "evidence"


def quoted(path: Path, name: str) -> str:
    """The text between ``<!-- name -->`` and the comment that closes it."""
    _, _, after = path.read_text().partition(f"<!-- {name} -->\n")
    text, closing, _ = after.partition(f"\n<!-- /{name.partition(':')[0]} -->")
    assert closing, f"{path}: no <!-- {name} --> block"
    return text.strip()


@pytest.fixture(scope="module")
def measured() -> dict:
    return json.loads((EVIDENCE / "bench.json").read_text())


def test_the_readme_quotes_the_judged_lines(measured):
    assert quoted(ROOT / "README.md", "bench: judged") == markdown(measured, judged=True)


def test_the_evidence_quotes_every_line(measured):
    assert quoted(EVIDENCE / "README.md", "bench: all") == markdown(measured, judged=False)


@pytest.mark.parametrize(("page", "judged"), [(ROOT / "README.md", True), (EVIDENCE / "README.md", False)])
def test_the_cache_is_quoted(page, judged):
    cache = json.loads((EVIDENCE / "bench-cache.json").read_text())
    assert quoted(page, f"bench-cache: {'judged' if judged else 'all'}") == markdown(cache, judged=judged)
    (line,) = cache["parts"]["cache"]["lines"]
    assert line["met"]
    assert cache["parts"]["cache"]["problem"] is None


@pytest.mark.parametrize(("page", "judged"), [(ROOT / "README.md", True), (EVIDENCE / "README.md", False)])
def test_the_gpu_is_quoted(page, judged):
    gpu = json.loads((EVIDENCE / "bench-gpu.json").read_text())
    assert quoted(page, f"bench-gpu: {'judged' if judged else 'all'}") == markdown(gpu, judged=judged)
    assert gpu["parts"]["gpu"]["problem"] is None


def test_the_bench_was_whole(measured):
    assert measured["sizes"]["name"] == "full"
    assert [part for part in measured["parts"].values() if part["problem"]] == []


def curves_of(suite: str, learner: dict) -> dict[tuple[str, int], dict[int, float]]:
    """Method and seed -> steps -> success, of a suite's records, all of which have that learner."""
    records = [read_record(path) for path in (ROOT / "leaderboard" / "records" / suite).rglob("seed*.json")]
    assert all(record.request.learner.model_dump(mode="json") == learner for record in records)
    return {
        (record.request.method.name, record.request.seed): {one.steps: one.success for one in record.result.evaluations}
        for record in records
    }


def test_the_learner_is_quoted_beside_the_one_of_stable_baselines3():
    control = json.loads((EVIDENCE / "push-control-v1-sb3.json").read_text())
    settings = LEARNER_PRESETS["push-state"].model_dump(mode="json")
    assert control["learner"] == settings
    curves = curves_of("push-control-v1", settings)
    assert {name for name, _ in curves} == {"state", "state-without-relabelling", "blind"}
    curves["SB3, state", control["seed"]] = {one["steps"]: one["success"] for one in control["evaluations"]}
    raw = curves_of("push-control-raw-v1", settings | {"vectors": "raw"})
    curves |= {(f"{name}, raw vectors", seed): curve for (name, seed), curve in raw.items()}
    order = ("state", "SB3, state", "state, raw vectors", "state-without-relabelling", "blind")
    columns = [round(millions * 1e6) for millions in (0.1, 0.2, 0.3, 0.4, 0.5, 1, 1.2, 1.4, 1.6, 2)]
    lines = [
        "| run | seed | " + " | ".join(f"{steps / 1e6:g}" for steps in columns) + " |",
        "| :-- " + "| --: " * (1 + len(columns)) + "|",
    ]
    for name, seed in sorted(curves, key=lambda key: (order.index(key[0]), key[1])):
        lines.append(f"| {name} | {seed} | " + " | ".join(f"{curves[name, seed][steps]:.2f}" for steps in columns) + " |")
    assert quoted(EVIDENCE / "README.md", "control").splitlines() == lines


def test_precisions_learn_alike_as_quoted():
    plain, fast = (read_folder(EVIDENCE / "precision-v1" / precision) for precision in ("float32", "bfloat16"))
    verdict = compare(plain, fast, read_folder(EVIDENCE / "precision-longer-v1"))
    assert verdict.holds
    assert quoted(EVIDENCE / "README.md", "precision") == table(verdict)


def test_where_latent_rewards_lead_is_quoted():
    found = endings.read(EVIDENCE / "latent-v1-endings.json")
    assert quoted(EVIDENCE / "README.md", "endings") == endings.table(found)
    latent = [one for one in found if one.method != "vae-features"]
    assert len(latent) == 4
    # What the text says of them.
    assert all(17 <= one.along_cm <= 29 for one in latent)
    assert all(1.7 <= one.across_cm <= 5 for one in latent)
    assert all(one.by_height[0][2] >= 0.84 and one.by_height[-1][2] <= 0.25 for one in latent)


def test_whole_runs_on_a_gpu_are_quoted_beside_those_of_the_board():
    lines = ["| method | seed | success, GPU | CPU | minutes, GPU | CPU |", "| :-- | --: | --: | --: | --: | --: |"]
    for path in sorted((EVIDENCE / "reach-gpu").rglob("record.json")):
        gpu = read_record(path)
        method, seed = gpu.request.method.name, gpu.request.seed
        cpu = read_record(ROOT / "leaderboard" / "records" / "reach-v1" / method / gpu.request.task / f"seed{seed}.json")
        assert (gpu.request.execution.device, cpu.request.execution.device) == ("cuda", "cpu")
        assert gpu.request.key == cpu.request.key
        scores = f"{gpu.result.score:.2f} | {cpu.result.score:.2f}"
        lines.append(f"| {method} | {seed} | {scores} | {gpu.cost.wall_s / 60:.1f} | {cpu.cost.wall_s / 60:.1f} |")
    assert quoted(EVIDENCE / "README.md", "reach-gpu").splitlines() == lines
