"""What the figures show, and that their files carry its digest."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path
from typing import Any

import pytest

from fetchbench.leaderboard import drawing, rows
from fetchbench.leaderboard.across import suite_rows
from fetchbench.leaderboard.drawing import draw
from fetchbench.leaderboard.figures import FIGURES, OVER_TASKS, data_sha256, expected_figures, figure_data, read_sha256
from fetchbench.records.schema import Execution, Record

from .factory import make_method, make_record, stand_in_figure


def records(tasks: tuple[str, ...] = ("FetchReach-v4",)) -> list[Record]:
    """Unbalanced, with every status."""
    found = []
    for task in tasks:
        found += [make_record("a", seed, (0.0, 0.3, 0.8, 0.8 + seed / 50), task=task) for seed in range(4)]
        found += [make_record("b", 0, (0.1, 0.4), task=task, status="censored"), make_record("b", 1, task=task)]
        found += [make_record("c", 0, (0.1,), task=task, status="diverged"), make_record("c", 1, task=task, status="failed")]
        found.append(make_record(make_method("state", track="state"), task=task, successes=(1.0,) * 4))
    return found


def test_the_data_of_one_task():
    data = figure_data("s", records())
    assert list(data) == list(FIGURES)
    (panel,) = data["success"]["panels"]
    assert panel["task"] == "FetchReach-v4"
    assert [(m["name"], m["anchor"], m["seeds"]) for m in panel["methods"]] == [
        ("a", False, [[0.8, "done"], [0.81, "done"], [0.82, "done"], [0.83, "done"]]),
        ("b", False, [[0.25, "censored"], [0.8, "done"]]),
        ("c", False, [[0.0, "diverged"]]),
        ("state", True, [[1.0, "done"]]),
    ]
    (panel,) = data["learning-curves"]["panels"]
    assert panel["budget_steps"] == 2000
    assert panel["methods"][1]["seeds"][0] == {"seed": 0, "status": "censored", "points": [[500, 0.1], [1000, 0.4]]}
    assert [seed["seed"] for seed in panel["methods"][2]["seeds"]] == [0]  # the failed one is not scored and not shown
    (panel,) = data["cost"]["panels"]
    assert (panel["methods"][0]["minutes"], panel["methods"][0]["unit"], panel["methods"][0]["mean"]) == (4.2, "core", 0.815)
    on_gpu = figure_data("s", [make_record(request={"execution": Execution(device="cuda")})])
    assert on_gpu["cost"]["panels"][0]["methods"][0]["minutes"] == 5.0
    assert on_gpu["cost"]["panels"][0]["methods"][0]["unit"] == "GPU"


def test_several_tasks_have_a_panel_each_and_one_of_their_means():
    data = figure_data("s", records(("FetchReach-v4", "FetchPush-v4")))
    assert [panel["task"] for panel in data["success"]["panels"]] == [OVER_TASKS, "FetchPush-v4", "FetchReach-v4"]
    assert [panel["task"] for panel in data["cost"]["panels"]] == ["FetchPush-v4", "FetchReach-v4"]
    assert data["success"]["panels"][0]["methods"][0] | {"low": None, "high": None} == {
        "name": "a", "anchor": False, "mean": 0.815, "low": None, "high": None, "seeds": [],
    }  # fmt: skip


def test_the_mean_over_tasks_is_the_tables():
    """A method whose runs of one task all failed has no mean, and neither has anyone where a task was never run."""
    found = records(("FetchReach-v4", "FetchPush-v4"))
    found += [make_record("half", 0, (1.0,) * 4), make_record("half", 0, task="FetchPush-v4", status="failed")]
    data = figure_data("s", found)["success"]
    table = {row.method.name: row.success for row in suite_rows(rows(found))}
    assert table.pop("half") is None
    assert {m["name"]: m["mean"] for m in data["panels"][0]["methods"]} == {n: pytest.approx(s.mean) for n, s in table.items()}
    assert ["half", False] in data["methods"]  # it stands in its task's panel
    asked = figure_data("s", found, ("FetchPush-v4", "FetchReach-v4", "FetchSlide-v4"))["success"]
    assert [panel["task"] for panel in asked["panels"]] == ["FetchPush-v4", "FetchReach-v4"]
    failed = figure_data("s", [make_record("a"), make_record("a", task="FetchPush-v4", status="failed")])["success"]
    assert [panel["task"] for panel in failed["panels"]] == ["FetchReach-v4"]


def test_a_method_without_any_score_has_no_line():
    data = figure_data("s", [make_record("a"), make_record("b", status="failed")])["success"]
    assert data["methods"] == [["a", False]]


def test_where_no_run_has_a_score_there_is_nothing_to_draw():
    assert figure_data("s", [make_record(status="failed")]) == {}
    assert expected_figures({"s": [make_record(status="failed")]}) == {}


def test_the_digest_follows_the_data_and_no_order():
    def digests(found: list[Record]) -> dict[str, str]:
        return {name: data_sha256(data) for name, data in figure_data("s", found).items()}

    assert digests(records()) == digests(records()[::-1])
    dearer = [*records()[:-1], make_record(make_method("state", track="state"), successes=(1.0,) * 4, cost={"core_s": 99.0})]
    changed = {name for name, digest in digests(dearer).items() if digest != digests(records())[name]}
    assert changed == {"cost"}


@pytest.fixture(scope="module")
def drawn() -> dict[str, tuple[dict[str, Any], dict[str, bytes]]]:
    of_tasks = figure_data("s", records(("FetchReach-v4", "FetchPush-v4", "FetchSlide-v4")))
    of_one = figure_data("s", records())
    chosen = {"success": of_tasks["success"], "learning-curves": of_one["learning-curves"], "cost": of_tasks["cost"]}
    return {name: (data, draw(data)) for name, data in chosen.items()}


@pytest.mark.parametrize("name", FIGURES)
def test_the_files_carry_the_digest_of_what_they_show(drawn, tmp_path, name):
    data, files = drawn[name]
    for extension, content in files.items():
        path = tmp_path / f"{name}.{extension}"
        path.write_bytes(content)
        assert read_sha256(path) == data_sha256(data)
        path.write_bytes(content[:-30])
        assert read_sha256(path) is None
    assert read_sha256(tmp_path / "none.svg") is None
    width, height = struct.unpack(">II", files["png"][16:24])
    assert 1500 <= width <= 1600  # reads at the width of a page on a screen with two pixels a point
    assert 300 <= height <= 2 * width
    assert b"<dc:date>" not in files["svg"]  # drawn twice, the files are the same


def test_drawing_twice_gives_the_same_files(drawn):
    data, files = drawn["cost"]
    assert draw(data) == files


def test_a_stand_in_is_read_like_a_figure(tmp_path):
    data = figure_data("s", records())["cost"]
    for extension, content in stand_in_figure(data).items():
        Path(tmp_path / f"x.{extension}").write_bytes(content)
        assert read_sha256(tmp_path / f"x.{extension}") == data_sha256(data)


def test_the_mean_curve_leaves_no_seed_out():
    """A censored run counts on as it stood, a diverged one as 0 from its end."""
    method = {
        "seeds": [
            {"status": "done", "points": [[500, 0.0], [1000, 0.4], [1500, 0.8]]},
            {"status": "censored", "points": [[500, 0.2]]},
            {"status": "diverged", "points": [[500, 0.1], [1000, 0.5]]},
        ]
    }
    curve = dict(drawing._mean_curve(method, 2000))
    assert curve == {
        500: pytest.approx(0.1),
        1000: pytest.approx((0.4 + 0.2 + 0.5) / 3),
        1500: pytest.approx((0.8 + 0.2 + 0.0) / 3),
        2000: pytest.approx((0.8 + 0.2 + 0.0) / 3),
    }


@pytest.mark.parametrize(
    "wanted", [[0.5], [0.5, 0.5, 0.5], [0.0, 0.01, 0.02, 0.9], [0.97, 0.98, 0.99, 1.0], [0.0] * 9 + [1.0] * 9, []]
)
def test_names_beside_curves_keep_apart(wanted):
    places = drawing._spread(wanted, 0.05, -0.04, 1.04)
    assert all(later - earlier >= 0.05 - 1e-9 for earlier, later in itertools.pairwise(places))
    assert all(-0.04 - 1e-9 <= place <= 1.04 + 1e-9 for place in places)
    if len(wanted) == 1:
        assert places == wanted


def test_methods_beside_each_other_differ_in_colour_and_none_share_colour_and_shape():
    names = [f"m{n:02}" for n in range(30)]
    anchors = ["blind", "state", "state-slow", "state-without-relabelling"]
    looks = drawing._looks({"methods": [*([name, False] for name in names), *([name, True] for name in anchors)]})
    assert len({(look["color"], look["marker"]) for look in looks.values()}) == 34
    for told_by in ("marker", "ls"):
        assert len({looks[name][told_by] for name in anchors}) == 4
    assert all(look["ls"] == "-" for name, look in looks.items() if name not in anchors)
    assert all(looks[one]["color"] != looks[other]["color"] for one, other in itertools.pairwise(names))


@pytest.mark.parametrize("scores", [[0.0] * 10, [0.5] * 20, [0.3, 0.305, 0.31, 0.3, 0.31], [0.7], []])
def test_every_seed_is_a_dot_of_its_own(scores):
    offsets = drawing._beside(scores, near=0.01)
    assert len({*zip(scores, offsets, strict=True)}) == len(scores)
    assert all(abs(offset) <= 0.4 for offset in offsets)
    assert drawing._beside([0.5, 0.5, 0.9], near=0.01) == [0.0, -0.2, 0.0]


@pytest.mark.parametrize(("status", "marks"), [("diverged", [([0], [0.0])]), ("censored", [])])
def test_a_run_that_diverged_before_it_was_evaluated_has_its_cross_at_0(status, marks):
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    drawing._seeds(ax, [{"status": status, "points": []}], {"color": "k", "ls": "-"}, 1.0)
    drawn = [line for line in ax.lines if line.get_marker() == "x"]
    assert [([*line.get_xdata()], [*line.get_ydata()]) for line in drawn] == marks
