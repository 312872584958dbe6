"""Random streams: separate, reproducible, and the same for all methods."""

from __future__ import annotations

import torch

from fetchbench.run.prepare import build_request
from fetchbench.run.streams import STREAMS, Generators, evaluation_seed, reset_seed, stream_seed

from .conftest import make_request


def test_streams_are_apart():
    seeds = {stream_seed(task, seed, name) for task in ("FetchReach-v4", "FetchPush-v4") for seed in (0, 1) for name in STREAMS}
    assert len(seeds) == 4 * len(STREAMS)


def test_the_protocols_seeds_stay_what_they_are():
    """Changing them changes every result: raise PROTOCOL_VERSION, then mend these."""
    assert stream_seed("FetchReach-v4", 0, "encoder") == 4252986912887004896
    assert reset_seed("FetchReach-v4", 0, 0) == 2202216812
    assert evaluation_seed("FetchReach-v4", 0, 0, 0) == 1559580057


def test_evaluation_episodes_are_no_training_episodes():
    training = {reset_seed("FetchPush-v4", 3, i) for i in range(5000)}
    evaluation = {evaluation_seed("FetchPush-v4", 3, e, i) for e in range(50) for i in range(100)}
    assert len(training) == len(evaluation) == 5000
    assert not training & evaluation
    assert max(training | evaluation) < 2**32


def test_a_state_is_all_a_generator_needs():
    a, b = Generators("FetchReach-v4", 0), Generators("FetchReach-v4", 0)
    torch.rand(3, generator=a["noise"])
    b.load_state_dict(a.state_dict())
    for name in Generators.names:
        assert torch.equal(torch.rand(4, generator=a[name]), torch.rand(4, generator=b[name]))


def test_another_encoder_leaves_the_heads_initial_weights_alone(registry):
    """With equal feature widths the heads begin equal, bit for bit."""
    one = build_request(make_request(registry, "manipulation"), registry).learner
    method = make_request(registry, "spatial-softmax").method
    encoder = method.encoder.model_copy(update={"options": {"filters": 25}})  # 50 coordinates
    other_request = make_request(registry).model_copy(update={"method": method.model_copy(update={"encoder": encoder})})
    other = build_request(other_request, registry).learner
    for head in ("actor", "critic"):
        for a, b in zip(getattr(one, head).parameters(), getattr(other, head).parameters(), strict=True):
            assert torch.equal(a, b)


def test_another_seed_changes_them(registry):
    one, other = (build_request(make_request(registry, seed=seed), registry).learner for seed in (0, 1))
    for name in ("actor", "critic", "encoder"):
        pairs = zip(one.modules()[name].parameters(), other.modules()[name].parameters(), strict=True)
        assert any(not torch.equal(a, b) for a, b in pairs)
