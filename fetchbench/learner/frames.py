"""Frames moved about, as augmentations and auxiliary losses do."""

from __future__ import annotations

import torch
from torch import Tensor


def random_shift(frames: Tensor, draws: Tensor, pad: int = 4) -> Tensor:
    """DrQ's random shift: the border pixels repeated ``pad`` times on every side, then a window cut out, one per stack.

    The window's left edge is ``floor((2 pad + 1) * draws[:, 0])`` pixels into the padded frame, its top edge likewise
    by ``draws[:, 1]``: uniform over the ``2 pad + 1`` whole-pixel offsets of each axis. An offset of 0 moves the scene
    right or down by ``pad`` pixels, one of ``pad`` leaves it where it is.

    Args:
        frames: ``uint8`` or floating point ``(B, F, 3, H, W)``, any F. Not changed.
        draws: ``float32 (B, 2)``, uniform in [0, 1): horizontal, vertical. All frames of a stack move alike.
        pad: The largest shift, in pixels.

    Returns:
        The shifted frames, same shape and type. No gradient flows through them.

    Raises:
        ValueError: The shapes do not fit, ``pad`` is negative, or the frames require a gradient.

    Source: Kostrikov et al. 2020, arXiv:2004.13649; github.com/denisyarats/drq (ReplicationPad2d, then RandomCrop).
    """
    if frames.ndim != 5:
        raise ValueError(f"frames {tuple(frames.shape)}: must be (B, F, 3, H, W)")
    if tuple(draws.shape) != (len(frames), 2):
        raise ValueError(f"draws {tuple(draws.shape)}: a shift of {len(frames)} stacks takes ({len(frames)}, 2)")
    if not isinstance(pad, int) or pad < 0:
        raise ValueError(f"pad = {pad!r}: must be an integer, 0 or more pixels")
    if frames.requires_grad:
        raise ValueError("frames require a gradient, which a shift does not pass on: detach them")
    height, width = frames.shape[-2:]
    offsets = (draws * (2 * pad + 1)).long()  # (B, 2)
    # Only the columns are padded; a row beyond the border is the border row read once more.
    repeated = (-1, -1, -1, -1, pad)
    wide = torch.cat([frames[..., :1].expand(repeated), frames, frames[..., -1:].expand(repeated)], dim=-1).contiguous()
    rows = (torch.arange(height, device=frames.device) + offsets[:, 1:] - pad).clamp(0, height - 1)  # (B, H)
    return _windows(wide, rows, offsets[:, 0], width)


def _windows(frames: Tensor, rows: Tensor, left: Tensor, width: int) -> Tensor:
    """Cut from each stack the given rows, ``width`` pixels from column ``left`` on.

    Every row of the result is one unbroken run of memory. Copied run by run, on a CPU this takes a fifth of the time of a
    gather pixel by pixel.

    Args:
        frames: ``(B, F, C, H, W)``, contiguous.
        rows: ``int64 (B, height)``, in [0, H).
        left: ``int64 (B,)``, in [0, W - width].
        width: Of the windows, in pixels.

    Returns:
        ``(B, F, C, height, width)``.
    """
    batch, stack, channels, height, full = frames.shape
    images = torch.arange(batch * stack * channels, device=frames.device).view(batch, -1, 1)
    starts = (images * height + rows[:, None]) * full + left[:, None, None]  # (B, F * C, height)
    # Row i of this view is the run that starts at pixel i: its rows overlap, and nothing is copied yet.
    runs = frames.as_strided((frames.numel() - width + 1, width), (1, 1))
    return runs.index_select(0, starts.flatten()).view(batch, stack, channels, rows.shape[1], width)
