"""Each fault is caused on purpose: what is said, what is kept, and that the run then comes out as if nothing had been."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from fetchbench.records.store import read_lines
from fetchbench.run.interrupts import INFRASTRUCTURE

from .conftest import TINY, RunFolder, make_request

FAULTY = Path(__file__).parent / "faulty.py"


@pytest.fixture(scope="module")
def undisturbed(registry, tmp_path_factory) -> RunFolder:
    run = RunFolder(tmp_path_factory.mktemp("undisturbed"), make_request(registry, **TINY))
    run.finish()
    return run


@pytest.fixture
def disturbed(registry, run_folder) -> RunFolder:
    return run_folder(make_request(registry, **TINY))


def suffer(run: RunFolder, fault: str, code: int) -> str:
    """Run with a fault; returns what was written to stderr."""
    command = run.command
    run.command = [sys.executable, str(FAULTY), fault, str(run.folder)]
    try:
        return run.finish(code)
    finally:
        run.command = command


def assert_as_if_nothing_had_been(run: RunFolder, undisturbed: RunFolder) -> None:
    assert run.record.result.model_dump_json() == undisturbed.record.result.model_dump_json()
    assert [path.name for path in sorted((run.folder / "checkpoint").iterdir())] == [
        path.name for path in sorted((undisturbed.folder / "checkpoint").iterdir())
    ]
    assert not list(run.folder.rglob("*.tmp"))
    ends = [line for line in read_lines(run.folder / "metrics.jsonl") if line["kind"] == "end"]
    assert len(ends) <= 1


WRITES = [
    (r"/lock$", 1),
    (r"/attempts\.jsonl$", 1),
    (r"/metrics\.jsonl$", 1),
    (r"/metrics\.jsonl$", 4),
    (r"/checkpoint/\.replay-", 1),
    (r"/checkpoint/\.replay-", 2),
    (r"/checkpoint/\.state-", 1),
    (r"/checkpoint/\.state-", 2),
    (r"/checkpoint/\.manifest\.json", 1),
    (r"/checkpoint/\.manifest\.json", 2),
    (r"/checkpoint/\.manifest-before\.json", 1),
    (r"/\.record\.json", 1),
]
"""Every kind of file that a run writes, and the first of them or a later one, by its name or its temporary one."""


@pytest.mark.parametrize(("pattern", "nth"), WRITES)
def test_the_disk_is_full(undisturbed, disturbed, pattern, nth):
    error = suffer(disturbed, f"full:{pattern}:{nth}", 2)
    assert re.fullmatch(
        r"error: could not write \S+: No space left on device; free some space and run the same command again; "
        r"nothing finished is lost\n",
        error,
    )
    assert not (disturbed.folder / "record.json").exists()
    disturbed.finish()
    assert_as_if_nothing_had_been(disturbed, undisturbed)


def test_every_kind_of_file_is_among_them(undisturbed):
    """But for those behind the record, which a run can do without."""
    written = {
        str(path.relative_to(undisturbed.folder))
        for path in undisturbed.folder.rglob("*")
        if path.is_file() and path.name != "request.json"
    }
    kinds = {re.sub(r"\d+", "N", name) for name in written if not name.startswith("pictures/")}
    assert kinds == {
        "lock",
        "attempts.jsonl",
        "metrics.jsonl",
        "checkpoint/state-N.pt",
        "checkpoint/manifest.json",
        "record.json",
    }


@pytest.mark.parametrize("pattern", [r"/checkpoint/\.manifest\.json\S*tmp$:3", r"/pictures/:1"])
def test_the_disk_is_full_behind_the_record(undisturbed, disturbed, pattern):
    """The record stands; what is lacking is said, and made up for by running again."""
    process_code = 2 if "manifest" in pattern else 0
    suffer(disturbed, f"full:{pattern}", process_code)
    assert disturbed.record.result.model_dump_json() == undisturbed.record.result.model_dump_json()
    disturbed.finish()
    assert_as_if_nothing_had_been(disturbed, undisturbed)


def test_the_clock_is_set_back_by_a_day(undisturbed, disturbed):
    suffer(disturbed, "clock:86400", 0)
    assert_as_if_nothing_had_been(disturbed, undisturbed)
    cost = disturbed.record.cost
    assert 0 < cost.wall_s < 600
    assert cost.steps_per_s > 0


def test_memory_runs_out(undisturbed, disturbed):
    error = suffer(disturbed, "memory:30", INFRASTRUCTURE)
    assert (disturbed.folder / "checkpoint" / "manifest.json").exists()
    last = error.splitlines()[-1]
    assert last.startswith("error: run: memory ran out: ")
    assert last.endswith("(--jobs), or with less: a smaller batch_size, size or buffer_steps is another suite")
    disturbed.finish()
    assert_as_if_nothing_had_been(disturbed, undisturbed)


def test_an_environment_worker_hangs(undisturbed, disturbed):
    error = suffer(disturbed, "hung:1", INFRASTRUCTURE)
    said = re.fullmatch(
        r"error: environment worker (\d+) did not answer in 1 s; run the same command again to continue from the checkpoint\n",
        error,
    )
    assert said
    assert not Path(f"/proc/{said[1]}").exists()
    disturbed.finish()
    assert_as_if_nothing_had_been(disturbed, undisturbed)
