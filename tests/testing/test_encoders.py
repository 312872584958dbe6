"""What the checks of encoders ask, and when they ask less."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fetchbench.errors import RenderingError, WeightsError
from fetchbench.records.schema import Component
from fetchbench.registry import Registered, Registry
from fetchbench.run.plugins import load_plugins
from fetchbench.specs import EncoderSpec, WeightsSpec
from fetchbench.testing import check_component, encoder, frames
from fetchbench.testing.stand_ins import PROVIDER, StandInEncoder

ROUTINGS = {key: found for key, found in load_plugins().components.items() if key[0] == "gradient-routing"}


def check(build, **fields):
    """Check name -> finding."""
    spec = EncoderSpec("sound", build, **fields)
    registry = Registry({**ROUTINGS, ("encoder", "sound"): Registered("encoder", spec, PROVIDER)})
    return {finding.check: finding for finding in check_component("encoder", Component(name="sound"), registry).findings}


def statuses(found) -> dict[str, str]:
    return {name: finding.status for name, finding in found.items() if finding.status != "ok"}


@pytest.fixture
def few_frames(monkeypatch):
    """Stand-ins for real frames, where the scene is not the question."""
    monkeypatch.setattr(frames, "_episodes", lambda size: (frames.tables(size), ""))


def test_a_sound_encoder_passes_every_check():
    found = check(StandInEncoder)
    expected = {} if torch.cuda.is_available() else {"CUDA graph": "skipped"}
    assert statuses(found) == expected
    assert found["output"].text == "16 features"
    parameters = (8 * 6 * 16 + 8) + 2 * (8 * 8 * 9 + 8) + (8 * 4 * 4 * 16 + 16)
    assert found["cost"].text.startswith(f"{parameters:,} parameters; ")
    assert found["not collapsed"].text.endswith("over FetchPush's frames")


class Frame(StandInEncoder):
    """With buffers, a frozen stem, and zeros at the start of a residual branch."""

    def __init__(self, shape, weights: str = "random") -> None:
        super().__init__(shape)
        self.register_buffer("offset", torch.tensor(0.5))
        self.residual = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16))
        nn.init.zeros_(self.residual[2].weight)
        nn.init.zeros_(self.residual[2].bias)
        self.convolutions[0].requires_grad_(False)

    def forward(self, frames):
        z = super().forward(frames)
        return z + self.residual(z) + self.offset


def test_a_frame_encoder_with_a_frozen_stem_and_zeros_at_the_start_is_sound(few_frames):
    found = check(Frame, input="frame")
    assert set(statuses(found)) <= {"CUDA graph"}
    assert found["gradient"].text == "10 parameters"
    assert "cache" in found


def test_an_encoder_without_anything_to_train_supports_the_routings_that_train_nothing(few_frames):
    found = check(lambda shape: StandInEncoder(shape).requires_grad_(False))
    assert found["gradient"].status == "skipped"
    assert found["routings"].text == "frozen that train no encoder"


def test_a_parameter_that_moments_alone_reach_is_reached(few_frames):
    class Moments(StandInEncoder):
        def __init__(self, shape, used: bool = True) -> None:
            super().__init__(shape)
            self.log_variance = nn.Linear(16, 16)

        def moments(self, frames):
            z = self(frames)
            return z, self.log_variance(z)

    found = check(Moments)
    assert found["gradient"].text == "10 parameters, 2 by moments alone"
    assert found["routings"].status == "ok"
    assert found["offers"].text == "moments"


@pytest.mark.parametrize(
    ("offer", "returns", "message"),
    [
        ("moments", lambda z: (z, z[:, :3]), r"moments returns [(2, 16), (2, 3)]"),
        ("feature_map", lambda z: z, "feature_map returns (2, 16)"),
        ("points", lambda z: torch.full((len(z), 4, 2), 1.5), "points returns (2, 4, 2), values to 1.5"),
    ],
)
def test_offers_are_held_to_their_shapes(few_frames, offer, returns, message):
    Offering = type("Offering", (StandInEncoder,), {offer: lambda self, frames: returns(self(frames))})  # noqa: N806
    found = check(Offering)
    assert found["offers"].status == "failed"
    assert found["offers"].text == message


# -- weights and references -------------------------------------------------------------------------------------------

WEIGHTS = WeightsSpec("backbone.pt", url="https://example.org", licence="MIT")


def absent(shape, weights: str = "published"):
    if weights == "published":
        raise WeightsError("no weights: backbone.pt is not in /nowhere")
    return Frame(shape)


def test_without_its_weights_an_encoder_is_checked_with_random_ones_and_it_says_so(few_frames):
    found = check(absent, weights=WEIGHTS)
    assert found["weights"].status == "skipped"
    assert found["weights"].text.startswith("not on this machine: checked with random ones. no weights: backbone.pt is not in")
    assert set(statuses(found)) <= {"weights", "CUDA graph"}


def test_with_its_weights_the_licence_is_shown(few_frames):
    found = check(lambda shape, weights="published": Frame(shape), weights=WEIGHTS)
    assert (found["weights"].status, found["weights"].text) == ("ok", "published, licence MIT")


def test_the_authors_code_must_agree(few_frames):
    same = check(Frame, reference=lambda module, frames: module(frames))
    assert same["reference"].status == "ok"
    other = check(Frame, reference=lambda module, frames: 1.01 * module(frames))
    assert other["reference"].status == "failed"
    assert other["reference"].text == "features differ from the authors' by 0.0099 of their size"


def test_without_the_authors_package_nothing_is_compared(few_frames):
    def reference(module, frames):
        raise ImportError("No module named 'r3m'")

    found = check(Frame, reference=reference)
    assert (found["reference"].status, found["reference"].text) == (
        "skipped",
        "the authors' package is not installed (No module named 'r3m')",
    )


# -- controls ---------------------------------------------------------------------------------------------------------


class Constant(StandInEncoder):
    """Its own fault: features that hardly depend on the frames."""

    def forward(self, frames):
        return 1 + 1e-6 * super().forward(frames)


def test_the_fault_that_a_control_declares_is_expected(few_frames):
    found = check(Constant, control="it starts dead")
    assert found["not collapsed"].status == "expected"
    assert found["not collapsed"].text.startswith("expected (control): over FetchPush's frames features deviate by")
    assert "control" not in found


def test_a_control_without_its_fault_is_noticed(few_frames):
    found = check(StandInEncoder, control="it starts dead")
    assert (found["control"].status, found["control"].text) == (
        "skipped",
        "no check found the fault that it declares: it starts dead",
    )


def test_a_control_that_does_not_build_is_no_control():
    assert check(lambda shape: 1 / 0, control="it divides by zero")["build"].status == "failed"


# -- large networks and machines without OpenGL -----------------------------------------------------------------------


def test_of_a_very_large_network_less_is_asked_and_it_says_so(few_frames, monkeypatch):
    monkeypatch.setattr(encoder, "LARGE_PARAMETERS", 1000)
    seen = []

    class Large(Frame):
        def forward(self, frames):
            seen.append(len(frames))
            return super().forward(frames)

    found = check(Large, input="frame")
    assert set(found) == {
        "build", "size", "output", "input unchanged", "determinism", "cache", "finite", "not collapsed", "cost"
    }  # fmt: skip
    assert found["size"].text.endswith("million parameters: one frame at a time, and only what is listed here")
    assert not [name for name, finding in found.items() if finding.status == "failed"]
    # Two where the core itself asks for its width; else one, but where time allows more to be timed.
    assert sorted(seen)[len(seen) // 2] == 1


def test_without_opengl_scenes_are_drawn_and_it_says_so(monkeypatch):
    def refuse(*arguments):
        raise RenderingError("no usable OpenGL")

    monkeypatch.setattr(frames, "VectorEnvironment", refuse)
    frames._episodes.cache_clear()
    found = check(StandInEncoder)
    frames._episodes.cache_clear()
    assert found["not collapsed"].status == "ok"
    assert found["not collapsed"].text.endswith("over drawn scenes, since there is no OpenGL")


def test_a_wrapping_encoder_wraps_the_kits_own(few_frames):
    class Doubled(nn.Module):
        def __init__(self, shape, inner) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, frames):
            return 2 * self.inner(frames)

    found = check(Doubled, wraps=True)
    assert set(statuses(found)) <= {"CUDA graph"}
    assert found["build"].text == "around a small encoder of the kit's own; check 'sound(NAME)' for another"
