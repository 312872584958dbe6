"""Any network of timm: its weights are those of its tag, all of them, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from authors import agrees, frames, placeholder, prefixed, preprocessed, resnet, resnet_features, vit, vit_tokens, without
from safetensors.torch import save_file

from fetchbench.errors import PluginError, WeightsError
from fetchbench.registry import load_registry
from fetchbench.specs import FrameShape

pytestmark = pytest.mark.usefixtures("folder")  # no test reads this machine's weights

SHAPE = FrameShape(1, 256, 256)
SPEC = load_registry().get("encoder", "timm").spec


def build(weights: str | Path = "random", seed: int = 0, **options: Any) -> Any:
    torch.manual_seed(seed)
    return SPEC.build(SHAPE, weights=str(weights), **options)


IMAGENET = "resnet18.tv_in1k"


@pytest.mark.parametrize("old", [False, True])
def test_imagenets_resnet_is_loaded_without_its_classifier(folder, old):
    """Old files have no BatchNorm counters."""
    state, x = resnet(18, outputs=1000), frames()
    kept = {key: value for key, value in state.items() if not (old and key.endswith("num_batches_tracked"))}
    save_file(kept, folder / f"{IMAGENET}.safetensors")
    wanted = resnet_features(without(without(state, "fc.weight"), "fc.bias"), preprocessed(x), 18)
    agrees(SPEC.build(SHAPE, model=IMAGENET), wanted, x)


def test_dinov2_at_224_in_its_authors_layout(tmp_path, shallow):
    """A mask token, LayerScale, and positions for 518 pixels. Positions that are all alike are the same at any size."""
    shallow(2)
    state, x = vit(384, depth=2, patch=14, grid=37), frames()
    state["pos_embed"] = state["pos_embed"][:, :2]
    state |= {f"blocks.{i}.ls{j}.gamma": torch.linspace(0.1, 2, 384) for i in (0, 1) for j in (1, 2)}
    file = state | {"mask_token": torch.zeros(1, 384)}
    file["pos_embed"] = torch.cat([state["pos_embed"][:, :1], state["pos_embed"][:, 1:].expand(-1, 37 * 37, -1)], dim=1)
    torch.save(file, tmp_path / "dinov2.pth")
    encoder = build(tmp_path / "dinov2.pth", model="vit_small_patch14_dinov2.lvd142m")
    assert encoder.network.pos_embed.shape == (1, 1 + 16 * 16, 384)
    state["pos_embed"] = torch.cat([state["pos_embed"][:, :1], state["pos_embed"][:, 1:].expand(-1, 16 * 16, -1)], dim=1)
    agrees(encoder, vit_tokens(state, preprocessed(x), 6, depth=2, patch=14)[:, 0], x)


def test_mean_and_deviation_are_those_of_the_weights(tmp_path, shallow):
    shallow(1)
    state, x = vit(192, depth=1), frames()
    torch.save(state | {"head.weight": placeholder(1000, 192), "head.bias": placeholder(1000)}, tmp_path / "vit.pth")
    encoder = build(tmp_path / "vit.pth", model="vit_tiny_patch16_224.augreg_in21k_ft_in1k")
    half = (0.5, 0.5, 0.5)
    agrees(encoder, vit_tokens(state, preprocessed(x, half, half), 3, depth=1)[:, 0], x)


@pytest.mark.parametrize("pool", ["token", "avg"])
def test_timms_pooling_can_be_chosen_and_the_weights_still_fit(tmp_path, shallow, pool):
    shallow(1)
    state, x = vit(192, depth=1), frames()
    torch.save(state, tmp_path / "vit.pth")
    encoder = build(tmp_path / "vit.pth", model="deit_tiny_patch16_224.fb_in1k", pool=pool)
    tokens = vit_tokens(state, preprocessed(x), 3, depth=1)
    agrees(encoder, tokens[:, 0] if pool == "token" else tokens[:, 1:].mean(1), x)


def test_layerscale_does_not_put_the_random_control_to_sleep(shallow):
    """Left at 1e-5, the class token hardly depends on the image."""
    shallow(2)
    encoder = build(model="vit_small_patch14_dinov2.lvd142m")
    with torch.no_grad():
        z = encoder(torch.cat([frames(), frames().flip(-1), 0 * frames()]))
    assert z.std(0).mean() > 0.05 * z.std()


def test_what_is_left_over_after_timms_conversion_is_an_error(tmp_path):
    torch.save(resnet(18) | {"layer5.weight": torch.zeros(1)}, tmp_path / "resnet.pt")
    with pytest.raises(PluginError, match=r"1 unexpected: layer5\.weight"):
        build(tmp_path / "resnet.pt", model=IMAGENET)
    torch.save({"r3m": prefixed("module.convnet.", resnet(18))}, tmp_path / "r3m.pt")
    with pytest.raises(PluginError, match=r"is not laid out as expected|does not fit"):
        build(tmp_path / "r3m.pt", model=IMAGENET)


def test_weights_that_timm_knows_but_this_machine_lacks(folder):
    with pytest.raises(WeightsError) as error:
        SPEC.build(SHAPE, model="vit_base_patch16_224.mae")
    text = str(error.value)
    assert f"vit_base_patch16_224.mae.safetensors is not in {folder}" in text
    assert "nor is timm/vit_base_patch16_224.mae/model.safetensors in the hub's cache" in text
    assert "https://huggingface.co/timm/vit_base_patch16_224.mae/resolve/main/model.safetensors (licence cc-by-nc-4.0)" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "resnet18"}, r"name the weights by their tag; timm has .*resnet18\.tv_in1k"),
        ({"model": "resnet18.nonsense"}, r"name the weights by their tag; timm has .*resnet18\.tv_in1k"),
        ({"model": "resnet18.nonsense", "weights": "random"}, "name the weights by their tag"),
        ({"model": "resnet_18.tv_in1k"}, "timm has no 'resnet_18'; close: resnet18"),
        ({"weights": "random", "pool": "token"}, rf"pool = 'token': {IMAGENET} cannot pool so"),
    ],
)
def test_models_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        SPEC.build(SHAPE, **options)


def test_a_random_network_needs_no_tag():
    assert build(model="resnet18")(frames()).shape == (1, 512)
