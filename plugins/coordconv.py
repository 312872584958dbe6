"""Coordinate channels for any convolutional encoder's first layer (Liu et al. 2018, arXiv:1807.03247).

The wrapped encoder's first convolution sees two more channels: x and y, from -1 at the first column and row to 1 at the last;
with ``radius``, also sqrt(x^2 + y^2), the distance from the middle. They join what that convolution was given, after the
encoder's own scaling of the pixels, and once for the whole stack, not once a frame. They tell the place in the frame that the
encoder sees: under a random shift, in the shifted frame.

Changed: the first layer alone has them, where the paper also builds networks of several such layers. Added: each new weight is
drawn from the layer's old ones, so that it has their distribution, however the encoder initialises.
"""

import copy

import torch
from torch import Tensor, nn

from fetchbench import EncoderSpec, FrameShape, hookimpl


def coordinates(height: int, width: int, radius: bool, like: Tensor) -> Tensor:
    """``(2 or 3, H, W)``: x (right is positive), y (down is positive), and the distance from the middle."""
    x = torch.linspace(-1, 1, width, dtype=like.dtype, device=like.device).expand(height, width)
    y = torch.linspace(-1, 1, height, dtype=like.dtype, device=like.device)[:, None].expand(height, width)
    return torch.stack([x, y, (x.square() + y.square()).sqrt()] if radius else [x, y])


class CoordConv(nn.Module):
    """A convolution that is given coordinate channels behind its input's own.

    Args:
        convolution: The layer to extend; its old weights stay as they are. It becomes part of this module.
        radius: Whether to add the distance from the middle.
    """

    def __init__(self, convolution: nn.Conv2d, radius: bool) -> None:
        super().__init__()
        self.radius = radius
        channels = 3 if radius else 2
        weight = convolution.weight
        outputs, inputs, *kernel = weight.shape
        with torch.no_grad():
            drawn = weight.flatten()[torch.randint(weight.numel(), (outputs, channels, *kernel))]
            extended = torch.cat([weight, drawn.to(weight.dtype)], dim=1)
        convolution.weight = nn.Parameter(extended, requires_grad=weight.requires_grad)
        convolution.in_channels = inputs + channels
        self.convolution = convolution

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` -> what the convolution makes of ``(B, C + 2, H, W)``, or ``C + 3`` with the radius."""
        # Nothing is kept between calls: the next frames may have another size.
        places = coordinates(x.shape[2], x.shape[3], self.radius, like=x)
        return self.convolution(torch.cat([x, places.expand(len(x), -1, -1, -1)], dim=1))


def with_coordinates(shape: FrameShape, inner: nn.Module, radius: bool = False) -> nn.Module:
    """A copy of an encoder whose first convolution sees coordinates; what else the encoder offers, the copy offers too.

    Args:
        shape: Of the frames; not needed, the coordinates fit whatever comes.
        inner: The encoder to wrap. First is the ``nn.Conv2d`` that it registered first.
        radius: Whether to add the distance from the middle.

    Raises:
        ValueError: The encoder has no two-dimensional convolution, or the first one is grouped.
    """
    inner = copy.deepcopy(inner)
    first = next((module for module in inner.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None:
        raise ValueError(
            f"{type(inner).__name__} has no two-dimensional convolution (nn.Conv2d) to which coordinates could be given; "
            "wrap an encoder that begins with one, as in 'coordconv(manipulation)'"
        )
    if first.groups > 1:
        raise ValueError(
            f"{type(inner).__name__}: its first convolution has {first.groups} groups of channels, and coordinates belong to "
            "none of them; wrap an encoder that begins with a plain convolution, as in 'coordconv(manipulation)'"
        )
    extended = CoordConv(first, radius)
    for parent in list(inner.modules()):
        for name, child in parent.named_children():
            if child is first:
                setattr(parent, name, extended)
    return inner


@hookimpl
def fetchbench_encoders():
    yield EncoderSpec(
        name="coordconv",
        build=with_coordinates,
        summary="gives the first convolution of another encoder the coordinates of its input",
        source="arXiv:1807.03247",
        preprocessing="the wrapped encoder's",
        wraps=True,
    )
