"""Our side's learner, set up as a run sets it up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from fetchbench.bench.sizes import ENCODER, Arithmetic
from fetchbench.errors import FetchbenchError
from fetchbench.protocol import Budget, Evaluation, LearnerSettings, Scene, Track
from fetchbench.records.schema import Component, Execution, Method, RunRequest
from fetchbench.registry import Registry
from fetchbench.run.plugins import load_plugins
from fetchbench.specs import EncoderSpec, FrameShape, PixelSpec


def make_encoder(shape: FrameShape, options: Mapping[str, Any] | None = None, registry: Registry | None = None) -> nn.Module:
    """The encoder's module that both sides learn with."""
    spec = (registry or load_plugins()).get("encoder", ENCODER).spec
    if not isinstance(spec, EncoderSpec):
        raise FetchbenchError(f"{ENCODER!r} is no encoder")
    return spec.build(shape, **(options or {}))


def make_request(
    task: str,
    track: Track,
    pixels: PixelSpec,
    routing: str,
    settings: LearnerSettings,
    threads: int,
    arithmetic: Arithmetic,
    *,
    encoder: str = ENCODER,
    options: Mapping[str, Any] | None = None,
    steps: int = 1_000,
    device: str = "cpu",
) -> RunRequest:
    """The request of such a run; it is never evaluated.

    Args:
        task: Task id.
        track: A pixel track.
        pixels: Frame size and stack.
        routing: A gradient routing's name.
        settings: The learner's.
        threads: Of its arithmetic.
        arithmetic: Precision and compile mode.
        encoder: Its name.
        options: Of the encoder.
        steps: Environment steps of its budget.
        device: Where it learns.
    """
    execution = {"threads": threads, "precision": arithmetic.precision, "compile": arithmetic.compile, "device": device}
    return RunRequest(
        suite="bench",
        task=task,
        seed=0,
        scene=Scene(),
        pixel_track=track,
        learner=settings,
        budget=Budget(steps=steps),
        evaluation=Evaluation(every_steps=steps, episodes=1, last=1),
        method=Method(
            name="bench",
            track=track,
            pixels=pixels,
            encoder=Component(name=encoder, options=dict(options or {})),
            routing=Component(name=routing),
        ),
        execution=Execution.model_validate(execution),
        key="bench",
    )
