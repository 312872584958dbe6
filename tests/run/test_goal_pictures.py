"""Pictures of runs whose goals are images: what is pursued and reached, what features hold, distances beside the true ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from fetchbench.environment.tasks import get_task
from fetchbench.environment.vector import Observations
from fetchbench.learner.build import Built
from fetchbench.records.schema import Component, RunRequest
from fetchbench.registry import Registry
from fetchbench.run import film, goal_pictures, pictures
from fetchbench.run.film import Episode
from fetchbench.run.goal_distance import PAIRINGS, Pairs
from fetchbench.run.goal_pictures import distance_plot, outcome_block, pursued, scenes_of, traversal_block
from fetchbench.run.pictures import Pictures, draw_trained
from fetchbench.run.prepare import build_request
from fetchbench.run.scenes import Scenes
from fetchbench.run.trained import Trained
from fetchbench.specs import PixelSpec

from .conftest import TINY, make_request

SIZE, DIM = 32, 12
AUTOENCODER = Component(name="vae", options={"batch_size": 16})


def request_of(registry: Registry, goal_space: Component, loss: Component | None = AUTOENCODER) -> RunRequest:
    """Stacks of two frames, twelve features."""
    request = make_request(registry, "vae", "aux" if loss else "critic", "image-goal", pixel_track="image-goal", **TINY)
    parts = {
        "pixels": PixelSpec(size=SIZE, stack=2),
        "encoder": registry.resolve("encoder", Component(name="vae", options={"dim": DIM})),
        "auxiliary_loss": registry.resolve("auxiliary-loss", loss) if loss else None,
        "goal_space": registry.resolve("goal-space", goal_space),
    }
    return request.model_copy(update={"method": request.method.model_copy(update=parts)})


@pytest.fixture(scope="module")
def trained_of(registry) -> Callable[..., Trained]:
    """Networks as they begin; a goal space by name and options."""

    def make(goal_space: str = "latent", *, loss: Component | None = AUTOENCODER, **options: Any) -> Trained:
        request = request_of(registry, Component(name=goal_space, options=options), loss)
        return Trained(request, build_request(request, registry), 0, [])

    return make


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


def episodes_of(count: int = 3) -> list[Episode]:
    """Frames without meaning; of each episode another length of the way is gone."""
    frames, goals = noise(count, 51, 3, SIZE, SIZE), noise(count, 3, SIZE, SIZE)
    distance = np.linspace(0.1, np.linspace(0.0, 0.08, count), 51).T
    return [
        Episode(i, np.zeros((51, 3)), np.zeros(3), distance[i], distance[i] < 0.05, None, frames[i], goals[i])
        for i in range(count)
    ]


def encoded(built: Built, stacks: np.ndarray) -> torch.Tensor:
    with torch.no_grad():
        return built.learner.encoders.critic(torch.from_numpy(stacks))


def decoded(built: Built, z: torch.Tensor) -> np.ndarray:
    return built.learner.auxiliary.module.reconstruct(z)[:, -1].numpy()


def repeated(frames: np.ndarray) -> np.ndarray:
    """As goals fill a stack of two."""
    return np.stack([frames, frames], axis=1)


# -- goals and ends ---------------------------------------------------------------------------------------------------


def test_goals_and_last_frames_stand_beside_their_reconstructions(trained_of):
    built, episodes = trained_of().built, episodes_of()
    block = outcome_block(built, episodes)
    goal, goal_decoded, end, end_decoded = block.rows
    assert block.columns == ["episode 1", "episode 2", "episode 3"]
    goals = np.stack([episode.goal_frame for episode in episodes])
    np.testing.assert_array_equal(goal.frames, goals)
    np.testing.assert_array_equal(goal_decoded.frames, decoded(built, encoded(built, repeated(goals))))
    stacks = np.stack([episode.frames[-2:] for episode in episodes])
    np.testing.assert_array_equal(end.frames, stacks[:, -1])
    np.testing.assert_array_equal(end_decoded.frames, decoded(built, encoded(built, stacks)))
    assert end.notes == ["0.0 cm", "4.0 cm", "8.0 cm"]
    assert end.marked == [True, True, False]
    assert not goal.marked
    assert "32 x 32 pixels" in goal.caption


def test_without_a_decoder_there_are_the_images_alone(trained_of):
    trained = trained_of("image", loss=None)
    scenes = scenes_like(20)
    (block,) = goal_pictures.goal_blocks(trained, episodes_of(), scenes)
    assert [row.caption.splitlines()[0] for row in block.rows] == ["goal image, as the", "last frame, and how"]


# -- features ---------------------------------------------------------------------------------------------------------


def scenes_like(count: int) -> Scenes:
    """Brighter and darker noise, so that features vary."""
    light = np.linspace(0, 1, count)[:, None, None, None, None]
    frames = (noise(count, 2, 3, SIZE, SIZE) * light).astype(np.uint8)
    place = np.random.default_rng(0).uniform(size=(count, 3))
    return Scenes(frames, {"gripper_xyz": place}, np.arange(count) // 10)


def test_the_most_active_features_are_moved_one_at_a_time(trained_of):
    built, scenes, image = trained_of().built, scenes_like(40), noise(3, SIZE, SIZE)
    block = traversal_block(built, image, scenes)
    deviation = encoded(built, scenes.frames).std(dim=0, correction=0)
    order = deviation.argsort(descending=True)[:8].tolist()
    assert [row.caption for row in block.rows] == [f"feature {d}\nstd {deviation[d]:.2f}" for d in order]
    assert block.columns == ["-3 std", "-2 std", "-1 std", "goal image", "+1 std", "+2 std", "+3 std"]
    assert block.heading.startswith("the 8 most active of 12 features")
    goal = encoded(built, repeated(image[None]))
    for row, feature in zip(block.rows, order, strict=True):
        for column, times in enumerate(range(-3, 4)):
            z = goal.clone()
            z[0, feature] += times * deviation[feature]
            # Rounded to whole pixel values: one apart where the last digits fall out otherwise.
            np.testing.assert_allclose(row.frames[column].astype(int), decoded(built, z)[0], atol=1)


# -- goals of its own -------------------------------------------------------------------------------------------------


def test_goals_that_are_imagined_are_decoded_draws_of_the_prior(trained_of):
    trained, seen = trained_of(), []
    explore = trained.built.goals.sample_exploration

    def watched(replay: Any, task: Any, draws: torch.Tensor) -> Any:
        seen.append((len(replay), task, draws))
        return explore(replay, task, draws)

    trained.built.goals.sample_exploration = watched
    episodes = episodes_of()
    found = pursued(trained, episodes)
    ((episodes_in_replay, asked, draws),) = seen
    assert episodes_in_replay == 0
    np.testing.assert_array_equal(asked.frames, [episode.goal_frame for episode in episodes])
    assert draws.shape == (3, DIM)
    latents = torch.distributions.Normal(0.0, 1.0).icdf(draws)
    np.testing.assert_allclose(found.astype(int), decoded(trained.built, latents), atol=1)
    np.testing.assert_array_equal(found, pursued(trained, episodes))


def test_goals_that_are_taken_from_the_replay_are_not_made_up(trained_of):
    """Whether they are is something that the goal space learns: one that has learned nothing yet imagines."""
    trained = trained_of(power=-1.0)
    assert pursued(trained, episodes_of()) is not None
    trained.built.goals.load_state_dict({"cumulative": torch.linspace(0, 1, 50).double(), "rounds": 1})
    assert pursued(trained, episodes_of()) is None


def test_goals_that_are_the_tasks_own_are_not_shown_twice(trained_of):
    trained = trained_of()
    trained.built.goals.sample_exploration = lambda replay, task, draws: task
    assert pursued(trained, episodes_of()) is None


# -- distances --------------------------------------------------------------------------------------------------------


def pairs_of(order: Sequence[float], gripper: Sequence[float]) -> Pairs:
    return Pairs(np.array(order, float), np.array([0.02, 0.1, 0.2, 0.3]), np.array(gripper, float), "euclidean")


@pytest.fixture
def figures(monkeypatch) -> list[Figure]:
    """Every figure that is saved."""
    found: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: found.append(self) or save(self, *a, **k))
    return found


def test_distances_are_plotted_over_true_ones_with_their_rank_correlations(figures):
    content = distance_plot("title", get_task("FetchPush-v4"), pairs_of([1, 2, 3, 9], [0.4, 0.3, 0.2, 0.1]))
    assert content.startswith(b"\x89PNG")
    (figure,) = figures
    objects, grippers = figure.axes
    assert objects.get_title() == "objects along the table: Spearman's rank correlation 1.00"
    assert grippers.get_title() == "grippers: Spearman's rank correlation -1.00"
    np.testing.assert_allclose(objects.collections[0].get_offsets(), [[2, 1], [10, 2], [20, 3], [30, 9]])
    np.testing.assert_allclose(grippers.collections[0].get_offsets(), [[40, 1], [30, 2], [20, 3], [10, 9]])
    assert [list(line.get_xdata()) for line in objects.lines] == [[5, 5]]
    assert not grippers.lines
    assert "4 pairs" in figure.get_suptitle()
    assert objects.get_ylabel() == "the method's own distance (euclidean)"


def test_where_all_distances_are_alike_the_plot_says_so(figures):
    distance_plot("title", get_task("FetchReach-v4"), pairs_of([1, 1, 1, 1], [0.1, 0.2, 0.3, 0.4]))
    assert [axes.get_title() for axes in figures[0].axes] == ["grippers: no rank correlation: all are alike"]


def test_scenes_are_drawn_for_those_alone_whose_pictures_need_them(trained_of, registry, monkeypatch):
    drawn: list[tuple[int, int]] = []

    class Unstarted:
        def __init__(self, task: object, scene: object, pixels: PixelSpec, count: int, image_goals: bool) -> None:
            self.count = count

        def __enter__(self) -> Unstarted:
            return self

        def __exit__(self, *exception: object) -> None:
            pass

    monkeypatch.setattr(goal_pictures, "VectorEnvironment", Unstarted)
    monkeypatch.setattr(goal_pictures, "draw_scenes", lambda environment, task, stack, count: drawn.append((stack, count)))
    for request in (make_request(registry, None), make_request(registry, "manipulation")):
        scenes_of(Trained(request, build_request(request, registry), 0, []))
    assert drawn == []
    scenes_of(trained_of())
    scenes_of(trained_of("image", loss=None))
    assert drawn == [(2, 400)] * 2
    monkeypatch.setattr(goal_pictures, "MOST_BYTES", 45 * 2 * 3 * SIZE**2)
    scenes_of(trained_of())
    assert drawn[-1] == (2, 40)


# -- a whole run ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn(trained_of, tmp_path_factory) -> Any:
    """``made``, ``blocks`` of the sheet, ``pairs`` and, by their sizes, the ``goals`` and ``seeds`` of environments."""
    found = SimpleNamespace(trained=trained_of(), goals={}, seeds={}, steps={})
    folder: Path = tmp_path_factory.mktemp("run")

    class Recorded(film.FilmedEnvironment):
        def reset(self, seeds: Sequence[int]) -> Observations:
            state = super().reset(seeds)
            size = state.frames.shape[-1]
            found.goals[size], found.seeds[size], found.steps[size] = state.goal_frames, list(seeds), [state.frames]
            return state

        def step_wait(self) -> Observations:
            state = super().step_wait()
            found.steps.setdefault(state.frames.shape[-1], []).append(state.frames)
            return state

    def sheet(title: str, subtitle: str, blocks: Any) -> bytes:
        found.blocks = blocks
        return content(title, subtitle, blocks)

    def plot(title: str, task: Any, pairs: Pairs) -> bytes:
        found.pairs = pairs
        return distance_plot(title, task, pairs)

    content = pictures.contact_sheet
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(film, "FilmedEnvironment", Recorded)
        patch.setattr(film, "VIEW", PixelSpec(size=64))
        patch.setattr(goal_pictures, "SCENES", 40)
        patch.setattr(pictures, "contact_sheet", sheet)
        patch.setattr(pictures, "distance_plot", plot)
        found.made = draw_trained(folder, found.trained)
    return found


def test_a_run_with_goal_images_draws_a_sheet_a_video_and_a_plot(drawn):
    made: Pictures = drawn.made
    assert [path.name for path in made.paths] == ["contact-sheet.png", "rollout.mp4", "goal-distance.png"]
    assert all(path.stat().st_size > 10_000 for path in made.paths)
    for path in (made.contact_sheet, made.goal_distance):
        with Image.open(path) as image:
            assert image.format == "PNG"
    assert len(made.lines) == 2
    assert len(drawn.pairs.own) == 40 * len(PAIRINGS)
    assert drawn.pairs.own.min() > 0


def test_its_sheet_shows_eight_episodes_of_which_two_are_filmed(drawn):
    first, second, goals, own, features = drawn.blocks
    assert len(first.rows) == len(second.rows) == 3
    assert [len(goals.columns), len(own.columns), len(features.columns)] == [8, 8, 7]
    assert drawn.seeds[64] == drawn.seeds[SIZE][:2]
    assert len(set(drawn.seeds[SIZE])) == 8
    # The images that the policy was given, and what it saw last.
    np.testing.assert_array_equal(goals.rows[0].frames, drawn.goals[SIZE])
    np.testing.assert_array_equal(goals.rows[2].frames, drawn.steps[SIZE][-1])
    assert len(np.unique(goals.rows[0].frames.reshape(8, -1), axis=0)) == 8
    # The first two are those above: the same distance, and a large frame that looks like the small one but for the marker.
    for k, (filmed, line) in enumerate(zip((first, second), drawn.made.lines, strict=True)):
        assert filmed.rows[0].notes[-1] == goals.rows[2].notes[k]
        assert goals.rows[2].notes[k] in line
        np.testing.assert_array_equal(filmed.rows[1].frames[-1], goals.rows[2].frames[k])
        large = filmed.rows[0].frames[-1].reshape(3, SIZE, 2, SIZE, 2).mean(axis=(2, 4))
        assert np.abs(large - goals.rows[2].frames[k]).mean() < 15
    assert own.rows[0].frames.shape == (8, 3, SIZE, SIZE)
    assert len(features.rows) == 8
