"""Relabelling: hand-worked cases and shares over many draws."""

from __future__ import annotations

import pytest
import torch

from fetchbench.replay import sample_indices

T = 50


def draws(*rows: tuple[float, float, float, float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_transitions_are_uniform_over_episodes_and_steps():
    uniform = torch.rand(200_000, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    indices = sample_indices(uniform, episodes=4, horizon=T, k=4, strategy="future")
    counts = torch.bincount(indices.episode * T + indices.step, minlength=4 * T)
    assert counts.min() > 850  # 1,000 expected each, standard deviation 32
    assert counts.max() < 1150


@pytest.mark.parametrize(("k", "share"), [(0, 0.0), (4, 0.8), (8, 8 / 9)])
def test_the_share_of_relabelled_transitions(k, share):
    uniform = torch.rand(100_000, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    indices = sample_indices(uniform, episodes=3, horizon=T, k=k, strategy="future")
    assert indices.relabelled.float().mean().item() == pytest.approx(share, abs=0.005)


def test_future_includes_the_transitions_own_outcome_and_the_last_state():
    # The transition drawn by 0.5 of one episode is step 25: its goals are states 26..50.
    first = sample_indices(draws((0.5, 0, 0.0, 0)), 1, T, k=4, strategy="future")
    last = sample_indices(draws((0.5, 0, 1 - 1e-12, 0)), 1, T, k=4, strategy="future")
    assert (first.step.item(), first.goal_step.item(), last.goal_step.item()) == (25, 26, 50)


def test_future_is_uniform_over_what_is_left():
    u = torch.rand(100_000, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    u[:, 0] = 0.955  # step 47: states 48, 49, 50
    goals = sample_indices(u, 1, T, k=4, strategy="future").goal_step
    shares = torch.bincount(goals, minlength=51)[48:].float() / len(goals)
    assert goals.min() == 48
    assert shares.tolist() == pytest.approx([1 / 3] * 3, abs=0.01)


def test_final_and_episode():
    u = torch.rand(10_000, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    assert sample_indices(u, 2, T, k=4, strategy="final").goal_step.unique().tolist() == [T]
    assert sample_indices(u, 2, T, k=4, strategy="episode").goal_step.unique().tolist() == list(range(1, T + 1))


def test_numbers_just_below_one_stay_inside():
    u = torch.full((1, 4), 1 - 2**-53, dtype=torch.float64)
    indices = sample_indices(u, 7, T, k=4, strategy="future")
    assert (indices.episode.item(), indices.step.item(), indices.goal_step.item()) == (6, 49, 50)


def test_errors():
    with pytest.raises(ValueError, match="no finished episode"):
        sample_indices(draws((0, 0, 0, 0)), 0, T, k=4, strategy="future")
    with pytest.raises(ValueError, match="unknown relabelling strategy 'past': one of future, final, episode"):
        sample_indices(draws((0, 0, 0, 0)), 1, T, k=4, strategy="past")
