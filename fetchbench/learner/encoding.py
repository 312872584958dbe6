"""How encoders are run: precision, memory format, compiler. The rest of the update never asks."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fetchbench.errors import PluginError, one_line
from fetchbench.records.schema import Execution

Encode = Callable[[Tensor], Tensor]

ALIGNMENT = 8
"""Tensor cores take bfloat16 channels in groups of so many."""


class AlignedConv2d(nn.Conv2d):
    """A convolution whose input channels are filled up with zeros for the tensor cores: the sums stay what they are.

    Without it cuDNN fills up the 12 channels of four stacked frames itself, in passes of its own over the whole batch: a sixth
    of an update on an H200.
    """

    def forward(self, input: Tensor) -> Tensor:
        missing = -self.in_channels % ALIGNMENT
        if not missing or not torch.is_autocast_enabled(input.device.type):
            return super().forward(input)
        filled = F.pad(input, (0, 0, 0, 0, 0, missing))
        weight = F.pad(self.weight, (0, 0, 0, 0, 0, missing))
        return F.conv2d(filled, weight, self.bias, self.stride, self.padding, self.dilation)

    @classmethod
    def adopt(cls, module: nn.Module) -> None:
        """Make aligned convolutions of all plain ones in a module that gain by it; their parameters stay their own."""
        for part in module.modules():
            if type(part) is nn.Conv2d and part.groups == 1 and part.padding_mode == "zeros" and part.in_channels % ALIGNMENT:
                part.__class__ = cls


class Passes:
    """Runs encoders as an :class:`~fetchbench.records.schema.Execution` says.

    ``bfloat16`` is autocast around the encoder alone: weights, optimiser, heads and losses stay float32, and so does acting.
    Anything but plain float32 keeps the encoders' weights in channels-last order, which is how fast convolutions want them,
    and on a GPU bfloat16 fills up their channels (:class:`AlignedConv2d`).

    Args:
        execution: Precision and compile mode.
    """

    def __init__(self, execution: Execution) -> None:
        self._device = execution.device
        self._lowered = execution.precision == "bfloat16"
        self._compiles = execution.compiles
        self._plain = not self._lowered and not self._compiles
        self._compiled: dict[int, Encode] = {}

    def place(self, encoder: nn.Module) -> None:
        """Bring an encoder's weights into the order that its passes want, in place."""
        if self._plain:
            return
        for tensor in itertools.chain(encoder.parameters(), encoder.buffers()):
            if tensor.dim() == 4:  # the order is one of images and of two-dimensional filters alone
                tensor.data = tensor.data.to(memory_format=torch.channels_last)
        if self._lowered and self._device == "cuda":
            AlignedConv2d.adopt(encoder)

    def __call__(self, encoder: nn.Module, frames: Tensor) -> Tensor:
        """``uint8 (B, F, 3, H, W)`` -> ``float32 (B, dim)``.

        Raises:
            PluginError: torch.compile cannot compile the encoder here.
        """
        if self._plain:
            z: Tensor = encoder(frames)
            return z
        lowered = torch.autocast(self._device, torch.bfloat16) if self._lowered else contextlib.nullcontext()
        with lowered:
            return (self._run_compiled(encoder, frames) if self._compiles else encoder(frames)).float()

    def _run_compiled(self, encoder: nn.Module, frames: Tensor) -> Tensor:
        from torch._dynamo.exc import TorchDynamoException

        run = self._compiled.get(id(encoder))
        if run is None:
            _configure_compiler()
            run = self._compiled[id(encoder)] = torch.compile(encoder, dynamic=False)
        try:
            return run(frames)
        except TorchDynamoException as error:
            name = type(encoder).__name__
            raise PluginError(
                f"torch.compile cannot compile the encoder {name}: {one_line(error)}; "
                "delete the run's folder and run the suite with --compile none"
            ) from error


def _configure_compiler() -> None:
    """Set what the compiler's defaults would break or hide."""
    import torch._dynamo.config
    import torch._functorch.config

    # A compiled backward may else overwrite what the routing audit, which asks for gradients twice, still needs.
    torch._functorch.config.donated_buffer = False
    # All encoders of a method share one count, by shape and mode; beyond the limit they would silently run uncompiled.
    torch._dynamo.config.recompile_limit = 64
