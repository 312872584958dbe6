"""The row-level manifest: what each row rests on, what is left out and why, what is not there."""

from __future__ import annotations

from fetchbench.leaderboard.manifest import manifest
from fetchbench.leaderboard.notes import SuiteNotes
from fetchbench.records.schema import Record

from .factory import make_record
from .test_board import table_rows


def lines(records: list[Record], runs: tuple[tuple[str, str, int], ...] = ()) -> dict[str, dict[str, str]]:
    page = manifest({"reach-v1": records}, {"reach-v1": SuiteNotes(runs=runs)})
    return {row["Method"]: row for row in table_rows(page, "## reach-v1")}


def asked(method: str, seeds: range) -> tuple[tuple[str, str, int], ...]:
    return tuple((method, "FetchReach-v4", seed) for seed in seeds)


def failed(seed: int, reason: str) -> Record:
    record = make_record("a", seed, status="failed")
    return record.model_copy(update={"result": record.result.model_copy(update={"reason": reason}).sealed()})


def test_every_seed_of_a_row_is_accounted_for():
    records = [make_record("a", seed) for seed in (0, 1, 2, 5)]
    records += [make_record("a", 3, (0.1,), status="diverged"), make_record("a", 4, status="censored")]
    records.append(failed(6, "routing audit: |actor| reached the encoder"))
    row = lines(records, asked("a", range(10)))["a"]
    assert row["Seeds scored"] == "0-5; 3 diverged; 4 censored at step 2,000"
    assert row["Seeds not scored"] == "6 failed: routing audit&#58; &#124;actor&#124; reached the encoder"
    assert row["Seeds without a record"] == "7-9"
    assert (row["Made with"], row["Finished"]) == ("fetchbench 0.1.0", "2026-01-01")


def test_records_of_an_earlier_form_of_the_suite_are_named():
    notes = SuiteNotes(runs=asked("a", range(3)), asks=lambda record: record.request.seed == 2)
    page = manifest({"reach-v1": [make_record("a", seed) for seed in range(3)]}, {"reach-v1": notes})
    assert "a (seeds 0, 1 are of an earlier form of the suite's file)" in page
    assert "`fetchbench run reach-v1` runs the 2 that have no record" in page


def test_runs_that_were_never_made_have_a_line():
    row = lines([make_record("a")], (*asked("a", range(1)), *asked("b", range(2))))["b"]
    assert (row["Seeds scored"], row["Seeds without a record"], row["Digest"], row["Made with"]) == ("-", "0, 1", "-", "-")


def test_methods_and_seeds_that_the_file_does_not_name_are_told():
    found = lines([make_record("a"), make_record("a", 7), make_record("mine")], asked("a", range(1)))
    assert list(found) == ["a (seeds 7 are not in the suite's file)", "mine (not in the suite's file: `--plugin`)"]
    assert list(lines([make_record("a"), make_record("mine")])) == ["a", "mine"]  # without a file, nothing is known


def test_a_seed_that_was_never_evaluated_is_not_scored():
    assert lines([make_record("a", 0, ())])["a"]["Seeds not scored"] == "0 never evaluated"


def test_commits_and_days():
    records = [
        make_record("a", 0, provenance={"commit": "0123456789", "dirty": True, "finished": "2026-01-03T00:00:00Z"}),
        make_record("a", 1, provenance={"commit": "0123456789", "dirty": False}),
    ]
    row = lines(records)["a"]
    assert row["Made with"] == "fetchbench 0.1.0, commit 0123456 with uncommitted changes<br>fetchbench 0.1.0, commit 0123456"
    assert row["Finished"] == "2026-01-01 to 2026-01-03"


def test_the_digest_follows_the_results_alone():
    one = lines([make_record("a")])["a"]["Digest"]
    assert lines([make_record("a", cost={"core_s": 1.0}, provenance={"processor": "other"})])["a"]["Digest"] == one
    assert lines([make_record("a", successes=(0.0, 0.3, 0.8, 0.9))])["a"]["Digest"] != one


def test_the_order_of_records_changes_nothing():
    records = [make_record(name, seed) for name in ("b", "a") for seed in (2, 0, 1)]
    assert manifest({"reach-v1": records}, {}) == manifest({"reach-v1": records[::-1]}, {})


def test_suites_without_a_record_are_listed_with_their_command():
    notes = {"later-v1": SuiteNotes("What <for>", runs=asked("a", range(3)), bundled=True), "draft": SuiteNotes("Secret")}
    page = manifest({"reach-v1": [make_record()]}, notes)
    assert "draft" not in page  # somebody's own suite, without a record, is nobody else's business
    (row,) = table_rows(page, "## Suites without a record")
    assert row == {
        "Suite": "later-v1",
        "What it asks": "What &#60;for&#62;",
        "Runs": "3",
        "Command": "`fetchbench run later-v1`",
    }
    assert "## Suites without a record" not in manifest({}, {})


def test_how_much_of_the_suite_is_there():
    page = manifest({"reach-v1": [make_record("a")]}, {"reach-v1": SuiteNotes(runs=asked("a", range(5)))})
    said = "1 record of the 5 runs that the suite asks for, 1 scored. `fetchbench run reach-v1` runs the 4 that have no record."
    assert said in page
