"""Separate random streams: changing one component changes no other component's numbers."""

from __future__ import annotations

import hashlib

import torch

from fetchbench.protocol import PROTOCOL_VERSION

STREAMS = (
    "encoder",
    "actor",
    "critic",
    "auxiliary",
    "reset",
    "exploration",
    "replay",
    "noise",
    "augmentation",
    "evaluation",
    "audit",
    "probe",
    "goals",
)


def stream_seed(task: str, seed: int, stream: str, *index: int) -> int:
    """The seed of a stream, from the protocol version, the task and the run's seed: an integer below 2**62.

    Args:
        task: Task id.
        seed: The run's seed.
        stream: One of :data:`STREAMS`.
        index: Position in the stream, where each item has a seed of its own (episodes).
    """
    if stream not in STREAMS:
        raise ValueError(f"unknown stream {stream!r}: one of {', '.join(STREAMS)}")
    text = "/".join(map(str, (PROTOCOL_VERSION, task, seed, stream, *index)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 2


def reset_seed(task: str, seed: int, episode: int) -> int:
    """The seed that a training episode is reset with: even, below 2**32."""
    return stream_seed(task, seed, "reset", episode) % 2**31 * 2


def evaluation_seed(task: str, seed: int, evaluation: int, episode: int) -> int:
    """The seed of an evaluation episode: odd, below 2**32, so that no training episode ever has it."""
    return stream_seed(task, seed, "evaluation", evaluation, episode) % 2**31 * 2 + 1


class Generators:
    """The torch generators of one run's streams, on the CPU whatever the device."""

    names = ("exploration", "replay", "noise", "augmentation", "audit")

    def __init__(self, task: str, seed: int) -> None:
        self._generators = {name: torch.Generator().manual_seed(stream_seed(task, seed, name)) for name in self.names}

    def __getitem__(self, name: str) -> torch.Generator:
        return self._generators[name]

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {name: generator.get_state() for name, generator in self._generators.items()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        for name, generator in self._generators.items():
            generator.set_state(state[name])
