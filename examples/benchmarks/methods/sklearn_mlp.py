"""scikit-learn's dense MLP, without its early stopping."""

from __future__ import annotations

import warnings

from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from benchmarks.methods.base import Fitted, Target
from benchmarks.problems import Data, Schedule

__all__ = ["fit"]

NEVER = 10**9


def fit(
    data: Data,
    target: Target,
    schedule: Schedule,
    seed: int,
    batch_size: int | str = "auto",
) -> Fitted:
    """Train all weights for the same epochs; the target is ignored."""
    kind = MLPClassifier if data.n_classes else MLPRegressor
    network = kind(
        hidden_layer_sizes=data.hidden,
        batch_size=batch_size,
        max_iter=schedule.epochs,
        tol=0.0,
        n_iter_no_change=NEVER,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # all epochs are done
        network.fit(data.X_train, data.y_train)
    weights = [coef.T.copy() for coef in network.coefs_]
    return Fitted(network.predict, weights, schedule.epochs)
