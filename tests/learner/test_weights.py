"""Weights are loaded whole or not at all, and frames arrive as the networks' authors fed them."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import math
import os
import pickle

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as tv
from safetensors.torch import save_file
from torch import nn

from fetchbench.errors import PluginError, WeightsError
from fetchbench.learner.pretrained import Preprocessing, digests, licences, load_weights, weights_folder
from fetchbench.specs import WeightsSpec

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SPEC = WeightsSpec("net.pt", "https://example.org/net.pt", "CC-BY-NC-4.0", hub="someone/net/weights.bin")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.out = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Linear(4, 2)


def state(seed: int = 1) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        key: torch.rand(value.shape, generator=generator) if value.is_floating_point() else torch.tensor(7)
        for key, value in Net().state_dict().items()
    }


def same(net: nn.Module, wanted: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, wanted[key]) for key, value in net.state_dict().items())


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty folder of weights and an empty cache of the hub: no test reads this machine's."""
    weights = tmp_path / "weights"
    weights.mkdir()
    monkeypatch.setenv("FETCHBENCH_WEIGHTS", str(weights))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))

    def offline(*_, **__):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    return weights


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.pt"


# -- preprocessing ----------------------------------------------------------------------------------------------------


def frames(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_a_frame_of_256_is_cropped_in_the_middle_and_normalised():
    x = frames(2, 3, 3, 256, 256)
    pixels = x.numpy().reshape(6, 3, 256, 256)[:, :, 16:240, 16:240].astype(np.float32)
    mean, std = (np.array(v, dtype=np.float32).reshape(3, 1, 1) for v in (MEAN, STD))
    given = Preprocessing(224, MEAN, STD)(x)
    assert given.dtype == torch.float32
    assert np.array_equal(given.numpy(), (pixels / np.float32(255) - mean) / std)


@pytest.mark.parametrize("size", [(8, 8), (9, 8), (11, 15), (14, 9), (13, 21)])
def test_the_middle_is_torchvisions(size):
    x = frames(1, 1, 3, *size)
    given = Preprocessing(8, (0, 0, 0), (1, 1, 1))(x)
    assert torch.equal(given, tv.center_crop(x[:, 0], [8, 8]) / 255)


def test_frames_are_left_as_they_were():
    whole = frames(1, 1, 3, 8, 8).float()
    before = whole.clone()
    Preprocessing(8, MEAN, STD)(whole)
    assert torch.equal(whole, before)


def test_a_dark_frame_does_not_depend_on_its_batch():
    """Some published code divides by 255 only where a batch has a bright pixel."""
    dark, bright = torch.ones(1, 1, 3, 8, 8, dtype=torch.uint8), torch.full((1, 1, 3, 8, 8), 255, dtype=torch.uint8)
    module = Preprocessing(8, MEAN, STD)
    assert torch.equal(module(torch.cat([dark, bright]))[:1], module(dark))


def test_frames_smaller_than_the_crop_are_refused():
    with pytest.raises(ValueError, match=r"frames of 84x84 are smaller than the crop of 224x224: set the encoder's frame_size"):
        Preprocessing(224, MEAN, STD)(frames(1, 1, 3, 84, 84))


def test_its_constants_are_no_state_but_follow_the_device():
    module = Preprocessing(8, MEAN, STD)
    assert module.state_dict() == {}
    assert module.to("meta").mean.is_meta


# -- loading ----------------------------------------------------------------------------------------------------------


def test_random_leaves_the_network_alone():
    net = Net()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    load_weights(net, "random", SPEC)
    assert same(net, before)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_path_is_loaded_whole(path, legacy):
    torch.save(state(), path, _use_new_zipfile_serialization=not legacy)
    net = Net()
    load_weights(net, str(path))
    assert same(net, state())


def test_a_network_knows_the_file_that_its_weights_came_from(path):
    torch.save(state(), path)
    net, untouched = Net(), Net()
    load_weights(net, str(path))
    load_weights(untouched, "random")
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digests({"encoder": nn.Sequential(net), "actor": untouched}) == {"encoder": expected}
    assert digests({"encoder": copy.deepcopy(net)}) == {"encoder": expected}


def test_a_network_knows_the_licence_of_published_weights_alone(path, monkeypatch):
    torch.save(state(), path)
    monkeypatch.setenv("FETCHBENCH_WEIGHTS", str(path.parent))
    published, own = Net(), Net()
    load_weights(published, "published", WeightsSpec(path.name, "https://example.org", "apache-2.0"))
    load_weights(own, str(path), WeightsSpec(path.name, "https://example.org", "apache-2.0"))
    assert licences({"encoder": nn.Sequential(published), "actor": own}) == {"encoder": "apache-2.0"}


def test_a_network_of_several_pretrained_parts_names_each_licence_and_file_once(folder):
    parts = []
    for name, licence in (("a.pt", "MIT"), ("b.pt", "CC-BY-NC-4.0"), ("a.pt", "MIT")):
        torch.save(state(ord(name[0])), folder / name)
        parts.append(Net())
        load_weights(parts[-1], "published", WeightsSpec(name, "https://example.org", licence))
    network = {"encoder": nn.Sequential(*parts)}
    assert licences(network) == {"encoder": "MIT, CC-BY-NC-4.0"}
    files = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("a.pt", "b.pt")]
    assert digests(network) == {"encoder": ", ".join(files)}


def test_safetensors_are_known_by_their_content(path):
    save_file(state(), path)
    net = Net()
    load_weights(net, str(path))
    assert same(net, state())


def test_a_home_folder_is_found(path, monkeypatch):
    monkeypatch.setenv("HOME", str(path.parent))
    torch.save(state(), path)
    load_weights(Net(), "~/file.pt")


def test_the_plugin_says_where_the_tensors_are(path):
    torch.save({"model": {f"module.{key}": value for key, value in state().items()}, "epoch": 3}, path)
    net = Net()
    load_weights(net, str(path), select=lambda c: {key.removeprefix("module."): value for key, value in c["model"].items()})
    assert same(net, state())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_converted(path, dtype):
    torch.save({key: value.to(dtype) if value.is_floating_point() else value for key, value in state().items()}, path)
    net = Net()
    load_weights(net, str(path))
    assert net.conv.weight.dtype == torch.float32
    assert torch.equal(net.conv.weight, state()["conv.weight"].to(dtype).float())


# -- what does not fit ------------------------------------------------------------------------------------------------


def without(key: str) -> dict[str, torch.Tensor]:
    return {name: value for name, value in state().items() if name != key}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (without("bn.running_var"), r"does not fit the network: 1 missing: bn\.running_var\. Nothing was loaded"),
        (state() | {"head.weight": torch.zeros(2)}, r"does not fit the network: 1 unexpected: head\.weight\. Nothing"),
        (state() | {"out.weight": torch.zeros(5, 4)}, r"1 of another shape: out\.weight \(5, 4\) for \(2, 4\)"),
        (
            state() | {"conv.weight": torch.zeros(4, 3, 3, 3, dtype=torch.int8)},
            r"1 of another type: conv\.weight torch\.int8 for torch\.float32",
        ),
        (
            {f"module.{key}": value for key, value in state().items()},
            r"8 missing: .* and 4 more; 8 unexpected: module\.conv\.weight, .* and 4 more",
        ),
        (state() | {"out.bias": torch.tensor([1.0, math.nan])}, r"1 not plain, finite numbers: out\.bias"),
        ({}, "8 missing"),
        (state() | {"out.bias": [1.0, 2.0]}, r"is not laid out as expected: no tensors at out\.bias"),
        ({"model": state()}, r"is not laid out as expected: no tensors at model"),
        ([1, 2], "holds a list, not a state dict"),
        (torch.zeros(3), "holds a Tensor, not a state dict"),
    ],
)
def test_whatever_does_not_fit_is_named_and_nothing_is_loaded(path, content, message):
    torch.save(content, path)
    net = Net()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(PluginError, match=message) as error:
        load_weights(net, str(path))
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert not isinstance(error.value, WeightsError)
    assert same(net, before)


def test_a_layout_that_the_plugin_does_not_know(path):
    torch.save({"optimiser": 1, "net": state()}, path)
    with pytest.raises(PluginError, match=r"not laid out as expected \(KeyError: 'model'\); its keys: optimiser, net"):
        load_weights(Net(), str(path), select=lambda content: content["model"])


# -- what cannot be read ----------------------------------------------------------------------------------------------


class Evil:
    def __init__(self, trace: str) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (self.trace,)


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle"])
def test_code_in_a_checkpoint_is_refused_and_not_run(path, tmp_path, kind):
    trace = tmp_path / "ran"
    if kind == "pickle":
        path.write_bytes(pickle.dumps({"epoch": Evil(str(trace))}, protocol=2))
    else:
        torch.save({**state(), "epoch": Evil(str(trace))}, path, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(PluginError, match=r"is refused: it holds more than tensors \(posix\.mkdir\)") as error:
        load_weights(Net(), str(path))
    assert not trace.exists()
    # torch advises to read it without protection.
    assert "weights_only" not in str(error.value)
    with contextlib.suppress(Exception):
        torch.load(path, weights_only=False)
    assert trace.exists(), "this file would have run code"


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_a_file_that_was_cut_short(path, kind):
    if kind == "safetensors":
        save_file(state(), path)
    else:
        torch.save(state(), path, _use_new_zipfile_serialization=kind == "zip")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 100])
    with pytest.raises(PluginError, match=rf"cannot be read as a checkpoint .* cut short .* it has {len(whole) - 100} bytes"):
        load_weights(Net(), str(path))


@pytest.mark.parametrize("text", [b"", b"<!DOCTYPE html><html>404</html>", b"version https://git-lfs.github.com/spec/v1\n"])
def test_something_else_shows_how_it_starts(path, text):
    path.write_bytes(text)
    with pytest.raises(PluginError, match="cannot be read as a checkpoint") as error:
        load_weights(Net(), str(path))
    assert repr(text[:24]) in str(error.value)
    assert "\n" not in str(error.value)


# -- where it is looked for -------------------------------------------------------------------------------------------


def test_published_is_the_file_in_the_folder(folder):
    torch.save(state(), folder / "net.pt")
    net = Net()
    load_weights(net, "published", SPEC)
    assert same(net, state())


def test_the_folder_is_in_the_home_unless_it_is_named(monkeypatch, tmp_path, folder):
    assert weights_folder() == folder
    monkeypatch.delenv("FETCHBENCH_WEIGHTS")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights_folder() == tmp_path / ".cache/fetchbench/weights"
    monkeypatch.setenv("FETCHBENCH_WEIGHTS", "~/mine")
    assert weights_folder() == tmp_path / "mine"


def cache(tmp_path, seed: int, revision: str = "main") -> None:
    """The hub's cache as its client lays it out."""
    repository = tmp_path / "hub" / "models--someone--net"
    commit = hashlib.sha1(revision.encode()).hexdigest()
    (repository / "snapshots" / commit).mkdir(parents=True)
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / revision).write_text(commit)
    torch.save(state(seed), repository / "snapshots" / commit / "weights.bin")


@pytest.mark.parametrize("source", ["published", "hub"])
def test_the_hubs_cache_is_looked_at_after_the_folder(folder, tmp_path, source):
    cache(tmp_path, seed=2)
    net = Net()
    load_weights(net, source, SPEC)
    assert same(net, state(2))
    torch.save(state(3), folder / "net.pt")
    load_weights(net, source, SPEC)
    assert same(net, state(3))


def test_a_revision_of_the_hub(tmp_path):
    cache(tmp_path, seed=2)
    cache(tmp_path, seed=5, revision="v2")
    net = Net()
    load_weights(net, "published", WeightsSpec("net.pt", "", "MIT", hub="someone/net@v2/weights.bin"))
    assert same(net, state(5))


def test_the_hub_is_asked_only_when_told_to(path, monkeypatch):
    asked = []

    def download(*address, **options):
        asked.append((address, options))
        torch.save(state(4), path)
        return str(path)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    with pytest.raises(WeightsError):
        load_weights(Net(), "published", SPEC)
    assert asked == []
    net = Net()
    load_weights(net, "hub", SPEC)
    assert asked == [(("someone/net", "weights.bin"), {"revision": None})]
    assert same(net, state(4))


def test_missing_weights_say_where_to_get_them_and_where_to_put_them(folder):
    spec = WeightsSpec("net.pt", "https://example.org/net.pt", "CC-BY-NC-4.0", sha256="ab12", hub="someone/net/weights.bin")
    with pytest.raises(WeightsError) as error:
        load_weights(Net(), "published", spec)
    assert str(error.value) == (
        f"no weights: net.pt is not in {folder}, nor is someone/net/weights.bin in the hub's cache. Get it from "
        "https://example.org/net.pt (licence CC-BY-NC-4.0, sha256 ab12) and put it there under that name, or set "
        '$FETCHBENCH_WEIGHTS to the folder that holds it; or write `weights = "hub"`, which fetches it; '
        '`weights = "random"` is the same network without pretraining, as a control'
    )


def test_what_is_not_on_the_hub_is_not_offered_there(folder):
    spec = WeightsSpec("net.pt", "https://example.org/net.pt", "MIT")
    with pytest.raises(WeightsError, match=r"net\.pt is not in \S+weights\. Get it from") as error:
        load_weights(Net(), "published", spec)
    assert '"hub"' not in str(error.value)
    with pytest.raises(WeightsError, match=r"and it is not on the hub\. Get it from"):
        load_weights(Net(), "hub", spec)


def test_a_download_that_fails_says_why(monkeypatch):
    def fail(*_, **__):
        raise OSError("no route\nto host")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    with pytest.raises(WeightsError, match=r"fetching it failed \(OSError: no route to host\)\. Get it from https"):
        load_weights(Net(), "hub", SPEC)


def test_a_path_without_a_file(tmp_path):
    with pytest.raises(WeightsError, match=r"weights = '.*/none\.pt': there is no such file; .*'published'"):
        load_weights(Net(), str(tmp_path / "none.pt"))


def test_no_published_weights():
    with pytest.raises(PluginError, match="weights = 'published': no published weights are known for this encoder"):
        load_weights(Net(), "published")


def test_another_file_under_the_published_name_is_refused(folder):
    torch.save(state(), folder / "net.pt")
    digest = hashlib.sha256((folder / "net.pt").read_bytes()).hexdigest()
    load_weights(Net(), "published", WeightsSpec("net.pt", "https://example.org/net.pt", "MIT", sha256=digest))
    wrong = WeightsSpec("net.pt", "https://example.org/net.pt", "MIT", sha256="0" * 64)
    with pytest.raises(PluginError, match=f"is not the published checkpoint: its sha256 is {digest}, not 0000") as error:
        load_weights(Net(), "published", wrong)
    assert not isinstance(error.value, WeightsError)
    # Whoever gives a path means that file.
    load_weights(Net(), str(folder / "net.pt"), wrong)
