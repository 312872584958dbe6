"""R3M: residual networks trained on egocentric video, by time contrast and language (Nair et al. 2022, arXiv:2203.12601).

The network is torchvision's ResNet-18, 34 or 50 without its classifier; a frame's features are the last block's channels,
averaged over the image. Three layouts of a checkpoint are read: that of training, ``{"r3m": ...}`` with DataParallel's prefix
and the language head (https://pytorch.s3.amazonaws.com/models/rl/r3m/r3m_18.pt and the authors' Google Drive), that of the
first author's repositories on the hub (``convnet.*``), and a plain ResNet's. A classifier in the file is refused: it would be
ImageNet's network under R3M's name.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from fetchbench import EncoderSpec, FrameShape, Preprocessing, WeightsSpec, hookimpl, load_weights

CROP = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LANGUAGE = ("lang_enc.", "lang_rew.")
SHA256 = {50: "eb7cfd6b5309310738e47da21091faa38c361f6581ce62cd5247eb5b1a14da8a"}
"""Of the hub's files, where it is known."""


def published(depth: int) -> WeightsSpec:
    repository = f"surajnair/r3m-{depth}"
    return WeightsSpec(
        file=f"r3m-{depth}.bin",
        url=f"https://huggingface.co/{repository}/resolve/main/pytorch_model.bin",
        licence="MIT",
        sha256=SHA256.get(depth),
        hub=f"{repository}/pytorch_model.bin",
    )


def select(content: dict[str, Any]) -> dict[str, Tensor]:
    """A checkpoint's content in any of the three layouts -> the ResNet's state dict."""
    state = {key.removeprefix("module."): value for key, value in content.get("r3m", content).items()}
    return {key.removeprefix("convnet."): value for key, value in state.items() if not key.startswith(LANGUAGE)}


class R3M(nn.Module):
    """ResNet of a depth of 18, 34 or 50 layers. It stays in evaluation mode: BatchNorm's statistics are the authors'."""

    def __init__(self, depth: int, weights: str) -> None:
        super().__init__()
        import timm  # here, because it takes seconds

        self.depth = depth
        self.preprocessing = Preprocessing(CROP, MEAN, STD)
        # As torchvision starts them, the random control's residual branches are alive.
        self.network = timm.create_model(f"resnet{depth}", pretrained=False, num_classes=0, zero_init_last=False)
        load_weights(self.network, weights, published(depth), select)
        self.train()

    def train(self, mode: bool = True) -> "R3M":
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, frames: Tensor) -> Tensor:
        """``uint8 (B, 1, 3, 256, 256)`` -> ``float32 (B, 512)``, or ``(B, 2048)`` with 50 layers."""
        return self.network(self.preprocessing(frames))


@torch.no_grad()
def reference(encoder: R3M, frames: Tensor) -> Tensor:
    """What the authors' package (github.com/facebookresearch/r3m) makes of the same weights and frames."""
    from r3m.models.models_r3m import R3M as Theirs  # noqa: N811

    theirs = Theirs(device="cpu", lr=0.0, hidden_dim=1024, size=encoder.depth, langweight=0.0)
    theirs.convnet.load_state_dict(encoder.network.state_dict())
    images = frames.flatten(0, 1).float().cpu()
    # Their preprocessing resizes and crops only where it is told that the image has another size than 224.
    return theirs.eval()(images, obs_shape=list(images.shape[1:])).to(frames.device)


def build_of(depth: int) -> Callable[..., nn.Module]:
    def build(shape: FrameShape, weights: str = "published") -> nn.Module:
        return R3M(depth, weights)

    return build


@hookimpl
def fetchbench_encoders():
    for depth in (18, 34, 50):
        yield EncoderSpec(
            name=f"r3m-{depth}",
            build=build_of(depth),
            summary=f"R3M's ResNet-{depth}, trained on egocentric video with language",
            source="arXiv:2203.12601; github.com/facebookresearch/r3m",
            input="frame",
            frame_size=256,
            preprocessing="centre crop of 224, divided by 255, ImageNet's mean and deviation",
            weights=published(depth),
            reference=reference,
            trunk=50,
        )
