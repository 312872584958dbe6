"""``fetchbench run``: checks before, progress meanwhile, board after, and its exit codes."""

from __future__ import annotations

import pytest

from cli.conftest import PLUGIN
from fetchbench.errors import RenderingError


def board_rows(out: str) -> list[str]:
    """The methods on a printed board."""
    lines = [line.split() for line in out.splitlines()]
    start = next(i for i, words in enumerate(lines) if words[:2] == ["rank", "method"])
    return [words[1] for words in lines[start + 2 :] if words]


def test_a_suite_is_run_and_its_board_printed(fetchbench, children):
    executed = children()
    answer = fetchbench("run", "small", "--jobs", "2")
    assert answer.code == 0
    assert executed == ["nature 0", "blind 0", "nature 1", "blind 1"]
    assert board_rows(answer.out) == ["nature", "blind"]
    first, *between, last = answer.err.splitlines()
    assert first == "small: 4 to start; 2 at a time"
    assert last == "next: `fetchbench publish small` puts these results on the leaderboard"
    assert sorted(line for line in between if "nature FetchReach-v4 seed 0" in line) == [
        "nature FetchReach-v4 seed 0: done, score 0.80",
        "nature FetchReach-v4 seed 0: started",
        "nature FetchReach-v4 seed 0: step 1,000/100, success 0.25, 100.0 steps/s",
    ]
    assert len(between) == 12


def test_finished_runs_are_skipped(fetchbench, children):
    children()
    fetchbench("run", "small", "--seed", "0")
    children({"nature 0": "crash", "blind 0": "crash"})
    answer = fetchbench("run", "small", "--jobs", "1")
    assert answer.code == 0
    assert answer.err.splitlines()[0] == "small: 2 done, 2 to start; 1 at a time"
    assert not any("seed 0" in line for line in answer.err.splitlines())
    answer = fetchbench("run", "small")
    assert answer.err.splitlines() == [
        "small: 4 done",
        "next: `fetchbench publish small` puts these results on the leaderboard",
    ]


def test_a_selection(fetchbench, children):
    executed = children()
    fetchbench("run", "small", "--method", "blind", "--seed", "1", "--task", "FetchReach-v4")
    assert executed == ["blind 1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "natur"], "error: unknown method 'natur'; did you mean 'nature'?"),
        (["--seed", "7"], "error: unknown seed '7'"),
        (["--task", "FetchPush-v4"], "error: unknown task 'FetchPush-v4'"),
        (["--plugin", "absent.py"], "error: plugin absent.py: no such file: absent.py"),
        (["--device", "cuda"], "error: no CUDA device is available"),
    ],
)
def test_unknown_names_stop_it_before_anything_is_written(fetchbench, children, workspace, arguments, message):
    import torch

    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    executed = children()
    answer = fetchbench("run", "small", *arguments)
    assert (answer.code, answer.out, executed) == (2, "", [])
    assert answer.err.startswith(message)
    assert len(answer.err.splitlines()) == 1
    assert not (workspace / "runs").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise RuntimeError('no luck')", "error: plugin mine.py: RuntimeError: no luck (line 1)\n"),
        (
            PLUGIN.format(wrong="[:, :, None]"),
            "error: suites/small.toml: 1 problem\n  method 'mean-colour': encoder 'mean-colour' ",
        ),
        (
            PLUGIN.format(wrong=".nothing"),
            "error: suites/small.toml: 1 problem\n  method 'mean-colour': encoder 'mean-colour' ",
        ),
    ],
)
def test_a_broken_plugin_stops_it_before_anything_is_written(fetchbench, children, plugin, workspace, text, message):
    executed = children()
    answer = fetchbench("run", "small", "--plugin", plugin(text))
    assert (answer.code, answer.out, executed) == (2, "", [])
    assert answer.err.replace("built\n", "").startswith(message)
    assert not (workspace / "runs").exists()


def test_a_plugins_encoder_becomes_a_method(fetchbench, children, plugin):
    executed = children()
    answer = fetchbench("run", "small", "--seed", "0", "--plugin", plugin())
    assert answer.code == 0
    assert executed == ["nature 0", "blind 0", "mean-colour 0"]
    # What the plugin prints does not spoil the board.
    assert "built" not in answer.out
    assert "built" in answer.err
    # Its row stays when the file is not named again.
    assert "mean-colour" in board_rows(fetchbench("run", "small", "--seed", "0").out)


LACKING = """
from fetchbench import EncoderSpec, WeightsError, hookimpl

def build(shape):
    raise WeightsError("pretrained.pt is not there; get it from https://example.org")

@hookimpl
def fetchbench_encoders():
    yield EncoderSpec(name="lacking", build=build)
"""


def test_a_method_whose_weights_are_missing_is_left_out_and_the_others_run(fetchbench, children, plugin):
    executed = children()
    answer = fetchbench("run", "small", "--seed", "0", "--plugin", plugin(LACKING))
    assert answer.code == 2
    assert executed == ["nature 0", "blind 0"]
    assert "nature" in board_rows(answer.out)
    assert "lacking: its weights are not on this machine; the other methods run" in answer.err
    assert "left out: lacking: pretrained.pt is not there; get it from https://example.org" in answer.err


def test_a_method_whose_weights_are_missing_alone(fetchbench, children, plugin):
    executed = children()
    answer = fetchbench("run", "small", "--method", "lacking", "--plugin", plugin(LACKING))
    assert (answer.code, executed) == (2, [])
    assert "small: nothing to run" in answer.err
    assert "left out: lacking: pretrained.pt is not there" in answer.err
    assert "next:" not in answer.err


def test_without_opengl_only_what_needs_no_frames_runs(fetchbench, children, monkeypatch, workspace):
    executed = children()

    def probe() -> None:
        raise RenderingError("no usable OpenGL; install software OpenGL")

    monkeypatch.setattr("fetchbench.environment.probe", probe)
    answer = fetchbench("run", "small")
    assert (answer.code, answer.err) == (2, "error: no usable OpenGL; install software OpenGL\n")
    assert not (workspace / "runs").exists()
    assert fetchbench("run", "small", "--method", "blind").code == 0
    assert executed == ["blind 0", "blind 1"]


def test_a_run_that_errors_does_not_stop_the_others(fetchbench, children):
    children({"nature 0": "error", "blind 0": "kill"})
    answer = fetchbench("run", "small")
    assert answer.code == 2
    assert board_rows(answer.out) == ["nature", "blind"]
    ends = answer.err.splitlines()[-3:]
    assert ends[0] == "error: nature FetchReach-v4 seed 0: the encoder is gone"
    assert ends[1].startswith("error: blind FetchReach-v4 seed 0: killed by SIGKILL")
    assert ends[2] == "2 of 4 runs are not finished; the same command goes on with them"


def test_a_recorded_failure_is_shown_with_its_reason_and_is_no_error(fetchbench, children, workspace):
    from fetchbench.records.store import read_record, record_text

    children()
    fetchbench("run", "small", "--method", "blind", "--seed", "0")
    (path,) = workspace.glob("runs/*/blind/seed0-*/record.json")
    record = read_record(path)
    changes = {"status": "failed", "reason": "critic -> encoder is [not] 0", "score": None}
    path.write_text(record_text(record.model_copy(update={"result": record.result.model_copy(update=changes).sealed()})))
    answer = fetchbench("run", "small", "--method", "blind")
    assert answer.code == 0
    assert "failed: blind FetchReach-v4 seed 0: critic -> encoder is [not] 0" in answer.err


def test_a_damaged_record_is_an_error_that_says_what_to_do(fetchbench, children, workspace):
    children()
    fetchbench("run", "small", "--seed", "0")
    (path,) = workspace.glob("runs/*/blind/seed0-*/record.json")
    path.write_text("{")
    answer = fetchbench("run", "small", "--seed", "0")
    assert answer.code == 2
    assert answer.err.splitlines()[0] == "small: 1 done, 1 damaged"
    assert "delete it and run the suite again" in answer.err
    assert board_rows(answer.out) == ["nature"]


@pytest.mark.parametrize("interrupts", [1, 2])
def test_an_interrupt(fetchbench, children, interrupts):
    children({"nature 0": "wait" if interrupts == 1 else "stubborn"}, interrupts=interrupts)
    answer = fetchbench("run", "small", "--jobs", "1")
    assert (answer.code, answer.out) == (130, "")
    lines = answer.err.splitlines()
    assert sum(line.startswith("Stopping each run at its next episode end") for line in lines) == 1
    assert lines[-1] == "4 of 4 runs are not finished; the same command goes on with them"
    children()
    answer = fetchbench("run", "small", "--jobs", "1")
    found = "small: 1 to resume, 3 to start; 1 at a time" if interrupts == 1 else "small: 4 to start; 1 at a time"
    assert answer.code == 0
    assert answer.err.splitlines()[0] == found


def test_a_resumed_run_keeps_its_threads_and_says_so(fetchbench, children, workspace):
    children({"blind 0": "wait"}, interrupts=1)
    arguments = ["run", "small", "--method", "blind", "--seed", "0"]
    fetchbench(*arguments, "--threads", "2")
    (path,) = workspace.glob("runs/*/blind/seed0-*/request.json")
    children()
    answer = fetchbench(*arguments)
    assert "1 of them keep the device, threads, precision and compile mode that they began with" in answer.err
    assert '"threads": 2' in path.read_text()


def test_a_real_run_from_start_to_board(fetchbench):
    """No stand-in: a child, its environment, a record."""
    answer = fetchbench("run", "small", "--method", "blind", "--seed", "0")
    assert answer.code == 0, answer.err
    assert board_rows(answer.out) == ["blind"]
    assert "blind FetchReach-v4 seed 0: step 100/100, success " in answer.err
