"""The page: a golden file for a small set of records, and what single cells say."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from pathlib import Path

import pytest

from fetchbench.leaderboard.board import board
from fetchbench.leaderboard.notes import SuiteNotes
from fetchbench.protocol import Evaluation, LearnerSettings, StopRule
from fetchbench.records.schema import Component, Execution, Probe, Record
from fetchbench.specs import PixelSpec
from fetchbench.statistics.coverage import coverage_note

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


NOTES = {
    "reach-v1": SuiteNotes(
        "Which encoder learns <Reach> from pixels?",
        baseline="four-conv",
        contrasts=(("mid", "four-conv"),),
        runs=(*(("four-conv", "FetchReach-v4", s) for s in range(6)), ("later", "FetchReach-v4", 0)),
    )
}


def test_the_page_is_the_golden_file():
    """Read golden.md as a visitor would; FETCHBENCH_WRITE_GOLDEN=1 writes it anew."""
    page = board(golden_records(), NOTES)
    if os.environ.get("FETCHBENCH_WRITE_GOLDEN"):
        GOLDEN.write_text(page, encoding="utf-8")
    assert page == GOLDEN.read_text(encoding="utf-8")


def test_the_order_of_records_changes_nothing():
    records = golden_records()["reach-v1"]
    assert (
        board({"reach-v1": records[::-1]}, NOTES).split("## reach")[1]
        == board({"reach-v1": records}, NOTES).split("## reach")[1]
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
        "Success [95 %]": "**0.80** [0.55,&nbsp;1.00]",
        "Every seed": "0.90&nbsp;· 0.80&nbsp;· 0.70",
        "Solved": "2/3",
        # Trapezoids over 2,000 steps from 0 at step 0: 500 * (0 / 2 + (0 + 0.3) / 2 + (0.3 + r) / 2 + r) / 2,000.
        "Area": "0.38",
        "Take-off": "1,000&nbsp;/&nbsp;0 (3/3)",
        "Diagnosis": "3 working",
        "Parameters": "31,232",
        "Cost": "4.2&nbsp;core&#8209;min<br>812&nbsp;MB",
        "Status": "provisional",
    }


def test_what_is_missing_is_a_dash_and_never_0():
    row = one_row(make_record(seed=0, successes=(), status="failed", parameters={}))
    missing = {name for name, cell in row.items() if cell == "-"}
    assert missing == {"Rank", "Success [95 %]", "Solved", "Area", "Take-off", "Parameters"}
    assert (row["Every seed"], row["Status"]) == ("failed", "draft<br>1 failed")


def test_a_score_of_0_is_0():
    row = one_row(*(make_record(seed=s, successes=(0.0,) * 4) for s in range(3)))
    assert row["Success [95 %]"].startswith("**0.00** [0.00,&nbsp;")
    assert (row["Every seed"], row["Solved"], row["Take-off"]) == ("0.00&nbsp;· 0.00&nbsp;· 0.00", "0/3", "- (0/3)")


def test_one_seed_has_no_interval_and_no_rank():
    row = one_row(make_record())
    assert (row["Rank"], row["Success [95 %]"], row["Status"]) == ("-", "**0.80**", "draft")


@pytest.mark.parametrize(
    ("cost", "device", "cell"),
    [
        ({"core_s": 59.0}, "cpu", "1.0 core-min, 812 MB"),
        ({"core_s": 599.0}, "cpu", "10 core-min, 812 MB"),
        ({"core_s": 75_000.0}, "cpu", "21 core-h, 812 MB"),
        ({"peak_memory_mb": 999.4}, "cpu", "4.2 core-min, 999 MB"),
        ({"peak_memory_mb": 999.6}, "cpu", "4.2 core-min, 1.0 GB"),
        ({"wall_s": 7800.0, "peak_memory_mb": 1500.0, "peak_gpu_memory_mb": 900.0}, "cuda", "2.2 GPU-h, 1.5 GB, GPU 900 MB"),
    ],
)
def test_cost(cost, device, cell):
    row = one_row(make_record(cost=cost, request={"execution": Execution(device=device)}))
    assert row["Cost"].replace("&nbsp;", " ").replace("&#8209;", "-").replace("<br>", ", ") == cell


def test_memory_is_the_largest_and_time_the_mean():
    row = one_row(*(make_record(seed=s, cost={"core_s": 60.0 * s, "peak_memory_mb": 100.0 * s}) for s in (1, 2, 3)))
    assert row["Cost"] == "2.0&nbsp;core&#8209;min<br>300&nbsp;MB"


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
    assert [row["Rank"] for row in found] == ["1=", "1=", "1="]
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
    page = board({"s": [record]}, {"s": SuiteNotes(HOSTILE)})
    assert len(page.splitlines()) == len(board({"s": [plain]}, {"s": SuiteNotes("title")}).splitlines())
    table_rows(page, "### FetchReach-v4")
    table_rows(page, "**What each row is**")
    for harm in ("<script", "`b`", "**e", "*e*", "__f__", "~~", "](http", "![k", "\x1b", "\u202e", "\r", "$m$", "www."):
        assert harm not in page
    assert "&#124;a&#124;" in page


def test_titles_and_links():
    page = board({"a.b-v1": [make_record()], "c": [make_record()]}, {"c": SuiteNotes("What for")})
    assert "Suites: [a.b-v1](#ab-v1) · [c](#c). 2 records in [`records/`](records); [CHANGES.md]" in page
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
    assert "- **Made with**: 3 records · A, B · fetchbench 0.1.0 · torch 2.15.0 · MuJoCo 3.11.0 · encoders in float32, " in page
    assert " compile none · 1 of them with uncommitted changes\n" in page


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


# -- what is the same for all rows, and what is not -------------------------------------------------------------------


def test_what_all_methods_share_stands_above_the_table_and_not_in_it():
    other = make_method("other", encoder=Component(name="nature", **VERSION))
    page = board({"s": [make_record("four-conv"), make_record(other), make_record(make_method("state", track="state"))]}, {})
    assert "- **Every method** but the anchors: routing critic · track pixels-only · frames 64x64x1\n" in page
    names = [row["Method"] for row in table_rows(page, "### FetchReach-v4")]
    assert names == ["**four-conv**", "**other**<br><sub>nature</sub>", "*state* (anchor)"]


def test_updates_per_step_are_the_tables():
    page = board({"s": [make_record(request={"learner": LearnerSettings(updates_per_step=0.25)})]}, {})
    assert "0.25 updates per step after 1,000 steps of warm-up" in page


def test_arithmetic_stands_above_where_all_agree_and_in_the_row_where_not():
    plain, fast = Execution(), Execution(precision="bfloat16", compile="inductor")
    state = make_record(make_method("state", track="state"), request={"execution": plain})
    agree = [make_record("a", request={"execution": fast}), make_record("b", request={"execution": fast}), state]
    assert " · encoders in bfloat16, compile inductor\n" in board({"s": agree}, {})
    differ = [make_record("a", request={"execution": fast}), make_record("b", request={"execution": plain}), state]
    page = board({"s": differ}, {})
    assert "encoders in" not in page
    cells = {row["Method"] for row in table_rows(page, "### FetchReach-v4")}
    assert "**a**<br><sub>a · bfloat16, compile inductor</sub>" in cells
    assert "**b**<br><sub>b · float32, compile none</sub>" in cells


def test_the_licence_of_every_pretrained_network_is_shown():
    """Of weights that the spec names, and of those that only the run knows: one spec may load any of many networks."""
    known = make_method("known", encoder=Component(name="known", licence="CC-BY-NC-4.0", **VERSION))
    page = board({"s": [make_record(known), make_record("any", provenance={"licences": {"encoder": "apache-2.0"}})]}, {})
    found = {row["Method"]: row for row in table_rows(page, "**What each row is**")}
    assert found["known"]["Licences of weights or code"] == "CC-BY-NC-4.0"
    assert found["any"]["Licences of weights or code"] == "apache-2.0"
    assert "licence apache-2.0</sub>" in page
    assert "Licences" not in board({"s": [make_record()]}, {}).split("## How to read it")[0]


def test_probes_of_the_features():
    def probe(steps: int, encoder: str, **r2: float) -> Probe:
        found = {"error_cm": {}, "mean_error_cm": {}, "effective_rank": 9.0, "dead_units": 0, "scenes": 400, "updates": 0}
        return Probe(steps=steps, encoder=encoder, r2=r2, **found)

    def probed(name: str, seed: int, probes: list[Probe]) -> Record:
        record = make_record(name, seed)
        return record.model_copy(update={"result": record.result.model_copy(update={"probes": probes}).sealed()})

    records = [
        probed(
            "a", 0, [probe(0, "encoder", gripper_xyz=0.1, object_xy=0.0), probe(9, "encoder", gripper_xyz=0.9, object_xy=-0.2)]
        ),
        probed("a", 1, [probe(9, "encoder", gripper_xyz=0.8, object_xy=-0.1)]),
        probed("b", 0, [probe(9, "critic encoder", gripper_xyz=0.7), probe(9, "actor encoder", gripper_xyz=0.5)]),
    ]
    found = {row["Method"]: row for row in table_rows(board({"s": records}, {}), "### FetchReach-v4")}
    assert (found["**a**"]["R2 gripper"], found["**a**"]["R2 object"]) == ("0.85", "-0.15")
    assert (found["**b**"]["R2 gripper"], found["**b**"]["R2 object"]) == ("0.70 critic<br>0.50 actor", "-")
    assert "R2" not in one_row(make_record())


def test_privileged_rows_say_so_and_so_do_censored_ones():
    method = make_method("seen", track="pixels-privileged")
    row = one_row(*(make_record(method, s, status="censored" if s else "done") for s in range(3)))
    assert row["Status"] == "provisional<br>privileged<br>2 censored"


def test_a_rule_that_stops_runs_is_in_the_caption():
    stop = StopRule(after_steps=1000, at_most_success=0.05, evaluations=2, critic_loss="not-rising")
    page = board({"s": [make_record(request={"stop": stop})]}, {})
    assert (
        "stopped early, and censored, after 1,000 steps or more with success of at most 0.05 in 2 evaluations in a row and a "
        "critic loss that does not rise"
    ) in page


def test_under_a_single_task_stands_what_its_intervals_are_worth():
    records = [make_record(seed=seed) for seed in range(5)]
    page = board({"s": records}, {})
    assert coverage_note([5]) in page
    assert coverage_note([5]) not in board({"s": [*records, make_record(task="FetchPush-v4")]}, {})


def test_runs_without_a_record_are_counted():
    notes = SuiteNotes(runs=(("four-conv", "FetchReach-v4", 0), ("four-conv", "FetchReach-v4", 1)))
    page = board({"s": [make_record(seed=0)]}, {"s": notes})
    assert "**Not all run**: 1 of the suite's 2 runs have no record yet; `fetchbench run s` runs what is missing." in page
    assert "Not all run" not in board({"s": [make_record(seed=0), make_record(seed=1)]}, {"s": notes})


def test_records_of_an_earlier_form_of_the_suite_are_told_apart():
    runs = (("four-conv", "FetchReach-v4", 0), ("four-conv", "FetchReach-v4", 1))
    notes = SuiteNotes(runs=runs, asks=lambda record: record.request.seed == 1)
    page = board({"s": [make_record(seed=0), make_record(seed=1)]}, {"s": notes})
    assert (
        "**Not all run**: 1 of the suite's 2 runs have no record yet, or one from before its file was changed (1); "
        "`fetchbench run s` runs what is missing."
    ) in page


def test_the_figures_are_embedded():
    page = board({"s": [make_record()]}, {})
    for name in ("success", "learning-curves", "cost"):
        assert f"](figures/s/{name}.svg)](figures/s/{name}.png)" in page
    assert "figures/" not in board({"s": [make_record(status="failed")]}, {})


def test_what_is_scored_without_learning_stands_under_each_table():
    page = board({"s": [make_record(task="FetchPush-v4"), make_record(task="FetchReach-v4")]}, {})
    lines = [line for line in page.splitlines() if line.startswith("*Without learning*: ")]
    assert len(lines) == 2
    assert "doing nothing 0.00 (0.07 with the episodes that are solved at reset)" in lines[0]
    assert lines[1].endswith("the best constant action towards the goal 1.00.")
