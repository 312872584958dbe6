"""From frames in host memory to a batch on the device, without waiting for either."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class _Pair:
    """Two buffers of one shape, the events at which their last copies are done, and which was used last."""

    buffers: list[Tensor]
    copied: list[torch.cuda.Event | None] = field(default_factory=lambda: [None, None])
    turn: int = 0


class Staging:
    """Two buffers in turn, of each shape: while the device still copies from one, the next batch is gathered into the other.

    On a GPU the buffers are pinned, so that the copy is the device's own work and the host goes on.

    Args:
        device: Where batches are wanted.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pinned = device.type == "cuda"
        self._pairs: dict[tuple[int, ...], _Pair] = {}

    def gather(self, stored: Tensor, index: Tensor) -> Tensor:
        """Rows of a tensor in host memory, on the device.

        Args:
            stored: ``(N, *item)``.
            index: ``int64 (n,)``, in host memory.

        Returns:
            ``(n, *item)`` on the device; the copy may still be under way there.
        """
        shape = (len(index), *stored.shape[1:])
        pair = self._pairs.get(shape)
        if pair is None:
            made = [torch.empty(shape, dtype=stored.dtype, pin_memory=self._pinned) for _ in range(2)]
            pair = self._pairs[shape] = _Pair(made)
        pair.turn = 1 - pair.turn
        copied, buffer = pair.copied[pair.turn], pair.buffers[pair.turn]
        if copied is not None:
            copied.synchronize()  # two batches of this shape ago: done long since
        torch.index_select(stored, 0, index, out=buffer)
        rows = buffer.to(self._device, non_blocking=True, copy=True)
        if self._pinned:
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record()
            pair.copied[pair.turn] = event
        return rows
