"""Does each loss reach what the routing declares, and nothing else? Asked of real batches, in every run."""

from __future__ import annotations

import torch

from fetchbench.errors import RoutingError
from fetchbench.learner.encoders import bits, tensor_digests
from fetchbench.learner.sac import Learner, gradient_norm
from fetchbench.records.schema import AuditEntry

OWN = {"entropy": "log_alpha"}
"""The group that an optimiser may move, where it does not carry the optimiser's name."""


class Audit:
    """Observes one update (:class:`fetchbench.learner.sac.Observer`).

    Two independent looks: the norm of the gradient that each loss sends into each encoder, and, by comparing every
    parameter's bits before and after, what each optimiser's step moved.
    """

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._before: dict[str, list[torch.Tensor]] = {}
        self._leaks: list[str] = []
        self._auxiliary_norm: dict[str, float] = {}
        self.updates = learner.updates
        self.gradient_norm: dict[str, float | None] = {}
        self.moved: dict[str, list[str]] = {}

    def gradient(self, loss: str, encoder: str, norm: float | None) -> None:
        self.gradient_norm[f"{loss} -> {encoder}"] = norm
        if loss == "auxiliary":
            self._auxiliary_norm = self._encoder_gradients()

    def stepping(self) -> None:
        self._before = self._snapshot()

    def stepped(self, optimiser: str) -> None:
        after = self._snapshot()
        changed = [name for name, tensors in after.items() if not _equal(tensors, self._before[name])]
        self.moved[optimiser] = sorted(changed)
        if optimiser in ("critic", "actor"):
            # Heads work on detached features: whatever lies in an encoder now beside the auxiliary loss's gradient leaked.
            expected = self._auxiliary_norm if optimiser == "actor" else {}
            for name, norm in self._encoder_gradients().items():
                if norm != expected.get(name, 0.0):
                    self._leaks.append(f"the {optimiser} loss put a gradient straight into the {name}")

    def norms(self) -> dict[str, float]:
        """The gradient norms of the paths that are there."""
        return {f"the gradient {path}": norm for path, norm in self.gradient_norm.items() if norm is not None}

    def entry(self) -> AuditEntry:
        """What was seen, for the record."""
        return AuditEntry(updates=self.updates, gradient_norm=self.gradient_norm, moved=self.moved)

    def verify(self) -> None:
        """Hold what was seen against what the routing declares.

        Raises:
            RoutingError: A path where the weight is 0, no path where it is not, or an optimiser that moved what is not its
                own.
        """
        problems = list(self._leaks)
        for path, norm in self.gradient_norm.items():
            weight = self._learner.routing.at(path.partition(" -> ")[0], self.updates)
            if weight == 0 and norm is not None:
                problems.append(f"{path}: declared 0, but a gradient of norm {norm:.3g} arrives")
            if weight > 0 and norm is None:
                problems.append(f"{path}: declared {weight:g}, but there is no path")
        for optimiser, groups in self.moved.items():
            foreign = set(groups) - {OWN.get(optimiser, optimiser)}
            if foreign:
                problems.append(f"the {optimiser} optimiser moved {', '.join(sorted(foreign))}")
        if problems:
            name = self._learner.routing.name
            raise RoutingError(f"routing {name!r} is not what happened at update {self.updates}: " + "; ".join(problems))

    def _snapshot(self) -> dict[str, list[torch.Tensor]]:
        groups = {name: list(module.parameters()) for name, module in self._learner.modules().items()}
        groups["log_alpha"] = [self._learner.log_alpha]
        return {name: [p.detach().clone() for p in parameters] for name, parameters in groups.items()}

    def _encoder_gradients(self) -> dict[str, float]:
        encoders = self._learner.encoders
        return {} if encoders is None else {name: gradient_norm(module) for name, module in encoders.named()}


class FrozenCheck:
    """Frozen means frozen: not one bit of the encoder, its buffers included, may change over the whole run."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self._start = self._state() if learner.encoders is not None and not learner.encoders.trainable else None

    def verify(self) -> None:
        """Raises:
        RoutingError: A parameter or buffer of a frozen encoder changed.
        """
        if self._start is None:
            return
        changed = [name for name, digest in self._state().items() if digest != self._start[name]]
        if changed:
            raise RoutingError(f"the encoder is frozen, but {', '.join(changed[:3])} changed during the run")

    def _state(self) -> dict[str, str]:
        assert self._learner.encoders is not None
        return tensor_digests(self._learner.encoders.critic)


def _equal(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    """Bitwise equality, NaN included."""
    return all(torch.equal(bits(x), bits(y)) for x, y in zip(a, b, strict=True))
