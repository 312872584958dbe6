"""The encoders' contract, in order."""

from __future__ import annotations

from collections.abc import Iterator

from fetchbench.testing import encoder_function as function
from fetchbench.testing import encoder_learning as learning
from fetchbench.testing.checks import Check
from fetchbench.testing.encoder import EncoderUnderTest

BUILD, OUTPUT, OFFERS, COPIES = "build", "output", "offers", "copies"
SAME, APART = "determinism", "batch independence"
GRADIENT, FROZEN = "gradient", "frozen means frozen"
"""What other checks build on."""


def checks(e: EncoderUnderTest) -> Iterator[Check[EncoderUnderTest]]:
    """The checks of one encoder. What is asked depends on what was built, so each is decided on when it is due."""
    yield Check(BUILD, function.builds)
    if not e.is_built:
        return
    if e.spec.weights is not None or e.missing_weights:
        yield Check("weights", function.weights)
    if e.large:
        yield Check("size", function.size)
    yield Check(OUTPUT, function.output, (BUILD,))
    if not e.large and not e.heavy and e.registry.frame_size(e.component) is None:
        yield Check("frame sizes", function.frame_sizes, (OUTPUT,))
    if not e.large:
        yield Check(COPIES, learning.copies, (OUTPUT,))
        yield Check(OFFERS, function.offers, (OUTPUT,))
    yield Check("input unchanged", function.input_unchanged, (OUTPUT,))
    yield Check(SAME, function.determinism, (OUTPUT, COPIES))
    if not e.large:
        yield Check(APART, function.batch_independence, (OUTPUT, COPIES, SAME))
    if e.spec.input == "frame":
        yield Check("cache", function.cache, (OUTPUT, SAME, APART))
    yield Check("finite", function.finite, (OUTPUT, COPIES))
    yield Check("not collapsed", function.not_collapsed, (OUTPUT,))
    if hasattr(e.module, "points"):
        yield Check("points move", function.points_move, (OUTPUT, OFFERS))
    if not e.large:
        yield from _learning()
    if e.spec.reference is not None:
        yield Check("reference", function.reference, (OUTPUT, SAME))
    yield Check("cost", function.cost, (OUTPUT,))


def _learning() -> Iterator[Check[EncoderUnderTest]]:
    yield Check(GRADIENT, learning.gradient, (OUTPUT, COPIES))
    yield Check(FROZEN, learning.frozen, (OUTPUT, COPIES))
    yield Check("routings", learning.routings, (OUTPUT, COPIES, GRADIENT, FROZEN))
    yield Check("state dict", learning.state, (OUTPUT, COPIES, SAME))
    yield Check("bfloat16", learning.lowered, (OUTPUT, COPIES))
    yield Check("CUDA graph", learning.graph, (OUTPUT, COPIES))
