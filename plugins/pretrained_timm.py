"""Any image network of timm (github.com/huggingface/pytorch-image-models), with the weights that its tag names.

``model = "vit_small_patch14_reg4_dinov2.lvd142m"`` is DINOv2, ``"vit_base_patch16_siglip_224.webli"`` SigLIP,
``"vit_base_patch16_224.mae"`` the ImageNet control of VC-1, ``"resnet18.tv_in1k"`` that of R3M. timm builds the network and
renames a checkpoint's tensors; it does not load them, because it leaves out in silence what does not fit.

Mean and deviation are those that timm states for the tag. Networks of a fixed input size are built for 224 pixels, their
position embedding resized by timm; DINOv2's ``reg4`` variants then equal their authors' code, the others come close.
Changed in the random control: gains of residual branches that timm starts at or near 0, so that a block does nothing (the last
BatchNorm's, LayerScale's), start at 1.
"""

import difflib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fetchbench import EncoderSpec, FrameShape, Preprocessing, WeightsSpec, hookimpl, load_weights

CROP = 224


class Backbone(nn.Module):
    """A network of timm without its classifier. It stays in evaluation mode, so BatchNorm's statistics and dropout rest.

    Args:
        shape: Of one frame.
        model: timm's name, ``"architecture.tag"``; the tag says which weights, and so which mean and deviation.
        weights: ``"published"`` (on the machine), ``"hub"`` (fetched), ``"random"``, or the path of a file in timm's layout or
            one that timm converts.
        pool: How tokens or a map become a vector, in timm's words (``"token"``, ``"avg"``, ``"max"``, ...); ``None`` is the
            model's own way.
    """

    def __init__(
        self, shape: FrameShape, model: str = "resnet18.tv_in1k", weights: str = "published", pool: str | None = None
    ) -> None:
        super().__init__()
        import timm  # here, because it takes seconds

        config = configuration(model, tagged=weights in ("published", "hub"))
        self.preprocessing = Preprocessing(CROP, config.mean, config.std)
        size = {"img_size": CROP} if config.fixed_input_size else {}
        self.network = timm.create_model(model, pretrained=False, num_classes=0, **size)
        if weights == "random":
            wake_residual_branches(self.network)
        load_weights(self.network, weights, published(config), select_for(self.network, config))
        if pool is not None:
            set_pool(self.network, model, pool)
        self.train()

    def train(self, mode: bool = True) -> "Backbone":
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, frames: Tensor) -> Tensor:
        """``uint8 (B, 1, 3, 256, 256)`` -> ``float32 (B, dim)``."""
        return self.network(self.preprocessing(frames))


def configuration(model: str, tagged: bool) -> Any:
    """What timm states about a model and its weights.

    Raises:
        ValueError: There is no such model, or no such tag, or none where one is needed: a default may change with timm.
    """
    from timm import list_models
    from timm.models import get_pretrained_cfg, is_model

    architecture, _, tag = model.partition(".")
    if not is_model(architecture):
        close = ", ".join(difflib.get_close_matches(architecture, list_models(), n=3))
        raise ValueError(f"model = {model!r}: timm has no {architecture!r}" + (f"; close: {close}" if close else ""))
    tags = list_models(f"{architecture}.*", pretrained=True)
    if (tag and model not in tags) or (tagged and not tag):
        raise ValueError(f"model = {model!r}: name the weights by their tag; timm has {', '.join(tags) or 'none for it'}")
    return get_pretrained_cfg(model)


def published(config: Any) -> WeightsSpec | None:
    """Where timm has a tag's weights, and their licence."""
    name = f"{config.architecture}.{config.tag}"
    licence = config.license or "see its page"
    if config.hf_hub_id:
        file = config.hf_hub_filename or "model.safetensors"
        repository, _, revision = config.hf_hub_id.partition("@")
        url = f"https://huggingface.co/{repository}/resolve/{revision or 'main'}/{file}"
        return WeightsSpec(name + Path(file).suffix, url, licence, hub=f"{config.hf_hub_id}/{file}")
    if config.url:
        return WeightsSpec(name + Path(config.url).suffix, config.url, licence)
    return None


def select_for(network: nn.Module, config: Any) -> Callable[[dict[str, Any]], dict[str, Tensor]]:
    """A checkpoint's content -> the network's state dict: timm's own conversion, without the classifier."""
    from timm.models import model_entrypoint

    module = sys.modules[model_entrypoint(config.architecture).__module__]
    convert = getattr(module, "checkpoint_filter_fn", None)
    classifiers = [config.classifier] if isinstance(config.classifier, str) else list(config.classifier or ())
    heads = tuple(f"{name}." for name in classifiers)
    counters = {key: value for key, value in network.state_dict().items() if key.endswith("num_batches_tracked")}

    def select(content: dict[str, Any]) -> dict[str, Tensor]:
        for outer in ("model", "state_dict"):
            content = content.get(outer, content)
        state = convert(content, network) if convert else content
        # Old files lack BatchNorm's counters, which nothing reads.
        return counters | {key: value for key, value in state.items() if not key.startswith(heads)}

    return select


def wake_residual_branches(network: nn.Module) -> None:
    """Start at 1 the gains that timm starts at or near 0: a norm's weight that is all 0, LayerScale's, skip-init's."""
    for layer in network.modules():
        for name, gain in layer.named_parameters(recurse=False):
            zero = isinstance(layer, nn.BatchNorm2d | nn.LayerNorm) and name == "weight" and not gain.any()
            if zero or name.startswith("gamma") or name == "skipinit_gain":
                nn.init.ones_(gain)


def set_pool(network: Any, model: str, pool: str) -> None:
    """Let timm change how a network pools.

    Raises:
        ValueError: This network cannot pool so.
    """
    try:
        network.reset_classifier(0, pool)
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"pool = {pool!r}: {model} cannot pool so ({error or type(error).__name__})") from error


@hookimpl
def fetchbench_encoders():
    yield EncoderSpec(
        name="timm",
        build=Backbone,
        summary="any image network of timm, by the option `model`: DINOv2, SigLIP, ImageNet's, ...",
        source="github.com/huggingface/pytorch-image-models",
        input="frame",
        frame_size=256,
        preprocessing="centre crop of 224, divided by 255, the mean and deviation that timm states for the model's tag",
        trunk=50,
    )
