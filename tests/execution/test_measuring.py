"""What a whole run takes, from a short one."""

from __future__ import annotations

from pathlib import Path

import pytest
from leaderboard.factory import make_points, make_record

from fetchbench.execution.forecast import Prediction
from fetchbench.execution.measuring import LEARNING_ROUNDS, measure, put_together, shortened
from fetchbench.execution.planning import plan
from fetchbench.protocol import Budget, Evaluation, LearnerSettings
from fetchbench.records.schema import Record, RunRequest
from fetchbench.suite import run_key


@pytest.fixture
def whole() -> RunRequest:
    """Of 10,000 steps with two environments, evaluated twenty times on ten episodes."""
    learner = LearnerSettings(environments=2, warmup_steps=1000, buffer_steps=5000)
    fields = {"learner": learner, "budget": Budget(steps=10_000), "evaluation": Evaluation(every_steps=500, episodes=10)}
    return make_record("nature").request.model_copy(update=fields)


def short_record(request: RunRequest, **cost: object) -> Record:
    record = make_record("nature", cost={"wall_s": 30.0, "core_s": 15.0, "replay_mb": 2.0, "peak_memory_mb": 500.0, **cost})
    points = [make_points([0.0])[0].model_copy(update={"drawn": 4})]
    result = record.result.model_copy(update={"evaluations": points, "steps": 500, "updates": 400})
    return record.model_copy(update={"request": shortened(request), "result": result})


def test_the_short_run_has_the_same_arithmetic(whole):
    short = shortened(whole)
    assert short.budget.steps == 100 * (1 + LEARNING_ROUNDS)
    assert short.learner.warmup_steps == 100
    assert short.learner.model_copy(update={"warmup_steps": 1000}) == whole.learner
    assert (short.method, short.scene, short.execution, short.task) == (whole.method, whole.scene, whole.execution, whole.task)
    assert (short.evaluation.every_steps, short.evaluation.episodes) == (500, 2)
    assert short.key == run_key(short) != whole.key


def test_a_whole_run_is_put_together_from_rounds(whole):
    # Learning takes 4 s a round; the first has 6 s that happen once; the last 8 s of evaluation, 4 episodes drawn.
    found = put_together(whole, short_record(whole), [10.0, 4.0, 4.0, 12.0], whole_s=35.0)
    assert isinstance(found, Prediction)
    started, once, warmup, learning, evaluations = 5, 6, 10 * 0, 90 * 4, 20 * 10 * 2
    busy = 15 / 30
    assert found.hours == pytest.approx((started + once + warmup + learning + evaluations) * busy / 3600)
    # Room for 5,000 transitions in place of 500.
    assert found.memory_mb == pytest.approx(500 + 2 * 9)
    assert found.basis == "measured: 500 steps, 400 updates on FetchReach-v4"


def test_on_a_gpu_the_clock_counts(whole):
    execution = whole.execution.model_copy(update={"device": "cuda"})
    request = whole.model_copy(update={"execution": execution})
    record = short_record(request, peak_gpu_memory_mb=900.0, frames_on="cuda")
    found = put_together(request, record, [10.0, 4.0, 4.0, 12.0], whole_s=30.0)
    assert isinstance(found, Prediction)
    assert found.hours == pytest.approx((6 + 90 * 4 + 400) / 3600)
    assert (found.memory_mb, found.gpu_memory_mb) == (500.0, 918.0)


def test_too_few_rounds_say_nothing(whole):
    assert put_together(whole, short_record(whole), [10.0, 4.0], 30.0) == "the short run was over too soon to be measured"


def test_a_real_short_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(
        """
title = "Small"
tasks = ["FetchReach-v4"]
track = "pixels-only"
seeds = 2
[learner]
preset = "reach-cpu"
batch_size = 8
hidden = [8]
[budget]
steps = 2000
[evaluation]
every_steps = 1000
episodes = 2
[methods.state]
track = "state"
"""
    )
    said: list[str] = []
    found = measure(plan("small.toml", Path("runs")), said.append)
    assert said == ["measuring state (1 of 1)"]
    prediction = found["state"]
    assert isinstance(prediction, Prediction)
    assert 0 < prediction.hours < 0.5
    assert prediction.basis.startswith("measured: 250 steps, ")
    assert not Path("runs").exists()
