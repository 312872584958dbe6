"""``fetchbench show`` of a run's folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from leaderboard.factory import make_record
from PIL import Image
from run.conftest import TINY, make_request

from fetchbench.errors import RenderingError
from fetchbench.records.schema import Component, EvaluationPoint, RunRequest
from fetchbench.records.store import append_line, record_text
from fetchbench.registry import Registry
from fetchbench.replay import Replay
from fetchbench.run.checkpoint import Checkpoint
from fetchbench.run.pictures import Pictures
from fetchbench.run.plugins import load_plugins
from fetchbench.run.prepare import build_request
from fetchbench.specs import PixelSpec

from .conftest import PLUGIN


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins()


def write_request(folder: Path, request: RunRequest) -> None:
    folder.mkdir(parents=True)
    (folder / "request.json").write_text(request.model_dump_json())


def write_checkpoint(folder: Path, request: RunRequest, registry: Registry, steps: int) -> None:
    """As a run leaves it, but for what only resuming reads."""
    point = EvaluationPoint(
        steps=steps,
        updates=0,
        success=0.25,
        success_any=0.25,
        success_last_ten=0.25,
        success_raw=0.25,
        episodes=4,
        drawn=4,
        return_mean=-40.0,
        distance_m=0.1,
    )
    built = build_request(request, registry)
    state = {"learner": built.learner.state_dict(), "steps": steps, "evaluations": [point.model_dump()]}
    replay = Replay(capacity=1, horizon=50, observation_dim=10, action_dim=4, goal_dim=3)
    Checkpoint(folder / "checkpoint").save(state, replay, metrics_bytes=0)
    append_line(folder / "metrics.jsonl", {"kind": "evaluation", **point.model_dump()})
    append_line(folder / "metrics.jsonl", {"kind": "progress", "steps": steps, "updates": 0})


def finish(folder: Path, request: RunRequest) -> None:
    record = make_record(request.method, seed=request.seed).model_copy(update={"request": request})
    (folder / "record.json").write_text(record_text(record))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing says what it would, and draws nothing."""

    def draw(folder: Path, trained: Any) -> Pictures:
        lines = (f"solved at step {trained.steps}", "not solved")
        return Pictures(folder / "pictures" / "contact-sheet.png", folder / "pictures" / "rollout.mp4", lines)

    monkeypatch.setattr("fetchbench.run.pictures.draw_trained", draw)


def lines_of(answer: Any) -> dict[str, str]:
    """``name`` -> ``value`` of what was printed."""
    pairs = [line.split(maxsplit=1) for line in answer.out.splitlines() if line[:1].strip()]
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def test_a_finished_run_of_the_seeds_configuration_shows_eighty_inputs_and_draws(fetchbench, registry, workspace):
    request = make_request(registry, "spatial-softmax", track="pixels-privileged", task="FetchPush-v4", **TINY)
    pixels = PixelSpec(size=84, stack=4)
    request = request.model_copy(update={"method": request.method.model_copy(update={"pixels": pixels})})
    run = workspace / "runs" / "FetchPush-v4" / "spatial-softmax" / "seed0-kkkk"
    write_request(run, request)
    write_checkpoint(run, request, registry, steps=200)
    finish(run, request)
    answer = fetchbench("show", "runs/FetchPush-v4/spatial-softmax/seed0-kkkk")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("spatial-softmax FetchPush-v4 seed 0, of suite test\nruns/FetchPush-v4/")
    shown = lines_of(answer)
    assert shown["inputs"] == "64 (encoder) + 10 (proprioception) + 3 (achieved goal) + 3 (goal) = 80"
    assert shown["state"].startswith("done, step ")
    assert shown["score"].startswith("0.80, ")
    assert shown["method"] == "spatial-softmax · critic · pixels-privileged · 84x84x4"
    assert "cm from the goal; " in shown["episodes"]
    with Image.open(shown["pictures"]) as image:
        assert image.format == "PNG"
        assert min(image.size) > 1000
    assert (run / "pictures" / "rollout.mp4").stat().st_size > 10_000
    assert answer.out.endswith("            runs/FetchPush-v4/spatial-softmax/seed0-kkkk/pictures/rollout.mp4\n")


@pytest.mark.usefixtures("undrawn")
def test_a_run_in_progress_is_drawn_as_of_its_last_checkpoint(fetchbench, registry):
    request = make_request(registry, "spatial-softmax", "frozen", **TINY)
    run = Path("begun")
    write_request(run, request)
    write_checkpoint(run, request, registry, steps=150)
    answer = fetchbench("show", "begun")
    shown = lines_of(answer)
    assert shown["state"] == "stopped, step 150/200"
    assert shown["score"] == "-, success 0.25 in the last evaluation"
    assert shown["inputs"] == "50 (trunk of 64 features) + 3 (goal) = 53"
    assert shown["episodes"] == "solved at step 150; not solved"
    found = json.loads(fetchbench("show", "begun", "--json").out)
    assert (found["task"], found["seed"], found["state"], found["score"]) == ("FetchReach-v4", 0, "stopped", None)
    assert (found["steps"], found["budget_steps"], found["success"]) == (150, 200, 0.25)
    assert found["inputs"] == [
        {"name": "encoder", "width": 50, "features": 64},
        {"name": "goal", "width": 3, "features": None},
    ]
    assert found["input_dim"] == 53
    assert (found["contact_sheet"], found["video"]) == ("begun/pictures/contact-sheet.png", "begun/pictures/rollout.mp4")
    assert found["goal_distance"] is None
    assert found["problem"] is None


def test_a_finished_run_shows_how_it_looks_and_by_which_signs(fetchbench, registry):
    request = make_request(registry, None, **TINY)
    write_request(Path("done"), request)
    finish(Path("done"), request)
    answer = fetchbench("show", "done")
    assert (
        "looks       working: took off at step 1,000, 0 updates: the first of two evaluations in a row at 0.20 or more\n"
        "            kept it: the last two evaluations have 0.80, at least half of the best two in a row, 0.80\n"
        "            the record holds no losses: judged by success alone\n"
        "method      blind"
    ) in answer.out
    found = json.loads(fetchbench("show", "done", "--json").out)["diagnosis"]
    assert (found["verdict"], found["takeoff"], len(found["signs"])) == ("working", {"steps": 1000, "updates": 0}, 3)


def test_a_run_in_progress_is_judged_by_what_it_has_written_and_a_damaged_record_by_nothing(fetchbench, registry):
    request = make_request(registry, None, **TINY)
    write_request(Path("begun"), request)
    write_checkpoint(Path("begun"), request, registry, steps=150)
    found = json.loads(fetchbench("show", "begun", "--json").out)["diagnosis"]
    assert (found["verdict"], found["takeoff"]) == ("undecided", None)
    assert found["signs"][1] == "too early: 0 evaluations after the first update, 4 are needed"
    (Path("begun") / "record.json").write_text("{")
    assert json.loads(fetchbench("show", "begun", "--json").out)["diagnosis"] is None
    assert "looks" not in lines_of(fetchbench("show", "begun"))


def test_a_plot_of_distances_is_listed_where_there_is_one(fetchbench, registry, monkeypatch):
    paths = Path("sheet.png"), Path("film.mp4"), Path("distance.png")
    made = Pictures(paths[0], paths[1], ("solved",), goal_distance=paths[2])
    monkeypatch.setattr("fetchbench.run.pictures.draw_trained", lambda folder, trained: made)
    request = make_request(registry, "manipulation", **TINY)
    write_request(Path("begun"), request)
    write_checkpoint(Path("begun"), request, registry, steps=150)
    answer = fetchbench("show", "begun")
    assert answer.out.endswith("pictures    sheet.png\n            film.mp4\n            distance.png\n")
    assert json.loads(fetchbench("show", "begun", "--json").out)["goal_distance"] == "distance.png"


def test_without_a_checkpoint_there_are_no_pictures_and_it_says_why(fetchbench, registry):
    write_request(Path("new"), make_request(registry, None, **TINY))
    answer = fetchbench("show", "new")
    assert answer.code == 0
    shown = lines_of(answer)
    assert shown["state"] == "not started, step 0/200"
    assert shown["inputs"] == "3 (goal) = 3"
    assert shown["pictures"] == "none: new holds no checkpoint yet: the run has not come to one"
    found = json.loads(fetchbench("show", "new", "--json").out)
    assert (found["contact_sheet"], found["video"]) == (None, None)
    assert found["problem"] == "new holds no checkpoint yet: the run has not come to one"


def test_where_nothing_can_be_drawn_the_rest_is_shown(fetchbench, registry, monkeypatch):
    def draw(*_: object) -> None:
        raise RenderingError("no usable OpenGL")

    monkeypatch.setattr("fetchbench.run.pictures.draw_trained", draw)
    request = make_request(registry, "manipulation", **TINY)
    write_request(Path("begun"), request)
    write_checkpoint(Path("begun"), request, registry, steps=150)
    answer = fetchbench("show", "begun")
    assert answer.code == 0
    assert lines_of(answer)["pictures"] == "none: no usable OpenGL"
    assert lines_of(answer)["inputs"] == "50 (encoder) + 3 (goal) = 53"


@pytest.mark.usefixtures("undrawn")
def test_a_run_of_a_plugin_file_needs_that_file(fetchbench, plugin: Callable[..., str]):
    file = Path(plugin())
    known = load_plugins([file])
    request = make_request(known, "manipulation", **TINY)
    encoder = known.resolve("encoder", Component(name="mean-colour"))
    request = request.model_copy(update={"method": request.method.model_copy(update={"encoder": encoder})})
    write_request(Path("begun"), request)
    write_checkpoint(Path("begun"), request, known, steps=150)
    without = lines_of(fetchbench("show", "begun"))
    assert without["pictures"].startswith("none: unknown encoder 'mean-colour'")
    assert "inputs" not in without
    shown = lines_of(fetchbench("show", "begun", "--plugin", str(file)))
    assert shown["inputs"] == "8 (encoder) + 3 (goal) = 11"
    assert shown["pictures"] == "begun/pictures/contact-sheet.png"


def test_a_folder_that_is_neither_run_nor_suite_is_an_error(fetchbench):
    Path("empty").mkdir()
    answer = fetchbench("show", "empty")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: empty is a folder without request.json, so not a run's; a run has runs/<task>/")
    assert fetchbench("show", "runs/none").err.startswith("error: runs/none is no folder; a run has runs/<task>/")


def test_a_folder_with_a_suites_name_hides_no_suite(fetchbench):
    Path("small").mkdir()
    assert fetchbench("show", "small").out.startswith("small: A [bold]small[/bold] suite\n")


def test_a_damaged_request_is_an_error(fetchbench):
    Path("torn").mkdir()
    (Path("torn") / "request.json").write_text('{"suite": ')
    answer = fetchbench("show", "torn")
    assert (answer.code, answer.out) == (2, "")
    assert "torn/request.json: not a valid request" in answer.err


def test_plugin_files_are_for_runs(fetchbench, plugin):
    answer = fetchbench("show", "small", "--plugin", plugin(PLUGIN.format(wrong="")))
    assert answer.code == 2
    assert "--plugin is for a run" in answer.err
