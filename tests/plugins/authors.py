"""The networks of the pretrained encoders as their authors have them, written out plainly, with random weights."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

State = dict[str, Tensor]
IMAGENETS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def preprocessed(x: Tensor, mean: tuple[float, ...] = IMAGENETS[0], std: tuple[float, ...] = IMAGENETS[1]) -> Tensor:
    return (x[:, 0, :, 16:240, 16:240] / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


def frames(batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (batch, 1, 3, 256, 256), dtype=torch.uint8, generator=generator)


BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


@cache
def resnet(depth: int, outputs: int = 0) -> State:
    """Random weights of torchvision's ResNet under its names; its statistics are not those of a fresh BatchNorm."""
    generator = torch.Generator().manual_seed(depth)
    state: State = {}

    def convolution(name: str, inputs: int, outputs: int, size: int) -> None:
        scale = (2 / (inputs * size * size)) ** 0.5
        state[f"{name}.weight"] = torch.randn(outputs, inputs, size, size, generator=generator) * scale

    def norm(name: str, channels: int, gain: float = 1.0) -> None:
        state[f"{name}.weight"] = gain * (0.5 + torch.rand(channels, generator=generator))
        state[f"{name}.bias"] = torch.randn(channels, generator=generator) * 0.1
        state[f"{name}.running_mean"] = torch.randn(channels, generator=generator) * 0.1
        state[f"{name}.running_var"] = 0.5 + torch.rand(channels, generator=generator)
        state[f"{name}.num_batches_tracked"] = torch.tensor(1000)

    convolution("conv1", 3, 64, 7)
    norm("bn1", 64)
    inputs = 64
    for stage, count in enumerate(BLOCKS[depth]):
        width = 64 * 2**stage
        out = width * 4 if depth == 50 else width
        for block in range(count):
            name = f"layer{stage + 1}.{block}"
            basic, bottleneck = [(inputs, out, 3), (out, out, 3)], [(inputs, width, 1), (width, width, 3), (width, out, 1)]
            sizes = bottleneck if depth == 50 else basic
            for index, (a, b, size) in enumerate(sizes, start=1):
                convolution(f"{name}.conv{index}", a, b, size)
                norm(f"{name}.bn{index}", b, 0.2 if index == len(sizes) else 1.0)
            if block == 0 and (stage > 0 or depth == 50):
                convolution(f"{name}.downsample.0", inputs, out, 1)
                norm(f"{name}.downsample.1", out, 0.4)
            inputs = out
    if outputs:
        state["fc.weight"] = torch.randn(outputs, inputs, generator=generator) * 0.02
        state["fc.bias"] = torch.randn(outputs, generator=generator) * 0.1
    return state


def resnet_features(state: State, x: Tensor, depth: int) -> Tensor:
    """He et al. 2016 as torchvision has it (the stride of a bottleneck is in its 3x3 convolution)."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean, variance, gain, bias = (
            state[f"{name}.{part}"].view(-1, 1, 1) for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + 1e-5).sqrt() * gain + bias

    x = F.relu(norm(F.conv2d(x, state["conv1.weight"], stride=2, padding=3), "bn1"))
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    for stage, count in enumerate(BLOCKS[depth]):
        for block in range(count):
            name = f"layer{stage + 1}.{block}"
            stride = 2 if stage > 0 and block == 0 else 1
            strides = (1, stride, 1) if depth == 50 else (stride, 1)
            y = x
            for index, step in enumerate(strides, start=1):
                weight = state[f"{name}.conv{index}.weight"]
                y = norm(F.conv2d(y, weight, stride=step, padding=weight.shape[-1] // 2), f"{name}.bn{index}")
                y = F.relu(y) if index < len(strides) else y
            if f"{name}.downsample.0.weight" in state:
                x = norm(F.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride), f"{name}.downsample.1")
            x = F.relu(x + y)
    x = x.mean((2, 3))
    return F.linear(x, state["fc.weight"], state["fc.bias"]) if "fc.weight" in state else x


def vit(dim: int, depth: int, patch: int = 16, grid: int = 14) -> State:
    """Random weights of a vision transformer under the names of MAE, DINO and timm."""
    generator = torch.Generator().manual_seed(dim)

    def noise(*shape: int, scale: float = 0.02) -> Tensor:
        return torch.randn(shape, generator=generator) * scale

    def linear(name: str, inputs: int, outputs: int) -> State:
        return {f"{name}.weight": noise(outputs, inputs, scale=inputs**-0.5), f"{name}.bias": noise(outputs, scale=0.1)}

    def norm(name: str) -> State:
        return {f"{name}.weight": 1 + noise(dim, scale=0.1), f"{name}.bias": noise(dim, scale=0.1)}

    state = {"cls_token": noise(1, 1, dim, scale=1.0), "pos_embed": noise(1, grid * grid + 1, dim, scale=0.5)}
    state |= {"patch_embed.proj.weight": noise(dim, 3, patch, patch), "patch_embed.proj.bias": noise(dim)} | norm("norm")
    for index in range(depth):
        name = f"blocks.{index}"
        state |= norm(f"{name}.norm1") | linear(f"{name}.attn.qkv", dim, 3 * dim) | linear(f"{name}.attn.proj", dim, dim)
        state |= norm(f"{name}.norm2") | linear(f"{name}.mlp.fc1", dim, 4 * dim) | linear(f"{name}.mlp.fc2", 4 * dim, dim)
    return state


def vit_tokens(state: State, x: Tensor, heads: int, depth: int, patch: int = 16) -> Tensor:
    """Dosovitskiy et al. 2021: pre-norm blocks, then the final norm -> ``(B, 1 + patches, dim)``."""
    dim = state["cls_token"].shape[-1]

    def norm(x: Tensor, name: str) -> Tensor:
        x = x - x.mean(-1, keepdim=True)
        x = x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return x * state[f"{name}.weight"] + state[f"{name}.bias"]

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def split(x: Tensor) -> Tensor:
        return x.unflatten(-1, (heads, dim // heads)).transpose(1, 2)  # (B, heads, tokens, dim / heads)

    x = F.conv2d(x, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=patch).flatten(2).transpose(1, 2)
    x = torch.cat([state["cls_token"].expand(len(x), -1, -1), x], dim=1) + state["pos_embed"]
    for index in range(depth):
        name = f"blocks.{index}"
        query, key, value = map(split, linear(norm(x, f"{name}.norm1"), f"{name}.attn.qkv").chunk(3, dim=-1))
        attention = (query @ key.transpose(-1, -2) / (dim // heads) ** 0.5).softmax(-1)
        y = linear((attention @ value).transpose(1, 2).flatten(2), f"{name}.attn.proj")
        x = x + y * state.get(f"{name}.ls1.gamma", torch.tensor(1.0))
        y = linear(F.gelu(linear(norm(x, f"{name}.norm2"), f"{name}.mlp.fc1")), f"{name}.mlp.fc2")
        x = x + y * state.get(f"{name}.ls2.gamma", torch.tensor(1.0))
    return norm(x, "norm")


def placeholder(*shape: int) -> Tensor:
    """A tensor of this shape that takes four bytes in a file."""
    return torch.zeros(()).expand(shape)


def prefixed(prefix: str, state: State) -> State:
    return {prefix + key: value for key, value in state.items()}


def without(state: State, key: str) -> State:
    return {name: value for name, value in state.items() if name != key}


def agrees(encoder: nn.Module, wanted: Tensor, x: Tensor) -> None:
    with torch.no_grad():
        z = encoder(x)
    assert z.dtype == torch.float32
    assert z.shape == wanted.shape
    assert wanted.std() > 0.05
    assert (z - wanted).abs().max() < 1e-5
