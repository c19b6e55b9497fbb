"""Stability selection: what is refused, thresholds, the bounds in simulations."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator
from sklearn.linear_model import (
    Lasso,
    LogisticRegression,
)

from sklearn_sparsenet import (
    StabilityResult,
    stability_selection,
)

TRUE = [0, 3]


@pytest.fixture(scope="module")
def linear():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(81, 12))
    return X, X[:, TRUE].sum(axis=1) + 0.5 * rng.normal(size=81)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"n_pairs": 0}, "n_pairs=0 must be a positive int"),
        ({"n_pairs": 2.5}, r"n_pairs=2\.5 must be"),
        ({"threshold": 0}, "threshold=0 must be a number above 0 and at most 1"),
        ({"threshold": 1.01}, r"threshold=1\.01 must be"),
        ({"stratify": "y"}, "stratify='y' must be 'auto', None or labels"),
        ({"stratify": np.arange(80) // 40}, "inconsistent numbers of samples"),
        ({"stratify": np.arange(81) // 80}, "Label 1 has a single row of positive w"),
        ({"stratify": np.ones((81, 2))}, "should be a 1d array"),
        ({"sample_weight": np.arange(81) == 5}, r"Two rows .* are needed, got 1"),
        ({"sample_weight": -np.ones(81)}, "sample_weight"),
        ({"sample_weight": np.ones(80)}, "sample_weight"),
    ],
)
def test_what_cannot_be_is_refused(changes, says, linear):
    with pytest.raises(ValueError, match=says):
        stability_selection(Lasso(), *linear, **changes)


def test_a_class_of_one_row_is_refused():
    X = np.random.default_rng(0).normal(size=(9, 2))
    y = np.array([0] * 4 + [1] * 4 + [2])
    with pytest.raises(ValueError, match="Label 2 has a single row"):
        stability_selection(LogisticRegression(), X, y)
    weight = np.arange(9) < 8  # as good as absent, labels included
    result = stability_selection(LogisticRegression(), X, y, sample_weight=weight)
    assert result.selected.all()


def test_thresholds_are_compared_as_they_are_written():
    """100 * .55 is above 55, and 6 times what is just above 2/3 is 4."""
    names = np.array(["a", "b"])
    for n_pairs in (3, 25, 50):
        n_fits = 2 * n_pairs
        for count in range(n_pairs + 1, n_fits + 1):
            frequencies = np.array([count / n_fits, 0.0])
            result = StabilityResult(frequencies, 0.75, n_pairs, names)
            at, above = count / n_fits, np.nextafter(count / n_fits, 2)
            assert result.select(at)[0]
            bound = result.error_bound(at)
            share = 2 * count / n_fits - 1
            assert bound == pytest.approx((count / n_fits) ** 2 / (2 * share))
            if count < n_fits:
                assert not result.select(above)[0]
                assert result.error_bound(above) < bound


def test_bounds_of_a_result():
    result = StabilityResult(np.full(100, 0.2), 0.75, 50, np.arange(100))
    assert result.error_bound() == pytest.approx(400 / (0.5 * 100))
    assert result.error_bound(0.9) == pytest.approx(400 / (0.8 * 100))
    unimodal = result.error_bound(assumption="unimodal")
    assert unimodal == pytest.approx(4 / (2 * (0.5 - 0.01)))
    assert result.error_bound(assumption="r_concave") < unimodal
    with pytest.raises(ValueError, match="above 1/2 only"):
        result.error_bound(0.5)
    with pytest.raises(ValueError, match="threshold"):
        result.error_bound(1.5)
    low = StabilityResult(np.full(100, 0.2), 0.3, 50, np.arange(100))
    assert not low.selected.any()
    with pytest.raises(ValueError, match="above 1/2 only"):
        low.error_bound()


class Best(BaseEstimator):
    """Uses the k inputs that correlate most with y, and is quick."""

    def __init__(self, k=10):
        self.k = k

    def fit(self, X, y):
        covariances = np.abs((X - X.mean(axis=0)).T @ (y - y.mean()))
        self.support_ = np.zeros(X.shape[1], dtype=bool)
        self.support_[np.argsort(-covariances / X.std(axis=0))[: self.k]] = True
        return self


def false_selections(n_repetitions, thresholds, n_pairs=10, correlation=0.0):
    """Return means and standard errors of the noise selected, and the bounds.

    5 of 100 columns are true; the others are exchangeable, all of them unlikely.
    """
    counts = []
    for seed in range(n_repetitions):
        rng = np.random.default_rng(seed)
        common = rng.normal(size=(60, 1))
        X = rng.normal(size=(60, 100)) + correlation * common
        y = X[:, :5].sum(axis=1) - 5 * correlation * common[:, 0]
        y += 2 * rng.normal(size=60)
        result = stability_selection(Best(), X, y, n_pairs=n_pairs, random_state=seed)
        counts.append([result.select(level)[5:].sum() for level in thresholds])
    assert result.n_selected_mean == pytest.approx(10)
    bounds = np.array(
        [
            [result.error_bound(level, assumption=name) for level in thresholds]
            for name in ("none", "unimodal", "r_concave")
        ]
    )
    counts = np.array(counts)
    errors = counts.std(axis=0) / np.sqrt(n_repetitions)
    return counts.mean(axis=0), errors, bounds


def test_the_bounds_hold_in_a_small_simulation():
    means, errors, bounds = false_selections(40, [0.6, 0.7, 0.8], n_pairs=5)
    assert (means - 2 * errors <= bounds).all()
    assert means[0] > 0


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 1.0])
@pytest.mark.parametrize("n_pairs", [1, 10, 50])
def test_the_bounds_hold_in_a_large_simulation(n_pairs, correlation):
    """With one pair only both fits can agree, and nothing more is assumed."""
    levels = [1.0] if n_pairs == 1 else [0.55, 0.6, 0.7, 0.8, 0.9]
    means, errors, bounds = false_selections(200, levels, n_pairs, correlation)
    assert (means - 2 * errors <= bounds).all()
    assert means[0] > 0


@pytest.mark.slow
def test_the_worst_case_is_nearly_reached_with_one_pair():
    """Of one pair Π̃ is 0 or 1, and Markov's inequality an equality, p_k = θ for all."""
    counts, n_repetitions = [], 2000
    for seed in range(n_repetitions):
        rng = np.random.default_rng(seed)
        X, y = rng.normal(size=(20, 20)), rng.normal(size=20)
        result = stability_selection(Best(5), X, y, n_pairs=1, random_state=seed)
        counts.append(result.select(1.0).sum())
    error = np.std(counts) / np.sqrt(n_repetitions)
    assert_allclose(np.mean(counts), result.error_bound(1.0), atol=3 * error)
