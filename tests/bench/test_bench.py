"""``fetchbench bench`` at tiny sizes: every part from end to end, its table, its JSON, its refusals."""

from __future__ import annotations

import importlib.util
import json
import math
import os
from pathlib import Path

import pytest

import fetchbench.bench
from fetchbench.__main__ import run
from fetchbench.bench import cache, gpu, machine, process, render, replay, training, updates
from fetchbench.bench.report import HEADER, Report, rows
from fetchbench.bench.sizes import (
    BASELINE_ROUTING,
    FULL,
    PARTS,
    QUICK,
    ROUTINGS,
    Arithmetic,
    CacheSizes,
    RenderSizes,
    ReplaySizes,
    Sizes,
    TrainingSizes,
    UpdateSizes,
    arithmetics,
)
from fetchbench.bench.timing import Line, Part
from fetchbench.environment import probe
from fetchbench.errors import FetchbenchError

CORES = sorted(os.sched_getaffinity(0))
TINY = Sizes(
    "tiny",
    judged=False,
    render=RenderSizes(size=16, large=32, rounds=2, block_s=0),
    replay=ReplaySizes(size=16, stack=2, batch=8, transitions=100, more=(200,), rounds=2, block_s=0),
    updates=UpdateSizes(size=16, stack=2, batch=4, transitions=100, compile="none", tuned=False, rounds=2, block_s=0),
    training=TrainingSizes(size=16, batch=4, warmup_steps=50, segments=2, segment_steps=50, compiles=("none",), others=False),
    cache=CacheSizes(batch=2, rounds=1, block_s=0),
    gpu=UpdateSizes(size=16, stack=2, batch=4, transitions=100, compile="none", tuned=False, rounds=2, block_s=0),
)
with_sb3 = pytest.mark.skipif(importlib.util.find_spec("stable_baselines3") is None, reason="needs the extra `bench`")


@pytest.fixture(scope="module")
def plain():
    """A machine without bfloat16."""
    return {"precision": "float32", "compiler": True, "renderer": probe()}


def silent(_: str) -> None:
    pass


def check(lines: list[Line], rounds: int) -> None:
    """Every line holds so many measurements of either side, all of them sound."""
    for line in lines:
        for spread in filter(None, (line.ours, line.theirs, line.ratio)):
            assert len(spread.values) in (1, rounds), line.what
            assert all(math.isfinite(value) and value > 0 for value in spread.values), line.what
    json.loads(json.dumps([line.as_dict() for line in lines], allow_nan=False))


def test_render(plain):
    part = render.measure(TINY, CORES[:1], plain, silent)
    check(part.lines, 2)
    others = [line.other for line in part.lines]
    assert others == ["gymnasium, native", "gymnasium, our picture", "gymnasium, native", "gymnasium, 32 resized"]
    assert {line.unit for line in part.lines} == {"steps/s"}


@with_sb3
def test_gpu(plain, monkeypatch):
    """Without a GPU it says so; what is measured on one is measured here on the CPU, from end to end."""
    part = gpu.measure(TINY, CORES[:1], plain, silent)
    if not part.lines:
        assert part.notes == ["no GPU is seen here: nothing was measured on one"]
        sides = []

        class OnTheCpu(process.Side):
            def __init__(self, name, *positional, **arguments):
                sides.append((name, arguments.pop("device", None)))
                super().__init__(name, *positional, **arguments)

            def ask(self, method, **arguments):
                return "a stand-in" if method == "name" else super().ask(method, **arguments)

        monkeypatch.setattr(gpu, "Side", OnTheCpu)
        part = gpu.measure(TINY, CORES[:1], plain, silent)
        assert sides == [("gpu:Found", None), ("updates:SB3", "cuda"), ("updates:Ours", "cuda")]
        assert part.notes[0] == "measured on a stand-in"
    check(part.lines, 2)
    assert [(line.what, line.other) for line in part.lines] == [
        ("critic (bfloat16)", "SB3, separate"),
        ("critic (float32)", "SB3, separate"),
        ("actor (bfloat16)", "SB3, actor"),
        ("separate (bfloat16)", "SB3, separate"),
        ("sampling from 100 transitions", ""),
    ]


@with_sb3
def test_updates(plain):
    part = updates.measure(TINY, CORES[:1], plain, silent)
    check(part.lines, 2)
    assert [(line.what, line.other) for line in part.lines] == [
        (f"{routing} (float32)", f"SB3, {BASELINE_ROUTING[routing]}") for routing in ROUTINGS
    ]


@with_sb3
def test_training_and_its_memory(plain):
    """It fails where the sides differ in steps or updates."""
    part, memory = training.measure(TINY, CORES[:1], plain, silent)
    check(part.lines, 2)
    whole, rate = part.lines
    assert whole.what == "150 steps, 100 updates (float32)"
    assert (whole.other, rate.other) == ("SB3", "SB3")
    assert len(rate.ours.values) == 2
    check(memory.lines, 1)
    assert all(line.ours.median > 100 for line in memory.lines)  # torch alone takes more


@with_sb3
def test_the_command_prints_json(monkeypatch, capsys):
    monkeypatch.setattr("fetchbench.cli.bench.QUICK", TINY)
    assert run(["bench", "--quick", "--only", "replay", "--json", "--threads", "1"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert set(found) == {"format", "sizes", "machine", "parts"}
    assert found["sizes"]["replay"]["transitions"] == 100
    assert found["machine"]["cores"] == 1
    assert found["machine"]["packages"]["stable-baselines3"] != "-"
    assert list(found["parts"]) == ["replay"]
    part = found["parts"]["replay"]
    assert part["problem"] is None
    what = ["bytes per transition", "sample, 100 transitions", "sample, 200 transitions"]
    assert [line["what"] for line in part["lines"]] == what
    size, sample, more = part["lines"]
    assert size["ratio"]["median"] == size["theirs"]["median"] / size["ours"]["median"] > 3
    assert len(sample["ours"]["values"]) == len(sample["theirs"]["values"]) == len(sample["ratio"]["values"]) == 2
    assert more["other"] == "ours at 100 transitions"
    assert "replay: sampling 8 transitions" in err


def test_larger_stores_that_do_not_fit_are_left_out_and_named(monkeypatch):
    notes: list[str] = []
    monkeypatch.setattr(replay, "available_memory_mb", lambda: 8_000.0)
    assert replay._affordable(FULL.replay, notes) == [50_000]
    assert notes == ["ours at 200,000 transitions is left out: too little memory is free"]


# -- the command ------------------------------------------------------------------------------------------------------


def test_without_stable_baselines3_it_says_how_to_install_it(monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "stable_baselines3" else find(name))
    assert run(["bench"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "error: `fetchbench bench` measures against stable-baselines3, which is not installed: "
        "`pip install 'stable-baselines3>=2.9'`, or measure what needs none of it with --only render\n"
    )
    assert fetchbench.bench.check_sb3(["render"]) is None


def test_more_threads_than_cores(capsys):
    assert run(["bench", "--only", "render", "--threads", "4096"]) == 2
    assert capsys.readouterr().err.startswith("error: --threads 4096: this process may use ")


def test_help(capsys):
    assert run(["bench", "--help"]) == 0
    text = capsys.readouterr().out
    for option in ("--json", "--quick", "--only", "--threads"):
        assert option in text


def test_embeddings_repay_themselves():
    part = cache.measure(TINY, CORES[:1], silent)
    check(part.lines, 1)
    (line,) = part.lines
    assert line.ratio.median > 10
    assert line.at_least is None
    assert "embedding a frame" in part.notes[0]


def test_a_part_that_fails_leaves_the_others(monkeypatch, capsys):
    def fail(*_: object) -> Part:
        raise FetchbenchError("no more cores")

    line = Line("one worker", "steps/s", "higher", process_rate := fetchbench.bench.timing.single(2.0), process_rate, "theirs")
    monkeypatch.setattr("fetchbench.environment.probe", lambda: {"backend": "egl"})
    monkeypatch.setattr(updates, "measure", fail)
    monkeypatch.setattr(render, "measure", lambda *_: Part("render", [line], ["a note"]))
    assert run(["bench", "--only", "render", "--only", "updates"]) == 2
    out, err = capsys.readouterr()
    assert "one worker" in out
    assert "note: a note" in out
    assert "failed: updates: no more cores" in err


def test_memory_is_what_two_other_parts_took(monkeypatch):
    line = Line("x", "MB", "lower", fetchbench.bench.timing.single(2.0))
    monkeypatch.setattr("fetchbench.environment.probe", lambda: {"backend": "egl"})
    monkeypatch.setattr(replay, "measure", lambda *_: (Part("replay", [line], []), Part("memory", [line], ["one"])))
    monkeypatch.setattr(training, "measure", lambda *_: (Part("training", [line], []), Part("memory", [line], ["two"])))
    monkeypatch.setattr(fetchbench.bench, "check_sb3", lambda _: None)
    found = fetchbench.bench.bench(["memory"], TINY)
    assert [(part.name, len(part.lines), part.notes) for part in found.parts] == [("memory", 2, ["one", "two"])]


def test_a_part_that_memory_needs_may_fail(monkeypatch):
    def fail(*_: object) -> Part:
        raise FetchbenchError("no more cores")

    monkeypatch.setattr("fetchbench.environment.probe", lambda: {"backend": "egl"})
    monkeypatch.setattr(replay, "measure", lambda *_: (Part("replay", [], []), Part("memory", [], [])))
    monkeypatch.setattr(training, "measure", fail)
    monkeypatch.setattr(fetchbench.bench, "check_sb3", lambda _: None)
    found = fetchbench.bench.bench(["memory"], TINY)
    assert found.failed
    assert [(part.name, part.problem) for part in found.parts] == [("training", "no more cores"), ("memory", "")]


# -- sizes and report -------------------------------------------------------------------------------------------------


def test_targets_are_stated_for_the_full_sizes_alone():
    assert (FULL.judged, QUICK.judged) == (True, False)
    assert (FULL.replay.size, FULL.replay.stack, FULL.replay.batch, FULL.replay.transitions) == (84, 4, 256, 10_000)
    assert (FULL.updates.size, FULL.updates.stack, FULL.updates.batch) == (84, 4, 256)


def test_the_training_that_is_measured_is_the_demos():
    """Its first method, its preset, and its proportion of warm-up."""
    from fetchbench.protocol import LEARNER_PRESETS
    from fetchbench.suite import load_suite

    suite, t = load_suite("demo"), FULL.training
    method = suite.methods[0]
    assert (suite.tasks, suite.track) == ((t.task,), training.TRACK)
    assert method.encoder is not None
    assert method.pixels is not None
    assert method.routing is not None
    assert (method.encoder.name, method.encoder.options) == (fetchbench.bench.sizes.ENCODER, t.options)
    assert (method.pixels.size, method.pixels.stack, method.routing.name) == (t.size, 1, training.ROUTING)
    assert suite.learner == LEARNER_PRESETS["reach-cpu"]
    assert suite.learner.batch_size == t.batch
    assert t.warmup_steps * 3 == t.segments * t.segment_steps


def test_what_a_machine_cannot_do_is_left_out():
    able = {"precision": "bfloat16", "compiler": True}
    fast, plain = Arithmetic("bfloat16", "inductor"), Arithmetic("float32", "none")
    assert arithmetics(able, ["inductor"]) == [fast, plain]
    assert arithmetics(able, ["none", "inductor"], plain=False) == [Arithmetic("bfloat16", "none"), fast]
    unable = {"precision": "float32", "compiler": False}
    assert arithmetics(unable, ["none", "inductor"]) == [plain]
    assert [a.label for a in (fast, plain)] == ["bfloat16, inductor", "float32"]


def test_the_machine():
    found = machine.describe([0, 1], {})
    assert found["cores"] == 2
    assert found["precision"] == ("bfloat16" if found["bfloat16"] else "float32")
    assert str(Path.home()) not in json.dumps(found)
    assert list(rows(Part("render", [], []))) == []
    report = Report(QUICK, found, [])
    assert not report.failed
    assert set(PARTS) == {"render", "replay", "updates", "training", "cache", "gpu", "memory"}
    assert len(HEADER) == 8
    assert process.TIMEOUT_S > 60
