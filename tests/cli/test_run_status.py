"""``fetchbench status``."""

from __future__ import annotations

import json
import time


def test_before_anything_was_run(fetchbench):
    answer = fetchbench("status", "small")
    assert (answer.code, answer.err) == (0, "")
    header, _, first, *_, last = answer.out.splitlines()
    assert header.split() == ["run", "task", "seed", "state", "step", "attempts", "alive", "owner", "next"]
    assert first.split(maxsplit=3)[:3] == ["nature", "FetchReach-v4", "0"]
    assert "not started" in first
    assert "`run` starts it" in first
    assert last == "4 runs: 4 not started"


def test_after_a_run_that_errored(fetchbench, children):
    children({"blind 1": "crash"})
    assert fetchbench("run", "small").code == 2
    answer = fetchbench("status", "small")
    lines = {tuple(line.split()[0:3:2]): line for line in answer.out.splitlines()[2:6]}
    assert "done, score 0.80" in lines["nature", "0"]
    assert "not started" in lines["blind", "1"]  # it came to no checkpoint, and starts again
    assert answer.out.splitlines()[-1] == "4 runs: 3 done, 1 not started"


def test_as_json(fetchbench, children):
    children()
    fetchbench("run", "small", "--seed", "0", "--method", "nature")
    found = json.loads(fetchbench("status", "small", "--json").out)
    assert found["counts"] == {"done": 1, "waiting": 3}
    run = found["runs"][0]
    assert (run["method"], run["state"], run["score"], run["next"]) == ("nature", "done", 0.8, "none")
    assert run["directory"].startswith("runs/FetchReach-v4/nature/seed0-")
    assert abs(run["alive"] - time.time()) < 3600
    assert found["runs"][1]["directory"] is None or found["runs"][1]["state"] == "waiting"


def test_an_unknown_suite(fetchbench):
    answer = fetchbench("status", "smal")
    assert answer.code == 2
    assert "did you mean 'small'?" in answer.err
