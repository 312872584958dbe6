"""What an encoder computes, and what that may depend on."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from fetchbench.errors import PluginError
from fetchbench.learner.encoders import PerFrame, feature_dim
from fetchbench.testing.encoder import EncoderUnderTest, run
from fetchbench.testing.frames import PROTOCOL_SHAPES, noise, plain, scenes
from fetchbench.testing.measures import (
    TOLERANCE,
    difference,
    listed,
    milliseconds,
    one_thread,
    projection,
    trainable,
    watched,
)
from fetchbench.testing.report import Outcome, failed, ok, skipped

COLLAPSED = 1e-3
"""Deviation of the features over real frames, relative to their magnitude. Random convolutions have 0.05 and more."""

MOTIONLESS = 1e-3
"""Mean deviation of points over real frames: less is far below a pixel."""

COST_BATCH, COST_BUDGET_MS = 32, 3000.0
MODES = {True: "training mode", False: "evaluation mode"}
KINDS = ("black", "grey", "white", "noisy", "noisy")


def builds(e: EncoderUnderTest) -> Iterator[Outcome]:
    """``build`` returns a module."""
    e.module  # noqa: B018
    if e.spec.wraps and e.component.wraps is None:
        yield ok(f"around a small encoder of the kit's own; check '{e.spec.name}(NAME)' for another")


def weights(e: EncoderUnderTest) -> Iterator[Outcome]:
    """Where its weights come from."""
    if e.missing_weights:
        yield skipped(f"not on this machine: checked with random ones. {e.missing_weights}")
    elif e.spec.weights is not None:
        source = e.component.options.get("weights", "published")
        yield ok("random, as asked for" if source == "random" else f"{source}, licence {e.spec.weights.licence}")


def size(e: EncoderUnderTest) -> Iterator[Outcome]:
    """Of very large networks less is asked."""
    yield skipped(f"{e.parameters / 1e6:.0f} million parameters: one frame at a time, and only what is listed here")


def output(e: EncoderUnderTest) -> Iterator[Outcome]:
    """``float32 (B, dim)`` for any B, in both modes."""
    dim = feature_dim(e.module, e.shape, e.spec.name)
    for training, count in ((False, 1),) if e.large else ((False, 1), (False, 3), (True, 3)):
        z = run(e.module, noise(e.shape, count), training=training)
        if tuple(z.shape) != (count, dim) or z.dtype != torch.float32:
            yield failed(
                f"returns {z.dtype} {tuple(z.shape)} for frames {(count, *e.shape)} in {MODES[training]}",
                f"return torch.float32 {(count, dim)}: the batch axis stays, also where it is 1 (`squeeze()` drops it)",
            )
            return
    yield ok(f"{dim} features")


def frame_sizes(e: EncoderUnderTest) -> Iterator[Outcome]:
    """It takes any protocol's frames, unless it names a size of its own."""
    for stack, length in PROTOCOL_SHAPES:
        shape = e.sees(stack, length)
        try:
            feature_dim(e.built(shape), shape, e.spec.name)
        except PluginError as error:
            yield failed(
                f"works with {e.shape.frames}x{e.size}x{e.size}, not with {shape.frames}x{length}x{length}: {error}",
                "take sizes from `shape`, or name the one that it needs: EncoderSpec(frame_size=...)",
            )


def offers(e: EncoderUnderTest) -> Iterator[Outcome]:
    """``moments``, ``feature_map`` and ``points`` return what auxiliary losses and pictures expect of them."""
    frames = noise(e.shape, 2)
    dim = run(e.module, frames).shape[1]
    found = [name for name in ("moments", "feature_map", "points") if hasattr(e.module, name)]
    with torch.no_grad():
        given = {name: getattr(e.module, name)(frames.clone()) for name in found}
    if "moments" in given:
        shapes = [tuple(part.shape) for part in given["moments"]]
        if shapes != [(2, dim)] * 2:
            yield failed(f"moments returns {shapes}", f"return (mean, log_variance), each {(2, dim)}: as many as features")
    if "feature_map" in given and (given["feature_map"].dim() != 4 or len(given["feature_map"]) != 2):
        yield failed(f"feature_map returns {tuple(given['feature_map'].shape)}", "return (B, C, H', W')")
    if "points" in given:
        points = given["points"]
        if points.dim() != 3 or points.shape[::2] != (2, 2) or bool(points.abs().max() > 1 + TOLERANCE):
            yield failed(
                f"points returns {tuple(points.shape)}, values to {points.abs().max():.3g}",
                "return (B, C, 2): x and y in [-1, 1], right and down positive",
            )
    yield ok(", ".join(found) or "features alone")


def input_unchanged(e: EncoderUnderTest) -> Iterator[Outcome]:
    """The frames that it is given are the replay's own."""
    frames = noise(e.shape, e.batch)
    before = frames.clone()
    with torch.no_grad():
        e.module.train(not e.large)(frames)
    if not torch.equal(frames, before):
        yield failed("forward changes the frames that it is given", "work on a copy: no operation in place on `frames`")


def determinism(e: EncoderUnderTest) -> Iterator[Outcome]:
    """Features are a function of the frames alone."""
    frames = noise(e.shape, e.batch)
    for training in (False,) if e.large else (True, False):
        (first, second), drawn = watched(functools.partial(_twice, e.module if e.large else e.copy(), frames, training))
        if drawn:
            yield failed(
                f"forward draws from {drawn} global random generator in {MODES[training]}",
                "draw nothing in forward: no dropout, no noise; a random change of frames is an augmentation",
            )
            return
        if not torch.equal(first, second):
            yield failed(
                f"two passes over the same frames differ in {MODES[training]}",
                "keep nothing from one pass to the next that features depend on",
            )
            return


def _twice(module: nn.Module, frames: Tensor, training: bool) -> tuple[Tensor, Tensor]:
    return run(module, frames, training=training), run(module, frames, training=training)


def batch_independence(e: EncoderUnderTest) -> Iterator[Outcome]:
    """An element's features do not depend on what else is in its batch, in training either."""
    frames = noise(e.shape, max(2, e.batch))
    others = frames.clone()
    others[1:] = 255 - others[1:] // 2
    for training in (True, False):
        module = e.copy()
        apart = difference(run(module, frames, training=training)[:1], run(module, others, training=training)[:1])
        if apart > TOLERANCE:
            yield failed(
                f"in {MODES[training]} an element's features change with the others of its batch, by {apart:.1%} of their size",
                "no statistic over the batch: LayerNorm or GroupNorm, or BatchNorm kept in evaluation mode (override `train`)",
            )
            return
    together, alone = run(e.copy(), frames), torch.cat([run(e.module, stack[None]) for stack in frames[:2]])
    if (apart := difference(together[:2], alone)) > TOLERANCE:
        yield failed(
            f"features computed alone and in a batch differ by {apart:.1%} of their size",
            "treat each element by itself; mind what is reshaped across the batch axis",
        )


def finite(e: EncoderUnderTest) -> Iterator[Outcome]:
    """Numbers, and nothing else, for any frame; and gradients."""
    frames = torch.cat([plain(e.shape), noise(e.shape, 2)])
    module = e.module if e.large else e.copy()
    for kind, stack in zip(KINDS, frames, strict=True):
        if not bool(run(module, stack[None]).isfinite().all()):
            yield failed(f"features of a {kind} frame are not finite", _FINITE)
            return
    if e.large or not trainable(module):
        return
    torch.autograd.backward(projection([module.train()(frames)]))
    bad = [name for name, p in module.named_parameters() if p.grad is not None and not bool(p.grad.isfinite().all())]
    if bad:
        yield failed(f"the gradient in {listed(bad)} is not finite, for black, grey, white and noisy frames", _FINITE)


_FINITE = "mind divisions by a deviation or norm (add an epsilon), logarithms and square roots of zero"


def not_collapsed(e: EncoderUnderTest) -> Iterator[Outcome]:
    """Features differ where scenes do."""
    frames, problem = scenes(e.shape, 8 if e.heavy else 32)
    z = torch.cat([run(e.module, stack[None]) for stack in frames])
    magnitude = float(z.double().square().mean().sqrt())
    spread = float(z.double().std(dim=0).mean()) / max(magnitude, 1e-12)
    found = "drawn scenes, since there is no OpenGL" if problem else "FetchPush's frames"
    if spread < COLLAPSED:
        yield failed(
            f"over {found} features deviate by {spread:.2g} of their magnitude: they are as good as constant",
            "mind the scale of the pixels (divide by 255, once), saturated activations, and averages over the whole image",
        )
        return
    yield ok(f"deviation {spread:.2g} of the magnitude, over {found}")


def points_move(e: EncoderUnderTest) -> Iterator[Outcome]:
    """What its channels point at moves with the scene."""
    frames, _ = scenes(e.shape, 32)
    found: Any = e.module.eval()
    with torch.no_grad():
        spread = float(found.points(frames).double().std(dim=0).mean())
    if spread < MOTIONLESS:
        yield failed(
            f"over real frames the points move by {spread:.2g} on average, in an image that goes from -1 to 1",
            "start with attention that is not uniform: a lower temperature, larger weights, centred pixels",
        )
        return
    yield ok(f"by {spread:.2g} on average, in an image that goes from -1 to 1")


def cache(e: EncoderUnderTest) -> Iterator[Outcome]:
    """Frames embedded once, when they are drawn, give what embedding them in every batch gives."""
    stack, count = (1, 2) if e.large else (2, 4)
    wrapped = PerFrame(e.module).eval()
    frames = noise(e.shape, count * stack).view(count, stack, *tuple(e.shape)[1:])
    with torch.no_grad():
        direct = wrapped(frames)
        stored = torch.stack([wrapped.embed(episode) for episode in frames])  # (B, F, dim)
        apart = difference(direct, wrapped(stored))
    if apart > TOLERANCE:
        yield failed(
            f"an embedding kept and one computed anew differ by {apart:.2g} of their size",
            "treat each frame by itself",
        )
        return
    yield ok(f"within {apart:.1g} of their size")


def reference(e: EncoderUnderTest) -> Iterator[Outcome]:
    """The authors' own code gives the same features."""
    assert e.spec.reference is not None
    frames = noise(e.shape, 1 if e.large else 2)
    try:
        with torch.no_grad():
            theirs = e.spec.reference(e.module.eval(), frames.clone())
    except ImportError as error:
        yield skipped(f"the authors' package is not installed ({error})")
        return
    apart = difference(run(e.module, frames), theirs.float())
    if apart > TOLERANCE:
        yield failed(
            f"features differ from the authors' by {apart:.2g} of their size", "compare preprocessing, then layer by layer"
        )
        return
    yield ok(f"within {apart:.1g} of the authors' features")


def cost(e: EncoderUnderTest) -> Iterator[Outcome]:
    """What a pass costs, on one thread."""
    module, learns = e.module.train(), bool(trainable(e.module))

    def both(count: int) -> None:
        z = module(noise(e.shape, count))
        if z.requires_grad:
            torch.autograd.backward(z.sum())
        module.zero_grad(set_to_none=True)

    with one_thread():
        step = both if learns and not e.large else (lambda count: run(module, noise(e.shape, count)))
        one = milliseconds(lambda: step(1), repeats=1)
        batch = max(1, min(COST_BATCH, int(COST_BUDGET_MS / max(one, 1e-3) / 2)))
        forward = milliseconds(lambda: run(module, noise(e.shape, batch)))
        with_backward = f", {milliseconds(lambda: both(batch)):.3g} with backward" if step is both else ""
    frames = "x".join(map(str, (e.shape.frames, e.shape.height, e.shape.width)))
    yield ok(f"{e.parameters:,} parameters; {forward:.3g} ms forward{with_backward} (batch {batch} of {frames}, one thread)")
