"""The contract of augmentations."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from fetchbench.learner.augmentations import Link, build_augmentation
from fetchbench.learner.sac import PLAIN
from fetchbench.records.schema import Component, Execution
from fetchbench.registry import Registry
from fetchbench.specs import AugmentationSpec, FrameShape
from fetchbench.testing.checks import Check
from fetchbench.testing.frames import PROTOCOL_SHAPES, noise
from fetchbench.testing.measures import milliseconds, one_thread, reads_on_host, watched
from fetchbench.testing.report import Outcome, failed, ok, skipped
from fetchbench.testing.stand_ins import CRITIC, stand_in_encoder
from fetchbench.testing.trial import Trial, audited, captured

SIZE, STACK, LONGER = 64, 3, 4
BATCH = 48
"""Elements over which a draw must show: one that acts with probability 0.1 is missed in one check of two hundred."""

EDGE = 1 - 2**-24
"""The largest number below 1 that float32 holds: what uniform draws can come to."""


class AugmentationUnderTest:
    """An augmentation, or a chain of them, built when it is first asked for.

    Args:
        registry: Where it is found.
        component: Its name and options, and what comes before it in a chain.
    """

    def __init__(self, registry: Registry, component: Component) -> None:
        self.registry, self.component = registry, component
        self.shape = FrameShape(STACK, SIZE, SIZE)

    @functools.cached_property
    def built(self) -> tuple[Link, int]:
        return build_augmentation(self.registry, self.component, self.shape)

    @property
    def link(self) -> Link:
        return self.built[0]

    def frames(self, batch: int, stack: int = STACK, seed: int = 0) -> Tensor:
        """What it is given: frames of the size that it asks for."""
        return noise(FrameShape(stack, self.built[1], self.built[1]), batch, seed)

    def draws(self, batch: int, seed: int = 0) -> Tensor:
        return torch.rand(batch, self.link.draws, generator=torch.Generator().manual_seed(seed))

    def __call__(self, frames: Tensor, draws: Tensor | None) -> Tensor:
        """Of copies. Without draws: what acting and evaluation see."""
        link = self.link.augmentation
        return link.evaluate(frames.clone()) if draws is None else link(frames.clone(), draws.clone())


def builds(a: AugmentationUnderTest) -> Iterator[Outcome]:
    """``build`` returns something to call, with an ``evaluate``, and it asks for frames that can be rendered."""
    found: Any = a.link.augmentation
    if not callable(found) or not callable(getattr(found, "evaluate", None)):
        yield failed(
            f"build returns {type(found).__name__}, which lacks __call__(frames, draws) or evaluate(frames)",
            "write both: `evaluate` is what acting and evaluation see, the identity or a centre crop",
        )
        return
    yield ok(f"sees {a.built[1]}x{a.built[1]}, returns {SIZE}x{SIZE}, {a.link.draws} draws")


def output(a: AugmentationUnderTest) -> Iterator[Outcome]:
    """``uint8`` frames of the encoder's size, for any batch, sequence and draw."""
    for batch, stack in ((3, STACK), (1, STACK), (2, STACK + LONGER)):
        expected = (batch, stack, 3, SIZE, SIZE)
        frames = a.frames(batch, stack)
        edges = [torch.full((batch, a.link.draws), value) for value in (0.0, EDGE)]
        for name, draws in (("called", a.draws(batch)), ("called", edges[0]), ("called", edges[1]), ("evaluate", None)):
            given = a(frames, draws)
            if not isinstance(given, Tensor) or tuple(given.shape) != expected or given.dtype != torch.uint8:
                what = f"{given.dtype} {tuple(given.shape)}" if isinstance(given, Tensor) else type(given).__name__
                yield failed(
                    f"{name} on frames {tuple(frames.shape)} returns {what}, not torch.uint8 {expected}",
                    _advice(given, expected),
                )
                return


def _advice(given: object, expected: tuple[int, ...]) -> str:
    if isinstance(given, Tensor) and tuple(given.shape) == expected:
        return "round, clamp to 0 to 255, and convert: `.round().clamp(0, 255).to(torch.uint8)`"
    return "return as many frames as were given, of the size in `shape`, in training and in `evaluate` (a centre crop, say)"


def frame_sizes(a: AugmentationUnderTest) -> Iterator[Outcome]:
    """It takes any protocol's frames."""
    for stack, size in PROTOCOL_SHAPES:
        link, rendered = build_augmentation(a.registry, a.component, FrameShape(stack, size, size))
        frames = noise(FrameShape(stack, rendered, rendered), 2)
        given = link.augmentation(frames, a.draws(2))
        if tuple(given.shape) != (2, stack, 3, size, size):
            expected = (2, stack, 3, size, size)
            yield failed(
                f"for an encoder of {size}x{size} it returns {tuple(given.shape)}, not {expected}", "take sizes from `shape`"
            )


def input_unchanged(a: AugmentationUnderTest) -> Iterator[Outcome]:
    """The frames that it is given are the batch's own: the target and the losses read them, too."""
    frames, draws = a.frames(4), a.draws(4)
    before = frames.clone(), draws.clone()
    a.link.augmentation(frames, draws)
    a.link.augmentation.evaluate(frames)
    if not (torch.equal(frames, before[0]) and torch.equal(draws, before[1])):
        yield failed("it changes the frames or draws that it is given", "work on a copy: `frames = frames.clone()`")


def determinism(a: AugmentationUnderTest) -> Iterator[Outcome]:
    """Its output is a function of frames and draws alone."""
    frames = a.frames(8)
    for name, draws in (("called", a.draws(8)), ("evaluate", None)):
        (first, second), drawn = watched(functools.partial(_twice, a, frames, draws))
        if drawn:
            yield failed(
                f"{name}, it draws from {drawn} global random generator",
                "use `draws` alone, and ask for as many as you need: AugmentationSpec(draws=...)",
            )
            return
        if not torch.equal(first, second):
            yield failed(f"{name} twice with equal frames and draws it gives different frames", "keep nothing between calls")
            return


def _twice(a: AugmentationUnderTest, frames: Tensor, draws: Tensor | None) -> tuple[Tensor, Tensor]:
    return a(frames, draws), a(frames, draws)


def uses_draws(a: AugmentationUnderTest) -> Iterator[Outcome]:
    """Each of its draws matters to some element."""
    if not a.link.draws:
        yield skipped("it asks for no draws")
        return
    frames, draws, other = a.frames(BATCH), a.draws(BATCH), a.draws(BATCH, seed=1)
    base = a(frames, draws)
    idle = []
    for column in range(a.link.draws):
        changed = draws.clone()
        changed[:, column] = other[:, column]
        if torch.equal(a(frames, changed), base):
            idle.append(column)
    if idle:
        which = "none of its draws matters" if len(idle) == a.link.draws else f"draws[:, {idle[0]}] never matters"
        yield failed(f"{which}, over {BATCH} stacks of noise", "use them, or ask for fewer: AugmentationSpec(draws=...)")


def batch_independence(a: AugmentationUnderTest) -> Iterator[Outcome]:
    """What becomes of a stack depends on that stack and its draws alone."""
    frames, draws = a.frames(4), a.draws(4)
    others, other_draws = a.frames(4, seed=2), a.draws(4, seed=2)
    others[0], other_draws[0] = frames[0], draws[0]
    if not torch.equal(a(frames, draws)[0], a(others, other_draws)[0]):
        yield failed("a stack's output changes with the others of its batch", "give each element its own row of `draws`")


def method(a: AugmentationUnderTest, execution: Execution = PLAIN) -> Trial:
    """A method that sees two views by it."""
    link, size = a.built
    spec = AugmentationSpec("chain", lambda shape: link.augmentation, draws=link.draws, input_size=lambda _: size)
    parts = (("encoder", stand_in_encoder()), ("gradient-routing", CRITIC), ("augmentation", spec))
    return Trial(*parts, size=SIZE, stack=STACK, views=2, execution=execution)


def updates(a: AugmentationUnderTest) -> Iterator[Outcome]:
    """Audited updates on two views work."""
    count = sum(1 for _ in audited(method(a)))
    yield ok(f"{count} audited, with two views")


def graph(a: AugmentationUnderTest) -> Iterator[Outcome]:
    """A CUDA graph can hold it."""
    frames, draws = a.frames(2), a.draws(2)
    if found := reads_on_host(lambda: (a(frames, draws), a(frames, None))):
        yield failed(
            f"it cannot be captured as a CUDA graph: {found}",
            "compute with tensors: gather and torch.where; no .item(), no loop over the batch's values",
        )
        return
    yield from captured(functools.partial(method, a))


def cost(a: AugmentationUnderTest) -> Iterator[Outcome]:
    """What a batch costs."""
    frames, draws = a.frames(128), a.draws(128)
    with one_thread():
        spent = milliseconds(lambda: a(frames, draws))
    yield ok(f"{spent:.3g} ms for 128 stacks of {STACK} frames, one thread")


def checks(a: AugmentationUnderTest) -> Iterator[Check[AugmentationUnderTest]]:
    """The contract, in order."""
    yield Check("build", builds)
    yield Check("output", output, ("build",))
    yield Check("frame sizes", frame_sizes, ("output",))
    yield Check("input unchanged", input_unchanged, ("output",))
    yield Check("determinism", determinism, ("output",))
    yield Check("draws", uses_draws, ("output", "determinism"))
    yield Check("batch independence", batch_independence, ("output", "determinism"))
    yield Check("updates", updates, ("output",))
    yield Check("CUDA graph", graph, ("output",))
    yield Check("cost", cost, ("output",))
