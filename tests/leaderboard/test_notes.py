"""What the board takes from the suite files."""

from __future__ import annotations

from pathlib import Path

from fetchbench.leaderboard import SuiteNotes, suite_notes
from fetchbench.records.store import read_record
from fetchbench.suite import load_suite

ROOT = Path(__file__).resolve().parents[2]
SUITE = (ROOT / "suites" / "demo.toml").read_text()


def test_every_suite_has_its_title_and_its_runs(tmp_path, monkeypatch):
    (tmp_path / "suites").mkdir()
    named = 'baseline = "manipulation"\nbaseline_seeds = [1, 2]\ncontrasts = [["spatial-softmax", "manipulation"]]\n'
    (tmp_path / "suites" / "mine.toml").write_text(SUITE.replace("seeds = [0]\n", f"seeds = [0]\n{named}"))
    (tmp_path / "suites" / "broken.toml").write_text("title = 3")
    monkeypatch.chdir(tmp_path)
    warnings: list[str] = []
    found = suite_notes(warnings.append)
    assert found["demo"].runs == tuple((m.name, "FetchReach-v4", 0) for m in load_suite("demo").methods)
    assert found["demo"] == SuiteNotes(load_suite("demo").title, runs=found["demo"].runs, bundled=True)
    assert not found["mine"].bundled
    assert found["demo"].tasks == ("FetchReach-v4",)
    assert SuiteNotes().tasks == ()
    assert found["mine"].baseline == "manipulation"
    assert found["mine"].contrasts == (("spatial-softmax", "manipulation"),)
    assert sorted(set(found["mine"].runs) - set(found["demo"].runs)) == [("manipulation", "FetchReach-v4", s) for s in (1, 2)]
    assert "broken" not in found
    (warning,) = warnings
    assert warning.startswith("suite 'broken' is left out, its section has no title and no comparisons: suites/broken.toml")
    assert "\n" not in warning
    assert suite_notes() == found


def test_a_record_is_held_against_the_suite_as_its_file_stands(tmp_path, monkeypatch):
    """What is committed is what the bundled suites ask for; a copy with another budget asks for none of it."""
    paths = sorted((ROOT / "leaderboard" / "records" / "demo").rglob("*.json"))
    records = [read_record(path) for path in paths]
    (tmp_path / "suites").mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "suites" / "other.toml").write_text(SUITE.replace("steps = 4000", "steps = 3000"))
    found = suite_notes()
    assert found["demo"].outdated(records) == []
    assert found["demo"].lacking(records) == 0
    assert found["other"].outdated(records) == records
    assert found["other"].lacking(records) == len(records)
    # A title is no other run.
    (tmp_path / "suites" / "other.toml").write_text(SUITE.replace("title = ", "title = 'Another' #"))
    assert suite_notes()["other"].outdated(records) == []
