"""The heads, against PyTorch's own distributions."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal, TanhTransform, TransformedDistribution

from fetchbench.learner.networks import Actor, Inputs, TwinCritic, mlp


def test_log_density_of_a_squashed_gaussian():
    torch.manual_seed(0)
    actor = Actor(Inputs(0, 5, 0), (16,), 4, (-20.0, 2.0)).double()
    vectors, noise = torch.randn(64, 5, dtype=torch.float64), torch.randn(64, 4, dtype=torch.float64)
    action, log_prob = actor(None, vectors, noise)
    mean, log_std = actor.net(vectors).chunk(2, dim=-1)
    expected = TransformedDistribution(Normal(mean, log_std.exp()), TanhTransform()).log_prob(action).sum(-1)
    torch.testing.assert_close(log_prob, expected, rtol=1e-6, atol=1e-6)


def test_log_density_stays_finite_where_tanh_saturates():
    actor = Actor(Inputs(0, 1, 0), (4,), 1, (-20.0, 2.0))
    with torch.no_grad():
        actor.net[-1].weight.zero_()
        actor.net[-1].bias.copy_(torch.tensor([50.0, 0.0]))
    action, log_prob = actor(None, torch.zeros(1, 1), torch.zeros(1, 1))
    assert action.item() == 1.0
    # log N(50; 50, 1) - log(1 - tanh(50)^2), the latter -2 (50 - log 2)
    assert log_prob.item() == pytest.approx(-0.9189385 + 2 * (50 - 0.6931472), abs=1e-3)


def test_the_mode_needs_no_noise():
    actor = Actor(Inputs(0, 3, 0), (8,), 4, (-20.0, 2.0))
    vectors = torch.randn(2, 3)
    action, _ = actor(None, vectors, None)
    torch.testing.assert_close(action, actor.net(vectors)[:, :4].tanh())


def test_twin_critics_differ_and_have_one_value_each():
    critic = TwinCritic(Inputs(6, 3, 0), (8,), 4)
    q = critic(torch.randn(5, 6), torch.randn(5, 3), torch.randn(5, 4))
    assert q.shape == (2, 5)
    assert not torch.equal(q[0], q[1])


@pytest.mark.parametrize(("features", "trunk", "width"), [(0, 0, 3), (10, 0, 13), (10, 4, 7), (0, 4, 3)])
def test_width_of_the_join(features, trunk, width):
    inputs = Inputs(features, 3, trunk)
    z = torch.randn(2, features) if features else None
    assert inputs.width == width
    assert inputs(z, torch.randn(2, 3)).shape == (2, width)


def test_nothing_normalises_across_the_join():
    """The vectors reach the first layer as they are, however large the features."""
    inputs = Inputs(10, 3, 4)
    vectors = torch.randn(2, 3)
    torch.testing.assert_close(inputs(1e6 * torch.randn(2, 10), vectors)[:, 4:], vectors)


def test_twin_critics_start_as_two_networks_would_and_share_nothing():
    torch.manual_seed(0)
    critic = TwinCritic(Inputs(0, 7, 0), (16, 8), 4)
    torch.manual_seed(0)
    pair = [mlp(11, (16, 8), 1) for _ in range(2)]
    vectors, action = torch.randn(5, 7), torch.randn(5, 4)
    expected = torch.stack([q(torch.cat([vectors, action], dim=-1)).squeeze(-1) for q in pair])
    assert torch.equal(critic(None, vectors, action), expected)
    critic(None, vectors, action)[0].sum().backward()
    for parameter in critic.parameters():
        assert parameter.grad[0].any()
        assert not parameter.grad[1].any()


def test_twin_critics_as_one_product_per_layer_equal_two():
    """What a GPU runs, held to what a CPU runs."""
    torch.manual_seed(0)
    critic = TwinCritic(Inputs(0, 7, 0), (16, 8), 4)
    h = torch.randn(32, 11, requires_grad=True)
    gradients = []
    for form in (critic.apart, critic.batched):
        q = form(h)
        gradients.append((q, *torch.autograd.grad(q.square().sum(), [h, *critic.parameters()])))
    for apart, batched in zip(*gradients, strict=True):
        torch.testing.assert_close(apart, batched, rtol=1e-5, atol=1e-6)
