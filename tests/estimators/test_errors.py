"""Impossible input ends in an error that names it, before any training."""

import numpy as np
import pytest
from torch import nn

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor

X = np.random.default_rng(0).normal(size=(30, 4))
Y = X[:, 0]
BAD_X = np.where(np.arange(4) == 2, np.nan, X)


@pytest.fixture(autouse=True)
def _no_training(monkeypatch):
    def train(*args, **kwargs):
        raise AssertionError("training began")

    monkeypatch.setattr("sklearn_sparsenet.search.path.train", train)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"target_sparsity": 1.0}, ValueError, "which has 500 weights"),
        ({"target_sparsity": True}, ValueError, "target_sparsity=True"),
        ({"target_sparsity": 0}, ValueError, "target_sparsity=0"),
        ({"target_sparsity": -2}, ValueError, "target_sparsity=-2"),
        ({"target_sparsity": 501}, ValueError, "from 1 to 500"),
        ({"target_sparsity": float("nan")}, ValueError, "target_sparsity=nan"),
        ({"target_sparsity": "half"}, TypeError, "target_sparsity='half'"),
        ({"target_sparsity": [0.5]}, ValueError, "has 1 entries.* 2 layers"),
        ({"target_sparsity": {"nope": 3}}, ValueError, "matches no layer.*0.weight"),
        ({"target_sparsity": None}, ValueError, "Both alpha and target_sparsity"),
        ({"alpha": -1.0}, ValueError, "'alpha'"),
        ({"alpha": [1e-3]}, ValueError, "alpha has 1 entries"),
        ({"alpha": [1e-3, -1]}, ValueError, "finite and not negative"),
        ({"alpha": [1e-3, np.nan]}, ValueError, "finite and not negative"),
        ({"alpha_bounds": (1e-2, 1e-7)}, ValueError, "alpha_bounds=.*low < high"),
        ({"alpha_bounds": (1, 2, 3)}, ValueError, "alpha_bounds="),
        ({"min_layers_on_target": 1}, ValueError, "one target per layer"),
        ({"tol": -0.1}, ValueError, "'tol'"),
        ({"max_outer_iter": 0}, ValueError, "'max_outer_iter'"),
        ({"search": "two_pass"}, ValueError, "'search'"),
        ({"penalty": "l3"}, ValueError, "'penalty'"),
        ({"solver": "newton"}, ValueError, "'solver'"),
        ({"loss": "hinge"}, ValueError, "'loss'"),
        ({"activation": "step"}, ValueError, "'activation'"),
        ({"hidden_layer_sizes": (3, 0)}, ValueError, "hidden_layer_sizes must be > 0"),
        ({"hidden_layer_sizes": (3, 2.5)}, ValueError, "hidden_layer_sizes"),
        ({"batch_size": 0}, ValueError, "'batch_size'"),
        ({"max_iter": 0}, ValueError, "'max_iter'"),
        ({"learning_rate_init": 0.0}, ValueError, "'learning_rate_init'"),
        ({"validation_fraction": 1.0}, ValueError, "'validation_fraction'"),
        ({"dtype": "int8"}, ValueError, "dtype='int8'.*'float32'"),
        ({"dtype": "wide"}, ValueError, "dtype='wide'"),
        ({"device": "cuda:77"}, ValueError, "device='cuda:77' is not available"),
        ({"random_state": "x"}, ValueError, "'random_state'"),
        ({"module": lambda p, k: "net"}, TypeError, "must return an nn.Module"),
        ({"module": nn.Linear(9, 1)}, ValueError, "module= cannot take samples"),
        ({"module": nn.Linear(4, 3)}, ValueError, "module= has 3 outputs"),
        (
            {"module": nn.Unflatten(1, (2, 2))},
            ValueError,
            "module= must return outputs",
        ),
        ({"module": nn.Identity()}, ValueError, "module="),
    ],
)
def test_parameters(settings, error, message):
    with pytest.raises(error, match=message):
        SparseNetRegressor(**settings).fit(X, Y)


@pytest.mark.parametrize(
    ("X", "y", "weight", "message"),
    [
        (BAD_X, Y, None, "NaN"),
        (np.where(X == X.max(), np.inf, X), Y, None, "infinity"),
        (X, np.where(Y > 0, np.nan, Y), None, "NaN"),
        (X, Y[:-1], None, "inconsistent"),
        (X[:, 0], Y, None, "2D array"),
        (X.reshape(30, 2, 2), Y, None, "dim 3|3 dimensions"),
        (X, Y, np.ones(3), "sample_weight.shape"),
        (X, Y, -np.ones(30), "Negative"),
        (X, Y, np.zeros(30), "zero"),
        (X, Y, np.full(30, np.nan), "NaN"),
        (X[:0], Y[:0], None, "0 sample"),
        (X[:, :0], Y, None, "0 feature"),
    ],
)
def test_data(X, y, weight, message):
    with pytest.raises(ValueError, match=message):
        SparseNetRegressor().fit(X, y, weight)


@pytest.mark.parametrize(
    ("y", "settings", "message"),
    [
        (np.zeros(30), {}, "1 class"),
        (Y, {}, "Unknown label type"),
        (np.arange(30) % 3, {"loss": "one_bit"}, "one_bit.*two classes"),
        (np.arange(30) % 3, {"module": nn.Linear(4, 2)}, "3 classes need 3"),
        (
            np.column_stack([np.arange(30) % 3, np.arange(30) % 4]),
            {},
            "several outputs",
        ),
        (np.arange(30) % 2, {"class_weight": "heavy"}, "'class_weight'"),
    ],
)
def test_classes(y, settings, message):
    with pytest.raises(ValueError, match=message):
        SparseNetClassifier(**settings).fit(X, y)


def test_classes_are_those_of_rows_with_weight():
    weight = np.arange(30) % 2
    with pytest.raises(ValueError, match="1 class"):
        SparseNetClassifier().fit(X, weight, weight)


def test_counts_must_not_be_negative():
    with pytest.raises(ValueError, match="y >= 0"):
        SparseNetRegressor(loss="poisson").fit(X, Y)
