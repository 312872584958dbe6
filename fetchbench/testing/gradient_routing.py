"""The contract of gradient routings: the data, and whether updates do what it says."""

from __future__ import annotations

from collections.abc import Iterator

from fetchbench.learner.components import spec_of
from fetchbench.records.schema import Component
from fetchbench.registry import Registry
from fetchbench.specs import GradientRoutingSpec, Schedule
from fetchbench.testing.checks import Check
from fetchbench.testing.report import Outcome, failed, ok, skipped
from fetchbench.testing.stand_ins import STAND_IN_LOSS, stand_in_encoder
from fetchbench.testing.trial import LOSSES, Trial, audited, stages


class RoutingUnderTest:
    """A gradient routing.

    Args:
        registry: Where it is found.
        component: Its name.
    """

    def __init__(self, registry: Registry, component: Component) -> None:
        self.spec: GradientRoutingSpec = spec_of(registry, "gradient-routing", component, GradientRoutingSpec)

    def trial(self, loss: bool) -> Trial:
        auxiliary = [("auxiliary-loss", STAND_IN_LOSS)] if loss else []
        return Trial(("encoder", stand_in_encoder()), ("gradient-routing", self.spec), *auxiliary)


def data(r: RoutingUnderTest) -> Iterator[Outcome]:
    """What can be read off the weights alone. That they are numbers was checked when it was made."""
    spec = r.spec
    for loss in LOSSES:
        weight = getattr(spec, loss)
        if isinstance(weight, Schedule) and not all(isinstance(name, str) and name for name, _, _ in weight.stages):
            yield failed(f"a stage of {loss} has no name", "name each stage: ('critic', 0, 1.0)")
    idle = [name for name, losses in _copies(spec) if not any(any(spec.values(loss)) for loss in losses)]
    if spec.encoders == 2 and len(idle) == 1:
        advice = "give one a weight, or take one encoder: GradientRoutingSpec(encoders=1)"
        yield failed(f"with two encoders, no loss trains the {idle[0]}'s", advice)
    weights = [f"{loss} {'/'.join(f'{w:g}' for w in spec.values(loss))}" for loss in LOSSES]
    yield ok(f"{', '.join(weights)}; {'two encoders' if spec.encoders == 2 else 'one encoder'}")


def _copies(spec: GradientRoutingSpec) -> list[tuple[str, tuple[str, ...]]]:
    """Each encoder and the losses that may reach it."""
    if spec.encoders == 1:
        return [("encoder", LOSSES)]
    return [("critic", ("critic", "auxiliary")), ("actor", ("actor",))]


def without_loss(r: RoutingUnderTest) -> Iterator[Outcome]:
    """Audited updates of a small convolutional encoder, without an auxiliary loss, at each of its stages."""
    if r.spec.needs_auxiliary_loss:
        yield skipped("it trains the encoder by an auxiliary loss alone: without one a method is refused")
        return
    yield from _audited(r, loss=False)


def with_loss(r: RoutingUnderTest) -> Iterator[Outcome]:
    """The same with one."""
    yield from _audited(r, loss=True)


def _audited(r: RoutingUnderTest, loss: bool) -> Iterator[Outcome]:
    seen = []
    for audit in audited(r.trial(loss)):
        norms = [f"{path} {'nothing' if norm is None else format(norm, '.2g')}" for path, norm in audit.gradient_norm.items()]
        seen.append(f"at update {audit.updates}: {', '.join(norms)}" if len(stages(r.spec)) > 1 else ", ".join(norms))
    yield ok("; ".join(seen))


def checks(r: RoutingUnderTest) -> Iterator[Check[RoutingUnderTest]]:
    """The contract, in order."""
    yield Check("data", data)
    yield Check("updates", without_loss, ("data",))
    yield Check("updates with an auxiliary loss", with_loss, ("data",))
