"""Which transitions a batch holds, and which later states become their goals (Andrychowicz et al. 2017, arXiv:1707.01495)."""

from __future__ import annotations

from torch import Tensor

from fetchbench.specs import GoalIndices

STRATEGIES = ("future", "final", "episode")
DRAWS = 4
"""Uniform numbers per transition: which transition, whether relabelled, which goal, which relabelling source."""


def sample_indices(draws: Tensor, episodes: int, horizon: int, *, k: int, strategy: str) -> GoalIndices:
    """Choose transitions uniformly over finished episodes, and their goals.

    A share 1 - 1/(k+1) is relabelled, in expectation. With t the transition's step and t' the state whose achieved goal
    becomes the goal: ``future`` draws t' uniformly from t+1..T, the transition's own outcome included; ``final`` takes T;
    ``episode`` draws from 1..T.

    Args:
        draws: ``float64 (B, 4 + n)``, uniform in [0, 1); those beyond :data:`DRAWS` are the goal space's own.
        episodes: Episodes held, in slots 0..episodes-1.
        horizon: T.
        k: Relabelled goals per original one.
        strategy: One of :data:`STRATEGIES`.

    Returns:
        Indices of B transitions.

    Raises:
        ValueError: No finished episode, or an unknown strategy.
    """
    if episodes < 1:
        raise ValueError("the replay holds no finished episode yet")
    flat = (draws[:, 0] * (episodes * horizon)).long().clamp_(max=episodes * horizon - 1)
    episode, step = flat // horizon, flat % horizon
    relabelled = draws[:, 1] < 1 - 1 / (k + 1)
    if strategy == "future":
        goal_step = step + 1 + (draws[:, 2] * (horizon - step)).long()
    elif strategy == "final":
        goal_step = step.new_full(step.shape, horizon)
    elif strategy == "episode":
        goal_step = 1 + (draws[:, 2] * horizon).long()
    else:
        raise ValueError(f"unknown relabelling strategy {strategy!r}: one of {', '.join(STRATEGIES)}")
    # u * n can round up to n for u just below 1.
    # And so can a double that becomes a float.
    source, own = (part.float().clamp_(max=1 - 2**-24) for part in (draws[:, 3], draws[:, DRAWS:]))
    return GoalIndices(episode, step, relabelled, goal_step.clamp_(max=horizon), source, own)
