"""Whatever a record's file holds: it is read or refused, publishing goes whole or not at all, and harms no file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from leaderboard.factory import stand_in_figure
from pydantic import ValidationError

from fetchbench.errors import FetchbenchError, RecordError
from fetchbench.leaderboard import check, publish, render, suite_notes
from fetchbench.records.diagnosis import diagnose, score_of
from fetchbench.records.schema import Record
from fetchbench.records.store import read_record, record_text
from properties.strategies import ROOT, assert_clear, changed, damaged, json_values, lines_of, snapshot, some

RECORDS = ROOT / "leaderboard" / "records"
SOUND = {path.relative_to(RECORDS): path.read_bytes() for path in sorted(RECORDS.rglob("*.json"))}
DOCUMENTS = [json.loads(text) for text in SOUND.values()]
DEMO = {path: text for path, text in SOUND.items() if path.parts[0] == "demo"}
PLACE = Path("demo", "spatial-softmax", "FetchReach-v4", "seed0.json")

encoded = changed(DOCUMENTS, json_values).map(lambda value: json.dumps(value).encode())
"""With NaN and Infinity, which are no JSON, and with lone surrogates."""


def written(*places_and_values: tuple[str, Any], of: bytes = SOUND[PLACE]) -> bytes:
    """A sound record with these values, each at a place like ``result.steps``."""
    value = json.loads(of)
    for place, new in places_and_values:
        *above, last = place.split(".")
        holder = value
        for key in above:
            holder = holder[int(key) if isinstance(holder, list) else key]
        holder[int(last) if isinstance(holder, list) else last] = new
    return json.dumps(value).encode()


def sealed(content: bytes) -> bytes:
    """The same with the score and the digest that its evaluations give, where it is a record at all: a forger's."""
    try:
        record = Record.model_validate_json(content)
    except ValidationError:
        return content
    result = record.result
    score = score_of(result.status, result.evaluations, record.request.evaluation.last)
    forged = result.model_copy(update={"score": score}).sealed()
    return record_text(record.model_copy(update={"result": forged})).encode()


forged = encoded.map(sealed)


# -- reading ----------------------------------------------------------------------------------------------------------


@given(damaged(list(SOUND.values())) | encoded | forged)
@example(b"")
@example(b"[" * 100_000)
@example(b'{"a":' * 50_000)
@example(SOUND[PLACE].replace(b'"steps"', b'"steps": 1, "steps"', 1))
@example(SOUND[PLACE].replace(b'"format": 1', b'"format": 1, "\\u001b[2J\\nx": 1', 1))
@example(SOUND[PLACE].replace(b'"format": 1', b'"format": ' + b"9" * 6000, 1))
@example(written(("provenance.processor", "\ud800")))
@example(written(("provenance.processor", "\u202e")))
def test_a_record_is_read_or_refused(folder, content):
    path = folder / "record.json"
    path.write_bytes(content)
    try:
        record, refusal = read_record(path), ""
    except RecordError as error:
        record, refusal = None, str(error)
    assert path.read_bytes() == content
    if record is None:
        assert_clear(refusal, "record.json")
        return
    # What was read is what is written, and says the same.
    path.write_text(record_text(record))
    assert read_record(path) == record
    assert diagnose(record).verdict in ("working", "failing", "undecided")


# -- publishing -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def notes(folder):
    """What the suite files say."""
    return suite_notes()


@pytest.fixture(scope="module")
def _quick_figures():
    """Files that carry a figure's digest and show nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fetchbench.leaderboard.drawing.draw", stand_in_figure)
        yield


def workspace(folder: Path, content: bytes, place: Path = PLACE) -> Path:
    """A workspace with the demo's records, of which one holds something else, and without a board."""
    root = folder / "workspace"
    shutil.rmtree(root, ignore_errors=True)
    for path, text in {**DEMO, place: content}.items():
        file = root / "leaderboard" / "records" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text)
    return root


def is_record(path: Path) -> bool:
    return path.suffix == ".json"


@some(0.6)
@given(forged | encoded | damaged([SOUND[PLACE]]))
@example(sealed(written(("result.evaluations.0.steps", 10**400))))
@example(sealed(written(("result.evaluations.0.episodes", -7))))
@example(sealed(written(("result.evaluations.-1.episodes", -10_000))))
@example(sealed(written(("cost.core_s", 1e308))))
@example(sealed(written(("cost.core_s", -1.0))))
@example(sealed(written(("result.probes.0.r2", {"gripper_xyz": -1e308, "object_xy": 1.0}))))
@example(sealed(written(("result.parameters.encoder", 2**70))))
@example(sealed(written(("request.budget.steps", 10**400))))
@example(sealed(written(("request.seed", 10**4000))))
@pytest.mark.usefixtures("_quick_figures")
def test_publishing_goes_whole_or_not_at_all(folder, notes, content):
    root = workspace(folder, content)
    before = snapshot(root)
    try:
        report, refusal = publish(root, None, root / "runs", notes), ""
    except FetchbenchError as error:
        report, refusal = None, str(error)
    after = snapshot(root)
    if report is None:
        assert after == before, "a refusal leaves all as it was"
        assert_clear(refusal, "seed0.json")
        return
    assert snapshot(root, is_record) == before, "records are read, never written anew"
    check(root, notes)
    page = (root / "leaderboard" / "README.md").read_text()
    assert page == render(root, notes)
    of_results = lines_of(page, r"^\| .*spatial-softmax")
    assert of_results
    assert all(char.isprintable() or char == "\n" for char in page)


RUN = {"method": "spatial-softmax", "task": "FetchReach-v4", "seed": 0, "directory": "x"}
INDEX = {"suite": "demo", "runs": [RUN]}


@some(0.3)
@given(
    st.sampled_from(["runs/demo.json", "runs/x/record.json"]),
    damaged([SOUND[PLACE]]) | changed([INDEX], json_values).map(json.dumps).map(str.encode),
)
@example("runs/demo.json", json.dumps({"suite": "demo", "runs": [RUN | {"directory": "\0"}]}).encode())
@example("runs/demo.json", json.dumps({"suite": "demo", "runs": [RUN | {"directory": "x" * 300}]}).encode())
@example("runs/demo.json", json.dumps({"suite": "demo", "runs": [RUN | {"directory": "x/" * 3000}]}).encode())
@example("runs/demo.json", json.dumps({"suite": "demo", "runs": [RUN | {"method": "m" * 300}]}).encode())
@pytest.mark.usefixtures("_quick_figures")
def test_what_lies_among_the_runs_is_published_whole_or_not_at_all(folder, notes, place, content):
    root = workspace(folder, SOUND[PLACE])
    for name, text in {"runs/demo.json": json.dumps(INDEX).encode(), place: content}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text)
    before = snapshot(root)
    try:
        publish(root, ["demo"], root / "runs", notes)
    except FetchbenchError as error:
        assert_clear(str(error))
        assert snapshot(root) == before
    else:
        after = snapshot(root)
        assert {name: text for name, text in after.items() if name in before and name.startswith("runs")} == {
            name: text for name, text in before.items() if name.startswith("runs")
        }
        check(root, notes)


@pytest.mark.slow
@some(0.05)
@given(forged)
@example(sealed(written(("cost.core_s", 0.0))))
@example(sealed(written(("cost.core_s", 1e99))))
@example(sealed(written(("request.budget.steps", 2**53))))
@example(sealed(written(("result.evaluations.-1.steps", 2**53))))
def test_figures_are_drawn_of_whatever_was_not_refused(folder, notes, content):
    root = workspace(folder, content)
    try:
        publish(root, None, root / "runs", notes)
    except FetchbenchError as error:
        assert_clear(str(error), "seed0.json")
    else:
        check(root, notes)
