"""Plugins with the faults that authors make: the kit names each by the right check, and finds nothing else wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetchbench.testing import check_plugin

BROKEN = Path(__file__).with_name("broken")

FAULTS = {
    # encoders
    "batch_norm": ("batch independence", "in training mode an element's features change with the others of its batch, by"),
    "constant": ("not collapsed", "of their magnitude: they are as good as constant"),
    "detached": ("gradient", "no gradient reaches convolution.weight, convolution.bias (2 of 4 parameters)"),
    "double_precision": ("output", "returns torch.float64; it must return torch.float32"),
    "dropout": ("determinism", "forward draws from torch's global random generator in training mode"),
    "fixed_size": ("frame sizes", "works with 2x64x64, not with 4x84x84"),
    "in_place": ("input unchanged", "forward changes the frames that it is given"),
    "moving_statistics": ("frozen means frozen", "seen change when a frozen encoder is run"),
    "needs_option": ("options", "missing a required argument: 'dim'; its options: dim"),
    "raises": ("output", "AttributeError: 'Broken' object has no attribute 'convolutions' (raises.py, line 20)"),
    "reads_values": ("CUDA graph", "a value is read in Python"),
    "shared_layer": ("copies", "a deep copy and the module still share tensors"),
    "squeezed": ("output", "returns torch.float32 (8,) for frames (1, 2, 3, 64, 64)"),
    "standardised": ("finite", "features of a black frame are not finite"),
    "uncached_frames": ("batch independence", "features change with the others of its batch"),
    "unregistered": ("state dict", "read back from its state dict, features differ by"),
    "wrong_rank": ("output", "it must return (2, dim): flatten everything but the batch axis"),
    # augmentations
    "draws_itself": ("determinism", "called, it draws from torch's global random generator"),
    "floating": ("output", "returns torch.float32 (3, 3, 3, 64, 64), not torch.uint8"),
    "ignores_draws": ("draws", "none of its draws matters"),
    "uncropped": ("output", "evaluate on frames (3, 3, 3, 72, 72) returns torch.uint8 (3, 3, 3, 72, 72), not"),
    # auxiliary losses
    "ignores_mask": ("mask", "frames and actions behind the end of an episode change the loss"),
    "per_element": ("output", "the loss is a tensor (6,), not a scalar tensor"),
    "undeclared": ("output", "it uses the encoder's moments, which its spec does not require"),
    "without_encoder": ("gradient", "no gradient reaches the encoder"),
    # gradient routings and goal spaces
    "half_separate": ("data", "with two encoders, no loss trains the actor's"),
    "reads_observations": ("output", "reward is not finite"),
    "reads_positions": ("output", "reward is not finite"),
    "wrong_reward": ("relabelling", "rewards are not the task's"),
    # plugins that do not load
    "bad_number": ("load", "gradient routing 'broken-bad-number': actor = -0.5: must be a number, 0 or more (line 8)"),
    "duplicate_name": ("load", "gradient routing 'critic' is already provided by fetchbench"),
    "import_error": ("load", "ModuleNotFoundError: No module named 'fetchbench_imaginary_backbones' (line 3)"),
    "unknown_hook": ("load", "unknown hook 'fetchbench_routings'; did you mean 'fetchbench_gradient_routings'?"),
}
"""File -> the check that must find its fault, and what it must say."""


@pytest.mark.parametrize("name", FAULTS)
def test_its_fault_is_named_and_nothing_else(name):
    problems = check_plugin(BROKEN / f"{name}.py").problems
    check, text = FAULTS[name]
    assert [(finding.check, text in finding.text) for finding in problems] == [(check, True)], "\n".join(map(str, problems))
    assert problems[0].advice or "; " in problems[0].text or ": " in problems[0].text


def test_every_broken_plugin_is_here():
    assert {path.stem for path in BROKEN.glob("*.py")} == FAULTS.keys()
