"""R3M, VIP and VC-1: checkpoints in their authors' layouts against the authors' networks, written out plainly."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from authors import (
    State,
    agrees,
    frames,
    placeholder,
    prefixed,
    preprocessed,
    resnet,
    resnet_features,
    vit,
    vit_tokens,
    without,
)
from torch import nn

from fetchbench.errors import PluginError, WeightsError
from fetchbench.registry import load_registry
from fetchbench.specs import EncoderSpec, FrameShape

pytestmark = pytest.mark.usefixtures("folder")  # no test reads this machine's weights

REGISTRY = load_registry()
SHAPE = FrameShape(1, 256, 256)


def spec(name: str) -> EncoderSpec:
    found = REGISTRY.get("encoder", name).spec
    assert isinstance(found, EncoderSpec)
    return found


def build(name: str, weights: str | Path = "random", seed: int = 0, **options: Any) -> Any:
    torch.manual_seed(seed)
    return spec(name).build(SHAPE, weights=str(weights), **options)


# -- what they all promise --------------------------------------------------------------------------------------------

FILES = sorted((Path(__file__).parents[2] / "plugins").glob("pretrained_*.py"))
OURS = ["r3m-18", "r3m-34", "r3m-50", "vc1-b", "vc1-l", "vip"]


@pytest.mark.parametrize(
    ("name", "parameters", "tensors"),
    [
        ("r3m-18", 11_176_512, 120),
        ("r3m-34", 21_284_672, 216),
        ("r3m-50", 23_508_032, 318),
        ("vip", 23_508_032 + 2048 * 1024 + 1024, 320),
        ("vc1-b", 85_798_656, 150),
        ("vc1-l", 303_301_632, 294),
    ],
)
def test_each_has_the_size_of_its_authors_network(name, parameters, tensors):
    with torch.device("meta"):
        encoder = build(name)
    assert sum(p.numel() for p in encoder.parameters()) == parameters
    assert len(encoder.network.state_dict()) == tensors


@pytest.mark.parametrize("name", [*OURS, "timm"])
def test_each_says_what_it_is(name):
    found = spec(name)
    assert (found.input, found.frame_size, found.trunk) == ("frame", 256, 50)
    assert found.source
    assert not found.licence  # the network's code is timm's; it is the weights that may have one to mind


@pytest.mark.parametrize("name", OURS)
def test_the_licence_and_the_address_are_those_of_the_weights(name):
    weights = spec(name).weights
    assert weights is not None
    assert weights.licence == ("MIT" if name.startswith("r3m") else "CC-BY-NC-4.0")
    assert weights.url.startswith("https://")
    assert weights.sha256 is None or len(bytes.fromhex(weights.sha256)) == 32
    # Where the hub has it, the address is that of the same bytes.
    if weights.hub:
        repository, file = weights.hub.rsplit("/", 1)
        assert weights.url == f"https://huggingface.co/{repository}/resolve/main/{file}"


def test_their_files_have_names_of_their_own():
    files = [spec(name).weights.file for name in OURS]
    assert len(set(files)) == len(OURS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_loading_the_plugin_does_not_load_timm(path):
    """That takes seconds, and every run loads every plugin."""
    top = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert top
    assert "timm" not in " ".join(map(ast.unparse, top))


@pytest.mark.parametrize("name", OURS)
def test_weights_that_are_not_here_are_an_error_and_nothing_else(name, folder):
    with torch.device("meta"), pytest.raises(WeightsError) as error:
        spec(name).build(SHAPE)
    weights = spec(name).weights
    for part in (str(folder / ""), weights.file, weights.url, weights.licence, 'weights = "random"'):
        assert part in str(error.value)


def test_training_leaves_the_authors_statistics_alone():
    encoder, x = build("r3m-18"), frames(2)
    before = {key: value.clone() for key, value in encoder.network.state_dict().items()}
    z = encoder.train()(x)
    assert encoder.training
    assert all(torch.equal(value, before[key]) for key, value in encoder.network.state_dict().items())
    with torch.no_grad():
        assert torch.equal(encoder.eval()(x), z)
        others = torch.cat([x[:1], 255 - x[1:]])
        assert torch.equal(encoder.train()(others)[0], z[0])


@pytest.mark.parametrize("name", [*OURS, "timm"])
def test_no_part_of_a_network_ever_enters_training_mode(name):
    """BatchNorm would learn the batch's statistics, and dropout would draw."""
    with torch.device("cpu" if name == "timm" else "meta"):
        encoder = build(name)
    assert encoder.train().training
    assert not any(module.training for module in encoder.network.modules())
    assert not encoder.eval().training


@pytest.mark.parametrize("name", ["r3m-18", "timm"])
def test_the_random_control_is_alive_in_every_layer(name):
    """timm starts a residual block's last gain at 0: then nothing in the block would learn or be seen."""
    encoder = build(name)
    z = encoder(frames())
    (z * torch.randn(z.shape, generator=torch.Generator().manual_seed(0))).sum().backward()
    assert [key for key, p in encoder.named_parameters() if p.grad is None or not p.grad.any()] == []
    with torch.no_grad():
        assert torch.equal(build(name)(frames()), z)
        assert not torch.equal(build(name, seed=1)(frames()), z)


@pytest.mark.parametrize("name", ["r3m-50", "vip"])
def test_so_it_is_in_the_deeper_ones(name):
    norms = [module for module in build(name).modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 53
    assert all(norm.weight.all() for norm in norms)


@pytest.mark.parametrize(("name", "package"), [("r3m-18", "r3m"), ("vip", "vip"), ("vc1-b", "vc_models")])
def test_the_authors_own_code_agrees_where_it_is_installed(name, package, shallow):
    reference, x = spec(name).reference, frames(2)
    assert reference is not None
    if importlib.util.find_spec(package) is None:
        with torch.device("meta"), pytest.raises(ImportError, match=package):
            reference(build(name), x)
    else:
        encoder = build(name)
        agrees(encoder, reference(encoder, x), x)


# -- R3M --------------------------------------------------------------------------------------------------------------

LANGUAGE_HEAD = {
    "module.lang_enc.model.embeddings.word_embeddings.weight": placeholder(30522, 768),
    "module.lang_enc.model.transformer.layer.0.attention.q_lin.weight": placeholder(768, 768),
    "module.lang_rew.pred.0.weight": placeholder(1024, 1792),
    "module.lang_rew.pred.0.bias": placeholder(1024),
}


def r3m_layouts(state: State) -> dict[str, Any]:
    training = prefixed("module.convnet.", state) | LANGUAGE_HEAD
    return {
        "training": {"r3m": training},
        "snapshot": {"r3m": training, "global_step": 1_500_000},
        "hub": prefixed("convnet.", state),
        "plain": state,
    }


@pytest.mark.parametrize("layout", ["training", "snapshot", "hub", "plain"])
def test_r3m_reads_every_layout_of_its_authors(tmp_path, layout):
    state, x = resnet(18), frames()
    torch.save(r3m_layouts(state)[layout], tmp_path / "r3m.pt")
    agrees(build("r3m-18", tmp_path / "r3m.pt"), resnet_features(state, preprocessed(x), 18), x)


@pytest.mark.parametrize("depth", [34, 50])
def test_the_larger_r3ms_are_the_authors_networks(tmp_path, depth):
    state, x = resnet(depth), frames()
    torch.save(r3m_layouts(state)["training"], tmp_path / "r3m.pt")
    agrees(build(f"r3m-{depth}", tmp_path / "r3m.pt"), resnet_features(state, preprocessed(x), depth), x)


def test_r3m_in_half_precision(tmp_path):
    state, x = resnet(18), frames()
    half = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    torch.save({"r3m": prefixed("module.convnet.", half)}, tmp_path / "r3m.pt")
    rounded = {key: value.float() for key, value in half.items()}
    agrees(build("r3m-18", tmp_path / "r3m.pt"), resnet_features(rounded, preprocessed(x), 18), x)


def test_published_r3m_is_looked_for_in_the_folder(folder):
    torch.save(r3m_layouts(resnet(18))["hub"], folder / "r3m-18.bin")
    x = frames()
    agrees(spec("r3m-18").build(SHAPE), resnet_features(resnet(18), preprocessed(x), 18), x)


def test_a_published_r3m_whose_digest_is_known_must_have_it(folder):
    torch.save(r3m_layouts(resnet(50))["hub"], folder / "r3m-50.bin")
    with pytest.raises(PluginError, match=r"r3m-50\.bin is not the published checkpoint: its sha256 is"):
        spec("r3m-50").build(SHAPE)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (resnet(34), "96 unexpected: .*layer1.2.conv1.weight"),
        (without(resnet(18), "layer4.1.bn2.running_var"), "1 missing: layer4.1.bn2.running_var"),
        (resnet(18) | {"layer4.2.conv1.weight": torch.zeros(1)}, "1 unexpected: layer4.2.conv1.weight"),
        (
            resnet(18) | {"conv1.weight": torch.zeros(64, 9, 7, 7)},
            r"1 of another shape: conv1.weight \(64, 9, 7, 7\) for \(64, 3",
        ),
        (resnet(18, outputs=1000), "2 unexpected: fc.weight, fc.bias"),
    ],
    ids=["deeper", "a key less", "a key more", "three frames", "ImageNet's"],
)
@pytest.mark.parametrize("layout", ["training", "plain"])
def test_another_network_is_never_taken_for_r3m(tmp_path, state, message, layout):
    torch.save(r3m_layouts(state)[layout], tmp_path / "r3m.pt")
    with pytest.raises(PluginError, match=message):
        build("r3m-18", tmp_path / "r3m.pt")


# -- VIP --------------------------------------------------------------------------------------------------------------


def test_vip_is_the_authors_network(tmp_path):
    """With its linear layer: the features are 1024, of either sign."""
    state, x = resnet(50, outputs=1024), frames()
    torch.save({"vip": prefixed("module.convnet.", state), "global_step": 9}, tmp_path / "vip.pt")
    wanted = resnet_features(state, preprocessed(x), 50)
    assert wanted.min() < 0 < wanted.max()
    encoder = build("vip", tmp_path / "vip.pt")
    agrees(encoder, wanted, x)
    torch.save(prefixed("convnet.", state), tmp_path / "inside.pt")
    again = build("vip", tmp_path / "inside.pt", seed=1).network.state_dict()
    assert all(torch.equal(value, again[key]) for key, value in encoder.network.state_dict().items())


def test_r3m_is_not_taken_for_vip(tmp_path):
    torch.save(r3m_layouts(resnet(50))["hub"], tmp_path / "r3m.pt")
    with pytest.raises(PluginError, match=r"2 missing: fc\.weight, fc\.bias"):
        build("vip", tmp_path / "r3m.pt")


# -- VC-1 -------------------------------------------------------------------------------------------------------------


def mae_decoder(dim: int) -> State:
    """What a masked autoencoder has beside its encoder: 104 tensors."""
    width = 512
    state = {
        "mask_token": placeholder(1, 1, width),
        "decoder_pos_embed": placeholder(1, 197, width),
        "decoder_embed.weight": placeholder(width, dim),
        "decoder_embed.bias": placeholder(width),
        "decoder_norm.weight": placeholder(width),
        "decoder_norm.bias": placeholder(width),
        "decoder_pred.weight": placeholder(768, width),
        "decoder_pred.bias": placeholder(768),
    }
    linears = {"attn.qkv": (3 * width, width), "attn.proj": (width, width)}
    linears |= {"mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width)}
    for index in range(8):
        name = f"decoder_blocks.{index}"
        for part, shape in {"norm1": (width,), "norm2": (width,), **linears}.items():
            state |= {f"{name}.{part}.weight": placeholder(*shape), f"{name}.{part}.bias": placeholder(shape[0])}
    assert len(state) == 104
    return state


def vc1_layouts(state: State) -> dict[str, Any]:
    dim = state["cls_token"].shape[-1]
    return {"published": {"model": state | mae_decoder(dim)}, "encoder": {"model": state}, "flat": state}


@pytest.mark.parametrize(
    ("name", "dim", "heads", "layout", "pool"),
    [
        ("vc1-b", 768, 12, "published", "cls"),
        ("vc1-b", 768, 12, "encoder", "cls"),
        ("vc1-b", 768, 12, "flat", "mean"),
        ("vc1-l", 1024, 16, "flat", "cls"),
    ],
)
def test_vc1_is_the_authors_network(tmp_path, shallow, name, dim, heads, layout, pool):
    shallow(2)
    state, x = vit(dim, depth=2), frames()
    torch.save(vc1_layouts(state)[layout], tmp_path / "vc1.pth")
    tokens = vit_tokens(state, preprocessed(x), heads, depth=2)
    encoder = build(name, tmp_path / "vc1.pth", pool=pool)
    agrees(encoder, tokens[:, 0] if pool == "cls" else tokens[:, 1:].mean(1), x)


def test_the_whole_of_vc1_base(tmp_path):
    """Twelve times the same block, which is stored once."""
    state, x = vit(768, depth=1), frames()
    block = {key.removeprefix("blocks.0."): value for key, value in state.items() if key.startswith("blocks.0.")}
    for index in range(1, 12):
        state |= prefixed(f"blocks.{index}.", block)
    torch.save(vc1_layouts(state)["published"], tmp_path / "vc1.pth")
    agrees(build("vc1-b", tmp_path / "vc1.pth"), vit_tokens(state, preprocessed(x), 12, depth=12)[:, 0], x)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (vit(768, depth=3), r"12 unexpected: blocks\.2\."),
        (vit(768, depth=1), r"12 missing: blocks\.1\."),
        (vit(1024, depth=2), r"of another shape: cls_token \(1, 1, 1024\) for \(1, 1, 768\)"),
        (vit(768, depth=2, grid=8), r"1 of another shape: pos_embed \(1, 65, 768\) for \(1, 197, 768\)"),
    ],
    ids=["deeper", "shallower", "wider", "of smaller images"],
)
def test_another_transformer_is_never_taken_for_vc1(tmp_path, shallow, state, message):
    shallow(2)
    torch.save({"model": state}, tmp_path / "vc1.pth")
    with pytest.raises(PluginError, match=message):
        build("vc1-b", tmp_path / "vc1.pth")


def test_pooling_that_vc1_does_not_know():
    with pytest.raises(ValueError, match="pool = 'max': must be 'cls'"):
        build("vc1-b", pool="max")
