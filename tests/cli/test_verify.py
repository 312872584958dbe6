"""``fetchbench verify``: what it prints and which exit code it gives. Runs are made up; test_verifying.py has a real one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from execution.test_verifying import edit, keyed, publish, state

from fetchbench.execution import repeating
from fetchbench.records.schema import Record

RECORDS = Path("leaderboard", "records")


@pytest.fixture
def published() -> list[Record]:
    """Three seeds of one method."""
    records = [state(seed, (0.0, 0.3, score, score)) for seed, score in enumerate((0.7, 0.8, 0.9))]
    for record in records:
        publish(RECORDS, record)
    return records


@pytest.fixture
def gives(monkeypatch: pytest.MonkeyPatch) -> Callable[[Record], list[Record]]:
    """``gives(record)``: running anything again comes to this record. Returns what was run, which fills as it is."""

    def arrange(again: Record) -> list[Record]:
        ran: list[Record] = []

        def run_again(record: Record, folder: Path, **_: Any) -> Record:
            ran.append(record)
            (folder / "left").mkdir(parents=True)
            return again

        monkeypatch.setattr(repeating, "run_again", run_again)
        return ran

    return arrange


NAMED: Sequence[str] = ("--run", "state", "FetchReach-v4", "0")


def test_an_equal_result_is_identical(fetchbench, published, gives):
    ran = gives(published[0])
    answer = fetchbench("verify", *NAMED)
    assert answer.code == 0
    sha256 = published[0].result.sha256[:12]
    assert answer.out == f"identical: reach-v1/state/FetchReach-v4/seed0.json: the results' sha256 is {sha256} in both\n"
    assert "running reach-v1/state/FetchReach-v4/seed0.json again; it took 5 min when it was recorded" in answer.err
    assert [record.request.seed for record in ran] == [0]


def test_a_draw_says_its_number(fetchbench, published, gives):
    ran = gives(published[0])
    answer = fetchbench("verify", "--seed-of-draw", "7")
    assert "drawn with --seed-of-draw 7; it took" in answer.err
    fetchbench("verify", "--seed-of-draw", "7", "--suite", "reach-v1")
    assert ran[0] == ran[1]
    assert "drawn with --seed-of-draw " in fetchbench("verify").err


def test_a_consistent_result_is_not_called_identical(fetchbench, published, gives):
    gives(state(0, (0.0, 0.3, 0.72, 0.72), provenance={"processor": "Another CPU"}))
    answer = fetchbench("verify", *NAMED)
    assert answer.code == 0
    assert answer.out.startswith("consistent: reach-v1/state/FetchReach-v4/seed0.json: score 0.72, 0.70 in the record; ")
    assert "identical" not in answer.out


def test_an_identical_result_of_another_machine_says_so(fetchbench, published, gives):
    gives(state(0, (0.0, 0.3, 0.7, 0.7), provenance={"processor": "Another CPU"}))
    answer = fetchbench("verify", *NAMED)
    assert answer.out.endswith("though      processor Example CPU 9000 then, Another CPU now\n")


def test_another_result_differs_with_exit_code_1(fetchbench, published, gives):
    gives(state(0, (0.0, 0.3, 0.7, 0.6)))
    answer = fetchbench("verify", *NAMED)
    assert answer.code == 1
    assert answer.out.startswith("differs: ")
    assert answer.out.endswith("--keep FOLDER leaves what the new run wrote, to look into\n")
    kept = fetchbench("verify", *NAMED, "--keep", "kept")
    assert (kept.code, Path("kept/left").is_dir()) == (1, True)
    assert "--keep" not in kept.out


def test_an_edited_record_is_named_and_fails_the_whole(fetchbench, published, gives):
    ran = gives(published[0])
    edit(RECORDS / "reach-v1/state/FetchReach-v4/seed1.json", "result", "score", value=1.0)
    answer = fetchbench("verify", *NAMED)
    assert answer.code == 1
    lines = answer.out.splitlines()
    assert lines[0].startswith(
        "edited or damaged: reach-v1/state/FetchReach-v4/seed1.json: the result does not match its sha256"
    )
    assert lines[1].startswith("identical: ")
    assert len(ran) == 1
    named = fetchbench("verify", "--run", "state", "FetchReach-v4", "1")
    assert named.code == 2
    assert "seed1.json: cannot be verified here: the result does not match" in named.err


def test_check_only_runs_nothing_and_names_them_all(fetchbench, published, gives):
    ran = gives(published[0])
    answer = fetchbench("verify", "--check-only")
    assert (answer.code, answer.out) == (0, "3 records: 3 can be verified here\n")
    edit(RECORDS / "reach-v1/state/FetchReach-v4/seed1.json", "result", "score", value=1.0)
    publish(RECORDS, keyed(state(4), mujoco="3.2.1"))
    answer = fetchbench("verify", "--check-only")
    assert answer.code == 1
    lines = answer.out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["edited or damaged", "cannot be verified here", "4 records"]
    assert lines[1].startswith("cannot be verified here: reach-v1/state/FetchReach-v4/seed4.json: run with MuJoCo 3.2, and ")
    assert lines[2] == "4 records: 2 can be verified here, 1 cannot, 1 edited or damaged"
    found = json.loads(fetchbench("verify", "--check-only", "--json").out)
    assert found["counts"] == {"verifiable": 2, "edited": 1, "elsewhere": 1}
    assert found["records"][0] == {
        "record": "reach-v1/state/FetchReach-v4/seed0.json",
        "standing": "verifiable",
        "reason": None,
    }
    assert ran == []


def test_for_a_script(fetchbench, published, gives):
    gives(state(0, (0.0, 0.3, 0.72, 0.72), provenance={"processor": "Another CPU"}))
    answer = fetchbench("verify", *NAMED, "--json")
    found = json.loads(answer.out)
    assert answer.code == 0
    assert found["record"] == "reach-v1/state/FetchReach-v4/seed0.json"
    assert (found["verdict"], found["draw"], found["edited"]) == ("consistent", None, [])
    assert found["published"] == {"status": "done", "score": 0.7, "sha256": published[0].result.sha256}
    assert found["again"]["score"] == 0.72
    assert found["interval"] == pytest.approx([0.303, 1.0], abs=1e-3)
    assert found["differences"] == ["processor Example CPU 9000 then, Another CPU now"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--check-only", "--seed-of-draw", "1"], "--check-only runs nothing"),
        ([*NAMED, "--seed-of-draw", "1"], "--run names the run"),
        (["--run", "state", "FetchReach-v4", "x"], "'x' is not a valid integer"),
        (["--suite", "reach-v2"], "did you mean 'reach-v1'?"),
        (["--suite", "reach-v2", "--check-only"], "no record of suite 'reach-v2' is published"),
    ],
)
def test_mistakes(fetchbench, published, arguments, message):
    answer = fetchbench("verify", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err


def test_without_records_it_says_how_they_come_there(fetchbench):
    answer = fetchbench("verify")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (
        "error: nothing to verify: there are no records in leaderboard/records; `fetchbench publish` puts them there\n"
    )
