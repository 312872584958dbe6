"""Weights and checkpoints from elsewhere run no code, whoever reads them, and the refusal says what to do."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import pickle
from pathlib import Path

import pytest
import torch

from fetchbench.errors import FetchbenchError, PluginError, StorageError
from fetchbench.registry import Registry
from fetchbench.run.checkpoint import Checkpoint
from fetchbench.run.plugins import load_plugins
from fetchbench.specs import EncoderSpec, FrameShape

ROOT = Path(__file__).resolve().parents[2]


class Evil:
    """Unpickled without protection it writes a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


@pytest.fixture
def trace(tmp_path) -> Path:
    """The file that is there once code has run."""
    return tmp_path / "ran"


def malicious(trace: Path, kind: str) -> bytes:
    """The content of a file that runs code when it is unpickled: as ``torch.save`` writes it, or a bare pickle."""
    path = trace.with_name("malicious.pt")
    content = {"weight": torch.zeros(2), "epoch": Evil(trace)}
    if kind == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    data = path.read_bytes()
    with contextlib.suppress(Exception):  # whatever torch then makes of it
        torch.load(path, weights_only=False)
    assert trace.exists(), "this file would run code"
    trace.unlink()
    return data


# -- the run's checkpoint ---------------------------------------------------------------------------------------------


def checkpoint(folder: Path, state: bytes, segments: tuple[bytes, ...] = ()) -> Checkpoint:
    """A checkpoint of these files, whose checksums are right: as somebody would make it who means harm."""
    folder.mkdir()
    files = {"state-00000002.pt": state, **{f"replay-{n:08d}-{n + 1:08d}.pt": data for n, data in enumerate(segments)}}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (head, of_state), *others = [(name, hashlib.sha256(data).hexdigest()) for name, data in files.items()]
    manifest = {
        "state": {"file": head, "sha256": of_state},
        "segments": [{"file": name, "start": n, "stop": n + 1, "sha256": sha} for n, (name, sha) in enumerate(others)],
        "metrics_bytes": 0,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return Checkpoint(folder)


class NoReplay:
    """Where nothing arrives."""

    added = 0

    def add(self, episodes: object) -> None:
        raise AssertionError("nothing of a refused checkpoint may be used")


def sound(path: Path) -> bytes:
    torch.save({"key": "k"}, path)
    return path.read_bytes()


REFUSED = r"is refused: it holds more than tensors \([\w.]+\), .* Nothing of it was run; delete the run's folder"


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle"])
@pytest.mark.parametrize("part", ["state", "replay"])
def test_code_in_a_checkpoint_is_refused_and_nothing_is_given_up_for_it(tmp_path, trace, kind, part):
    evil, good = malicious(trace, kind), sound(tmp_path / "sound.pt")
    found = checkpoint(tmp_path / "checkpoint", evil if part == "state" else good, (evil,) if part == "replay" else ())
    files = sorted(found.folder.iterdir())
    with pytest.raises(FetchbenchError, match=REFUSED) as caught:
        found.load(NoReplay())
    assert not trace.exists()
    # A StorageError would have the run start again, and this folder cleared.
    assert not isinstance(caught.value, StorageError)
    assert "weights_only" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(found.folder.iterdir()) == files
    if part == "state":
        with pytest.raises(FetchbenchError, match=REFUSED):
            found.state()  # what `load_policy` and `fetchbench show` read
        assert not trace.exists()


def test_a_whole_file_that_torch_cannot_read_is_told_apart_from_damage(tmp_path):
    found = checkpoint(tmp_path / "checkpoint", b"no checkpoint at all")
    with pytest.raises(FetchbenchError, match=r"state-00000002\.pt is refused: it is whole, and torch .* cannot read it"):
        found.state()


@pytest.mark.parametrize("name", ["../outside.pt", "sub/outside.pt", "..", "", 5, None])
@pytest.mark.parametrize("part", ["state", "replay"])
def test_a_checkpoint_names_files_of_its_own_folder_alone(tmp_path, name, part):
    data = sound(tmp_path / "outside.pt")
    found = checkpoint(tmp_path / "checkpoint", data, (data,))
    path = found.folder / "manifest.json"
    manifest = json.loads(path.read_text())
    (manifest["state"] if part == "state" else manifest["segments"][0])["file"] = name
    path.write_text(json.dumps(manifest))
    with pytest.raises(StorageError):
        found.load(NoReplay())
    assert (tmp_path / "outside.pt").read_bytes() == data


# -- weights ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins()


PRETRAINED = ("r3m-18", "r3m-34", "r3m-50", "vip", "vc1-b", "vc1-l", "timm")


def test_these_are_all_that_load_weights(registry):
    found = [spec for (kind, _), one in registry.components.items() if isinstance(spec := one.spec, EncoderSpec)]
    assert {spec.name for spec in found if spec.weights is not None} | {"timm"} == set(PRETRAINED)


@pytest.mark.parametrize("kind", ["zip", "pickle"])
@pytest.mark.parametrize("name", PRETRAINED)
def test_every_pretrained_network_refuses_code_in_its_file(registry, tmp_path, trace, name, kind):
    path = tmp_path / "weights.pt"
    path.write_bytes(malicious(trace, kind))
    spec = registry.get("encoder", name).spec
    assert isinstance(spec, EncoderSpec)
    # Nothing is computed: the file is read before it is held against the network, which may then have no memory.
    with torch.device("meta"), pytest.raises(PluginError, match=r"weights\.pt is refused: it holds more than tensors"):
        spec.build(FrameShape(1, 256, 256), weights=str(path))
    assert not trace.exists()


@pytest.mark.parametrize("name", ["r3m-18", "vc1-b", "timm"])
def test_so_it_does_where_the_file_lies_in_the_place_of_the_published_one(registry, tmp_path, trace, monkeypatch, name):
    spec = registry.get("encoder", name).spec
    assert isinstance(spec, EncoderSpec)
    file = "resnet18.tv_in1k.safetensors" if spec.weights is None else spec.weights.file
    (tmp_path / file).write_bytes(malicious(trace, "zip"))
    monkeypatch.setenv("FETCHBENCH_WEIGHTS", str(tmp_path))
    with (
        torch.device("meta"),
        pytest.raises(PluginError, match=r"it holds more than tensors|is not the published|cannot be read as"),
    ):
        spec.build(FrameShape(1, 256, 256))
    assert not trace.exists()


# -- the source -------------------------------------------------------------------------------------------------------

READERS = ("load", "loads", "load_state_dict_from_url", "load_file", "Unpickler", "unsafe_load")
"""Names of what reads objects out of files, in the modules below."""
MODULES = (
    "torch",
    "pickle",
    "cPickle",
    "dill",
    "joblib",
    "marshal",
    "shelve",
    "yaml",
    "np",
    "numpy",
    "hub",
    "torch.hub",
    "jit",
)
OURS = {("fetchbench/registry.py", "exec")}
"""A plugin is code, and its file is run as such."""


@pytest.fixture(scope="module")
def calls() -> list[tuple[str, str, ast.Call]]:
    """Every call in fetchbench and its plugins: file, what is called, and the call."""
    return [
        (str(path.relative_to(ROOT)), ast.unparse(node.func), node)
        for folder in ("fetchbench", "plugins")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    ]


def test_nothing_reads_objects_out_of_files_without_protection(calls):
    found = 0
    for file, name, call in calls:
        module, _, function = name.rpartition(".")
        if name in ("eval", "exec", "compile", "__import__"):
            assert (file, name) in OURS | {("fetchbench/registry.py", "compile")}, f"{file}: {name}"
        elif module in MODULES and function in READERS:
            given = {word.arg: ast.unparse(word.value) for word in call.keywords}
            assert name == "torch.load", f"{file}: {name} reads objects"
            assert given.get("weights_only") == "True", f"{file}, line {call.lineno}: torch.load without weights_only=True"
            found += 1
    assert found >= 5, "the calls are looked for in the wrong place"


def test_no_command_goes_through_a_shell(calls):
    for file, name, call in calls:
        assert name not in ("os.system", "os.popen", "subprocess.getoutput"), f"{file}: {name}"
        assert not any(word.arg == "shell" for word in call.keywords), f"{file}, line {call.lineno}: a shell"
