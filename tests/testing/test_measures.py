"""The instruments read what they should."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from fetchbench.specs import FrameShape, GradientRoutingSpec, Schedule
from fetchbench.testing import frames, measures, trial


@pytest.mark.parametrize(
    ("run", "drawn"),
    [
        (lambda: torch.rand(1, generator=torch.Generator()), ""),
        (lambda: torch.rand(1), "torch's"),
        (lambda: np.random.rand(), "numpy's"),
        (lambda: (random.random(), torch.rand(1)), "torch's and Python's"),
    ],
)
def test_draws_from_global_generators_are_seen_and_undone(run, drawn):
    before = torch.get_rng_state(), random.getstate()
    assert measures.watched(run)[1] == drawn
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]


@pytest.mark.parametrize(
    ("run", "found"),
    [
        (lambda x: x.sum().item(), "a value is read in Python"),
        (lambda x: 1 if x.mean() > 0 else 2, "a value is read in Python"),
        (lambda x: x[x > 0], "a shape depends on values"),
        (lambda x: torch.where(x > 0, x, -x).clamp(0, 1), None),
        (lambda x: x.reshape(-1, x.shape[0] // 2), None),
    ],
)
def test_reads_on_the_host_are_found_without_a_gpu(run, found):
    x = torch.randn(4, 4)
    seen = measures.reads_on_host(lambda: run(x))
    assert (seen is None) if found is None else seen.startswith(found)


def test_differences_are_relative_to_the_largest_value():
    a = torch.tensor([100.0, 1.0])
    assert measures.difference(a, a) == 0
    assert measures.difference(a, a + torch.tensor([0.0, 1.0])) == pytest.approx(0.01)
    assert measures.difference(a, a[:1]) == measures.difference(a, a * float("nan")) == float("inf")


def test_a_parameter_behind_a_zero_is_reached_once_it_is_nudged_and_one_that_is_left_out_is_not():
    net = nn.ModuleDict({"first": nn.Linear(2, 2), "zero": nn.Linear(2, 2, bias=False), "idle": nn.Linear(2, 2)})
    nn.init.zeros_(net["zero"].weight)

    def loss() -> torch.Tensor:
        return net["zero"](net["first"](torch.ones(1, 2))).sum()

    idle = ["idle.weight", "idle.bias"]
    assert measures.unreached(net, loss) == ["first.weight", "first.bias", *idle]
    measures.nudge(net)
    assert measures.unreached(net, loss) == idle


def test_real_frames_are_stacks_of_consecutive_states():
    found, problem = frames.scenes(FrameShape(3, 32, 32), 16)
    assert problem == ""
    assert found.shape == (16, 3, 3, 32, 32)
    assert found.dtype == torch.uint8
    assert not torch.equal(found[0, 0], found[0, 2])
    assert not torch.equal(found[0], found[-1])


def test_a_trial_audits_each_stage_of_a_schedule():
    routing = GradientRoutingSpec("later", critic=1, actor=Schedule((("a", 0, 0.0), ("b", 7, 2.0))), auxiliary=0)
    assert trial.stages(routing) == [0, 7]
    assert trial.pattern(routing) == {(1, True, False, False), (1, True, True, False)}
    from fetchbench.testing.stand_ins import stand_in_encoder

    made = trial.Trial(("encoder", stand_in_encoder()), ("gradient-routing", routing), size=32)
    audits = list(trial.audited(made))
    assert [audit.updates for audit in audits] == [0, 7]
    assert [audit.gradient_norm["actor -> encoder"] is None for audit in audits] == [True, False]
