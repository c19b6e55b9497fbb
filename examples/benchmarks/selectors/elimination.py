"""Recursive elimination: fit, drop a fifth of the inputs, fit again.

With ridge regression (λ = 1; of the classes, as -1 and 1) an input's importance is the
norm of its coefficients times its deviation, as columns need not have the same: MNIST's
edges would come first. With 100 extremely randomised trees it is the impurity that it
takes away. At least one input goes at a time; every count asked for is a stop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.linear_model import Ridge, RidgeClassifier

from benchmarks.problems import Data
from benchmarks.selectors.base import Selection, first

__all__ = ["select_by_ridge", "select_by_trees"]

SHARE = 0.2
N_TREES = 100


def select_by_ridge(data: Data, counts: Sequence[int], seed: int) -> list[Selection]:
    """Eliminate by the coefficients of ridge regression."""
    model = RidgeClassifier() if data.n_classes else Ridge()

    def importances(X: np.ndarray) -> np.ndarray:
        coef = np.atleast_2d(model.fit(X, data.y_train).coef_)
        return np.linalg.norm(coef, axis=0) * X.std(axis=0)

    return _eliminate(data, counts, importances)


def select_by_trees(data: Data, counts: Sequence[int], seed: int) -> list[Selection]:
    """Eliminate by the importances of trees."""
    kind = ExtraTreesClassifier if data.n_classes else ExtraTreesRegressor
    model = kind(N_TREES, random_state=seed)

    def importances(X: np.ndarray) -> np.ndarray:
        return model.fit(X, data.y_train).feature_importances_

    return _eliminate(data, counts, importances)


def _eliminate(
    data: Data,
    counts: Sequence[int],
    importances: Callable[[np.ndarray], np.ndarray],
) -> list[Selection]:
    started = time.process_time()
    left = np.arange(data.X_train.shape[1])
    found = {}
    for k in sorted(set(counts), reverse=True):
        while len(left) > k:
            n_left = max(k, len(left) - max(1, round(SHARE * len(left))))
            left = left[first(importances(data.X_train[:, left]), n_left)]
        found[k] = Selection(left, time.process_time() - started, k)
    return [found[k] for k in counts]
