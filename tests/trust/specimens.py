"""Fitted estimators that are saved, damaged, killed and compared."""

from functools import cache

import numpy as np
from torch import nn

from sklearn_sparsenet import (
    SparseNetClassifier,
    SparseNetClassifierCV,
    SparseNetRegressor,
)

N_FEATURES = 6
_ROWS = 60


@cache
def inputs():
    """Return the rows that all specimens are fitted to, and a signal in them."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(_ROWS, N_FEATURES))
    return X, np.sin(X[:, 0]) + X[:, 1]


def fit_of(seed, **params):
    """Return a regressor that has not been fitted yet."""
    settings = {"target_sparsity": 20, "max_iter": 100, "random_state": seed}
    if "module" not in params:
        settings["hidden_layer_sizes"] = (8,)
    return SparseNetRegressor(**settings | params)


@cache
def specimens():
    """Return fitted estimators of several kinds, as small as they can be."""
    X, signal = inputs()
    labels = np.where(signal > 0, "above", "below")
    module = nn.Sequential(nn.Linear(N_FEATURES, 4), nn.Tanh(), nn.Linear(4, 2))
    more = {"max_iter": 100, "random_state": 1}
    several = SparseNetClassifierCV((4,), target_sparsities=[12, 8], cv=2, **more)
    return (
        fit_of(0).fit(X, signal),
        fit_of(1, target_sparsity={"*": 0.5}).fit(X.astype(np.float32), signal),
        SparseNetClassifier((5,), target_sparsity=9, **more).fit(X, labels),
        SparseNetClassifier(module=module, target_sparsity=12, **more).fit(
            X, signal > 0
        ),
        several.fit(X, labels),
    )
