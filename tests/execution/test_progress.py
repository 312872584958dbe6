"""Progress is read from what is new in the metrics, whatever state the file is in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from leaderboard.factory import make_record

from fetchbench.execution import Job
from fetchbench.execution.progress import MetricsFollower


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def job(tmp_path):
    return Job(make_record("nature").request, tmp_path)  # budget 2,000 steps, warm-up 1,000


def line(kind: str, **values: Any) -> str:
    return json.dumps({"kind": kind, **values}) + "\n"


def append(job: Job, text: str) -> None:
    with metrics(job).open("a") as file:
        file.write(text)


def metrics(job: Job) -> Path:
    return job.directory / "metrics.jsonl"


def test_nothing_written_yet(job):
    follower = MetricsFollower(job)
    follower.read()
    found = follower.progress("running", pid=7)
    assert (found.steps, found.budget, found.success, found.seconds_left, found.resumed_at) == (0, 2000, None, None, None)


def test_lines_are_taken_in_as_they_come(job):
    follower = MetricsFollower(job)
    append(job, line("start", resumed_at=0, pid=7) + line("progress", steps=50, steps_per_s=80.0))
    follower.read()
    assert follower.progress("running", 7).steps == 50
    append(job, line("evaluation", steps=500, success=0.5) + line("evaluation", steps=1000, success=0.5))
    follower.read()
    follower.read()
    found = follower.progress("running", 7)
    assert found.evaluations == ((500, 0.5), (1000, 0.5))
    assert (found.success, found.steps_per_s) == (0.5, 80.0)


def test_a_torn_line_waits_for_its_end(job):
    follower = MetricsFollower(job)
    whole = line("evaluation", steps=500, success=0.75)
    append(job, line("progress", steps=50) + whole[:20])
    follower.read()
    assert (follower.steps, follower.success) == (50, None)
    append(job, whole[20:])
    follower.read()
    assert follower.success == 0.75


@pytest.mark.parametrize(
    "torn",
    [
        '{"kind": "evaluation", "ste\n',
        "\n",
        "[1, 2]\n",
        '{"kind": "progress", "steps": "many"}\n',
        '{"kind": "progress", "steps": NaN}\n',
        '{"kind": "evaluation", "steps": 100, "success": null}\n',
        '{"kind": "start", "pid": {}, "resumed_at": []}\n',
        "\udcff\n",
    ],
)
def test_lines_that_say_nothing_are_passed_over(job, torn):
    metrics(job).write_bytes(torn.encode(errors="surrogateescape"))
    append(job, line("evaluation", steps=500, success=0.75))
    follower = MetricsFollower(job)
    follower.read()
    assert (follower.steps, follower.success) == (0, 0.75)


def test_reading_costs_what_is_new_not_what_is_there(job):
    append(job, line("evaluation", steps=1, success=0.25) + line("progress", steps=2) * 100)
    follower = MetricsFollower(job)
    follower.read()
    # Were the file read again from its start, the changed line would be seen.
    text = metrics(job).read_text()
    metrics(job).write_text(text.replace("0.25", "0.99"))
    append(job, line("progress", steps=3))
    follower.read()
    assert (follower.steps, follower.success) == (3, 0.25)


@pytest.mark.parametrize("more", [0, 1, 50])
def test_a_file_cut_back_by_resuming_is_read_again(job, more):
    kept = line("evaluation", steps=500, success=0.5)
    append(job, kept + line("evaluation", steps=1000, success=0.9) + line("progress", steps=1200))
    follower = MetricsFollower(job)
    follower.read()
    assert follower.steps == 1200
    # Cut back and, between two polls, perhaps longer than before.
    metrics(job).write_text(kept)
    append(job, line("start", resumed_at=500, pid=8) + line("progress", steps=550) * more)
    follower.read()
    assert (follower.steps, follower.success) == (550 if more else 500, 0.5)
    assert follower.progress("running", 8).resumed_at == 500


def test_what_an_earlier_process_wrote_is_history(job):
    append(job, line("notice", text="old") + line("start", resumed_at=0, pid=7) + line("evaluation", steps=500, success=0.5))
    append(job, line("progress", steps=550, steps_per_s=9.0))
    follower = MetricsFollower(job)
    follower.read()
    found = follower.progress("running", pid=8)
    assert (found.steps, found.success) == (550, 0.5)
    assert (found.evaluations, found.steps_per_s, found.resumed_at, found.message) == ((), None, None, "")
    append(job, line("notice", text="the checkpoint cannot be used") + line("start", resumed_at=0, pid=8))
    follower.read()
    found = follower.progress("running", pid=8)
    assert (found.steps, found.resumed_at, found.message) == (0, 0, "the checkpoint cannot be used")


def test_time_left_follows_the_recent_speed_of_learning(job):
    clock = Clock()
    follower = MetricsFollower(job, clock)

    def at(now_s: float, steps: int) -> Any:
        clock.now_s = now_s
        append(job, line("progress", steps=steps, steps_per_s=99.0))
        follower.read()
        return follower.progress("running", 7)

    append(job, line("start", resumed_at=0, pid=7))
    assert at(1, 500).seconds_left is None  # warm-up is faster than learning
    assert at(2, 1000).seconds_left is None
    assert at(2, 1000).steps_per_s == 99.0  # as reported, until there is a recent speed
    assert at(12, 1100).seconds_left == pytest.approx(90)  # 10 steps/s, 900 steps to go
    assert at(112, 1200).steps_per_s == pytest.approx(200 / 110)
    assert at(312, 1300).steps_per_s == pytest.approx(0.5)  # what lies further back than two minutes no longer counts
    assert at(313, 2000).seconds_left == 0


def test_metrics_that_cannot_be_read_are_a_clear_error(job):
    from fetchbench.errors import StorageError

    metrics(job).mkdir()
    with pytest.raises(StorageError, match=r"could not read .*metrics\.jsonl"):
        MetricsFollower(job).read()
