"""The lasso's path, and that of ℓ1 logistic regression, each class against the rest.

The path goes from few inputs to many, the lasso's by least angles, the classifier's on
a grid of `N_ALPHAS` inverse λ (`FEW_ALPHAS` for more than two classes) over `DECADES`
powers of ten from the first that keeps an input. It ends where there are as many as
asked for. An input's score is the sum of its coefficients' absolute values; one that
any of several classes uses is in use. The tolerance is liblinear's own default.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression, lars_path
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import l1_min_c

from benchmarks.problems import Data
from benchmarks.selectors.base import Selection, select_from_path

__all__ = ["select"]

N_ALPHAS, FEW_ALPHAS, DECADES, TOLERANCE = 100, 50, 4, 1e-2


def select(data: Data, counts: Sequence[int], seed: int) -> list[Selection]:
    """Follow the path until it has the largest count."""
    started = time.process_time()
    path, times = [], []
    for scores in _logistic(data, seed) if data.n_classes else _lasso(data):
        path.append(scores)
        times.append(time.process_time() - started)
        if np.count_nonzero(scores) >= max(counts):
            break
    return select_from_path(path, times, counts)


def _lasso(data: Data) -> Iterator[np.ndarray]:
    X, y = data.X_train.astype(float), data.y_train.astype(float)
    yield from np.abs(lars_path(X, y, method="lasso")[2].T[1:])


def _logistic(data: Data, seed: int) -> Iterator[np.ndarray]:
    classes = np.unique(data.y_train)
    least = min(
        l1_min_c(data.X_train, data.y_train == label, loss="log") for label in classes
    )
    n_alphas = N_ALPHAS if len(classes) == 2 else FEW_ALPHAS
    for C in least * np.logspace(0, DECADES, n_alphas + 1)[1:]:
        model = LogisticRegression(
            C=C,
            l1_ratio=1.0,
            solver="liblinear",
            tol=TOLERANCE,
            random_state=seed,
        )
        fitted = OneVsRestClassifier(model).fit(data.X_train, data.y_train)
        yield np.abs([each.coef_[0] for each in fitted.estimators_]).sum(axis=0)
