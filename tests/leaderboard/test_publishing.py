"""From runs to the committed records and the page, and back: whether the page still follows."""

from __future__ import annotations

import builtins
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from run.faulty import full_disk

from fetchbench.errors import FetchbenchError, RecordError, StorageError
from fetchbench.leaderboard import SuiteNotes, SuiteReport, check, publish, render
from fetchbench.protocol import Budget
from fetchbench.records.store import read_record, record_text

from .factory import make_record, published_at, stand_in_figure, write_published, write_runs

BOARD = Path("leaderboard/README.md")


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture(autouse=True)
def _quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn is test_figures.py's; here only what a file says of its data matters."""
    monkeypatch.setattr("fetchbench.leaderboard.drawing.draw", stand_in_figure)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The runs folder of an empty workspace."""
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


# -- publish ----------------------------------------------------------------------------------------------------------


def test_finished_runs_become_records_and_a_page(tmp_path, runs):
    done = [make_record(seed=s) for s in (0, 1)]
    write_runs(runs, done, unfinished=[make_record(seed=2)])
    report = publish(tmp_path, ["reach-v1"], runs, {"reach-v1": SuiteNotes("What for")})
    assert (report.board, report.changed, report.records) == (tmp_path / BOARD, True, 2)
    assert report.suites == (SuiteReport("reach-v1", added=2, unfinished=1),)
    for record in done:
        assert published_at(tmp_path, record).read_text() == record_text(record)
    assert (tmp_path / BOARD).read_text() == render(tmp_path, {"reach-v1": SuiteNotes("What for")})
    assert "What for" in (tmp_path / BOARD).read_text()
    figures = {f"figures/reach-v1/{name}.{kind}" for name in ("cost", "learning-curves", "success") for kind in ("png", "svg")}
    records = {f"records/reach-v1/four-conv/FetchReach-v4/seed{seed}.json" for seed in (0, 1)}
    assert tree(tmp_path / "leaderboard").keys() == {"README.md", "CHANGES.md", *figures, *records}
    assert (report.drawn, report.figures) == (3, 3)
    check(tmp_path, {"reach-v1": SuiteNotes("What for")})


def test_publishing_again_writes_nothing(tmp_path, runs):
    write_runs(runs, [make_record()])
    publish(tmp_path, None, runs)
    paths = [tmp_path / "leaderboard" / name for name in tree(tmp_path / "leaderboard")]
    for path in paths:
        os.utime(path, ns=(1, 1))
    report = publish(tmp_path, None, runs)
    assert not report.changed
    assert report.suites == (SuiteReport("reach-v1", unchanged=1),)
    assert {path.stat().st_mtime_ns for path in paths} == {1}


def test_added_replaced_unchanged_and_unfinished(tmp_path, runs):
    write_published(tmp_path, [make_record(seed=0), make_record(seed=1, successes=(0.0,) * 4)])
    write_runs(runs, [make_record(seed=s) for s in range(4)], unfinished=[make_record(seed=9)])
    report = publish(tmp_path, ["reach-v1"], runs)
    assert report.suites == (SuiteReport("reach-v1", added=2, replaced=1, unchanged=1, unfinished=1),)
    assert read_record(published_at(tmp_path, make_record(seed=1))).result.score == 0.8
    assert str(report.suites[0]) == (
        "reach-v1: 2 new, 1 replaced, 1 unchanged; 1 not finished (`fetchbench run reach-v1` goes on)"
    )
    assert str(SuiteReport("x", unchanged=3)) == "x: 0 new, 0 replaced, 3 unchanged"


def test_what_a_suite_no_longer_asks_for_is_not_unfinished(tmp_path, runs):
    write_runs(runs, [make_record(seed=0)], unfinished=[make_record(name, seed=9) for name in ("nature", "blind", "mine")])
    notes = SuiteNotes(runs=(("nature", "FetchReach-v4", 9), ("blind", "FetchReach-v4", 0)))
    report = publish(tmp_path, ["reach-v1"], runs, {"reach-v1": notes})
    assert report.suites == (SuiteReport("reach-v1", added=1, unfinished=2),)  # a plugin file's method may still be wanted


def test_all_suites_that_were_run_or_those_that_are_named(tmp_path, runs):
    a, b = make_record(suite="a"), make_record(suite="b")
    write_runs(runs, [a, b])
    assert publish(tmp_path, ["a"], runs).suites == (SuiteReport("a", added=1),)
    assert not published_at(tmp_path, b).exists()
    assert publish(tmp_path, None, runs).suites == (SuiteReport("a", unchanged=1), SuiteReport("b", added=1))


def test_a_suite_that_is_not_named_keeps_its_section(tmp_path, runs):
    write_published(tmp_path, [make_record(suite="old")])
    write_runs(runs, [make_record(suite="new")])
    publish(tmp_path, ["new"], runs)
    page = (tmp_path / BOARD).read_text()
    assert "## new" in page
    assert "## old" in page


def test_suites_share_a_run(tmp_path, runs):
    record = make_record(suite="first")
    write_runs(runs, [record])
    index = json.loads((runs / "first.json").read_text())
    (runs / "second.json").write_text(json.dumps(index | {"suite": "second"}))
    report = publish(tmp_path, None, runs)
    assert [suite.added for suite in report.suites] == [1, 1]
    assert read_record(published_at(tmp_path, record, "second")) == record
    check(tmp_path)


def test_a_page_alone_can_be_rendered_from_what_is_published(tmp_path, runs):
    write_published(tmp_path, [make_record()])
    report = publish(tmp_path, ["reach-v1"], runs)
    assert (report.changed, report.records, report.suites) == (True, 1, (SuiteReport("reach-v1"),))


# -- all or nothing ---------------------------------------------------------------------------------------------------


def damage(path: Path) -> None:
    path.write_text(path.read_text().replace('"steps": 2000', '"steps": 2001'))


def other_protocol(runs: Path) -> None:
    write_runs(runs, [make_record("a"), make_record("b", request={"budget": Budget(steps=3000)})])


def edited_run(runs: Path) -> None:
    write_runs(runs, [make_record("a"), make_record("b")])
    damage(next(runs.rglob("b/**/record.json")))


def another_run_in_its_place(runs: Path) -> None:
    write_runs(runs, [make_record("a"), make_record("b")])
    path = next(runs.rglob("b/**/record.json"))
    path.write_text(record_text(make_record("b", request={"budget": Budget(steps=3000)})))


def twice_in_the_index(runs: Path) -> None:
    write_runs(runs, [make_record("a")])
    index = json.loads((runs / "reach-v1.json").read_text())
    (runs / "reach-v1.json").write_text(json.dumps(index | {"runs": index["runs"] * 2}))


def outside_the_runs(runs: Path) -> None:
    write_runs(runs, [make_record("a")])
    text = (runs / "reach-v1.json").read_text()
    (runs / "reach-v1.json").write_text(text.replace("reach-v1/four", "../four").replace("reach-v1/a", "../../a"))


def a_name_that_is_no_folder(runs: Path) -> None:
    write_runs(runs, [make_record("a")])
    (runs / "reach-v1.json").write_text((runs / "reach-v1.json").read_text().replace('"task": "F', '"task": "../F'))


def damaged_index(runs: Path) -> None:
    write_runs(runs, [make_record("a")])
    (runs / "reach-v1.json").write_text('{"suite": "reach-v1", "runs": [{"method": 3}]}')


def anothers_index(runs: Path) -> None:
    write_runs(runs, [make_record("a")])
    (runs / "reach-v1.json").rename(runs / "reach-v2.json")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (other_protocol, "one table, but another protocol (budget.steps: 2000 and 3000)"),
        (edited_run, "the result does not match its sha256"),
        (another_run_in_its_place, "the record of another run than "),
        (twice_in_the_index, "lists a, FetchReach-v4, seed 0 twice"),
        (outside_the_runs, "does not lie in "),
        (a_name_that_is_no_folder, "task '../FetchReach-v4': not a name"),
        (damaged_index, "reach-v1.json: not a suite's index (runs.0.method: Input should be a valid string)"),
        (anothers_index, "reach-v2.json: the index of suite 'reach-v1', not of 'reach-v2'"),
    ],
)
def test_where_anything_is_refused_nothing_is_written(tmp_path, runs, spoil: Callable[[Path], None], message):
    write_published(tmp_path, [make_record("old")])
    publish(tmp_path, ["reach-v1"], runs)
    spoil(runs)
    before = tree(tmp_path)
    with pytest.raises(FetchbenchError) as caught:
        publish(tmp_path, None, runs)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert tree(tmp_path) == before


def test_a_damaged_published_record_stops_publishing(tmp_path, runs):
    write_published(tmp_path, [make_record("old")])
    damage(published_at(tmp_path, make_record("old")))
    write_runs(runs, [make_record("new")])
    before = tree(tmp_path)
    with pytest.raises(RecordError, match=r"old/FetchReach-v4/seed0\.json: the result does not match its sha256"):
        publish(tmp_path, None, runs)
    assert tree(tmp_path) == before


def test_nothing_to_publish(tmp_path, runs):
    with pytest.raises(
        FetchbenchError, match=r"nothing to publish: no run in .*runs is finished; start with `fetchbench run demo`"
    ):
        publish(tmp_path, None, runs)
    with pytest.raises(FetchbenchError, match=r"nothing to publish for suite 'push': .*; `fetchbench run push` runs it"):
        publish(tmp_path, ["push"], runs)
    with pytest.raises(FetchbenchError, match=r"suite '\.\./x': not a name"):
        publish(tmp_path, ["../x"], runs)
    write_runs(runs, [], unfinished=[make_record()])
    with pytest.raises(FetchbenchError, match="nothing to publish"):
        publish(tmp_path, None, runs)
    assert not (tmp_path / "leaderboard").exists()


def test_a_runs_folder_that_is_not_there(tmp_path):
    with pytest.raises(FetchbenchError, match="nothing to publish"):
        publish(tmp_path, None, tmp_path / "runs")


def test_a_leaderboard_that_cannot_be_written(tmp_path, runs):
    write_runs(runs, [make_record()])
    (tmp_path / "leaderboard").write_text("a file")
    with pytest.raises(StorageError, match="could not write"):
        publish(tmp_path, None, runs)


def test_the_disk_is_full_at_any_write(tmp_path, runs, monkeypatch):
    write_runs(runs, [make_record(seed=s) for s in (0, 1)])
    publish(tmp_path, None, runs)
    old = tree(tmp_path)
    write_runs(runs, [make_record(seed=s, successes=(0.0, 0.1, 0.5, 0.5)) for s in (0, 1)])
    other = tmp_path.with_name("undisturbed")
    shutil.copytree(tmp_path, other)
    publish(other, None, other / "runs")
    new, before = tree(other), tree(tmp_path)
    # Two records, page, manifest, and three figures in two files each.
    changed = {path for path in new if new[path] != old.get(path) and path.startswith("leaderboard")}
    assert len(changed) == 10
    for nth in range(1, 11):
        for path, content in before.items():
            (tmp_path / path).write_bytes(content)
        with monkeypatch.context() as patch:
            open_ = full_disk(r"\.tmp$", nth, str(tmp_path))
            patch.setattr(io, "open", open_)
            patch.setattr(builtins, "open", open_)
            with pytest.raises(StorageError, match=r"^could not write \S+: No space left on device; free some space"):
                publish(tmp_path, None, runs)
        # Each file is the old one or the new one, and no other is there.
        found = tree(tmp_path)
        assert found.keys() == new.keys()
        assert all(found[path] in (old.get(path), new[path]) for path in found)
    publish(tmp_path, None, runs)
    assert tree(tmp_path) == new


# -- check ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def published(tmp_path: Path) -> Path:
    write_published(tmp_path, [make_record(seed=s) for s in range(3)])
    publish(tmp_path, ["reach-v1"], tmp_path / "runs")
    return tmp_path


def refusal(root: Path) -> list[str]:
    with pytest.raises(RecordError) as caught:
        check(root)
    return str(caught.value).split("\n")


def test_an_edited_number_is_found_and_shown(published):
    page = (published / BOARD).read_text()
    line = next(n for n, text in enumerate(page.splitlines(), 1) if "**four-conv**<br>" in text)
    (published / BOARD).write_text(page.replace("0.80&nbsp;· 0.80&nbsp;· 0.80", "0.80&nbsp;· 0.90&nbsp;· 0.80"))
    first, has, wants = refusal(published)
    assert first == f"leaderboard/README.md, line {line}: not what the records give; `fetchbench publish` mends it"
    assert "· 0.90&nbsp;·" in has
    assert "· 0.80&nbsp;·" in wants
    assert has.startswith("  has    ")
    assert wants.startswith("  wants  ")


@pytest.mark.parametrize(
    ("change", "line", "has", "wants"),
    [
        (lambda page: page + "\n", -1, "''", "nothing: the page ends"),
        (lambda page: page[:-1], -1, "nothing: the page ends", "''"),
        (lambda page: page.replace("\n", "\r\n"), 1, r"'# Leaderboard\r'", "'# Leaderboard'"),
        (lambda page: "\ufeff" + page, 1, r"'\ufeff# Leaderboard'", "'# Leaderboard'"),
        (lambda page: page.replace("# Leaderboard", "#  Leaderboard", 1), 1, "'#  Leaderboard'", "'# Leaderboard'"),
        (lambda page: "", 1, "''", "'# Leaderboard'"),
    ],
)
def test_every_byte_counts(published, change, line, has, wants):
    page = (published / BOARD).read_text()
    (published / BOARD).write_bytes(change(page).encode())
    found = refusal(published)
    number = line if line > 0 else page.count("\n") + (2 if has == "''" else 1)
    assert found[0].startswith(f"leaderboard/README.md, line {number}: ")
    assert found[1:] == [f"  has    {has}", f"  wants  {wants}"]


def test_a_page_that_is_no_text(published):
    (published / BOARD).write_bytes(b"\xff\xfe")
    assert refusal(published)[0].startswith("leaderboard/README.md, line 1: ")


def test_a_new_record_or_a_missing_one_is_found(published):
    write_published(published, [make_record(seed=3)])
    assert "not what the records give" in refusal(published)[0]
    published_at(published, make_record(seed=3)).unlink()
    check(published)
    published_at(published, make_record(seed=2)).unlink()
    assert "not what the records give" in refusal(published)[0]


def test_another_title_is_another_page(published):
    with pytest.raises(RecordError, match="wants  'What for'"):
        check(published, {"reach-v1": SuiteNotes("What for")})


def test_an_edited_record_is_found_though_the_page_fits(published):
    damage(published_at(published, make_record(seed=1)))
    assert refusal(published)[0].endswith("restore it from version control")


def test_a_missing_page(published):
    (published / BOARD).unlink()
    assert refusal(published) == ["leaderboard/README.md: missing; `fetchbench publish` writes it"]


def test_check_writes_nothing(published):
    before = tree(published)
    (published / BOARD).write_text("x")
    refusal(published)
    assert tree(published) == before | {str(BOARD): b"x"}


# -- manifest and figures ---------------------------------------------------------------------------------------------

CURVES = Path("leaderboard/figures/reach-v1/learning-curves.svg")


def test_an_edited_manifest_is_found(published):
    path = published / "leaderboard" / "CHANGES.md"
    path.write_text(path.read_text().replace("0-2", "0-3"))
    assert refusal(published)[0].startswith("leaderboard/CHANGES.md, line ")
    path.unlink()
    assert refusal(published) == ["leaderboard/CHANGES.md: missing; `fetchbench publish` writes it"]


def test_a_figure_of_other_data_is_found_and_drawn_anew(published):
    old = (published / CURVES).read_bytes()
    write_published(published, [make_record(seed=0, successes=(0.0, 0.2, 0.8, 0.8))])
    report = publish(published, ["reach-v1"], published / "runs")
    assert (report.drawn, report.figures) == (1, 3)  # the scores are as they were: only the curves changed
    check(published)
    (published / CURVES).write_bytes(old)
    assert refusal(published) == [f"{CURVES}: shows other data than the records give; `fetchbench publish` draws it anew"]


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-20])])
@pytest.mark.parametrize("extension", ["svg", "png"])
def test_a_missing_or_torn_figure_is_found(published, spoil, extension):
    path = CURVES.with_suffix(f".{extension}")
    spoil(published / path)
    assert refusal(published) == [f"{path}: missing, or no figure of ours; `fetchbench publish` draws it"]
    assert publish(published, ["reach-v1"], published / "runs").drawn == 1
    check(published)


def test_figures_that_no_record_gives_are_found_and_removed(published):
    spare = Path("leaderboard/figures/old-v1/cost.png")
    (published / spare).parent.mkdir()
    (published / spare).write_bytes(b"x")
    kept = published / "leaderboard/figures/old-v1/notes.png"
    kept.write_bytes(b"somebody's own")
    assert refusal(published) == [f"{spare}: no record gives this figure; `fetchbench publish` removes it"]
    publish(published, ["reach-v1"], published / "runs")
    assert not (published / spare).exists()
    assert kept.exists()


def test_a_suite_whose_name_holds_a_dot(tmp_path, runs):
    write_runs(runs, [make_record(suite="a.b-v1")])
    publish(tmp_path, None, runs)
    assert (tmp_path / "leaderboard/figures/a.b-v1/cost.svg").exists()
    check(tmp_path)
