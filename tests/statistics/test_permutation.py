"""The permutation test by hand, against scipy's, and where it has to draw."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from fetchbench.statistics.permutation import DRAWS, ENUMERATED, permutation_p, smallest_p, smallest_p_of


def difference(a, b, axis):
    return np.mean(a, axis=axis) - np.mean(b, axis=axis)


@pytest.mark.parametrize(("n_a", "n_b"), [(2, 2), (3, 3), (5, 5), (5, 10), (4, 2)])
def test_one_task_is_scipys_exact_test(n_a, n_b):
    """scipy doubles the smaller tail, which for unequal numbers is another two-sided p; each tail is the same."""
    rng = np.random.default_rng(n_a)
    a, b = rng.uniform(0.2, 1, n_a), rng.uniform(0, 0.8, n_b)
    tails = [
        scipy.stats.permutation_test((x, y), difference, vectorized=True, n_resamples=np.inf, alternative="greater").pvalue
        for x, y in ((a, b), (b, a))
    ]
    observed = abs(a.mean() - b.mean())
    pooled = np.concatenate([a, b])
    found = permutation_p([(a.tolist(), b.tolist())])
    if n_a == n_b:
        assert found == pytest.approx(2 * min(tails))
    else:
        ways = [set(way) for way in itertools.combinations(range(n_a + n_b), n_a)]
        sums = [(sum(pooled[i] for i in way), sum(pooled[i] for i in range(n_a + n_b) if i not in way)) for way in ways]
        extreme = sum(abs(x / n_a - y / n_b) >= observed - 1e-9 for x, y in sums)
        assert found == pytest.approx(extreme / len(ways))


def test_two_tasks_by_hand():
    """Each task has 6 relabellings with differences -1, 0 (4 ways) and 1; their sum is at least 2 in size in 2 of 36."""
    assert permutation_p([([1.0, 1.0], [0.0, 0.0])] * 2) == pytest.approx(2 / 36)
    assert permutation_p([([1.0, 1.0], [0.0, 0.0]), ([0.5, 0.5], [0.5, 0.5])]) == pytest.approx(2 / 6)


def test_labels_stay_within_their_task():
    """A task that both methods solve and one that both fail say nothing, however far apart they are."""
    tasks = [([1.0, 0.9, 1.0], [0.9, 1.0, 1.0]), ([0.0, 0.1, 0.1], [0.1, 0.1, 0.0])]
    assert permutation_p(tasks) == 1


def test_means_that_are_equal_on_paper_count_as_equal():
    """0.1 + 0.2 is not 0.3 in binary: of the 6 relabellings none is less extreme than a difference of 0."""
    assert permutation_p([([0.1, 0.2], [0.3, 0.0])]) == 1


def test_draws_come_near_the_exact_p():
    """Four tasks of five against five: 252^4 relabellings."""
    rng = np.random.default_rng(3)
    one = (rng.uniform(0.3, 1, 5).tolist(), rng.uniform(0, 0.7, 5).tolist())
    nothing = ([0.5] * 5, [0.5] * 5)
    exact = permutation_p([one])
    assert math.comb(10, 5) ** 4 > ENUMERATED
    drawn = permutation_p([one, nothing, nothing, nothing])
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact / DRAWS))
    assert drawn == permutation_p([one, nothing, nothing, nothing])
    assert drawn != permutation_p([one, nothing, nothing, nothing], seed=1)


def test_so_they_do_where_one_task_alone_has_too_many():
    """Twelve against twelve: scipy's own draws, twenty thousand of them."""
    rng = np.random.default_rng(4)
    a, b = rng.uniform(0.1, 1, 12), rng.uniform(0, 0.9, 12)
    expected = scipy.stats.permutation_test((a, b), difference, vectorized=True, n_resamples=20_000, rng=0).pvalue
    assert math.comb(24, 12) > ENUMERATED
    assert permutation_p([(a.tolist(), b.tolist())]) == pytest.approx(expected, abs=0.012)


def test_drawing_never_gives_zero_nor_depends_on_who_is_first():
    far = [([1.0] * 10, [0.0] * 10)] * 4
    assert permutation_p(far, draws=99) == 1 / 100
    rng = np.random.default_rng(5)
    tasks = [(rng.random(6).tolist(), rng.random(8).tolist()) for _ in range(4)]
    turned = [(list(reversed(b)), list(reversed(a))) for a, b in tasks]
    assert permutation_p(tasks, draws=300) == permutation_p(turned, draws=300)


@pytest.mark.parametrize(
    ("seeds", "tasks", "expected"),
    [
        ((3, 3), 1, 0.1),
        ((4, 4), 1, 2 / 70),
        ((5, 5), 1, 2 / 252),
        ((10, 5), 1, 1 / 3003),
        ((3, 3), 2, 2 / 400),
        ((2, 2), 1, 1 / 3),
        ((1, 1), 1, 1.0),
        ((5, 5), 4, 1 / (1 + DRAWS)),
    ],
)
def test_the_smallest_p(seeds, tasks, expected):
    assert smallest_p(*seeds, tasks) == pytest.approx(expected)
    if min(seeds) > 1:
        assert permutation_p([([1.0] * seeds[0], [0.0] * seeds[1])] * tasks) == pytest.approx(expected)


def test_tasks_with_different_numbers_of_seeds_have_a_smallest_p_too():
    """No mirror image where one task's numbers differ."""
    assert (
        smallest_p_of([(3, 3), (2, 2)])
        == pytest.approx(2 / 120)
        == permutation_p([([1.0] * 3, [0.0] * 3), ([1.0] * 2, [0.0] * 2)])
    )
    assert (
        smallest_p_of([(3, 3), (2, 3)])
        == pytest.approx(1 / 200)
        == permutation_p([([1.0] * 3, [0.0] * 3), ([1.0] * 2, [0.0] * 3)])
    )
    assert smallest_p_of([(9, 9), (9, 9)], draws=99) == 1 / 100


def test_two_seeds_against_128():
    """More scores than a byte can number."""
    assert permutation_p([([1.0] * 2, [0.0] * 128)]) == pytest.approx(1 / math.comb(130, 2))


def test_no_seeds_have_no_p():
    with pytest.raises(ValueError, match="seeds = 0 and 3, tasks = 1: each must be 1 or more"):
        smallest_p(0, 3)
