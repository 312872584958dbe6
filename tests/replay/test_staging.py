"""Frames that are kept apart from the networks reach the batch as they are."""

from __future__ import annotations

import torch

from fetchbench.replay.staging import Staging


def test_rows_are_the_stored_ones_and_stay_when_the_buffers_are_used_again():
    stored = torch.arange(40, dtype=torch.uint8).reshape(10, 4)
    staging = Staging(torch.device("cpu"))
    batches = [torch.randint(0, 10, (6,), generator=torch.Generator().manual_seed(i)) for i in range(5)]
    rows = [staging.gather(stored, index) for index in batches]
    for index, found in zip(batches, rows, strict=True):
        assert torch.equal(found, stored[index])


def test_batches_of_another_size():
    stored = torch.arange(40).reshape(10, 4)
    staging = Staging(torch.device("cpu"))
    for size in (3, 3, 5, 1):
        index = torch.arange(size)
        assert torch.equal(staging.gather(stored, index), stored[:size])
