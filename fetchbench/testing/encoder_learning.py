"""What an encoder does in training: its gradient, its state, its copies, and what keeps it fast."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from fetchbench.errors import PluginError, RoutingError, one_line
from fetchbench.learner.encoders import Encoders
from fetchbench.learner.encoding import Passes
from fetchbench.learner.graph import cuda_capture, cuda_warm_up
from fetchbench.records.schema import Execution
from fetchbench.specs import GradientRoutingSpec
from fetchbench.testing.encoder import EncoderUnderTest, run
from fetchbench.testing.frames import noise
from fetchbench.testing.measures import (
    TOLERANCE,
    changed,
    difference,
    listed,
    nudge,
    projection,
    reads_on_host,
    state_of,
    trainable,
    unreached,
)
from fetchbench.testing.report import Outcome, failed, ok, skipped
from fetchbench.testing.stand_ins import NOTHING
from fetchbench.testing.trial import LOSSES, Trial, audited, pattern


def copies(e: EncoderUnderTest) -> Iterator[Outcome]:
    """A deep copy computes the same, with tensors of its own: the target and a second encoder are copies."""
    frames = noise(e.shape, 2)
    before = run(e.module, frames)
    copy = e.copy()
    if difference(run(copy, frames), before) > TOLERANCE:
        yield failed("a deep copy computes something else", "keep everything that features depend on in the module")
        return
    own = [p for p in e.module.parameters() if p.requires_grad]
    z = copy(frames.clone())
    taken = torch.autograd.grad(z.sum(), own, allow_unused=True) if z.requires_grad and own else ()
    tensors = [t for t in (*copy.parameters(), *copy.buffers()) if t.is_floating_point()]
    with torch.no_grad():
        for tensor in tensors:
            tensor.zero_()
    kept = difference(run(e.module, frames), before) == 0
    if not kept or any(g is not None for g in taken) or (tensors and difference(run(copy, frames), before) == 0):
        yield failed(
            "a deep copy and the module still share tensors",
            "no hooks, closures or bound methods that hold a layer: read layers from `self` in forward",
        )


def gradient(e: EncoderUnderTest) -> Iterator[Outcome]:
    """It reaches every trainable parameter, by ``forward`` or, for what they alone need, by ``moments``."""
    module, frames = e.copy().train(), noise(e.shape, e.batch)
    names = trainable(module)
    if not names:
        yield skipped("no parameter is trainable")
        return
    nudge(module)
    missing = unreached(module, lambda: projection([module(frames)]))
    moments: Any = getattr(module, "moments", None)
    if moments is not None:
        by_moments = unreached(module, lambda: projection(moments(frames)))
        if len(by_moments) == len(names):
            yield failed("no gradient arrives through moments", _GRADIENT)
        e.moments_alone = set(missing) - set(by_moments)
        missing = [name for name in missing if name in by_moments]
    if missing:
        yield failed(f"no gradient reaches {listed(missing)} ({len(missing)} of {len(names)} parameters)", _GRADIENT)
        return
    yield ok(f"{len(names)} parameters" + (f", {len(e.moments_alone)} by moments alone" if e.moments_alone else ""))


_GRADIENT = (
    "use them in forward, remove them, or set requires_grad = False; look for detach(), no_grad() and integers on the way"
)


def routings(e: EncoderUnderTest) -> Iterator[Outcome]:
    """Under each routing that it supports, an audited update does what the routing declares."""
    learns = bool(trainable(e.module))
    supported = [routing for routing in e.routings if learns or not routing.trains_encoder]
    seen: set[tuple[bool | int, ...]] = set()
    for routing in supported:
        if e.heavy and pattern(routing) <= seen:
            continue  # nothing in its updates is new
        seen |= pattern(routing)
        for loss in (False, True):
            needed = routing.needs_auxiliary_loss
            if (needed and not loss) or (e.heavy and loss and not needed):
                continue
            trial = e.trial(routing, loss=loss)
            try:
                for audit in audited(trial):
                    missing = _untouched(e, trial, routing, audit.updates, loss)
                    if missing:
                        yield failed(f"under routing {routing.name!r} no gradient reaches {listed(missing)}", _GRADIENT)
                        return
            except RoutingError as error:
                yield failed(str(error), _GRADIENT)
                return
    which = "" if learns else " that train no encoder"
    yield ok(f"{', '.join(routing.name for routing in supported)}{which}")


def _untouched(e: EncoderUnderTest, trial: Trial, routing: GradientRoutingSpec, update: int, loss: bool) -> list[str]:
    """Parameters that an update left without a gradient, of encoders to which it sends one."""
    found = []
    for name, module in trial.learner.encoders.named() if trial.learner.encoders else ():
        losses = {"critic encoder": ("critic", "auxiliary"), "actor encoder": ("actor",)}.get(name, LOSSES)
        if not any(routing.at(part, update) for part in losses if loss or part != "auxiliary"):
            continue
        # A wrapper around the module prefixes the names; the order is the same.
        for own, parameter in zip(dict(e.module.named_parameters()), module.parameters(), strict=True):
            if parameter.requires_grad and parameter.grad is None and own not in e.moments_alone:
                found.append(own)
    return found


def frozen(e: EncoderUnderTest) -> Iterator[Outcome]:
    """Where nothing trains it not one bit of it moves, its statistics included."""
    module = e.copy()
    Encoders(module, copies=1, trainable=False, averaged=False).train()
    before = state_of(module)
    with torch.no_grad():
        for seed in (1, 2):
            module(noise(e.shape, e.batch, seed))
    if moved := changed(before, state_of(module)):
        yield failed(
            f"{listed(moved)} change when a frozen encoder is run", "move statistics in training mode alone: `if self.training`"
        )
        return
    try:
        for _ in audited(e.trial(NOTHING)):
            pass
    except RoutingError as error:
        yield failed(str(error), "move statistics in training mode alone, and keep optimisers out of the module")


def state(e: EncoderUnderTest) -> Iterator[Outcome]:
    """The state dict is all that it has: a checkpoint that is read into another build gives the same features."""
    one, other, frames = e.copy(), e.built(e.shape, seed=1), noise(e.shape, 2)
    with torch.no_grad():
        one.train()(noise(e.shape, e.batch, 3))
    file = io.BytesIO()
    torch.save(one.state_dict(), file)
    file.seek(0)
    try:
        other.load_state_dict(torch.load(file, weights_only=True))
    except RuntimeError as error:
        yield failed(f"its state dict does not load into another build: {one_line(error)}", _STATE)
        return
    apart = difference(run(one, frames), run(other, frames))
    if apart > TOLERANCE:
        yield failed(f"read back from its state dict, features differ by {apart:.1%} of their size", _STATE)


_STATE = (
    "register every tensor that features depend on: nn.Parameter, or register_buffer (persistent where it is drawn or learned)"
)


def lowered(e: EncoderUnderTest) -> Iterator[Outcome]:
    """The fast path: bfloat16 autocast, weights in channels-last order."""
    module, frames = e.copy().train(), noise(e.shape, 2)
    encode = Passes(Execution(precision="bfloat16"))
    encode.place(module)
    try:
        z = encode(module, frames)
        if z.requires_grad:
            torch.autograd.backward(projection([z]))
    except Exception as error:
        yield failed(
            f"fails under autocast to bfloat16: {type(error).__name__}: {one_line(error)}",
            "convert tensors that you make yourself (`.to(x.dtype)`), and `reshape` or `flatten` where you `view`",
        )
        return
    if not bool(z.isfinite().all()):
        yield failed("features are not finite under autocast to bfloat16", "convert what needs more digits: `x.float()`")
        return
    yield ok(f"within {difference(z.detach(), run(e.module, frames)):.2g} of float32")


def graph(e: EncoderUnderTest) -> Iterator[Outcome]:
    """A CUDA graph can hold it."""
    module, frames = e.copy().train(), noise(e.shape, 2)
    if found := reads_on_host(lambda: module(frames)):
        yield failed(f"forward cannot be captured as a CUDA graph: {found}", _GRAPH)
    elif not torch.cuda.is_available():
        yield skipped("not captured: that needs a GPU. No value is read in Python")
    elif problem := _captured(e.copy().train(), frames, noise(e.shape, 2, seed=1)):
        yield failed(problem, _GRAPH)


_GRAPH = "compute with tensors: torch.where for an `if`, clamp for a bound; no .item(), no shapes that depend on values"


def _captured(module: nn.Module, frames: Tensor, following: Tensor) -> str:
    """Capture a pass and its gradient, replay it on other frames, and compare; what is wrong, or nothing."""
    module, given, other = module.cuda(), frames.cuda(), following.cuda()

    def both() -> dict[str, Tensor]:
        z: Tensor = module(given)
        if z.requires_grad:
            torch.autograd.backward(z.sum())
        return {"z": z.detach()}

    try:
        for _ in range(3):
            cuda_warm_up(both)
        replay = cuda_capture(both)
    except PluginError as error:
        return str(error)
    given.copy_(other)
    replayed = replay()["z"].clone()
    with torch.no_grad():
        apart = difference(replayed.cpu(), module(other).cpu())
    return f"a replayed graph gives other features, by {apart:.2g} of their size" if apart > TOLERANCE else ""
