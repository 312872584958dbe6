"""How a run looks, from what lies in its folder."""

from __future__ import annotations

from pathlib import Path

from leaderboard.factory import make_points, make_record

from fetchbench.execution import Job
from fetchbench.execution.diagnosing import diagnosed
from fetchbench.records.diagnosis import diagnose
from fetchbench.records.schema import Signal
from fetchbench.records.store import append_line, record_text


def test_a_finished_run_is_judged_by_its_record(tmp_path):
    record = make_record()
    (tmp_path / "record.json").write_text(record_text(record))
    assert diagnosed(Job(record.request, tmp_path)) == diagnose(record)


def write(folder: Path, losses: list[float]) -> None:
    for point, loss in zip(make_points([0.0] * len(losses), 1000), losses, strict=True):
        append_line(folder / "metrics.jsonl", {"kind": "evaluation", **point.model_dump()})
        signal = Signal(steps=point.steps, updates=point.updates, critic_loss=loss, actor_loss=1.0, q=-1.0, entropy=1.0)
        append_line(folder / "metrics.jsonl", {"kind": "signal", **signal.model_dump()})


def test_a_run_in_progress_is_judged_by_its_metrics(tmp_path):
    job = Job(make_record().request, tmp_path)
    assert diagnosed(job).verdict == "undecided"
    write(tmp_path, [0.1] * 8)
    append_line(tmp_path / "metrics.jsonl", {"kind": "evaluation", "steps": "many"})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "evaluation", "st')
    found = diagnosed(job)
    assert found.verdict == "failing"
    assert any("the critic loss does not rise: 1.0 times" in sign for sign in found.signs)


def test_a_rising_critic_loss_keeps_a_flat_run_undecided(tmp_path):
    write(tmp_path, [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.3, 0.4])
    assert diagnosed(Job(make_record().request, tmp_path)).verdict == "undecided"
