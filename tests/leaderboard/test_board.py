"""The page: a golden file for a small set of records, and what single cells say."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from pathlib import Path

import pytest

from fetchbench.leaderboard.board import board
from fetchbench.protocol import Evaluation, LearnerSettings
from fetchbench.records.schema import Component, Record
from fetchbench.specs import PixelSpec

from .factory import VERSION, make_method, make_record

GOLDEN = Path(__file__).with_name("golden.md")


def golden_records() -> dict[str, list[Record]]:
    """Two suites: every kind of row, every status, several tasks, text that wants to break out."""
    reach = {"suite": "reach-v1", "task": "FetchReach-v4"}
    local = {"provider": "their_encoder.py", "version": "local", "source_sha256": "b0b" + "0" * 61}
    blind, state = make_method("blind", track="blind"), make_method("state", track="state")
    mid = make_method("mid", encoder=Component(name="coordconv", wraps=Component(name="nature", **VERSION), **VERSION))
    wild = make_method(
        "wild",
        encoder=Component(name="wild", options={"text": "a|b `c` <b>d</b>\n*e* _f_ [g](http://h)", "n": 0.1}, **local),
        auxiliary_loss=Component(name="inverse", **VERSION),
        auxiliary_weight=0.5,
        augmentation=Component(name="shift", options={"pad": 4}, **VERSION),
        views=2,
        target_views=2,
        trunk=50,
        pixels=PixelSpec(size=84, stack=4, render_size=480, offsamples=4),
    )
    two = {
        "evaluation": Evaluation(every_steps=500, episodes=20, last=2),
        "learner": LearnerSettings(
            environments=4,
            entropy="fixed",
            entropy_coefficient=0.05,
            encoder_learning_rate_multiplier=0.1,
            buffer_steps=500_000,
            learning_rate=1e-4,
            critic_loss="half-sum",
        ),
        "pixel_track": "pixels",
    }
    gpu = {
        "cost": {"peak_gpu_memory_mb": 3120.0, "core_s": 7200.0, "peak_memory_mb": 12_345.0},
        "provenance": {"gpu": "Example GPU 80GB", "dirty": True, "fetchbench": "0.2.0"},
    }
    on_pixels = make_method("mid", track="pixels", pixels=PixelSpec(size=84, stack=4))
    return {
        "push-v1": [
            make_record(on_pixels, seed, (0.0, 0.25, rate, rate), suite="push-v1", task=task, request=two, **gpu)
            for task, rates in (("FetchPush-v4", (0.2, 0.4, 0.35)), ("FetchSlide-v4", (0.05, 0.0, 0.0)))
            for seed, rate in enumerate(rates)
        ],
        "reach-v1": [
            *(make_record("four-conv", s, (0.0, 0.3, 0.8, 0.8 + s / 50), **reach) for s in range(5)),
            *(make_record(mid, s, (0.1, 0.1, r, r), **reach) for s, r in enumerate((0.9, 0.84, 0.72))),
            make_record(mid, 3, (0.3, 0.3), status="diverged", **reach),
            make_record(mid, 4, (0.3, 0.3), status="failed", **reach),
            make_record(wild, 0, (0.9, 0.9, 1.0, 1.0), **reach),
            make_record(wild, 1, (0.9, 0.9, 0.5, 0.5), status="censored", **reach),
            *(make_record(blind, s, (0.04, 0.0, 0.04, 0.02), **reach) for s in range(3)),
            make_record(state, 0, (0.5, 1.0, 1.0, 1.0), **reach),
            make_record("never", 0, (), status="failed", **reach, parameters={}),
        ],
    }


TITLES = {"reach-v1": "Which encoder learns <Reach> from pixels?"}


def test_the_page_is_the_golden_file():
    """Read golden.md as a visitor would; FETCHBENCH_WRITE_GOLDEN=1 writes it anew."""
    page = board(golden_records(), TITLES)
    if os.environ.get("FETCHBENCH_WRITE_GOLDEN"):
        GOLDEN.write_text(page, encoding="utf-8")
    assert page == GOLDEN.read_text(encoding="utf-8")


def test_the_order_of_records_changes_nothing():
    records = golden_records()["reach-v1"]
    assert (
        board({"reach-v1": records[::-1]}, TITLES).split("## reach")[1]
        == board({"reach-v1": records}, TITLES).split("## reach")[1]
    )


def table_rows(page: str, heading: str) -> list[dict[str, str]]:
    """The first table after a heading, as a browser would cut it."""
    lines = page.split(f"\n{heading}\n")[1].splitlines()
    table = list(
        itertools.takewhile(lambda line: line.startswith("|"), itertools.dropwhile(lambda line: line[:1] != "|", lines))
    )
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert all(len(row) == len(header) for row in rows)
    return [dict(zip(header, row, strict=True)) for row in rows]


def one_row(*records: Record) -> dict[str, str]:
    (row,) = table_rows(board({"s": list(records)}, {}), "### FetchReach-v4")
    return row


def test_every_column_of_a_plain_row():
    row = one_row(*(make_record(seed=s, successes=(0.0, 0.3, r, r)) for s, r in enumerate((0.9, 0.8, 0.7))))
    # Deviation 0.1, t = 4.303: half width 0.248.
    assert row == {
        "Rank": "1",
        "Method": "**four-conv**<br><sub>four-conv · critic · pixels-only · 64x64x1</sub>",
        "Success [95 %]": "**0.80** [0.55, 1.00]",
        "Every seed": "0.90 · 0.80 · 0.70",
        "Solved": "2/3",
        "Any step": "0.90",
        "Take-off": "1,000 / 0 (3/3)",
        "Encoder parameters": "31,232",
        "Core-min": "4.2",
        "Memory": "812 MB",
        "Status": "provisional",
    }


def test_what_is_missing_is_a_dash_and_never_0():
    row = one_row(make_record(seed=0, successes=(), status="failed", parameters={}))
    missing = {name for name, cell in row.items() if cell == "-"}
    assert missing == {"Rank", "Success [95 %]", "Solved", "Any step", "Take-off", "Encoder parameters"}
    assert row["Every seed"] == "failed"
    assert row["Status"] == "draft"


def test_a_score_of_0_is_0():
    row = one_row(*(make_record(seed=s, successes=(0.0,) * 4) for s in range(3)))
    assert row["Success [95 %]"].startswith("**0.00** [0.00, ")
    assert (row["Every seed"], row["Solved"], row["Take-off"]) == ("0.00 · 0.00 · 0.00", "0/3", "- (0/3)")


def test_one_seed_has_no_interval_and_no_rank():
    row = one_row(make_record())
    assert (row["Rank"], row["Success [95 %]"], row["Status"]) == ("-", "**0.80**", "draft")


@pytest.mark.parametrize(
    ("cost", "column", "cell"),
    [
        ({"core_s": 59.0}, "Core-min", "1.0"),
        ({"core_s": 599.0}, "Core-min", "10"),
        ({"core_s": 75_000.0}, "Core-min", "1,250"),
        ({"peak_memory_mb": 999.4}, "Memory", "999 MB"),
        ({"peak_memory_mb": 999.6}, "Memory", "1.0 GB"),
        ({"peak_memory_mb": 1500.0, "peak_gpu_memory_mb": 900.0}, "Memory", "1.5 GB<br>GPU 900 MB"),
    ],
)
def test_cost(cost, column, cell):
    assert one_row(make_record(cost=cost))[column] == cell


def test_memory_is_the_largest_and_time_the_mean():
    row = one_row(*(make_record(seed=s, cost={"core_s": 60.0 * s, "peak_memory_mb": 100.0 * s}) for s in (1, 2, 3)))
    assert (row["Core-min"], row["Memory"]) == ("2.0", "300 MB")


def test_anchors_stand_last_without_a_rank_however_well_they_do():
    methods = {"weak": 0.1, "state": 1.0, "blind": 0.0, "strong": 0.9}
    records = [
        make_record(make_method(name, **({"track": name} if name in ("state", "blind") else {})), s, (rate,) * 4)
        for name, rate in methods.items()
        for s in range(5)
    ]
    found = table_rows(board({"s": records}, {}), "### FetchReach-v4")
    assert [(re.sub("<br>.*", "", row["Method"]), row["Rank"]) for row in found] == [
        ("**strong**", "1"),
        ("**weak**", "2"),
        ("*state* (anchor)", "-"),
        ("*blind* (anchor)", "-"),
    ]


def test_drafts_stand_where_they_would_and_take_no_rank():
    records = [make_record("best", s, (0.9,) * 4) for s in range(2)]
    records += [make_record(name, s, (rate,) * 4) for name, rate in (("good", 0.8), ("poor", 0.4)) for s in range(3)]
    found = table_rows(board({"s": records}, {}), "### FetchReach-v4")
    assert [(row["Rank"], row["Status"]) for row in found] == [("-", "draft"), ("1", "provisional"), ("2", "provisional")]


def test_ties_share_a_rank_in_order_of_name():
    records = [make_record(name, s, (0.8,) * 4) for name in ("b", "a", "c") for s in range(3)]
    found = table_rows(board({"s": records}, {}), "### FetchReach-v4")
    assert [row["Rank"] for row in found] == ["1", "1", "1"]
    assert [row["Method"][:5] for row in found] == ["**a**", "**b**", "**c**"]


def test_each_task_has_a_table_and_ranks_of_its_own():
    records = [
        make_record(name, s, (rate,) * 4, task=task)
        for task, rates in (("FetchPush-v4", {"a": 0.1, "b": 0.2}), ("FetchReach-v4", {"a": 0.9, "b": 0.8}))
        for name, rate in rates.items()
        for s in range(3)
    ]
    page = board({"s": records}, {})
    assert [row["Method"][:5] for row in table_rows(page, "### FetchPush-v4")] == ["**b**", "**a**"]
    assert [row["Method"][:5] for row in table_rows(page, "### FetchReach-v4")] == ["**a**", "**b**"]
    assert page.index("### FetchPush-v4") < page.index("### FetchReach-v4")
    assert page.count("**What each row is**") == 1


def test_the_second_table_tells_all_tasks_plugins():
    newer = make_method(encoder=Component(name="four-conv", **{**VERSION, "version": "0.2.0"}))
    records = [make_record(task="FetchPush-v4"), make_record(newer, task="FetchReach-v4", status="failed")]
    (row,) = table_rows(board({"s": records}, {}), "**What each row is**")
    assert row["Plugins"] == "fetchbench 0.1.0<br>fetchbench 0.2.0"


HOSTILE = "|a|`b`<script>c</script>&amp;\n\n# d\r\n*e* __f__ ~~g~~ [h](http://i.j) ![k](l) $m$ \\ \x1b[31m\u202en www.o.p"


def test_no_text_of_a_record_leaves_its_cell():
    method = make_method(
        encoder=Component(name=HOSTILE, options={HOSTILE: HOSTILE}, provider=HOSTILE, version=HOSTILE, source_sha256="c"),
        auxiliary_loss=Component(name=HOSTILE),
        goal_space=Component(name=HOSTILE),
    )
    record = make_record(method, provenance={"processor": HOSTILE, "gpu": HOSTILE, "packages": {"torch": HOSTILE}})
    plain = make_record("four-conv", provenance={"gpu": "x"})
    page = board({"s": [record]}, {"s": HOSTILE})
    assert len(page.splitlines()) == len(board({"s": [plain]}, {"s": "title"}).splitlines())
    table_rows(page, "### FetchReach-v4")
    table_rows(page, "**What each row is**")
    for harm in ("<script", "`b`", "**e", "*e*", "__f__", "~~", "](http", "![", "\x1b", "\u202e", "\r", "$m$", "www."):
        assert harm not in page
    assert "&#124;a&#124;" in page


def test_titles_and_links():
    page = board({"a.b-v1": [make_record()], "c": [make_record()]}, {"c": "What for"})
    assert "Suites: [a.b-v1](#ab-v1) · [c](#c). 2 records in [`records/`](records)." in page
    assert "## c\n\nWhat for\n\n- **Protocol**" in page
    assert "## a.b-v1\n\n- **Protocol**" in page


def test_an_empty_board_says_how_to_fill_it():
    page = board({}, {})
    assert "No records yet: `fetchbench run demo && fetchbench publish demo` makes the first." in page
    assert "## How to read it" in page


def test_uncommitted_changes_and_every_machine_are_told():
    records = [
        make_record(seed=0, provenance={"processor": "B", "dirty": True}),
        make_record(seed=1, provenance={"processor": "A", "dirty": False}),
        make_record(seed=2, provenance={"processor": "A"}),
    ]
    page = board({"s": records}, {})
    assert "- **Made with**: 3 records · A, B · fetchbench 0.1.0 · torch 2.15.0 · MuJoCo 3.11.0 · 1 of them with " in page


def test_every_setting_that_rows_share_is_in_the_caption():
    """A protocol that differs in any learner setting reads differently, so that two boards can be told apart."""
    plain = LearnerSettings()
    silent = {"log_std_bounds"}  # of no interest to a reader
    for field in LearnerSettings.model_fields.keys() - silent:
        value = getattr(plain, field)
        other = {
            "target_features": "online",
            "entropy": "fixed",
            "critic_loss": "half-sum",
            "relabel_strategy": "final",
            "vectors": "raw",
            "buffer_steps": 1000,
            "hidden": (64, 64),
            "discount": 0.9,
            "updates_per_step": 0.25,
        }.get(field, value * 2 if isinstance(value, int | float) else value)
        assert other != value, field
        changed = plain.model_copy(update={field: other})
        pages = {board({"s": [make_record(request={"learner": learner})]}, {}) for learner in (plain, changed)}
        assert len(pages) == 2, field


def test_every_row_field_is_documented():
    from fetchbench.leaderboard.rows import Row

    assert all(f"{field.name}:" in (Row.__doc__ or "") for field in dataclasses.fields(Row))
