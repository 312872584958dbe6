"""The heads: what turns features and vectors into actions and values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def mlp(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    """Linear layers with ReLU between."""
    widths = [inputs, *hidden]
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))


class Inputs(nn.Module):
    """Joins a head's features and vectors.

    With a trunk the features pass through the head's own Linear-LayerNorm-tanh first. It belongs to the head: the routing's
    line is drawn before it. No normalisation acts across the join.

    Args:
        features: Width of ``z``; 0 without an encoder.
        vectors: Width of the vector inputs, the embedded goal included.
        trunk: Width of the trunk; 0 is none.
    """

    def __init__(self, features: int, vectors: int, trunk: int) -> None:
        super().__init__()
        self.trunk: nn.Module = nn.Identity()
        if features and trunk:
            self.trunk = nn.Sequential(nn.Linear(features, trunk), nn.LayerNorm(trunk), nn.Tanh())
        self.width = (trunk or features if features else 0) + vectors

    def forward(self, z: Tensor | None, *vectors: Tensor) -> Tensor:
        """``z (B, features)`` and vectors ``(B, *)`` -> ``(B, width)``, the actions behind where they are given."""
        return torch.cat([*([] if z is None else [self.trunk(z)]), *vectors], dim=-1)


class TwinLinear(nn.Module):
    """Two linear layers of one shape, computed as one.

    Args:
        first: The first layer.
        second: The second one. Their weights are copied, so that the pair starts where the two would.
    """

    def __init__(self, first: nn.Linear, second: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([first.weight, second.weight]).detach())  # (2, outputs, inputs)
        self.bias = nn.Parameter(torch.stack([first.bias, second.bias]).detach())  # (2, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """``(2, B, inputs)`` -> ``(2, B, outputs)``."""
        return torch.baddbmm(self.bias[:, None], x, self.weight.transpose(1, 2))

    def each(self, x: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The same as two products: ``(B, inputs)`` each -> ``(B, outputs)`` each."""
        return tuple(map(F.linear, x, self.weight, self.bias))


class TwinCritic(nn.Module):
    """Two Q functions on one join of features, vectors and action (Fujimoto et al. 2018, arXiv:1802.09477).

    The two share no weight. A GPU computes them as one product per layer, which halves its launches; a CPU as two, since
    its batched product is a tenth slower.
    """

    def __init__(self, inputs: Inputs, hidden: Sequence[int], actions: int) -> None:
        super().__init__()
        self.inputs = inputs
        pair = [mlp(inputs.width + actions, hidden, 1) for _ in range(2)]
        twins = [TwinLinear(a, b) for a, b in zip(*pair, strict=True) if isinstance(a, nn.Linear)]
        self.layers: Iterable[TwinLinear] = nn.ModuleList(twins)  # type: ignore[assignment]

    def forward(self, z: Tensor | None, vectors: Tensor, action: Tensor) -> Tensor:
        """``z (B, features)``, ``vectors (B, V)``, ``action (B, A)`` -> ``(2, B)``."""
        h = self.inputs(z, vectors, action)
        return self.apart(h) if h.is_cpu else self.batched(h)

    def batched(self, h: Tensor) -> Tensor:
        """``(B, width)`` -> ``(2, B)``, one product per layer."""
        x = h.expand(2, *h.shape)
        for i, layer in enumerate(self.layers):
            x = layer(x.relu() if i else x)
        return x.squeeze(-1)

    def apart(self, h: Tensor) -> Tensor:
        """``(B, width)`` -> ``(2, B)``, two products per layer."""
        x: Sequence[Tensor] = (h, h)
        for i, layer in enumerate(self.layers):
            x = layer.each([t.relu() for t in x] if i else x)
        return torch.stack(tuple(x)).squeeze(-1)


class Actor(nn.Module):
    """A Gaussian squashed by tanh (Haarnoja et al. 2018, arXiv:1812.05905)."""

    def __init__(self, inputs: Inputs, hidden: Sequence[int], actions: int, log_std_bounds: tuple[float, float]) -> None:
        super().__init__()
        self.inputs = inputs
        self.net = mlp(inputs.width, hidden, 2 * actions)
        self.log_std_bounds = log_std_bounds

    def forward(self, z: Tensor | None, vectors: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        """Actions and their log densities.

        Args:
            z: ``(B, features)``, or ``None`` without an encoder.
            vectors: ``(B, V)``.
            noise: Standard normal ``(B, A)``; ``None`` takes the mode.

        Returns:
            ``action (B, A)`` in [-1, 1] and ``log_prob (B,)`` (meaningless for the mode).
        """
        mean, log_std = self.net(self.inputs(z, vectors)).chunk(2, dim=-1)
        log_std = log_std.clamp(*self.log_std_bounds)
        if noise is None:
            return mean.tanh(), mean.new_zeros(mean.shape[0])
        u = mean + log_std.exp() * noise
        # log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2u)), without the cancellation (arXiv:1812.05905, appendix C).
        log_det = 2 * (math.log(2) - u - F.softplus(-2 * u))
        log_normal = -0.5 * (noise.square() + math.log(2 * math.pi)) - log_std
        return u.tanh(), (log_normal - log_det).sum(-1)
