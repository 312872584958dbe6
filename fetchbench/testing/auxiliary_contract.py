"""The contract of auxiliary losses."""

from __future__ import annotations

import copy
import functools
import io
import numbers
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fetchbench.errors import RoutingError, one_line
from fetchbench.specs import FrameShape, GradientRoutingSpec
from fetchbench.testing.auxiliary import BATCH, SHAPE, LossUnderTest, value
from fetchbench.testing.checks import Check
from fetchbench.testing.frames import PROTOCOL_SHAPES, noise
from fetchbench.testing.measures import (
    TOLERANCE,
    difference,
    listed,
    milliseconds,
    nudge,
    one_thread,
    reads_on_host,
    trainable,
    unreached,
    watched,
)
from fetchbench.testing.report import Outcome, failed, ok, skipped
from fetchbench.testing.stand_ins import CRITIC
from fetchbench.testing.trial import audited, captured

# -- what it computes -------------------------------------------------------------------------------------------------


def builds(a: LossUnderTest) -> Iterator[Outcome]:
    """It builds beside an encoder that offers what it requires."""
    needs = f", needs {', '.join(a.spec.requires)}" if a.spec.requires else ""
    yield ok(f"horizon {a.trial.built.horizon}{needs}")


def output(a: LossUnderTest) -> Iterator[Outcome]:
    """A scalar and scalars by name, all of them finite."""
    module, encoder = a.copies()
    try:
        found: Any = module(a.inputs(encoder))
    except AttributeError as error:
        missing = [offer for offer in ("moments", "feature_map") if offer in str(error) and offer not in a.spec.requires]
        if not missing:
            raise
        yield failed(
            f"it uses the encoder's {missing[0]}, which its spec does not require",
            f"declare it: AuxiliaryLossSpec(requires=({missing[0]!r},))",
        )
        return
    if not isinstance(found, tuple) or len(found) != 2:
        yield failed(f"returns {type(found).__name__}", "return (loss, {name: scalar}); the dictionary may be empty")
        return
    loss, metrics = found
    if not isinstance(loss, Tensor) or loss.dim() != 0:
        shape = f"a tensor {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        yield failed(f"the loss is {shape}, not a scalar tensor", "take the mean over batch and steps")
        return
    if not isinstance(metrics, dict):
        yield failed(f"the metrics are {type(metrics).__name__}", "return a dictionary of scalars")
        return
    for name, metric in [("the loss", loss), *((f"metric {key!r}", number) for key, number in metrics.items())]:
        if not (isinstance(metric, numbers.Real) or (isinstance(metric, Tensor) and metric.dim() == 0)):
            yield failed(f"{name} is not a scalar", "average it, or leave it out")
        elif not bool(torch.as_tensor(metric).isfinite()):
            yield failed(f"{name} is not finite on a batch of noise", "mind logarithms and divisions by what may be zero")
    shown = {"loss": loss, **metrics}
    yield ok(", ".join(f"{name} {float(torch.as_tensor(number).detach()):.3g}" for name, number in shown.items()))


def frame_sizes(a: LossUnderTest) -> Iterator[Outcome]:
    """It takes any protocol's frames."""
    for stack, size in PROTOCOL_SHAPES:
        try:
            a.method(CRITIC, shape=FrameShape(stack, size, size)).update()
        except Exception as error:
            text = f"works with {SHAPE.frames}x{SHAPE.height}x{SHAPE.width}, not with {stack}x{size}x{size}"
            yield failed(f"{text}: {type(error).__name__}: {one_line(error)}", "take sizes from `context.shape`")


def input_unchanged(a: LossUnderTest) -> Iterator[Outcome]:
    """The batch is the learner's own."""
    module, encoder = a.copies()
    inputs = a.inputs(encoder)
    given = (inputs.frames, *inputs.views, inputs.actions, inputs.mask, inputs.uniform, inputs.normal)
    before = [tensor.clone() for tensor in given]
    module(inputs)
    if not all(map(torch.equal, given, before)):
        yield failed("it changes the batch that it is given", "work on copies: no operation in place on `inputs`")


def determinism(a: LossUnderTest) -> Iterator[Outcome]:
    """The loss is a function of its inputs and its state."""
    values = []
    for module, encoder in (a.copies(), a.copies()):
        loss, drawn = watched(functools.partial(value, module, a.inputs(encoder)))
        if drawn:
            yield failed(
                f"it draws from {drawn} global random generator",
                "use `inputs.uniform` and `inputs.normal`: AuxiliaryLossSpec(uniform_draws=..., normal_draws=...)",
            )
            return
        values.append(loss)
    if not torch.equal(*values):
        yield failed("equal inputs and equal state give different losses", "keep all state in buffers and parameters")


def draws(a: LossUnderTest) -> Iterator[Outcome]:
    """The draws that it asks for matter."""
    module, encoder = a.copies()
    inputs, other = a.inputs(encoder), a.inputs(encoder, seed=1)
    for name in ("uniform", "normal"):
        if getattr(inputs, name).shape[1]:
            changed = replace(inputs, **{name: getattr(other, name)})
            if torch.equal(value(copy.deepcopy(module), inputs), value(copy.deepcopy(module), changed)):
                yield failed(f"its {name} draws do not matter", f"use them, or ask for none: {name}_draws=0")


def masked(a: LossUnderTest) -> Iterator[Outcome]:
    """What lies behind an episode's end changes neither the loss nor its gradient."""
    if a.horizon == 1:
        yield skipped("its horizon is one step, which never leaves the episode")
        return
    found = []
    for behind in (1, 2):
        module, encoder = a.copies()
        loss = value(module, a.inputs(encoder, behind=behind))
        torch.autograd.backward(loss)
        gradients = [p.grad.flatten() for part in (module, encoder) for p in part.parameters() if p.grad is not None]
        found.append((loss.detach(), torch.cat(gradients)))
    for name, one, other in zip(("loss", "gradient"), *found, strict=True):
        if (apart := difference(one, other)) > TOLERANCE:
            yield failed(
                f"frames and actions behind the end of an episode change the {name}, by {apart:.1%}",
                "weigh every step by `inputs.mask` (B, K), and divide by its sum",
            )
            return


# -- learning ---------------------------------------------------------------------------------------------------------


def gradient(a: LossUnderTest) -> Iterator[Outcome]:
    """It reaches the encoder, and every trainable parameter of the loss."""
    module, encoder = a.copies()
    nudge(module)
    names = trainable(encoder)
    missing = unreached(encoder, lambda: value(module, a.inputs(encoder)))
    if len(missing) == len(names):
        yield failed("no gradient reaches the encoder", "compute features by `inputs.encode`, and do not detach them")
    if own := unreached(module, lambda: value(module, a.inputs(encoder))):
        yield failed(
            f"no gradient reaches {listed(own)} ({len(own)} of its {len(trainable(module))} parameters)",
            "use them, remove them, or keep what no optimiser steps in buffers",
        )


def state(a: LossUnderTest) -> Iterator[Outcome]:
    """The state dict is all that it has."""
    one, other, (_, encoder) = a.built(0), a.built(1), a.copies()
    one(a.inputs(encoder))
    file = io.BytesIO()
    torch.save(one.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    apart = difference(value(one, a.inputs(encoder, 1)).detach(), value(other, a.inputs(encoder, 1)).detach())
    if apart > TOLERANCE:
        yield failed(
            f"read back from its state dict, the loss differs by {apart:.1%}",
            "register every tensor that it depends on: nn.Parameter, or register_buffer",
        )


def routings(a: LossUnderTest) -> Iterator[Outcome]:
    """Under every routing, an audited update does what the routing declares."""
    names = a.registry.names("gradient-routing")
    for name in names:
        routing = a.registry.get("gradient-routing", name).spec
        assert isinstance(routing, GradientRoutingSpec)
        trial = a.method(routing)
        try:
            if a.pretraining_updates and (sequences := trial.batch().sequences) is not None:
                trial.learner.pretrain(sequences, trial.draws())
            for _ in audited(trial):
                pass
        except RoutingError as error:
            yield failed(str(error), "compute features by `inputs.encode` alone, and step no optimiser")
            return
    yield ok(", ".join(names))


def reconstruction(a: LossUnderTest) -> Iterator[Outcome]:
    """What ``reconstruct`` returns can be shown."""
    module, encoder = a.copies()
    with torch.no_grad():
        given: Any = module.reconstruct(encoder(noise(SHAPE, 2)))  # type: ignore[operator]
    if not isinstance(given, Tensor) or tuple(given.shape) != (2, *SHAPE) or given.dtype != torch.uint8:
        what = f"{given.dtype} {tuple(given.shape)}" if isinstance(given, Tensor) else type(given).__name__
        yield failed(f"reconstruct returns {what}", f"return torch.uint8 {(2, *SHAPE)}")


def graph(a: LossUnderTest) -> Iterator[Outcome]:
    """A CUDA graph can hold it."""
    module, encoder = a.copies()
    inputs = a.inputs(encoder)
    if found := reads_on_host(lambda: module(inputs)):
        yield failed(
            f"it cannot be captured as a CUDA graph: {found}",
            "compute with tensors: multiply by the mask where you would index with it; no .item(), no `if` on a tensor",
        )
        return
    yield from captured(lambda execution: a.method(CRITIC, execution))


def cost(a: LossUnderTest) -> Iterator[Outcome]:
    """What it costs beside the encoder."""
    module, encoder = a.copies()
    inputs = a.inputs(encoder)
    with one_thread():
        spent = milliseconds(lambda: torch.autograd.backward(value(module, inputs)))
    yield ok(
        f"{spent:.3g} ms with backward: batch {BATCH}, {SHAPE.height}x{SHAPE.width}, a small encoder, one thread; "
        f"{sum(p.numel() for p in module.parameters()):,} parameters of its own"
    )


def checks(a: LossUnderTest) -> Iterator[Check[LossUnderTest]]:
    """The contract, in order."""
    yield Check("build", builds)
    yield Check("output", output, ("build",))
    yield Check("frame sizes", frame_sizes, ("output",))
    yield Check("input unchanged", input_unchanged, ("output",))
    yield Check("determinism", determinism, ("output",))
    yield Check("draws", draws, ("output", "determinism"))
    yield Check("mask", masked, ("output", "determinism"))
    yield Check("gradient", gradient, ("output",))
    yield Check("routings", routings, ("output", "gradient"))
    yield Check("state dict", state, ("output", "determinism"))
    if a.is_built and hasattr(a.module, "reconstruct"):
        yield Check("reconstruct", reconstruction, ("output",))
    yield Check("CUDA graph", graph, ("output",))
    yield Check("cost", cost, ("output",))
