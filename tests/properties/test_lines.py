"""Whatever lies in ``metrics.jsonl`` and ``attempts.jsonl``: the good lines are read, and the others passed over."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from leaderboard.factory import make_record

from fetchbench.cli.text import print_json, visible
from fetchbench.errors import StorageError
from fetchbench.execution.jobs import Job
from fetchbench.execution.progress import MetricsFollower, read_progress
from fetchbench.execution.status import _owner, run_status
from fetchbench.records.store import append_line, read_lines
from properties.strategies import json_values

REQUEST = make_record().request


@pytest.fixture(scope="module")
def job(folder):
    """A run's folder, in which nothing was written yet."""
    directory = folder / "run"
    directory.mkdir()
    return Job(REQUEST, directory)


def line(value) -> bytes:
    return json.dumps(value).encode() + b"\n"


surrogates = st.text(st.characters(categories=("Cs", "Cf", "Cc", "Lu")), max_size=9)
kinds = st.sampled_from(["progress", "evaluation", "notice", "start", "end", "signal", "probe", 3, None])
fields = st.sampled_from(["steps", "success", "pid", "resumed_at", "steps_per_s", "text", "critic_loss"])
strange = st.dictionaries(fields, json_values | surrogates, max_size=4).flatmap(
    lambda found: kinds.map(lambda kind: {"kind": kind, **found})
)
garbage = (
    st.binary(max_size=60)
    | st.sampled_from(
        [b"[" * 5000, b'{"kind": ' * 3000, b"\x00" * 20_000, b"9" * 6000, b'{"kind": "progress", "steps": ' + b"9" * 400 + b"}"]
    )
    | strange.map(line)
    | json_values.map(line)
).map(lambda data: data.replace(b"\r", b"") + b"\n")
"""No line that is torn reaches into the next: what appends to it closes it first."""

good = st.tuples(st.integers(0, 2**40), st.floats(0, 1)).map(
    lambda found: {"kind": "evaluation", "steps": found[0], "success": found[1]}
)
parts = st.lists(garbage | good, max_size=8)


def content(found) -> tuple[bytes, list]:
    """A file of these parts, and the good lines among them."""
    return b"".join(line(part) if isinstance(part, dict) else part for part in found), [p for p in found if isinstance(p, dict)]


def is_part_of(few, many) -> bool:
    """Whether all of a few stand among many, in order."""
    rest = iter(many)
    return all(any(one == other for other in rest) for one in few)


def state(follower: MetricsFollower):
    progress = follower.progress("running", pid=follower.pid)
    return progress.steps, progress.success, progress.evaluations, progress.resumed_at, progress.message


@given(parts, st.lists(st.integers(0, 3000), max_size=5))
@example([b'{"kind": "progress", "steps": ' + b"9" * 400 + b"}\n"], [])
@example([b"[" * 100_000 + b"\n"], [])
@example([b'{"kind": "notice", "text": "\\ud800\\u001b[2J"}\n'], [])
def test_a_follower_takes_in_what_is_good(job, found, cuts):
    data, sound = content(found)
    path = job.directory / "metrics.jsonl"
    path.unlink(missing_ok=True)
    follower, at = MetricsFollower(job), 0
    for cut in [*sorted(cut for cut in cuts if cut < len(data)), len(data)]:
        with path.open("ab") as file:
            file.write(data[at:cut])
        follower.read()
        at = cut
    whole = MetricsFollower(job)
    whole.read()
    assert state(follower) == state(whole)
    if b'"start"' not in data:  # which begins a new life of the run
        assert is_part_of([(part["steps"], part["success"]) for part in sound], whole.evaluations)
    assert path.read_bytes() == data


@given(parts)
@example([b'{"kind": "notice", "text": "\\ud800\\u001b[2J"}\n'])
def test_what_is_said_of_a_run_can_be_printed(job, found):
    (job.directory / "metrics.jsonl").write_bytes(content(found)[0])
    progress = read_progress(job, "running")
    assert progress.message.isprintable()
    out = io.StringIO()
    with redirect_stdout(out):
        print_json({"message": progress.message, "steps": progress.steps, "success": progress.success})
    assert out.getvalue().encode()


@given(parts)
@example([b"[" * 100_000 + b"\n"])
def test_lines_are_read_whatever_stands_between_them(folder, found):
    path = folder / "attempts.jsonl"
    data, sound = content(found)
    path.write_bytes(data)
    lines = read_lines(path)
    assert all(isinstance(one, dict) for one in lines)
    assert is_part_of(sound, lines)
    assert path.read_bytes() == data


@given(st.binary(max_size=60), st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=9), max_size=3))
def test_what_is_appended_behind_a_torn_line_is_not_lost(folder, torn, value):
    path = folder / "lines.jsonl"
    path.write_bytes(torn)
    append_line(path, value)
    assert read_lines(path)[-1] == value
    assert path.read_bytes().startswith(torn)


@given(
    st.binary(max_size=60)
    | json_values.map(line)
    | st.fixed_dictionaries({"pid": json_values, "host": json_values | surrogates}).map(line)
)
@example(b'{"pid": 1e999, "host": "x"}')
@example(b"[" * 100_000)
@example(b'{"pid": 1, "host": "\\ud800\\u001b[2J"}')
def test_any_lock_says_who_holds_it_or_nothing(job, content):
    (job.directory / "lock").write_bytes(content)
    (job.directory / "attempts.jsonl").write_bytes(content)
    found = run_status(REQUEST, job.directory)
    assert visible(found.owner + found.message) == found.owner + found.message
    assert _owner(job.directory).isprintable()


def test_a_folder_in_the_place_of_lines_is_one_clear_error(folder):
    (folder / "none").mkdir()
    with pytest.raises(StorageError, match="could not read none"):
        read_lines((folder / "none").relative_to(folder))
