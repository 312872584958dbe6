"""Frozen encoders of single frames embed each frame once; everything else is as if they did not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small import DARKEN, PREDICT, loss, registry
from torch import nn

from fetchbench.environment.tasks import get_task
from fetchbench.learner.build import Built, InitialisationSeeds, build
from fetchbench.learner.draws import draw
from fetchbench.learner.encoders import PerFrame
from fetchbench.protocol import LearnerSettings
from fetchbench.records.schema import Component, Method
from fetchbench.registry import Registry
from fetchbench.replay import EpisodeBatch, Replay
from fetchbench.specs import EncoderSpec, PixelSpec

SIZE, STACK, DIM, BATCH = 16, 3, 5, 8
REACH = get_task("FetchReach-v4")


class Counting(nn.Module):
    """A linear map of one frame that counts the frames it has seen."""

    def __init__(self, shape) -> None:
        super().__init__()
        assert shape.frames == 1
        self.net = nn.Linear(3 * shape.height * shape.width, DIM)
        self.seen = 0

    def forward(self, frames):
        self.seen += len(frames)
        return self.net(frames.flatten(1).float() / 255)


ENCODERS = registry("encoder", EncoderSpec("counting", Counting, input="frame"))


def make(known: Registry, routing: str = "frozen", cache: bool = True, extra: Registry | None = None, **fields) -> Built:
    method = Method(
        name="m",
        track="pixels-only",
        pixels=PixelSpec(size=SIZE, stack=STACK),
        encoder=Component(name="counting"),
        routing=Component(name=routing),
        **fields,
    )
    components = {**known.components, **ENCODERS.components, **(extra.components if extra else {})}
    settings = LearnerSettings(batch_size=BATCH, hidden=(16,))
    return build(method, REACH, "pixels-only", settings, Registry(components), InitialisationSeeds(1, 2, 3, 4), cache=cache)


def counted(built: Built) -> Counting:
    encoder = built.learner.encoders.critic
    assert isinstance(encoder, PerFrame)
    return encoder.encoder


def filled(built: Built, episodes: int = 2) -> Replay:
    """A replay of this method, over the same frames whatever it keeps of them."""
    rng = np.random.default_rng(0)
    replay = Replay(
        capacity=episodes, horizon=50, observation_dim=10, action_dim=4, frame=built.frame, frame_dtype=built.frame_dtype
    )
    frames = rng.integers(0, 256, size=(episodes, 51, 3, SIZE, SIZE), dtype=np.uint8)
    replay.add(
        EpisodeBatch(
            observation=rng.normal(size=(episodes, 51, 10)).astype(np.float32),
            achieved=rng.normal(size=(episodes, 51, 3)).astype(np.float32),
            desired=rng.normal(size=(episodes, 3)).astype(np.float32),
            action=rng.uniform(-1, 1, size=(episodes, 50, 4)).astype(np.float32),
            frames=np.stack([built.stored(f) for f in frames]),
        )
    )
    return replay


def updated(built: Built, updates: int = 3) -> None:
    generator = torch.Generator().manual_seed(0)
    sampler = built.sampler(filled(built))
    for _ in range(updates):
        uniform = torch.rand(BATCH, 4, dtype=torch.float64, generator=generator)
        built.learner.update(sampler(uniform), draw(built.draws, generator, generator))


def test_what_is_kept_of_a_frame(registry):
    cached, plain = make(registry), make(registry, cache=False)
    assert (cached.cached, cached.frame, cached.frame_dtype) == (True, (DIM,), torch.float32)
    assert (plain.cached, plain.frame, plain.frame_dtype) == (False, (3, SIZE, SIZE), torch.uint8)
    assert cached.feature_dim == plain.feature_dim == STACK * DIM
    assert filled(cached).bytes < filled(plain).bytes / 4


def test_an_embedding_is_what_the_encoder_says_of_its_frame(registry):
    built = make(registry)
    frames = np.random.default_rng(1).integers(0, 256, size=(7, 3, SIZE, SIZE), dtype=np.uint8)
    encoder = built.learner.encoders.critic
    with torch.no_grad():
        stacks = encoder(torch.from_numpy(frames[None, :STACK]))
        joined = encoder(torch.from_numpy(built.stored(frames))[None, :STACK])
    torch.testing.assert_close(joined, stacks, rtol=1e-5, atol=1e-6)


def test_updates_from_embeddings_are_those_from_frames(registry):
    cached, plain = make(registry), make(registry, cache=False)
    updated(cached)
    updated(plain)
    for name, module in cached.learner.modules().items():
        for a, b in zip(module.parameters(), plain.learner.modules()[name].parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_the_encoder_runs_once_per_frame_and_never_in_an_update(registry):
    built = make(registry)
    before = counted(built).seen
    replay = filled(built)
    assert counted(built).seen - before == 2 * 51
    sampler, generator = built.sampler(replay), torch.Generator().manual_seed(0)
    for _ in range(3):
        uniform = torch.rand(BATCH, 4, dtype=torch.float64, generator=generator)
        built.learner.update(sampler(uniform), draw(built.draws, generator, generator))
    assert counted(built).seen - before == 2 * 51


def test_acting_takes_embeddings_and_frames_alike(registry):
    built = make(registry)
    frames = np.random.default_rng(1).integers(0, 256, size=(STACK, 3, SIZE, SIZE), dtype=np.uint8)
    vectors = torch.zeros(1, built.vectors.dim + built.goals.embedding_dim)
    from_pixels = built.learner.act(torch.from_numpy(frames)[None], vectors)
    from_embeddings = built.learner.act(torch.from_numpy(built.stored(frames))[None], vectors)
    torch.testing.assert_close(from_embeddings, from_pixels)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"extra": DARKEN, "augmentation": Component(name="darken")}, "an augmentation needs the frames themselves"),
        ({"extra": loss(), "auxiliary_loss": PREDICT}, "an auxiliary loss needs the frames themselves"),
    ],
)
def test_what_needs_pixels_runs_uncached_and_says_so(registry, fields, says):
    built = make(registry, **fields)
    assert not built.cached
    assert says in built.notice
    assert make(registry).notice == ""


@pytest.mark.parametrize("routing", ["critic", "actor", "separate", "joint"])
def test_what_learns_is_not_cached(registry, routing):
    built = make(registry, routing)
    assert not built.cached
    assert built.notice == ""


def test_a_frozen_encoder_is_built_again_and_not_kept_in_checkpoints(registry):
    one, other = make(registry), make(registry)
    updated(one)
    state = one.learner.state_dict()
    assert "encoder" not in state["modules"]
    other.learner.load_state_dict(state)
    for a, b in zip(one.learner.actor.parameters(), other.learner.actor.parameters(), strict=True):
        assert torch.equal(a, b)
    assert "encoder" in make(registry, "critic").learner.state_dict()["modules"]


def test_another_frozen_encoder_does_not_continue_the_run(registry):
    one, other = make(registry), make(registry)
    with torch.no_grad():
        counted(other).net.bias += 1e-6
    with pytest.raises(RuntimeError, match="the frozen encoder is not the one that the run began with"):
        other.learner.load_state_dict(one.learner.state_dict())
