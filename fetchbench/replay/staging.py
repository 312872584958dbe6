"""From frames in host memory to a batch on the device, without waiting for either."""

from __future__ import annotations

import torch
from torch import Tensor


class Staging:
    """Two buffers in turn: while the device still copies from one, the next batch is gathered into the other.

    On a GPU the buffers are pinned, so that the copy is the device's own work and the host goes on.

    Args:
        device: Where batches are wanted.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pinned = device.type == "cuda"
        self._buffers: list[Tensor | None] = [None, None]
        self._copied: list[torch.cuda.Event | None] = [None, None]
        self._turn = 0

    def gather(self, stored: Tensor, index: Tensor) -> Tensor:
        """Rows of a tensor in host memory, on the device.

        Args:
            stored: ``(N, *item)``.
            index: ``int64 (n,)``, in host memory.

        Returns:
            ``(n, *item)`` on the device; the copy may still be under way there.
        """
        self._turn = 1 - self._turn
        copied = self._copied[self._turn]
        if copied is not None:
            copied.synchronize()  # two batches ago: done long since
        buffer = self._buffers[self._turn]
        shape = (len(index), *stored.shape[1:])
        if buffer is None or buffer.shape != shape:
            buffer = torch.empty(shape, dtype=stored.dtype, pin_memory=self._pinned)
            self._buffers[self._turn] = buffer
        torch.index_select(stored, 0, index, out=buffer)
        rows = buffer.to(self._device, non_blocking=True, copy=True)
        if self._pinned:
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record()
            self._copied[self._turn] = event
        return rows
