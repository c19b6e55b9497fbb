"""Small fits, for tests of their course: data, estimators, modules."""

from sklearn.datasets import load_diabetes
from torch import nn

from sklearn_sparsenet import SparseNetRegressor

X, y = load_diabetes(return_X_y=True)
DATA = X[:200] * 20, (y[:200] - 150) / 80
LBFGS = {
    "solver": "lbfgs", "batch_size": "auto", "max_iter": 300, "tol": 0.3,
    "hidden_layer_sizes": (3,),
}  # fmt: skip


def make(kind=SparseNetRegressor, **params):
    defaults = {
        "hidden_layer_sizes": (8,), "activation": "tanh", "max_iter": 20,
        "batch_size": 50, "random_state": 0,
    }  # fmt: skip
    if "target_sparsities" not in params:
        defaults["target_sparsity"] = 15
    return kind(**{**defaults, **params})


def with_noise(n_features, n_outputs):
    return nn.Sequential(
        nn.Linear(n_features, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.2),
        nn.Linear(8, n_outputs),
    )  # fmt: skip


def with_dropout(n_features, n_outputs):
    return nn.Sequential(
        nn.Linear(n_features, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, n_outputs)
    )
