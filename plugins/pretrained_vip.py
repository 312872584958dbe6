"""VIP: a residual network whose distances are goal values, trained on egocentric video (Ma et al. 2023, arXiv:2210.00030).

torchvision's ResNet-50 with a linear layer to 1024 features in the classifier's place. Changed: the authors' code divides
pixels by 255 only where the batch has one above 2; here they are always divided, so that a dark frame does not depend on its
batch.
"""

from typing import Any

import torch
from torch import Tensor, nn

from fetchbench import EncoderSpec, FrameShape, Preprocessing, WeightsSpec, hookimpl, load_weights

CROP, DIM = 224, 1024
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PUBLISHED = WeightsSpec(
    file="vip.pt",
    url="https://pytorch.s3.amazonaws.com/models/rl/vip/model.pt",
    licence="CC-BY-NC-4.0",
)


def select(content: dict[str, Any]) -> dict[str, Tensor]:
    """``{"vip": {"module.convnet.*": ...}}``, or what is inside -> the ResNet's state dict, its last layer included."""
    state = content.get("vip", content)
    return {key.removeprefix("module.").removeprefix("convnet."): value for key, value in state.items()}


class VIP(nn.Module):
    """ResNet-50 with 1024 outputs. It stays in evaluation mode: BatchNorm's statistics are the authors'."""

    def __init__(self, shape: FrameShape, weights: str = "published") -> None:
        super().__init__()
        import timm  # here, because it takes seconds

        self.preprocessing = Preprocessing(CROP, MEAN, STD)
        # As torchvision starts them, the random control's residual branches are alive.
        self.network = timm.create_model("resnet50", pretrained=False, num_classes=DIM, zero_init_last=False)
        load_weights(self.network, weights, PUBLISHED, select)
        self.train()

    def train(self, mode: bool = True) -> "VIP":
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, frames: Tensor) -> Tensor:
        """``uint8 (B, 1, 3, 256, 256)`` -> ``float32 (B, 1024)``."""
        return self.network(self.preprocessing(frames))


@torch.no_grad()
def reference(encoder: VIP, frames: Tensor) -> Tensor:
    """What the authors' package (github.com/facebookresearch/vip) makes of the same weights and frames."""
    from vip.models.model_vip import VIP as Theirs  # noqa: N811

    theirs = Theirs(device="cpu", hidden_dim=DIM, size=50)
    theirs.convnet.load_state_dict(encoder.network.state_dict())
    return theirs.eval()(frames.flatten(0, 1).float().cpu()).to(frames.device)


@hookimpl
def fetchbench_encoders():
    yield EncoderSpec(
        name="vip",
        build=VIP,
        summary="VIP's ResNet-50, whose distances are goal values",
        source="arXiv:2210.00030; github.com/facebookresearch/vip",
        input="frame",
        frame_size=256,
        preprocessing="centre crop of 224, divided by 255, ImageNet's mean and deviation",
        weights=PUBLISHED,
        reference=reference,
        trunk=50,
    )
