"""Linear models with a given number of weights: lars, the lasso's path, abess."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression, lars_path, lasso_path
from sklearn.svm import l1_min_c

from benchmarks.methods.base import Fitted, Target
from benchmarks.problems import Data, Schedule

__all__ = ["fit_abess", "fit_lars", "fit_lars_refit", "fit_lasso"]


def fit_lars(
    data: Data, target: Target, schedule: Schedule, seed: int, refit: bool = False
) -> Fitted:
    """Follow the lasso's path by lars until it has so many weights."""
    X, y = data.X_train.astype(float), data.y_train.astype(float)
    path = lars_path(X, y, method="lasso", max_iter=target)[2]
    coef = _nearest(path, target)
    if refit:
        chosen = coef != 0
        coef[chosen] = np.linalg.lstsq(X[:, chosen], y, rcond=None)[0]
    return _fitted(data, coef)


def fit_lars_refit(data: Data, target: Target, schedule: Schedule, seed: int) -> Fitted:
    """The same, the chosen columns refitted by least squares."""
    return fit_lars(data, target, schedule, seed, refit=True)


def fit_lasso(data: Data, target: Target, schedule: Schedule, seed: int) -> Fitted:
    """Take the nearest count on a grid of 100 λ; two classes: logistic loss."""
    X = data.X_train.astype(float)
    if not data.n_classes:
        path = lasso_path(X, data.y_train.astype(float), alphas=100)[1]
        return _fitted(data, _nearest(path, target))
    grid = l1_min_c(X, data.y_train, loss="log") * np.logspace(0, 4, 100)
    model = LogisticRegression(
        l1_ratio=1.0, solver="liblinear", warm_start=True, random_state=seed
    )
    path = []
    for C in grid:
        model.set_params(C=C).fit(X, data.y_train)
        path.append(np.append(model.coef_[0], model.intercept_[0]))
    columns = np.array(path).T
    best = _nearest_index(columns[:-1], target)
    return _fitted(data, columns[:-1, best], columns[-1, best])


def fit_abess(data: Data, target: Target, schedule: Schedule, seed: int) -> Fitted:
    """Best subset selection of that size by splicing."""
    import abess

    kind = abess.LogisticRegression if data.n_classes else abess.LinearRegression
    model = kind(support_size=target, thread=1)
    model.fit(data.X_train.astype(float), data.y_train.astype(float))
    return _fitted(data, np.ravel(model.coef_), float(np.ravel(model.intercept_)[0]))


def _nearest(path: np.ndarray, target: Target) -> np.ndarray:
    """Return the column with the nearest count, the least shrunk one of those."""
    return path[:, _nearest_index(path, target)].copy()


def _nearest_index(path: np.ndarray, target: Target) -> int:
    distance = np.abs((path != 0).sum(0) - target)
    return int(len(distance) - 1 - distance[::-1].argmin())


def _fitted(data: Data, coef: np.ndarray, intercept: float = 0.0) -> Fitted:
    """Wrap coefficients. Without an intercept: columns and target are centred."""

    def predict(X: np.ndarray) -> np.ndarray:
        values = X @ coef + intercept
        return (values > 0).astype(np.int64) if data.n_classes else values

    return Fitted(predict, [coef[None].astype(np.float64)], 0)
