"""Made tables of every kind of target, and fits of them that are named."""

import numpy as np
from sklearn.datasets import make_classification, make_regression

from sklearn_sparsenet import SparseNetClassifierCV


def regression(n_targets=1, dtype=np.float64):
    X, y = make_regression(
        120, 20, n_informative=5, n_targets=n_targets, random_state=0
    )
    return X.astype(dtype), y


def classification(n_classes, dtype=np.float64, names="class {}".format):
    """Return rows and their classes, as texts unless another name is given."""
    X, y = make_classification(
        150, 20, n_informative=6, n_classes=n_classes, random_state=0
    )
    return X.astype(dtype), np.array([names(label) for label in y])


def labels(dtype=np.float64):
    """Return rows and three labels of each."""
    X, _ = classification(2, dtype)
    return X, (X[:, :3] > 0).astype(int)


def fit_case(case, hidden_layer_sizes, **defaults):
    """Fit (kind, settings, what makes the data); return the network and its rows."""
    kind, settings, make_data = case
    X, y = make_data()
    if kind is SparseNetClassifierCV:
        del defaults["target_sparsity"]
    settings = {"hidden_layer_sizes": hidden_layer_sizes, **defaults, **settings}
    return kind(random_state=0, **settings).fit(X, y), X
