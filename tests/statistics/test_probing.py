"""What is read from features whose content is known."""

from __future__ import annotations

import numpy as np
import pytest

from fetchbench.statistics.probing import (
    PENALTIES,
    dead_units,
    drift,
    effective_rank,
    fold_of,
    held_out_residuals,
    principal_components,
    read_out,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def groups(scenes: int, size: int = 10) -> np.ndarray:
    return np.arange(scenes) // size


def read(features, position, **options):
    return read_out(features, {"place": position}, groups(len(features)), **options)["place"]


# -- ridge ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [20, 700])
def test_a_position_that_features_contain_linearly_is_read_exactly(rng, width):
    position = rng.uniform(-0.15, 0.15, (300, 2))
    features = position @ rng.standard_normal((2, width)) + rng.standard_normal(width)
    found = read(features, position)
    assert found.r2 > 0.9999
    assert found.error < 1e-4
    # A square of edge 0.3: the mean distance of its points from the middle is 0.3826 of the edge.
    assert found.mean_error == pytest.approx(0.3826 * 0.3, rel=0.06)


def test_a_position_under_noise_is_read_as_well_as_the_noise_allows(rng):
    position = rng.standard_normal((2000, 2))
    features = np.concatenate([position + rng.standard_normal((2000, 2)), rng.standard_normal((2000, 10))], axis=1)
    # Signal and noise of equal variance: the best linear predictor explains a half.
    assert read(features, position).r2 == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("width", [50, 400, 1500])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_random_features_tell_nothing_and_are_not_believed(rng, width, scale):
    position = rng.uniform(0, 1, (400, 3))
    found = read((scale * rng.standard_normal((400, width))).astype(np.float32), position)
    assert -0.06 < found.r2 < 0.02
    assert found.error == pytest.approx(found.mean_error, rel=0.04)


def test_a_feature_that_knows_the_reset_alone_does_not_help(rng):
    """Scenes of one reset lie close together; split without regard to resets, knowing the reset would tell the place."""
    middles = rng.uniform(0, 1, (40, 2))
    position = np.repeat(middles, 10, axis=0) + 0.01 * rng.standard_normal((400, 2))
    features = np.repeat(np.eye(40), 10, axis=0)
    assert read(features, position).r2 < 0.02
    leaking = read_out(features, {"place": position}, rng.permutation(400))["place"]
    assert leaking.r2 > 0.9


def test_each_position_gets_a_penalty_of_its_own(rng):
    easy, noise = rng.standard_normal((400, 1)), rng.standard_normal((400, 2))
    features = np.concatenate([easy, rng.standard_normal((400, 200))], axis=1)
    both = read_out(features, {"easy": easy, "noise": noise}, groups(400))
    for name, position in {"easy": easy, "noise": noise}.items():
        assert both[name].r2 == pytest.approx(read(features, position).r2, abs=1e-9)
    assert both["easy"].r2 > 0.9
    assert both["noise"].r2 < 0.02


@pytest.mark.parametrize("width", [7, 90])
def test_residuals_equal_those_of_a_ridge_fitted_without_the_fold(rng, width):
    """By the normal equations, with an intercept that is not penalised, for a width below and one above the scenes."""
    n = 60
    features = rng.standard_normal((n, width)) * rng.uniform(0.1, 10, width) + 3
    values = rng.standard_normal((n, 2)) + features[:, :2]
    fold = fold_of(groups(n, 4), 5)
    components, squares = principal_components(features)
    found = held_out_residuals(components, squares, values, fold)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    largest = np.linalg.svd(scaled, compute_uv=False)[0] ** 2
    x = np.concatenate([np.ones((n, 1)), scaled], axis=1)
    for i, penalty in enumerate(PENALTIES):
        ridge = np.diag([0.0] + [penalty * largest] * width)
        for f in range(5):
            fit, out = x[fold != f], x[fold == f]
            weights = np.linalg.solve(fit.T @ fit + ridge, fit.T @ values[fold != f])
            # With more features than scenes and hardly any penalty nothing is left to divide by: eps / penalty^2 of error.
            tolerance = 1e-7 + 1e-16 / penalty**2
            np.testing.assert_allclose(found[i, fold == f], values[fold == f] - out @ weights, atol=tolerance)


def test_the_dual_form_equals_the_primal_one(rng):
    """Columns of zeros make features wider than the scenes are many, and say nothing."""
    features = rng.standard_normal((100, 30))
    position = features[:, :3] + rng.standard_normal((100, 3))
    wide = np.concatenate([features, np.zeros((100, 200))], axis=1)
    found, expected = read(wide, position), read(features, position)
    assert found.r2 == pytest.approx(expected.r2, abs=1e-9)
    assert found.error == pytest.approx(expected.error, abs=1e-9)


def test_constant_features_read_as_the_mean(rng):
    position = rng.uniform(0, 1, (100, 2))
    features = np.full((100, 8), 5, np.float32)
    features[50:] = np.nextafter(features[50:], 6)  # as batches of different sizes may round
    found = read(features, position)
    assert found.r2 == pytest.approx(0, abs=1e-9)
    assert found.error == pytest.approx(found.mean_error)


def test_a_position_that_never_varies_explains_nothing(rng):
    found = read(rng.standard_normal((100, 8)), np.ones((100, 2)))
    assert (found.r2, found.error, found.mean_error) == (0, 0, 0)


def test_groups_are_dealt_out_whole_and_evenly():
    fold = fold_of(np.array([7, 7, 3, 9, 3, 1, 1, 5]), 2)
    np.testing.assert_array_equal(fold, [1, 1, 1, 0, 1, 0, 0, 0])
    with pytest.raises(ValueError, match="4 groups cannot be split into 5 folds"):
        fold_of(np.array([0, 1, 2, 3, 3, 3]), 5)


def test_a_feature_that_is_not_finite_is_refused(rng):
    features = rng.standard_normal((100, 8))
    features[3, 2] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        read(features, rng.standard_normal((100, 2)))


# -- effective rank, dead units, drift --------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [40, 300])
@pytest.mark.parametrize("rank", [1, 5, 30])
def test_the_effective_rank_of_k_orthonormal_directions_is_k(rng, rank, width):
    scenes = rng.standard_normal((120, rank))
    scenes, _ = np.linalg.qr(scenes - scenes.mean(axis=0))  # still without a mean
    directions, _ = np.linalg.qr(rng.standard_normal((width, rank)))
    assert effective_rank(scenes @ directions.T + 7) == pytest.approx(rank, rel=1e-6)


def test_the_effective_rank_of_two_unequal_directions():
    """Singular values 3 and 1: exp of the entropy of (3/4, 1/4)."""
    features = np.array([[3, 1], [-3, 1], [3, -1], [-3, -1]]) / 2
    assert effective_rank(features) == pytest.approx(4 / 3**0.75)


def test_constant_features_have_no_rank():
    assert effective_rank(np.full((20, 4), 2.5)) == 0


def test_dead_units_are_those_that_hardly_vary(rng):
    features = rng.standard_normal((500, 10)).astype(np.float32)
    features[:, 0] = 0
    features[:, 1] = 9  # a constant that is not zero
    features[:, 2] *= 0.01
    features[:, 3] *= 0.1  # less than the others, and alive
    assert dead_units(features) == 3
    assert dead_units(1e-6 * features) == 3
    assert dead_units(np.maximum(features, 0)) == 3


def test_units_that_differ_by_rounding_alone_are_all_dead():
    features = np.full((20, 4), 5, np.float32)
    features[10:] = np.nextafter(features[10:], 6)
    assert dead_units(features) == 4


def test_drift_is_the_relative_change(rng):
    before = rng.standard_normal((30, 5))
    assert drift(before, before) == 0
    assert drift(before, 1.5 * before) == pytest.approx(0.5)
    assert drift(np.array([[3.0, 4.0]]), np.array([[3.0, 1.0]])) == pytest.approx(0.6)
    assert drift(np.zeros((3, 2)), np.zeros((3, 2))) == 0
