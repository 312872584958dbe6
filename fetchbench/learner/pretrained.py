"""Pretrained networks: their weights, found and read with care, and the frames as their authors fed them.

A network that was loaded in part, or not at all, still returns features, and nothing looks wrong. So every tensor of the
network must be in the file and every tensor of the file in the network, and there is no weaker mode.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fetchbench.errors import PluginError, WeightsError, one_line
from fetchbench.specs import WeightsSpec

FOLDER = "FETCHBENCH_WEIGHTS"
"""Environment variable that names the folder of published checkpoints."""
_NAMED = 4
"""Tensors that a message names; the rest are counted."""
_CONTROL = '`weights = "random"` is the same network without pretraining, as a control'


class Preprocessing(nn.Module):
    """Centre crop, division by 255, and the mean and deviation that the network was trained with.

    Args:
        crop: Height and width of what the network sees, in pixels.
        mean: Of each channel, of pixels in [0, 1].
        std: Of each channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, crop: int, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.crop = crop
        # Constants of the method, not state: a checkpoint of the encoder need not hold them.
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """``uint8 (B, F, 3, H, W)``, or ``float32`` in 0 to 255, -> ``float32 (B * F, 3, crop, crop)``.

        Raises:
            ValueError: The frames are smaller than the crop; nothing is ever enlarged in silence.
        """
        height, width = frames.shape[-2:]
        if min(height, width) < self.crop:
            raise ValueError(
                f"frames of {height}x{width} are smaller than the crop of {self.crop}x{self.crop}: "
                "set the encoder's frame_size to the crop or more"
            )
        # Where the rest is odd it rounds as torchvision's CenterCrop does.
        top, left = round((height - self.crop) / 2), round((width - self.crop) / 2)
        cropped = frames.flatten(0, 1)[..., top : top + self.crop, left : left + self.crop]
        return (cropped / 255).sub_(self.mean).div_(self.std)

    def extra_repr(self) -> str:
        return f"crop={self.crop}, mean={self.mean.flatten().tolist()}, std={self.std.flatten().tolist()}"


def load_weights(
    module: nn.Module,
    source: str,
    published: WeightsSpec | None = None,
    select: Callable[[dict[str, Any]], Mapping[str, Tensor]] = dict,
) -> None:
    """Give a network its weights, all of them.

    Args:
        module: The network, on the CPU. Its parameters and buffers are overwritten in place.
        source: ``"random"`` leaves the network as it is. ``"published"`` is ``published.file`` in ``$FETCHBENCH_WEIGHTS`` (or
            ``~/.cache/fetchbench/weights``), or else the hub's file where the hub's own cache has it. ``"hub"`` also downloads
            it. Anything else is the path of a file.
        published: The checkpoint that ``"published"`` and ``"hub"`` mean. Its digest is checked, where it is known.
        select: What the file holds -> the network's state dict: renames, and drops what the file has beside this network. A
            key that it passes on and the network lacks is an error.

    The file is safetensors or what ``torch.save`` writes, and is read as tensors only: no code in it runs. Floating-point
    tensors of another precision are converted.

    Raises:
        WeightsError: The file is not on this machine, or could not be fetched: where to get it and where to put it.
        PluginError: It is damaged, is not the published one, holds code, or does not fit the network, with the keys.
    """
    if source == "random":
        return
    path = _find(source, published)
    digest = _digest(path)
    if source in ("published", "hub") and published is not None and published.sha256:
        _check_digest(path, digest, published)
    tensors = _selected(path, _read(path), select)
    _check_fit(path, module.state_dict(), tensors)
    module.load_state_dict(tensors)
    module.weights_sha256 = digest  # type: ignore[assignment]  # plain attributes; a record asks for them
    if source in ("published", "hub") and published is not None:
        module.weights_licence = published.licence  # type: ignore[assignment]


def digests(networks: Mapping[str, nn.Module]) -> dict[str, str]:
    """Of the named networks those whose weights came from a file, with its sha256."""
    return _noted(networks, "weights_sha256")


def licences(networks: Mapping[str, nn.Module]) -> dict[str, str]:
    """Of the named networks those that loaded published weights, with the licence of these."""
    return _noted(networks, "weights_licence")


def _noted(networks: Mapping[str, nn.Module], attribute: str) -> dict[str, str]:
    """What :func:`load_weights` left at the parts of each network: every distinct value, with commas."""
    found = {}
    for name, network in networks.items():
        values = [value for part in network.modules() if isinstance(value := getattr(part, attribute, None), str)]
        if values:
            found[name] = ", ".join(dict.fromkeys(values))
    return found


def weights_folder() -> Path:
    """Where published checkpoints are looked for."""
    return Path(os.environ.get(FOLDER) or "~/.cache/fetchbench/weights").expanduser()


# -- finding ----------------------------------------------------------------------------------------------------------


def _find(source: str, published: WeightsSpec | None) -> Path:
    if source not in ("published", "hub"):
        path = Path(source).expanduser()
        if not path.is_file():
            raise WeightsError(
                f"weights = {source!r}: there is no such file; give a checkpoint's path, 'published' or 'hub'; {_CONTROL}"
            )
        return path
    if published is None:
        raise PluginError(
            f"weights = {source!r}: no published weights are known for this encoder; give a file's path; {_CONTROL}"
        )
    local = weights_folder() / published.file
    if local.is_file():
        return local
    cached = _in_hub_cache(published.hub)
    if cached is not None:
        return cached
    if source == "hub":
        return _download(published)
    raise WeightsError(_where_to_get(f"no weights: {_looked_for(published)}", published))


def _looked_for(published: WeightsSpec) -> str:
    looked = f"{published.file} is not in {weights_folder()}"
    return f"{looked}, nor is {published.hub} in the hub's cache" if published.hub else looked


def _where_to_get(problem: str, published: WeightsSpec) -> str:
    digest = f", sha256 {published.sha256}" if published.sha256 else ""
    fetch = '; or write `weights = "hub"`, which fetches it' if published.hub else ""
    return (
        f"{problem}. Get it from {published.url} (licence {published.licence}{digest}) and put it there under that name, "
        f"or set ${FOLDER} to the folder that holds it{fetch}; {_CONTROL}"
    )


def _hub_address(hub: str) -> tuple[str, str, str | None]:
    """``"owner/repository[@revision]/file"`` -> repository, file, revision."""
    owner, name, file = hub.split("/", 2)
    name, _, revision = name.partition("@")
    return f"{owner}/{name}", file, revision or None


def _in_hub_cache(hub: str) -> Path | None:
    if not hub:
        return None
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    repository, file, revision = _hub_address(hub)
    found = try_to_load_from_cache(repository, file, revision=revision)
    return Path(found) if isinstance(found, str) else None


def _download(published: WeightsSpec) -> Path:
    if not published.hub:
        raise WeightsError(_where_to_get(f"no weights: {_looked_for(published)}, and it is not on the hub", published))
    repository, file, revision = _hub_address(published.hub)
    try:
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(repository, file, revision=revision))
    except Exception as error:  # offline, moved, refused, no space: the hub's client has a class for each
        problem = f"no weights: {_looked_for(published)}, and fetching it failed ({type(error).__name__}: {one_line(error)})"
        raise WeightsError(_where_to_get(problem, published)) from error


# -- reading ----------------------------------------------------------------------------------------------------------


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_digest(path: Path, digest: str, published: WeightsSpec) -> None:
    if digest != published.sha256:
        raise PluginError(
            f"{path} is not the published checkpoint: its sha256 is {digest}, not {published.sha256}; fetch it again from "
            f"{published.url}, or give its path as `weights` if another file is meant"
        )


def _read(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        start = file.read(24)
    try:
        if start[8:9] == b"{":  # the header's length, then the header
            from safetensors.torch import load_file

            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if code := code_found(error):
            raise PluginError(f"{path} is refused: {code}; save its state dict alone") from error
        raise PluginError(
            f"{path} cannot be read as a checkpoint (safetensors or torch.save): it is damaged, cut short or something else; "
            f"it has {path.stat().st_size} bytes and starts with {start!r}"
        ) from error
    if not isinstance(content, dict):
        raise PluginError(f"{path} holds a {type(content).__name__}, not a state dict")
    return content


def code_found(error: Exception) -> str:
    """That torch met code where it was to read tensors alone; empty where something else was wrong.

    torch's own text advises to read the file without protection, and is no message for anybody.
    """
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    if found is None:
        return ""
    return f"it holds more than tensors ({found[1]}), and reading that would run code from the file. Nothing of it was run"


def _selected(
    path: Path, content: dict[str, Any], select: Callable[[dict[str, Any]], Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    try:
        tensors = dict(select(content))
    except Exception as error:
        raise PluginError(
            f"{path} is not laid out as expected ({type(error).__name__}: {one_line(error)}); its keys: {_some(content)}"
        ) from error
    if others := [key for key, value in tensors.items() if not isinstance(value, Tensor)]:
        raise PluginError(f"{path} is not laid out as expected: no tensors at {_some(others)}")
    return tensors


# -- fitting ----------------------------------------------------------------------------------------------------------


def _check_fit(path: Path, wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> None:
    common = [key for key in wanted if key in given]
    shapes = [
        f"{key} {tuple(given[key].shape)} for {tuple(wanted[key].shape)}"
        for key in common
        if given[key].shape != wanted[key].shape
    ]
    types = [
        f"{key} {given[key].dtype} for {wanted[key].dtype}"
        for key in common
        if given[key].is_floating_point() != wanted[key].is_floating_point()
    ]
    broken = [key for key in common if not _is_sound(given[key])]
    faults = (
        ("missing", [key for key in wanted if key not in given]),
        ("unexpected", [key for key in given if key not in wanted]),
        ("of another shape", shapes),
        ("of another type", types),
        ("not plain, finite numbers", broken),
    )
    if found := [f"{len(keys)} {what}: {_some(keys)}" for what, keys in faults if keys]:
        text = "; ".join(found)
        raise PluginError(f"{path} does not fit the network: {text}. Nothing was loaded; is it this network's checkpoint?")


def _is_sound(tensor: Tensor) -> bool:
    plain = tensor.layout == torch.strided and not tensor.is_meta
    return plain and (not tensor.is_floating_point() or bool(tensor.isfinite().all()))


def _some(keys: Iterable[object]) -> str:
    names = [str(key) for key in keys]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return (", ".join(names[:_NAMED]) or "none") + more
