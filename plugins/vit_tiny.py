"""A small vision transformer, from scratch (Dosovitskiy et al. 2021, arXiv:2010.11929; the width of DeiT-Ti, arXiv:2012.12877).

The network is timm's. Kept from ViT-Ti: width 192, three heads of 64, MLPs of four times the width, learned positions, a class
token, whose last normalised state is the features. Changed: 4 blocks in place of 12; patches that fit small frames; the first
layer sees all frames of the stack; no head, no dropout, no stochastic depth. Pixels are scaled to [-1, 1].
"""

import math

from torch import Tensor, nn

from fetchbench import EncoderSpec, FrameShape, hookimpl

HEAD = 64
"""Width of one attention head in ViT-Ti, ViT-S and ViT-B."""


class ViTTiny(nn.Module):
    """Patches, ``depth`` transformer blocks, the class token.

    Args:
        shape: Of the frames.
        patch: Side of a patch, in pixels, which must divide height and width. By default the largest that leaves seven patches
            or more along the shorter side: 12 for 84x84, 8 for 64x64.
        depth: Transformer blocks.
        dim: Width of the tokens and of ``z``; one attention head for each 64.

    Raises:
        ValueError: A patch or a width that does not divide, or no patch that would.
    """

    def __init__(self, shape: FrameShape, patch: int | None = None, depth: int = 4, dim: int = 192) -> None:
        super().__init__()
        # Here, because importing timm takes seconds, and most who load this file build something else.
        from timm.models.vision_transformer import VisionTransformer

        frames, channels, height, width = shape
        if dim < HEAD or dim % HEAD:
            raise ValueError(f"dim = {dim}: must be a multiple of {HEAD}, the width of a head")
        self.transformer = VisionTransformer(
            img_size=(height, width),
            patch_size=fitting_patch(height, width) if patch is None else checked_patch(patch, height, width),
            in_chans=frames * channels,
            num_classes=0,
            embed_dim=dim,
            depth=depth,
            num_heads=dim // HEAD,
        )

    def forward(self, frames: Tensor) -> Tensor:
        """``uint8 (B, F, 3, H, W)`` -> ``float32 (B, dim)``."""
        return self.transformer(frames.flatten(1, 2) / 127.5 - 1)  # (B, F * 3, H, W) in


def fitting_patch(height: int, width: int) -> int:
    """The largest patch that divides both sides and leaves seven or more along the shorter."""
    fitting = [p for p in range(4, min(height, width) // 7 + 1) if math.gcd(height, width) % p == 0]
    if not fitting:
        raise ValueError(
            f"frames of {height}x{width} pixels: no patch of 4 or more pixels divides both sides and leaves seven along "
            "the shorter; choose another size of frames, or the option patch"
        )
    return fitting[-1]


def checked_patch(patch: int, height: int, width: int) -> int:
    """The patch that was asked for, if it divides both sides."""
    if patch < 1 or height % patch or width % patch:
        raise ValueError(f"patch = {patch}: must divide the frames' height {height} and width {width}")
    return patch


@hookimpl
def fetchbench_encoders():
    yield EncoderSpec(
        name="vit-tiny",
        build=ViTTiny,
        summary="vision transformer of width 192 and four blocks, from scratch",
        source="arXiv:2010.11929; arXiv:2012.12877; timm",
        preprocessing="scaled to [-1, 1]",
    )
