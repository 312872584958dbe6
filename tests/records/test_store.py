"""Files that survive full disks, killed writers and careless hands."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from leaderboard.factory import make_record

from fetchbench.errors import RecordError, StorageError
from fetchbench.records.store import append_line, read_lines, read_record, record_text, write_atomically


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- atomic writes ----------------------------------------------------------------------------------------------------


def test_writes_text_and_bytes_and_makes_the_folder(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    write_atomically(path, "ü\n")
    assert path.read_bytes() == "ü\n".encode()
    write_atomically(path, b"\x00")
    assert path.read_bytes() == b"\x00"
    assert files(path.parent) == ["file"]


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    write_atomically(path, "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError) as caught:
        write_atomically(path, "new")
    assert str(caught.value) == (
        f"could not write {path}: No space left on device; free some space and run the same command again; "
        "nothing finished is lost"
    )
    assert path.read_text() == "old"
    assert files(tmp_path) == ["record.json"]


def test_a_file_larger_than_the_disk_takes(tmp_path):
    """The kernel itself refuses, halfway through the write: a limit on the size of files stands in for a small disk."""
    path = tmp_path / "record.json"
    write_atomically(path, "old")
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from fetchbench.errors import StorageError\n"
        "from fetchbench.records.store import write_atomically\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "try: write_atomically(Path(sys.argv[1]), b'x' * 10**6)\n"
        "except StorageError as error: print(error)\n"
    )
    shown = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True).stdout
    assert shown.startswith(f"could not write {path}: File too large; ")
    assert path.read_text() == "old"
    assert files(tmp_path) == ["record.json"]


def test_an_interrupt_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    write_atomically(path, "old")

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert files(tmp_path) == ["record.json"]


def test_a_writer_killed_before_the_end_leaves_the_old_file(tmp_path):
    path = tmp_path / "record.json"
    write_atomically(path, "old")
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from fetchbench.records.store import write_atomically\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomically(Path(sys.argv[1]), b'new')\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(StorageError, match=r"could not write .*taken: Is a directory; check that the folder exists"):
        write_atomically(tmp_path / "taken", "x")
    assert files(tmp_path) == ["taken"]
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"could not write .*child: File exists; check that the folder exists"):
        write_atomically(tmp_path / "file" / "child", "x")


# -- JSON lines -------------------------------------------------------------------------------------------------------


def test_lines_come_back_in_order(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [{"kind": "progress", "steps": i, "text": "ü\n|"} for i in range(3)]
    for line in lines:
        append_line(path, line)
    assert read_lines(path) == lines
    assert path.read_bytes().count(b"\n") == 3


def test_a_torn_line_costs_itself_alone(tmp_path):
    path = tmp_path / "metrics.jsonl"
    append_line(path, {"n": 1})
    with path.open("ab") as file:
        file.write(b'{"n": 2, "text": "\xc3')  # killed in the middle of a letter
    append_line(path, {"n": 3})
    append_line(path, {"n": 4})
    assert read_lines(path) == [{"n": 1}, {"n": 3}, {"n": 4}]


def test_lines_that_are_no_objects_are_left_out_and_a_missing_file_is_empty(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert read_lines(path) == []
    path.write_bytes(b'3\n[1]\nnull\n\n\x00\x00\x00\x00\n{"n": 1}\n{"n"')
    assert read_lines(path) == [{"n": 1}]


def test_a_number_that_json_does_not_have_is_never_written(tmp_path):
    path = tmp_path / "metrics.jsonl"
    append_line(path, {"n": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        append_line(path, {"n": float("nan")})
    assert read_lines(path) == [{"n": 1}]


def test_appending_to_a_full_disk_is_one_clear_line():
    with pytest.raises(StorageError, match=r"^could not write /dev/full: No space left on device; free some space"):
        append_line(Path("/dev/full"), {"n": 1})


def test_reading_a_folder_as_lines(tmp_path):
    with pytest.raises(StorageError, match=r"could not read .*: Is a directory; check that it is a file"):
        read_lines(tmp_path)


# -- records ----------------------------------------------------------------------------------------------------------


def test_a_record_reads_back(tmp_path):
    record = make_record()
    write_atomically(tmp_path / "record.json", record_text(record))
    assert read_record(tmp_path / "record.json") == record


def edited(*place: str | int, value: object) -> bytes:
    data = json.loads(record_text(make_record()))
    inner = data
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    return json.dumps(data).encode()


WHOLE = record_text(make_record()).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a valid record"),
        (WHOLE[: len(WHOLE) // 2], "not a valid record (Invalid JSON: EOF while parsing"),
        (WHOLE[:-3], "not a valid record (Invalid JSON: EOF while parsing"),
        (WHOLE + b"{}", "not a valid record (Invalid JSON: trailing characters"),
        (WHOLE.replace(b"done", b"d\xffne"), "cannot be read ('utf-8' codec can't decode byte 0xff"),
        (b"\x00" * 4096, "not a valid record (Invalid JSON"),
        (b"[]", "not a valid record"),
        (b"{}", "not a valid record (request: Field required)"),
        (edited("format", value=2), "not a valid record (format: Input should be 1)"),
        (edited("result", "steps", value="2000"), "not a valid record (result.steps: Input should be a valid integer)"),
        (edited("result", "score", value=1.2), "not a valid record (result.score: Input should be less than or equal to 1)"),
        (edited("result", "evaluations", 2, "success", value=None), "not a valid record (result.evaluations.2.success: "),
        (edited("result", "bonus", value=1), "not a valid record (result.bonus: Extra inputs are not permitted)"),
        (edited("result", "score", value=float("nan")), "not a valid record (result.score: Input should be a finite number)"),
        (edited("cost", "core_s", value=float("inf")), "not a valid record (cost.core_s: Input should be a finite number)"),
        (edited("result", "score", value=0.9), "the result does not match its sha256: it was damaged or edited"),
        (edited("result", "evaluations", 3, "success", value=0.9), "the result does not match its sha256"),
        (edited("result", "status", value="censored"), "the result does not match its sha256"),
        (edited("result", "sha256", value="0" * 64), "the result does not match its sha256"),
        (edited("result", "sha256", value=""), "the result does not match its sha256"),
    ],
)  # fmt: skip
def test_a_damaged_record_is_one_clear_line(tmp_path, content, message):
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(RecordError) as caught:
        read_record(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: {message}")
    assert text.endswith("; delete it and run the suite again, or restore it from version control")
    assert "\n" not in text


def test_records_that_are_not_there(tmp_path):
    with pytest.raises(RecordError, match=r"cannot be read .*No such file"):
        read_record(tmp_path / "record.json")
    with pytest.raises(RecordError, match=r"cannot be read .*Is a directory"):
        read_record(tmp_path)


def test_cost_and_machine_are_no_part_of_the_digest(tmp_path):
    path = tmp_path / "record.json"
    path.write_bytes(edited("cost", "wall_s", value=1.0))
    assert read_record(path).cost.wall_s == 1.0
