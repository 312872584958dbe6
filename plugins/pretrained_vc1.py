"""VC-1: vision transformers trained as masked autoencoders on egocentric video (Majumdar et al. 2023, arXiv:2303.18240).

ViT-B/16 and ViT-L/16 with a class token; the published files also hold the autoencoder's decoder, which is left out. Tensors
without an outer ``"model"`` are read too, for ``facebook/vc1-large-permissive``, the large network under MIT: give the file's
path. Not taken over: the RL experiments of the paper read the patch tokens through a layer of their own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fetchbench import EncoderSpec, FrameShape, Preprocessing, WeightsSpec, hookimpl, load_weights

CROP = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PRETRAINING_ONLY = ("decoder", "mask_token")


@dataclass(frozen=True)
class Size:
    """One of the two networks: timm's name, the authors' function that builds it, and the checkpoint."""

    network: str
    theirs: str
    published: WeightsSpec


def published(file: str, repository: str, sha256: str) -> WeightsSpec:
    return WeightsSpec(
        file=file,
        url=f"https://huggingface.co/{repository}/resolve/main/pytorch_model.bin",
        licence="CC-BY-NC-4.0",
        sha256=sha256,
        hub=f"{repository}/pytorch_model.bin",
    )


SIZES = {
    "b": Size(
        "vit_base_patch16_224",
        "vit_base_patch16",
        published("vc1_vitb.pth", "facebook/vc1-base", "1321150ee7e45c5c1a8ea2bb6181cce87841f87f94ec69f0a451cfe4a63b77ba"),
    ),
    "l": Size(
        "vit_large_patch16_224",
        "vit_large_patch16",
        published("vc1_vitl.pth", "facebook/vc1-large", "89d59b6e0fe627ee13dd49011d9e3178fc5749237b3963608213ba210257d79a"),
    ),
}


def select(content: dict[str, Any]) -> dict[str, Tensor]:
    """``{"model": ...}`` of a masked autoencoder, or what is inside -> the encoder's state dict."""
    state = content.get("model", content)
    return {key: value for key, value in state.items() if not any(part in key for part in PRETRAINING_ONLY)}


class VC1(nn.Module):
    """A vision transformer: the class token, or the mean of the 196 patch tokens, after the final norm."""

    def __init__(self, size: Size, weights: str, pool: str) -> None:
        super().__init__()
        import timm  # here, because it takes seconds

        if pool not in ("cls", "mean"):
            raise ValueError(f"pool = {pool!r}: must be 'cls' (the class token) or 'mean' (of the patch tokens)")
        self.size, self.pool = size, pool
        # timm's own mean and deviation for this architecture belong to other weights.
        self.preprocessing = Preprocessing(CROP, MEAN, STD)
        self.network = timm.create_model(size.network, pretrained=False, num_classes=0)
        load_weights(self.network, weights, size.published, select)
        self.train()

    def train(self, mode: bool = True) -> "VC1":
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, frames: Tensor) -> Tensor:
        """``uint8 (B, 1, 3, 256, 256)`` -> ``float32 (B, 768)``, or ``(B, 1024)`` for the large one."""
        tokens = self.network.forward_features(self.preprocessing(frames))  # (B, 1 + 196, dim)
        return tokens[:, 0] if self.pool == "cls" else tokens[:, 1:].mean(1)


@torch.no_grad()
def reference(encoder: VC1, frames: Tensor) -> Tensor:
    """What the authors' package (github.com/facebookresearch/eai-vc, vc_models) makes of the same weights and frames."""
    from vc_models.models.vit import vit
    from vc_models.transforms import vit_transforms

    theirs = getattr(vit, encoder.size.theirs)(img_size=CROP, use_cls=encoder.pool == "cls", drop_path_rate=0.0)
    theirs.load_state_dict(encoder.network.state_dict())
    features = theirs.eval()(vit_transforms()(frames.flatten(0, 1).cpu() / 255))
    if encoder.pool == "mean":
        features = features.mean((2, 3))  # theirs is a grid: (B, dim, 14, 14)
    return features.to(frames.device)


def build_of(size: Size) -> Callable[..., nn.Module]:
    def build(shape: FrameShape, weights: str = "published", pool: Literal["cls", "mean"] = "cls") -> nn.Module:
        return VC1(size, weights, pool)

    return build


@hookimpl
def fetchbench_encoders():
    for letter, size in SIZES.items():
        yield EncoderSpec(
            name=f"vc1-{letter}",
            build=build_of(size),
            summary=f"VC-1's ViT-{letter.upper()}/16, a masked autoencoder of egocentric video",
            source="arXiv:2303.18240; github.com/facebookresearch/eai-vc",
            input="frame",
            frame_size=256,
            preprocessing="centre crop of 224, divided by 255, ImageNet's mean and deviation",
            weights=size.published,
            reference=reference,
            trunk=50,
        )
