"""DrQ-v2's encoder, as published (Yarats et al. 2021, arXiv:2107.09645).

Taken from the authors' code (github.com/facebookresearch/drqv2): four 3x3 convolutions of 32 filters, strides 2, 1, 1, 1, no
padding, a ReLU after each; pixels divided by 255, minus 0.5; orthogonal weights with ReLU's gain, no bias at the start. The
features are the last map itself, flattened: 35x35x32 = 39,200 at 84x84. Each head has its own Linear-LayerNorm-tanh to 50, the
default ``trunk`` here. Nothing is changed. The rest of the method is a suite's to say: routing ``critic``,
``target_features = "online"`` (there is no averaged encoder), a random shift of 4 pixels, and a stack of 3 frames. The heads'
own weights, the trunk's with them, start as PyTorch's, where the authors' are orthogonal.
"""

from torch import Tensor, nn

from fetchbench import EncoderSpec, FrameShape, hookimpl


class DrQv2(nn.Module):
    """Four 3x3 convolutions without padding, flattened."""

    def __init__(self, shape: FrameShape, filters: int = 32) -> None:
        super().__init__()
        frames, channels, height, width = shape
        if min(height, width) < 15:
            raise ValueError(f"frames of {height}x{width} pixels: four convolutions without padding need 15x15 or more")
        layers: list[nn.Module] = []
        inputs = frames * channels
        for stride in (2, 1, 1, 1):
            layers += [nn.Conv2d(inputs, filters, 3, stride=stride), nn.ReLU()]
            inputs = filters
        self.convolutions = nn.Sequential(*layers)
        for layer in self.convolutions:
            if isinstance(layer, nn.Conv2d):
                nn.init.orthogonal_(layer.weight, nn.init.calculate_gain("relu"))
                nn.init.zeros_(layer.bias)

    def feature_map(self, frames: Tensor) -> Tensor:
        """``uint8 (B, F, 3, H, W)`` -> ``(B, filters, (H - 1) // 2 - 6, (W - 1) // 2 - 6)``."""
        x = (frames.flatten(1, 2) / 255).sub_(0.5)  # (B, F * 3, H, W)
        return self.convolutions(x)

    def forward(self, frames: Tensor) -> Tensor:
        """``uint8 (B, F, 3, H, W)`` -> ``float32 (B, dim)``; dim is 39,200 at 84x84."""
        return self.feature_map(frames).flatten(1)


@hookimpl
def fetchbench_encoders():
    yield EncoderSpec(
        name="drqv2",
        build=DrQv2,
        summary="four 3x3 convolutions without padding, flattened; the heads project",
        source="arXiv:2107.09645; github.com/facebookresearch/drqv2",
        preprocessing="divided by 255, minus 0.5",
        trunk=50,
    )
