"""What cannot stand in one table is refused, with both files named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from fetchbench.errors import RecordError
from fetchbench.leaderboard.collection import by_suite, read_published, record_path
from fetchbench.protocol import Budget, Evaluation, LearnerSettings, Scene, StopRule
from fetchbench.records.schema import Component, Record
from fetchbench.specs import PixelSpec

from .factory import VERSION, make_method, make_record, published_at, write_published


def collected(*records: Record) -> dict[str, list[Record]]:
    return by_suite({published_at(Path(), record): record for record in records})


def test_records_are_grouped_and_in_order():
    records = [
        make_record(name, seed, task=task, suite=suite)
        for suite in ("z", "a")
        for task in ("FetchReach-v4", "FetchPush-v4")
        for name in ("n", "m")
        for seed in (10, 9)
    ]
    found = collected(*records)
    assert list(found) == ["a", "z"]
    order = [(r.request.task, r.request.method.name, r.request.seed) for r in found["a"]]
    assert order == sorted(order)
    assert len(order) == 8


OTHER: dict[str, Any] = {
    "scene": Scene(marker="shown"),
    "pixel_track": "pixels",
    "learner": LearnerSettings(batch_size=64),
    "budget": Budget(steps=3000),
    "evaluation": Evaluation(every_steps=500, last=2, episodes=20),
    "stop": StopRule(after_steps=1000),
}


@pytest.mark.parametrize(
    ("field", "difference"),
    [
        ("scene", "another protocol (scene.marker: 'hidden' and 'shown')"),
        ("pixel_track", "another protocol (pixel_track: 'pixels-only' and 'pixels')"),
        ("learner", "another protocol (learner.batch_size: 128 and 64)"),
        ("budget", "another protocol (budget.steps: 2000 and 3000)"),
        ("evaluation", "another protocol (evaluation.episodes: 50 and 20)"),
        ("stop", "another protocol (stop: None and {'after_steps': 1000, 'at_most_succes...)"),
    ],
)
def test_another_protocol_is_refused(field, difference):
    one, other = make_record("a", 0), make_record("b", 1, request={field: OTHER[field]})
    with pytest.raises(RecordError) as caught:
        collected(one, other)
    assert str(caught.value) == (
        f"{published_at(Path(), one)} and {published_at(Path(), other)}: one table, but {difference}; "
        "delete the records that are out of date"
    )


@pytest.mark.parametrize(
    ("request_changes", "kind"),
    [
        ({"mujoco": "3.10.2"}, "another MuJoCo minor version ('3.11' and '3.10')"),
        ({"protocol_version": 0}, "another protocol version (1 and 0)"),
        ({"learner_version": 0}, "another learner version (1 and 0)"),
    ],
)
def test_another_version_is_refused(request_changes, kind):
    with pytest.raises(RecordError, match=re.escape(f"one table, but {kind}")):
        collected(make_record("a", 0), make_record("b", 0, request=request_changes))


def test_a_patch_of_mujoco_is_the_same_table():
    assert len(collected(make_record("a", 0), make_record("b", 0, request={"mujoco": "3.11.9"}))["reach-v1"]) == 2


def component(**changes: Any) -> Component:
    return Component(name="four-conv", **VERSION | changes)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"encoder": component(source_sha256="b" * 64)}, "encoder.source_sha256: 'aaaaaaaaaaaaaaa"),
        ({"encoder": component(options={"dim": 3})}, "encoder.options.dim: None and 3"),
        ({"encoder": component(options={"version": 3})}, "encoder.options.version: None and 3"),
        ({"encoder": component(wraps=Component(name="inner"))}, "encoder.wraps: None and {'name': 'inner'"),
        ({"encoder": Component(name="other", **VERSION)}, "encoder.name: 'four-conv' and 'other'"),
        ({"pixels": PixelSpec(size=84)}, "pixels.size: 64 and 84"),
        ({"trunk": 50}, "trunk: None and 50"),
        ({"views": 2}, "views: 1 and 2"),
        ({"routing": Component(name="joint", **VERSION)}, "routing.name: 'critic' and 'joint'"),
    ],
)
def test_seeds_of_one_row_are_of_one_method(change, difference):
    one, other = make_record(make_method(), 0), make_record(make_method(**change), 1)
    with pytest.raises(RecordError) as caught:
        collected(one, other)
    text = str(caught.value)
    assert text.startswith(f"{published_at(Path(), one)} and {published_at(Path(), other)}: one table, but another method (")
    assert difference in text


def test_a_row_is_rewarded_by_one_thing():
    one, other = make_record("a", 0), make_record("a", 1, request={"reward": "latent"})
    with pytest.raises(RecordError, match=re.escape("one table, but another reward ('task' and 'latent')")):
        collected(one, other)
    assert len(collected(one, make_record("b", 1, request={"reward": "latent"}))["reach-v1"]) == 2


def test_another_source_is_refused_across_tasks_too():
    other = make_method(encoder=component(source_sha256="b" * 64))
    with pytest.raises(RecordError, match="another method"):
        collected(make_record(make_method()), make_record(other, task="FetchPush-v4"))


def test_the_same_source_from_another_package_is_the_same_method():
    other = make_method(encoder=component(provider="a-fork", version="9"))
    assert len(collected(make_record(make_method(), 0), make_record(other, 1))["reach-v1"]) == 2


def test_suites_may_share_a_run_and_differ_in_protocol():
    record, other = make_record(), make_record("b", suite="other", request={"budget": Budget(steps=3000)})
    shared = {published_at(Path(), record): record, published_at(Path(), record, "other"): record}
    assert list(by_suite(shared)) == ["other", "reach-v1"]
    assert list(by_suite({published_at(Path(), r): r for r in (record, other)})) == ["other", "reach-v1"]


def test_the_same_run_twice_is_refused():
    record = make_record(seed=0)
    twin = make_record(seed=1, request={"key": record.request.key})
    with pytest.raises(RecordError) as caught:
        collected(record, twin)
    assert str(caught.value) == (
        f"{published_at(Path(), record)} and {published_at(Path(), twin)}: the same run twice "
        f"(key {record.request.key[:12]}); delete one"
    )


def test_a_record_in_anothers_place():
    path = published_at(Path(), make_record(seed=3))
    with pytest.raises(RecordError) as caught:
        by_suite({path: make_record(seed=4)})
    assert str(caught.value) == (
        f"{path}: holds the record of four-conv/FetchReach-v4/seed4.json; "
        "move it to leaderboard/records/reach-v1/four-conv/FetchReach-v4/seed4.json"
    )


def test_a_score_that_its_evaluations_do_not_give():
    """Edited by somebody who took the digest again."""
    record = make_record()
    raised = record.model_copy(update={"result": record.result.model_copy(update={"score": 1.0}).sealed()})
    with pytest.raises(RecordError, match=r"its score 1\.0 is not what its evaluations give \(0\.8\)"):
        collected(raised)
    failed = make_record(status="failed")
    scored = failed.model_copy(update={"result": failed.result.model_copy(update={"score": 0.0}).sealed()})
    with pytest.raises(RecordError, match=r"its score 0\.0 is not what its evaluations give \(None\)"):
        collected(scored)


def test_a_request_without_a_key():
    record = make_record()
    bare = record.model_copy(update={"request": record.request.model_copy(update={"key": ""})})
    with pytest.raises(RecordError, match="its request has no key"):
        collected(bare)


# -- files ------------------------------------------------------------------------------------------------------------


def test_published_records_are_found_by_their_place(tmp_path):
    records = [make_record(seed=s) for s in (0, 11)]
    write_published(tmp_path, records)
    (tmp_path / "leaderboard" / "records" / "README.md").write_text("notes")
    (tmp_path / "leaderboard" / "records" / ".cache").mkdir()
    (tmp_path / "leaderboard" / "records" / ".cache" / "x.json").write_text("{")
    found = read_published(tmp_path)
    assert found == {published_at(Path(), record): record for record in records}
    assert read_published(tmp_path / "empty") == {}


@pytest.mark.parametrize(
    "place",
    [
        "x.json",
        "s/m/t.json",
        "s/m/t/seed1/x.json",
        "s/m/t/1.json",
        "s/m/t/seed01.json",
        "s/m/t/seed-1.json",
        "-s/m/t/seed1.json",
    ],
)
def test_a_file_in_no_records_place(tmp_path, place):
    path = tmp_path / "leaderboard" / "records" / place
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    with pytest.raises(RecordError) as caught:
        read_published(tmp_path)
    assert str(caught.value) == (
        f"leaderboard/records/{place}: not where a record belongs, "
        "leaderboard/records/<suite>/<method>/<task>/seed<k>.json; move or delete it"
    )


@pytest.mark.parametrize(
    ("names", "kind"),
    [(("../x", "m", "t"), "suite"), (("s", "a/b", "t"), "method"), (("s", "m", ".."), "task"), (("s", "m", ""), "task")],
)
def test_a_name_that_is_no_folders(names, kind):
    with pytest.raises(RecordError, match=f"^{kind} .* not a name"):
        record_path(*names, 0)
