"""Settings that a table holds fixed: the presets of the field, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from fetchbench.protocol import LEARNER_PRESETS, PIXEL_TRACKS, TRACKS, Budget, Evaluation, LearnerSettings, Scene

COMMON = {
    "discount": 0.95,
    "hidden": (256, 256),
    "log_std_bounds": (-20.0, 2.0),
    "target_entropy": -4.0,
    "relabel_strategy": "future",
    "warmup_steps": 1000,
}
PUBLISHED: dict[str, dict[str, Any]] = {
    "reach-cpu": {
        "environments": 1,
        "updates_per_step": 1.0,
        "learning_rate": 1e-3,
        "batch_size": 128,
        "buffer_steps": None,
        "target_rate": 0.01,
        "entropy": "learned",
        "entropy_coefficient": 0.1,
        "relabel_k": 4,
        "critic_loss": "sum",
    },
    "push": {
        "environments": 4,
        "updates_per_step": 0.25,
        "learning_rate": 1e-4,
        "batch_size": 256,
        "buffer_steps": 500_000,
        "target_rate": 0.005,
        "entropy": "fixed",
        "entropy_coefficient": 0.05,
        "relabel_k": 8,
        "critic_loss": "half-sum",
    },
    "push-state": {
        "environments": 8,
        "updates_per_step": 0.125,
        "learning_rate": 3e-4,
        "batch_size": 256,
        "buffer_steps": 1_000_000,
        "target_rate": 0.005,
        "entropy": "fixed",
        "entropy_coefficient": 0.05,
        "relabel_k": 4,
        "critic_loss": "half-sum",
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_presets_are_those_that_were_published(name):
    preset = LEARNER_PRESETS[name]
    expected = COMMON | PUBLISHED[name]
    assert {field: getattr(preset, field) for field in expected} == expected


def test_there_is_no_other_preset():
    assert LEARNER_PRESETS.keys() == PUBLISHED.keys()


def test_vectors_are_scaled_unless_asked_otherwise():
    assert {preset.vectors for preset in LEARNER_PRESETS.values()} == {"scaled"}


def test_every_track_is_described_and_the_pixel_tracks_are_those_with_frames():
    assert set(TRACKS) - set(PIXEL_TRACKS) == {"state", "blind"}
    assert set(PIXEL_TRACKS) == {"pixels", "pixels-only", "pixels-privileged", "image-goal"}


@pytest.mark.parametrize(
    ("model", "fields", "message"),
    [
        (LearnerSettings, {"batchsize": 3}, "batchsize"),
        (LearnerSettings, {"batch_size": "128"}, "valid integer"),
        (LearnerSettings, {"batch_size": 1}, "greater than or equal to 2"),
        (LearnerSettings, {"learning_rate": 0}, "greater than 0"),
        (LearnerSettings, {"discount": 1.0}, "less than 1"),
        (LearnerSettings, {"target_entropy": float("nan")}, "finite"),
        (LearnerSettings, {"target_entropy": float("-inf")}, "finite"),
        (LearnerSettings, {"relabel_strategy": "past"}, "'future', 'final' or 'episode'"),
        (LearnerSettings, {"hidden": (256, 0)}, "greater than or equal to 1"),
        (LearnerSettings, {"log_std_bounds": (2.0, -20.0)}, r"log_std_bounds = \(2, -20\): the first must be below the second"),
        (
            LearnerSettings,
            {"environments": 4, "warmup_steps": 199},
            "warmup_steps = 199: with 4 environments the first episodes end at step 200, and updates need a finished one",
        ),
        (Budget, {"steps": 99}, "greater than or equal to 100"),
        (Budget, {"steps": 1000.5}, "valid integer"),
        (Evaluation, {"every_steps": 500, "episodes": 0}, "greater than or equal to 1"),
        (Scene, {"camera": "side"}, "'fetch-close' or 'fetch-default'"),
        (Scene, {"marker": True}, "'hidden' or 'shown'"),
    ],
)
def test_what_is_refused(model, fields, message):
    with pytest.raises(ValidationError, match=message):
        model(**fields)


def test_warm_up_may_end_with_the_first_episodes():
    assert LearnerSettings(environments=4, warmup_steps=200).warmup_steps == 200


def test_settings_do_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        Scene().marker = "shown"  # type: ignore[misc]


def test_a_list_of_json_may_fill_a_tuple():
    assert LearnerSettings.model_validate_json('{"hidden": [64, 32]}').hidden == (64, 32)
