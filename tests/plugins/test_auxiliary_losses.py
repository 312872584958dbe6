"""The bundled auxiliary losses against values worked out by hand, and against their papers."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fetchbench import AuxiliaryContext, AuxiliaryInputs, AuxiliaryLossSpec, FrameShape, random_shift
from fetchbench.registry import load_registry

REGISTRY = load_registry()
LOSSES = ["autoencoder", "curl", "inverse-dynamics", "spr", "vae"]
SHAPE = FrameShape(2, 24, 24)
DIM, ACTIONS, STEPS = 6, 4, 3


def build(name: str, shape: FrameShape = SHAPE, dim: int = DIM, actions: int = ACTIONS, seed: int = 0, **options) -> nn.Module:
    torch.manual_seed(seed)
    if name in ("spr", "inverse-dynamics"):
        options = {"steps": STEPS, **options}
    return REGISTRY.get("auxiliary-loss", name).spec.build(AuxiliaryContext(shape, dim, actions), **options)


class Encoder(nn.Module):
    """A small encoder with everything that the losses ask for."""

    def __init__(self, shape: FrameShape = SHAPE, dim: int = DIM) -> None:
        super().__init__()
        self.mean = nn.Linear(math.prod(shape), dim)
        self.log_variance = nn.Linear(math.prod(shape), dim)

    def forward(self, frames: Tensor) -> Tensor:
        return self.mean(frames.flatten(1) / 255 - 0.5)

    def moments(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        return self(frames), self.log_variance(frames.flatten(1) / 255 - 0.5)


class Moments(nn.Module):
    """Gives the moments that the test names."""

    def __init__(self, mean: Tensor, log_variance: Tensor) -> None:
        super().__init__()
        self.mean, self.log_variance = mean, log_variance

    def moments(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean.expand(len(frames), -1), self.log_variance.expand(len(frames), -1)


def inputs(
    batch: int = 4,
    shape: FrameShape = SHAPE,
    steps: int = STEPS,
    encoder: nn.Module | None = None,
    encode: Callable[[Tensor], Tensor] | None = None,
    momentum: Callable[[Tensor], Tensor] | None = None,
    **fields,
) -> AuxiliaryInputs:
    generator = torch.Generator().manual_seed(5)
    encoder = Encoder(shape) if encoder is None else encoder
    frames, channels, height, width = shape
    size = (batch, frames + steps, channels, height, width)
    values = {
        "frames": torch.randint(0, 256, size, dtype=torch.uint8, generator=generator),
        "actions": torch.rand(batch, steps, ACTIONS, generator=generator) * 2 - 1,
        "mask": torch.ones(batch, steps, dtype=torch.bool),
        "uniform": torch.rand(batch, 4, generator=generator),
        "normal": torch.randn(batch, DIM, generator=generator),
    }
    return AuxiliaryInputs(
        **{**values, **fields},
        views=(),
        encode=encode or encoder,
        encode_momentum=torch.no_grad()(momentum or encoder),
        encoder=encoder,
    )


def given(z: Tensor) -> Callable[[Tensor], Tensor]:
    """An encoder that gives these features whatever it sees."""
    return lambda frames: z


def zero(module: nn.Module, bias: float = 0.0) -> None:
    """Make a network's output constant: its last bias."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        list(module.parameters())[-1].fill_(bias)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# -- what every loss promises -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
def test_each_says_what_it_is(name):
    spec = REGISTRY.get("auxiliary-loss", name).spec
    assert isinstance(spec, AuxiliaryLossSpec)
    assert spec.summary
    assert "arXiv:" in spec.source


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_is_a_scalar_with_a_gradient_and_its_metrics_are_scalars(name):
    loss, metrics = build(name)(inputs())
    assert loss.shape == ()
    assert loss.dtype == torch.float32
    assert loss.requires_grad
    assert metrics
    assert all(torch.as_tensor(value).shape == () and torch.as_tensor(value).isfinite() for value in metrics.values())


@pytest.mark.parametrize("name", LOSSES)
def test_nothing_is_drawn_within(name):
    module, batch = build(name), inputs()
    state = torch.get_rng_state()
    first = module(batch)[0]
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    assert torch.equal(module(batch)[0], first)


@pytest.mark.parametrize(("name", "draws"), [("curl", "uniform"), ("spr", "uniform"), ("vae", "normal")])
def test_what_is_drawn_outside_counts(name, draws):
    module, batch = build(name), inputs()
    other = inputs(**{draws: getattr(batch, draws).flip(0)}, encoder=batch.encoder)
    assert not torch.equal(module(batch)[0], module(other)[0])


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_reaches_the_encoder_and_every_parameter_of_the_loss(name):
    module, encoder = build(name), Encoder()
    module(inputs(batch=16, encoder=encoder))[0].backward()
    assert encoder.mean.weight.grad.abs().sum() > 0
    assert [n for n, p in module.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("name", ["curl", "spr"])
def test_no_gradient_flows_through_the_momentum_encoder(name):
    """Nor would it, if the learner's were not cut off already: SPR has a projection behind it."""
    module, momentum = build(name), Encoder()
    module(inputs(momentum=momentum))[0].backward()
    assert all(p.grad is None for p in momentum.parameters())


def rows(whole: AuxiliaryInputs, part: slice, mask: Tensor | None = None) -> AuxiliaryInputs:
    """A part of a batch, perhaps with another mask."""
    fields = {name: getattr(whole, name)[part] for name in ("frames", "actions", "mask", "uniform", "normal")}
    return inputs(encoder=whole.encoder, **(fields if mask is None else fields | {"mask": mask}))


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "curl"])
def test_the_loss_is_the_mean_over_the_batch(name):
    """CURL alone compares the batch's elements with each other."""
    module, whole = build(name), inputs(batch=4)
    first, second = (module(rows(whole, part))[0] for part in (slice(0, 2), slice(2, 4)))
    assert not torch.isclose(first, second, rtol=1e-6)
    torch.testing.assert_close(module(whole)[0], (first + second) / 2)


@pytest.mark.parametrize("name", ["spr", "inverse-dynamics"])
def test_nothing_beyond_the_episodes_end_counts(name):
    module, encoder = build(name), Encoder()
    mask = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1]], dtype=torch.bool)
    plain = inputs(encoder=encoder, mask=mask)
    frames, actions = plain.frames.clone(), plain.actions.clone()
    frames[1, -1:] = 255 - frames[1, -1:]
    frames[2, -2:] = 0
    actions[~mask] = 7.0
    changed = inputs(encoder=encoder, mask=mask, frames=frames, actions=actions)
    torch.testing.assert_close(module(changed)[0], module(plain)[0])
    within = plain.frames.clone()
    within[1, -2] = 255 - within[1, -2]
    assert not torch.isclose(module(inputs(encoder=encoder, mask=mask, frames=within))[0], module(plain)[0])


@pytest.mark.parametrize("name", ["spr", "inverse-dynamics"])
def test_every_step_within_the_episode_counts_alike(name):
    """Three steps of one sequence and one of another weigh 3 : 1."""
    module, whole = build(name), inputs(batch=2)
    three, one = torch.tensor([[True, True, True]]), torch.tensor([[True, False, False]])
    first, second = module(rows(whole, slice(0, 1), three))[0], module(rows(whole, slice(1, 2), one))[0]
    assert not torch.isclose(first, second, rtol=1e-3)
    torch.testing.assert_close(module(rows(whole, slice(0, 2), torch.cat([three, one])))[0], (3 * first + second) / 4)


def scenes(batch: int = 24, steps: int = STEPS, size: int = 24) -> dict[str, Tensor]:
    """A bright square of 6 pixels on a dark ground, moved by the first two actions: frames, and these actions."""
    generator = torch.Generator().manual_seed(0)
    actions = torch.rand(batch, steps, ACTIONS, generator=generator) * 2 - 1
    moves = (actions[..., :2] * 3).round()
    start = torch.randint(3, size - 9, (batch, 1, 2), generator=generator)
    places = torch.cat([start, start + moves.cumsum(1)], 1).long().clamp(0, size - 6)
    frames = torch.full((batch, 1 + steps, 3, size, size), 40, dtype=torch.uint8)
    for b in range(batch):
        for t in range(1 + steps):
            row, column = places[b, t].tolist()
            frames[b, t, :, row : row + 6, column : column + 6] = 220
    return {"frames": torch.cat([frames[:, :1], frames], 1), "actions": actions}


START_AND_END = {"autoencoder": 0.5, "curl": 0.5, "inverse-dynamics": 0.7, "spr": 0.5, "vae": 0.7}


@pytest.mark.parametrize("name", LOSSES)
def test_training_lowers_the_loss(name):
    module, encoder = build(name), Encoder()
    batch = inputs(batch=24, encoder=encoder, **scenes(), uniform=torch.full((24, 4), 0.5), normal=torch.zeros(24, DIM))
    optimiser = torch.optim.Adam([*module.parameters(), *encoder.parameters()], lr=3e-3)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = module(batch)[0]
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < START_AND_END[name] * losses[0]


# -- curl -------------------------------------------------------------------------------------------------------------


def test_curl_is_infonce_with_a_bilinear_product():
    """Two pairs. Anchors (1, 0), (0, 1), positives (2, 0), (0, 1): logits z W z' are 2, 2 / 6, 4, so the rows cost
    log 2 and log(1 + e^2), and the second is not found."""
    module = build("curl", dim=2)
    with torch.no_grad():
        module.W.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    anchors, positives = torch.eye(2), torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    loss, metrics = module(inputs(batch=2, steps=1, encode=given(anchors), momentum=given(positives)))
    assert loss.item() == pytest.approx((math.log(2) + math.log(1 + math.e**2)) / 2)
    with torch.no_grad():
        module.W.copy_(torch.tensor([[1.0, 0.5], [3.0, 4.0]]))  # logits 2, 0.5 / 6, 4
    assert module(inputs(batch=2, steps=1, encode=given(anchors), momentum=given(positives)))[1]["accuracy"] == 0.5
    assert metrics.keys() == {"accuracy"}


def test_curl_survives_large_logits():
    module = build("curl", dim=2)
    with torch.no_grad():
        module.W.copy_(torch.eye(2) * 1e4)
    loss, metrics = module(inputs(batch=2, steps=1, encode=given(torch.eye(2)), momentum=given(torch.eye(2))))
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert metrics["accuracy"] == 1


def test_curls_product_starts_uniform_between_0_and_1():
    weights = build("curl", dim=50).W
    assert weights.shape == (50, 50)
    assert 0 <= weights.min() < 0.01 < 0.99 < weights.max() < 1
    assert weights.mean().item() == pytest.approx(0.5, abs=0.03)


def test_curls_views_are_two_shifts_of_the_observation():
    seen = {}

    def remember(name: str) -> Callable[[Tensor], Tensor]:
        return lambda frames: seen.setdefault(name, frames).flatten(1).float()[:, :DIM]

    batch = inputs(steps=1, encode=remember("anchor"), momentum=remember("positive"))
    build("curl", pad=3)(batch)
    observation = batch.frames[:, :2]
    assert torch.equal(seen["anchor"], random_shift(observation, batch.uniform[:, :2], 3))
    assert torch.equal(seen["positive"], random_shift(observation, batch.uniform[:, 2:], 3))
    assert not torch.equal(seen["anchor"], seen["positive"])


def test_the_published_rates_are_kept():
    """0.05 at every second update is 0.025 at each, to first order."""
    for name in ("curl", "spr"):
        rate = REGISTRY.get("auxiliary-loss", name).spec.momentum
        assert (1 - rate) ** 2 == pytest.approx(1 - 0.05, abs=1e-3)


# -- spr --------------------------------------------------------------------------------------------------------------


class Add(nn.Module):
    """The world of the tests below: features move by the action."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :2] + x[:, 2:]


def identity_spr(steps: int) -> nn.Module:
    module = build("spr", dim=2, actions=2, steps=steps)
    module.transition = Add()
    module.projection = module.predictor = module.averaged = nn.Identity()
    return module


def test_spr_costs_2_minus_2_cos_over_the_steps():
    """One sequence from (1, 0). The actions lead to (0, 1), (-1, 0) and (3, 4); it comes to (0, 2), (1, 0) and (0, 1):
    cosines 1, -1 and 4/5, so 0, 4 and 0.4."""
    actions = torch.tensor([[[-1.0, 1.0], [-1.0, -1.0], [4.0, 4.0]]])
    targets = torch.tensor([[0.0, 2.0], [1.0, 0.0], [0.0, 1.0]])
    fields = {"batch": 1, "actions": actions, "encode": given(torch.tensor([[1.0, 0.0]])), "momentum": given(targets)}
    loss, metrics = identity_spr(3)(inputs(**fields))
    assert loss.item() == pytest.approx((0 + 4 + 0.4) / 3)
    assert metrics["cosine"].item() == pytest.approx((1 - 1 + 0.8) / 3)
    for mask, expected in (([1, 0, 0], 0), ([1, 1, 0], 2)):
        loss = identity_spr(3)(inputs(**fields, mask=torch.tensor([mask], dtype=torch.bool)))[0]
        assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_sprs_targets_are_the_observations_that_follow_each_step():
    """Frames numbered by their time; with the shift in the middle they are left as they are."""
    times = torch.arange(5, dtype=torch.uint8).view(1, 5, 1, 1, 1).expand(3, 5, 3, 24, 24)
    seen = []

    def remember(frames: Tensor) -> Tensor:
        seen.append(frames[..., 0, 0, 0])
        return torch.ones(len(frames), DIM)

    module = build("spr")
    module(inputs(batch=3, frames=times, momentum=remember, uniform=torch.full((3, 4), 0.5)))
    assert seen[0].view(3, 3, 2).tolist() == [[[1, 2], [2, 3], [3, 4]]] * 3


def test_spr_shifts_observation_and_targets_apart():
    seen = {}

    def remember(name: str) -> Callable[[Tensor], Tensor]:
        return lambda frames: seen.setdefault(name, frames).flatten(1).float()[:, :DIM]

    batch = inputs(encode=remember("observation"), momentum=remember("targets"))
    build("spr", pad=2)(batch)
    assert torch.equal(seen["observation"], random_shift(batch.frames[:, :2], batch.uniform[:, :2], 2))
    shifted = random_shift(batch.frames[:, 1:], batch.uniform[:, 2:], 2)
    assert torch.equal(seen["targets"].view(4, 3, 2, 3, 24, 24)[:, 2], shifted[:, 2:4])


def test_sprs_networks_are_playvirtuals():
    """Transition 50+4 -> 512 -> LayerNorm -> 50, projection and predictor 50 -> 100 -> 50."""
    module = build("spr", dim=50)
    assert parameters(module.transition) == (54 * 512 + 512) + 2 * 512 + (512 * 50 + 50)
    assert parameters(module.projection) == parameters(module.predictor) == (50 * 100 + 100) + (100 * 50 + 50)
    assert parameters(module) == parameters(module.transition) + 2 * parameters(module.projection)
    assert REGISTRY.get("auxiliary-loss", "spr").spec.build(AuxiliaryContext(SHAPE, 50, 4)).steps == 5


def test_sprs_momentum_projection_follows_and_no_optimiser_finds_it():
    module, batch = build("spr"), inputs()
    assert not list(module.averaged.parameters())
    assert {n for n in module.state_dict() if n.startswith("averaged")} == {
        f"averaged.{layer}.{part}" for layer in (0, 2) for part in ("weight", "bias")
    }
    module(batch)
    start = module.projection[0].weight.detach().clone()
    assert torch.equal(module.averaged[0].weight, start)
    with torch.no_grad():
        module.projection[0].weight.add_(1.0)
    module.eval()(batch)
    assert torch.equal(module.averaged[0].weight, start)
    module.train()(batch)
    torch.testing.assert_close(module.averaged[0].weight, start + 0.025)
    module(batch)
    torch.testing.assert_close(module.averaged[0].weight, start + 1 - 0.975**2)


def test_sprs_spread_tells_a_collapse():
    collapsed = identity_spr(1)
    fields = {"batch": 4, "steps": 1, "actions": torch.zeros(4, 1, 2), "encode": given(torch.ones(4, 2))}
    assert collapsed(inputs(**fields, momentum=given(torch.ones(4, 2))))[1]["spread"].item() == pytest.approx(0, abs=1e-6)
    around = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [0.0, -1.0]])
    assert collapsed(inputs(**fields, momentum=given(around)))[1]["spread"].item() == pytest.approx(1)


# -- autoencoder ------------------------------------------------------------------------------------------------------


def test_a_decoder_that_cannot_fit_into_memory_is_refused():
    with pytest.raises(ValueError, match="39,200 x 39,200 weights; take an encoder that projects"):
        build("autoencoder", FrameShape(1, 84, 84), dim=39_200)


def test_the_autoencoder_costs_error_and_length():
    """Pixels of 100 are level 12 of 32, -0.109375 with its middle; 255 is level 31. A decoder that always draws 0.25."""
    module = build("autoencoder", latent_penalty=0.5)
    zero(module.decoder, 0.25)
    frames = torch.full((2, 3, 3, 24, 24), 100, dtype=torch.uint8)
    frames[1] = 255
    z = torch.zeros(2, DIM)
    z[0, 0], z[1, 1] = 3.0, 1.0
    loss, metrics = module(inputs(batch=2, steps=1, frames=frames, encode=given(z)))
    dark, bright = 12.5 / 32 - 0.5, 31.5 / 32 - 0.5
    assert metrics["error"].item() == pytest.approx(((0.25 - dark) ** 2 + (0.25 - bright) ** 2) / 2)
    assert loss.item() == pytest.approx(metrics["error"].item() + 0.5 * (9 + 1) / 2 / 2, rel=1e-5)


def test_the_penalties_are_the_published_ones():
    module, batch = build("autoencoder"), inputs(encode=given(torch.full((4, DIM), 100.0)))
    loss, metrics = module(batch)
    decay = sum(p.square().sum().item() for p in module.parameters())
    extra = 1e-6 * 0.5 * DIM * 100**2 + 1e-7 * 0.5 * decay
    assert (loss - metrics["error"]).item() == pytest.approx(extra, rel=1e-2)


def test_the_decay_is_the_gradient_that_the_authors_optimiser_adds():
    gradients = []
    for decay in (0.0, 0.1):
        module = build("autoencoder", weight_decay=decay)
        batch = inputs()
        module(batch)[0].backward()
        gradients.append(module.decoder.linear.weight.grad)
    torch.testing.assert_close(gradients[1] - gradients[0], 0.1 * module.decoder.linear.weight.detach(), rtol=1e-3, atol=1e-6)


def test_noise_within_the_levels_would_change_no_gradient():
    """The published noise is uniform over a level. Its mean, over 1,000 even steps, against the level's middle."""
    module, batch = build("autoencoder", weight_decay=0.0, latent_penalty=0.0), inputs(batch=1)
    noise = (torch.arange(1000) + 0.5).div(1000).view(-1, 1, 1, 1)
    noisy = (batch.frames[:, :2].flatten(1, 2) // 8 + noise) / 32 - 0.5
    drawn = module.decoder(batch.encode(batch.frames[:, :2]))
    published, loss = (drawn - noisy).square().mean(), module(batch)[0]
    assert (published - loss).item() == pytest.approx((1 / 32) ** 2 / 12, rel=1e-2)
    weight = module.decoder.linear.weight
    torch.testing.assert_close(torch.autograd.grad(published, weight)[0], torch.autograd.grad(loss, weight)[0])


def test_the_decoder_is_the_authors():
    """For three frames of 84x84: 50 -> 35x35x32, three layers of 32 and one of 9; 2,029,545 parameters."""
    decoder = build("autoencoder", FrameShape(3, 84, 84), dim=50).decoder
    assert decoder.map == (32, 35, 35)
    assert parameters(decoder) == (50 * 39_200 + 39_200) + 3 * (32 * 32 * 9 + 32) + (32 * 9 * 9 + 9) == 2_029_545
    weight = decoder.convolutions[1].weight.detach()
    middle = weight[:, :, 1, 1]
    assert (weight != 0).flatten(2).any(0).any(0).tolist() == [False] * 4 + [True] + [False] * 4
    torch.testing.assert_close(middle @ middle.T, 2 * torch.eye(32), rtol=0, atol=1e-5)


SIZES = [(48, 48), (64, 64), (84, 84), (65, 50), (32, 33)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", ["autoencoder", "vae"])
def test_reconstructions_have_the_frames_shape(name, size):
    shape = FrameShape(2, *size)
    drawn = build(name, shape, dim=5).reconstruct(torch.randn(3, 5, generator=torch.Generator().manual_seed(0)))
    assert drawn.dtype == torch.uint8
    assert drawn.shape == (3, 2, 3, *size)


@pytest.mark.parametrize("name", ["autoencoder", "vae"])
def test_reconstructions_are_in_the_frames_scale(name):
    module = build(name)
    for bias in (-0.5, 0.0, 0.5):
        zero(module.decoder, bias)
        expected = (bias + 0.5 if name == "autoencoder" else 1 / (1 + math.exp(-bias))) * 255
        drawn = module.reconstruct(torch.zeros(1, DIM))
        assert drawn[0, 0, -1].float().mean().item() == pytest.approx(expected, abs=0.51)


# -- inverse dynamics -------------------------------------------------------------------------------------------------


def test_inverse_dynamics_costs_the_mean_squared_error():
    """A network that always answers 0.5. Errors of a step: the mean over its components."""
    module = build("inverse-dynamics", actions=2, steps=2)
    zero(module.net, 0.0)
    with torch.no_grad():
        module.net[-1].bias.fill_(0.5)
    actions = torch.tensor([[[0.5, -0.5], [1.0, 0.0]], [[0.5, 0.5], [-1.0, -1.0]]])
    for mask, expected in (([[1, 1], [1, 1]], (0.5 + 0.25 + 0 + 2.25) / 4), ([[1, 1], [1, 0]], (0.5 + 0.25 + 0) / 3)):
        batch = inputs(batch=2, steps=2, actions=actions, mask=torch.tensor(mask, dtype=torch.bool))
        loss, metrics = module(batch)
        assert loss.item() == pytest.approx(expected)
        assert metrics["error"].item() == pytest.approx(math.sqrt(expected))


def test_inverse_dynamics_sees_the_features_before_and_after():
    """A network that answers the difference of the features recovers actions that are that difference."""
    places = torch.tensor([[[0.0, 0.0], [0.25, 0.5], [1.0, 0.0]]])

    module = build("inverse-dynamics", dim=2, actions=2, steps=2)
    module.net = nn.Linear(4, 2, bias=False)
    with torch.no_grad():
        module.net.weight.copy_(torch.tensor([[-1.0, 0, 1, 0], [0, -1, 0, 1]]))
    batch = inputs(batch=1, steps=2, actions=places[:, 1:] - places[:, :-1], encode=given(places[0]))
    assert module(batch)[0].item() == 0


def test_both_features_of_a_transition_are_trained():
    module = build("inverse-dynamics", steps=1)
    z = torch.randn(8, DIM, generator=torch.Generator().manual_seed(0)).requires_grad_()
    module(inputs(steps=1, encode=given(z)))[0].backward()
    assert (z.grad.abs().sum(1) > 0).all()


# -- vae --------------------------------------------------------------------------------------------------------------


def test_the_vae_costs_likelihood_and_divergence():
    """A decoder that gives every pixel even odds: log 2 nats each. The divergence in closed form, against torch's own."""
    module = build("vae", beta=2.0)
    zero(module.decoder)
    mean, log_variance = torch.tensor([1.0, -2.0, 0.0, 0.5, 0.0, 0.0]), torch.tensor([0.0, -1.0, 2.0, 0.0, 0.0, 0.0])
    loss, metrics = module(inputs(encoder=Moments(mean, log_variance)))
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    kl = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(torch.zeros(6), torch.ones(6))).sum().item()
    assert kl == pytest.approx((1 + (4 + math.exp(-1) - 1 + 1) + (math.e**2 - 1 - 2) + 0.25) / 2)
    values = 2 * 3 * 24 * 24
    assert metrics["kl"].item() == pytest.approx(kl)
    assert metrics["reconstruction"].item() == pytest.approx(values * math.log(2), rel=1e-5)
    assert loss.item() == pytest.approx(math.log(2) + 2 * kl / values)


def test_the_vaes_likelihood_is_bernoullis():
    """Pixels of 51, a fifth, under odds of 3 : 1."""
    module = build("vae")
    zero(module.decoder, math.log(3))
    with torch.no_grad():
        module.decoder.convolutions[-1].bias.fill_(math.log(3))
    frames = torch.full((4, 5, 3, 24, 24), 51, dtype=torch.uint8)
    loss, metrics = module(inputs(frames=frames, encoder=Moments(torch.zeros(DIM), torch.zeros(DIM))))
    assert metrics["kl"].item() == 0
    assert loss.item() == pytest.approx(-(0.2 * math.log(0.75) + 0.8 * math.log(0.25)), rel=1e-5)


def test_the_vae_draws_with_the_posteriors_deviation():
    module = build("vae")
    seen = []
    module.decoder.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    mean, log_variance = torch.full((DIM,), 2.0), torch.full((DIM,), math.log(9.0))
    batch = inputs(encoder=Moments(mean, log_variance))
    module(batch)
    torch.testing.assert_close(seen[0], 2 + 3 * batch.normal)


def test_active_features_are_those_whose_mean_varies():
    module = build("vae")
    mean = torch.zeros(4, DIM)
    mean[:, 0] = torch.tensor([1.0, -1.0, 1.0, -1.0])
    mean[:, 3] = 5.0
    mean[0, 4] = 0.1  # a variance of 0.0025
    assert module(inputs(encoder=Moments(mean, torch.zeros(4, DIM))))[1]["active"] == 1


def train_vae(beta: float, updates: int = 120) -> dict[str, Tensor]:
    shape = FrameShape(1, 32, 32)
    torch.manual_seed(0)
    encoder = REGISTRY.get("encoder", "vae").spec.build(shape, dim=4)
    module = build("vae", shape, dim=4, beta=beta)
    frames = scenes(32, steps=1, size=32)["frames"]
    optimiser = torch.optim.Adam([*module.parameters(), *encoder.parameters()], lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    metrics = {}
    for _ in range(updates):
        optimiser.zero_grad()
        normal = torch.randn(32, 4, generator=generator)
        loss, metrics = module(inputs(batch=32, shape=shape, frames=frames, encoder=encoder, normal=normal))
        loss.backward()
        optimiser.step()
    return metrics


def test_the_default_beta_keeps_features_alive_and_a_literal_20_per_pixel_kills_them():
    """A beta of 20 beside an error averaged over pixels is 20 * 3,072 beside one summed over them."""
    alive, dead = train_vae(10 / 128), train_vae(20 * 3 * 32 * 32)
    assert alive["active"] >= 2
    assert dead["active"] == 0
    assert dead["kl"] < 0.1 * alive["kl"]


def vae_encoder(size: int, frames: int = 1, **options) -> nn.Module:
    torch.manual_seed(0)
    return REGISTRY.get("encoder", "vae").spec.build(FrameShape(frames, size, size), **options)


@pytest.mark.parametrize(("size", "flat"), [(32, 64), (48, 576), (64, 1024), (84, 2304)])
def test_the_vaes_encoder_at_each_size(size, flat):
    """For 48x48 the published one: 24,352 parameters in the convolutions, 3x3x64 = 576 into each of two linear layers."""
    encoder = vae_encoder(size, dim=7)
    assert parameters(encoder.convolutions) == (75 * 16 + 16) + (144 * 32 + 32) + (288 * 64 + 64) == 24_352
    assert parameters(encoder) == 24_352 + 2 * (flat * 7 + 7)
    frames = torch.randint(0, 256, (2, 1, 3, size, size), dtype=torch.uint8)
    mean, log_variance = encoder.moments(frames)
    assert mean.shape == log_variance.shape == (2, 7)
    assert torch.equal(encoder(frames), mean)
    assert log_variance.min() >= math.log(1e-3)


@pytest.mark.parametrize(("size", "smallest"), [(48, 3), (84, 6)])
def test_the_vaes_decoder_mirrors_its_encoder(size, smallest):
    decoder = build("vae", FrameShape(1, size, size), dim=4).decoder
    assert decoder.map == (64, smallest, smallest)
    drawn = decoder.convolutions(torch.zeros(1, *decoder.map))
    assert drawn.shape == (1, 3, size, size)


def test_the_two_moments_are_each_their_own_layers():
    """The mean is what acts; the variance is trained by a loss on it, which no loss on the features is."""
    encoder = vae_encoder(32)
    frames = torch.randint(0, 256, (4, 1, 3, 32, 32), dtype=torch.uint8)
    encoder(frames).sum().backward()
    assert encoder.log_variance.weight.grad is None
    mean, log_variance = encoder.moments(frames)
    (mean.sum() + log_variance.sum()).backward()
    assert all(p.grad is not None and p.grad.any() for p in encoder.parameters())


def test_frames_too_small_for_the_vaes_encoder_are_refused():
    with pytest.raises(ValueError, match="frames of 20x20: the convolutions need 23x23 or more"):
        vae_encoder(20)
    assert vae_encoder(23)(torch.zeros(1, 1, 3, 23, 23, dtype=torch.uint8)).shape == (1, 16)
