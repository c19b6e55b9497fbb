"""This library: defaults but for ``tol=0`` and the budget."""

from __future__ import annotations

from typing import Any

from benchmarks.methods.base import Fitted, Target
from benchmarks.problems import Data, Schedule
from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor

__all__ = ["fit"]


def fit(
    data: Data, target: Target, schedule: Schedule, seed: int, **settings: Any
) -> Fitted:
    """Fit the estimator; `settings` are its parameters."""
    kind = SparseNetClassifier if data.n_classes else SparseNetRegressor
    parameters = {
        "target_sparsity": target,
        "tol": 0.0,
        "batch_size": schedule.batch_size,
        "max_iter": schedule.epochs,
        "random_state": seed,
        **settings,
    }
    network = kind(data.hidden, **parameters).fit(data.X_train, data.y_train)
    weights = [coef.T.copy() for coef in network.coefs_]
    extra = {"alpha": network.alpha_, "kkt_residual": float(network.kkt_residual_)}
    return Fitted(network.predict, weights, int(network.n_iter_), extra)
