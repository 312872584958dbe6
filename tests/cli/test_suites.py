"""``fetchbench suites`` and ``fetchbench show``."""

from __future__ import annotations

import json


def test_suites_are_listed(fetchbench):
    answer = fetchbench("suites")
    assert (answer.code, answer.err) == (0, "")
    (line,) = [line for line in answer.out.splitlines() if line.startswith("small")]
    assert line.split(maxsplit=5) == ["small", "FetchReach-v4", "nature,", "blind", "2", "A [bold]small[/bold] suite"]


def test_a_broken_suite_is_listed_with_its_first_problem(fetchbench, workspace):
    (workspace / "suites" / "torn.toml").write_text("title = 3\nseeds = 'all'\n")
    (workspace / "suites" / "worse.toml").write_text("[")
    answer = fetchbench("suites")
    assert answer.code == 0
    lines = {line.split()[0]: line for line in answer.out.splitlines()}
    assert "broken: suites/torn.toml: " in lines["torn"]
    assert "title: must be one line of text, not 3" in lines["torn"]
    assert "not TOML" in lines["worse"]
    assert "small" in lines


def test_suites_as_json(fetchbench, workspace):
    (workspace / "suites" / "torn.toml").write_text("title = 3\n")
    found = {suite["name"]: suite for suite in json.loads(fetchbench("suites", "--json").out)}
    assert found["small"] == {
        "name": "small",
        "title": "A [bold]small[/bold] suite",
        "path": "suites/small.toml",
        "tasks": ["FetchReach-v4"],
        "methods": ["nature", "blind"],
        "seeds": [0, 1],
        "error": None,
    }
    assert "title: must be one line of text" in found["torn"]["error"]


def test_every_problem_of_a_broken_suite_is_shown(fetchbench, workspace):
    text = (workspace / "suites" / "small.toml").read_text()
    (workspace / "suites" / "torn.toml").write_text(
        text.replace("\nsteps = 100", "\nsteps = 1").replace('"blind"', '"blnd"', 1)
    )
    for verb in ("show", "run"):
        answer = fetchbench(verb, "torn")
        assert (answer.code, answer.out) == (2, "")
        first, *problems = answer.err.splitlines()
        assert first == "error: suites/torn.toml: 2 problems"
        assert [problem.split(":")[0] for problem in problems] == ["  budget.steps", "  methods.blind.track"]


def test_show_says_what_a_suite_is_before_it_was_run(fetchbench):
    answer = fetchbench("show", "small")
    assert answer.code == 0
    assert answer.out.startswith("small: A [bold]small[/bold] suite\nsuites/small.toml\n")
    assert "budget      steps=100, checkpoint_every_steps=50\n" in answer.out
    assert "nature · critic · pixels-only · 64x64x1" in answer.out
    assert answer.out.count("not started") == 4


def test_show_follows_the_runs(fetchbench, children):
    children()
    fetchbench("run", "small", "--method", "nature", "--seed", "0")
    children({"nature 1": "wait"}, interrupts=1)
    fetchbench("run", "small", "--method", "nature")
    out = fetchbench("show", "small").out
    states = [line.split()[2:] for line in out.splitlines() if line.startswith(("nature  Fetch", "blind   Fetch"))]
    assert states == [
        ["0", "done", "0.80"],
        ["0", "not", "started", "-"],
        ["1", "stopped", "at", "step", "1,050/100", "-"],
        ["1", "not", "started", "-"],
    ]
    shown = json.loads(fetchbench("show", "small", "--json").out)
    assert [(run["method"], run["seed"], run["state"], run["score"]) for run in shown["runs"]] == [
        ("nature", 0, "done", 0.8),
        ("blind", 0, "waiting", None),
        ("nature", 1, "stopped", None),
        ("blind", 1, "waiting", None),
    ]
    assert shown["protocol"]["budget"] == {"steps": 100, "checkpoint_every_steps": 50}
    assert [method["name"] for method in shown["methods"]] == ["nature", "blind"]


def test_show_survives_torn_files(fetchbench, children, workspace):
    children()
    fetchbench("run", "small", "--seed", "0", "--method", "nature")
    (record,) = workspace.glob("runs/*/nature/seed0-*/record.json")
    record.with_name("metrics.jsonl").write_bytes(b'{"kind": "progr\xff')
    assert " done " in fetchbench("show", "small").out
    record.write_text("{")
    answer = fetchbench("show", "small")
    assert answer.code == 0
    assert "record.json: not a valid record" in answer.out
    (workspace / "runs" / "small.json").write_text("{")
    answer = fetchbench("show", "small")
    assert answer.code == 2
    assert "runs/small.json: not a suite's index" in answer.err


def test_long_lists_are_counted(fetchbench):
    [line] = [line for line in fetchbench("suites").out.splitlines() if line.startswith("core-v1")]
    assert line.split(maxsplit=6)[1:6] == ["4", "tasks", "9", "methods", "5"]
    [found] = [suite for suite in json.loads(fetchbench("suites", "--json").out) if suite["name"] == "core-v1"]
    assert (len(found["tasks"]), len(found["methods"])) == (4, 9)


def test_show_says_what_is_compared(fetchbench):
    out = fetchbench("show", "push-details-v1").out
    assert "baseline    critic-flat, seeds 5, 6, 7, 8, 9 besides\n" in out
    assert "contrasts   critic-flat and critic-flat-multisampled; " in out
    shown = json.loads(fetchbench("show", "push-details-v1", "--json").out)
    assert (shown["baseline"], shown["baseline_seeds"]) == ("critic-flat", [5, 6, 7, 8, 9])
    assert shown["contrasts"][0] == ["critic-flat", "critic-flat-multisampled"]
    assert "baseline" not in fetchbench("show", "small").out
