"""Small fitted networks to draw, shared by the tests of all displays."""

import matplotlib
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_digits
from sklearn.linear_model import Lasso
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_sparsenet import (
    SparseNetClassifier,
    SparseNetRegressor,
    SparseNetRegressorCV,
    sparsenet_path,
    stability_selection,
)

matplotlib.use("Agg")
import matplotlib.pyplot as plt


@pytest.fixture(autouse=True)
def _close_figures():
    plt.close("all")  # doctests leave some
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def diabetes():
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    return pd.DataFrame(StandardScaler().fit_transform(X), columns=X.columns), y


@pytest.fixture(scope="session")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:400] / 16, y[:400]


@pytest.fixture(scope="session")
def net(diabetes):
    net = SparseNetRegressor((10,), target_sparsity=25, max_iter=40, random_state=0)
    return net.fit(*diabetes)


@pytest.fixture(scope="session")
def classifier(digits):
    settings = {"target_sparsity": [60, 30, 30], "max_iter": 20, "random_state": 0}
    return SparseNetClassifier((12, 8), **settings).fit(*digits)


@pytest.fixture(scope="session")
def searched(digits):
    settings = {"target_sparsity": 80, "max_iter": 20, "tol": 0.1, "random_state": 0}
    return SparseNetClassifier((12,), search="bracket", **settings).fit(*digits)


def build_convolution(n_features, n_outputs):
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, n_outputs)
    )


@pytest.fixture(scope="session")
def convolution(digits):
    X, y = digits
    settings = {"target_sparsity": [12, 60], "max_iter": 5, "random_state": 0}
    net = SparseNetClassifier(module=build_convolution, **settings)
    return net.fit(X.reshape(-1, 1, 8, 8), y)


@pytest.fixture(scope="session")
def cross_validated(diabetes):
    settings = {"target_sparsities": [40, 20, 10], "max_iter": 20, "random_state": 0}
    return SparseNetRegressorCV((6,), cv=3, **settings).fit(*diabetes)


@pytest.fixture(scope="session")
def path(diabetes):
    X, y = diabetes
    net = SparseNetRegressor((6,), max_iter=20, random_state=0)
    return sparsenet_path(
        net, X[:300], y[:300], target_sparsities=[40, 20, 10], X_test=X[300:],
        y_test=y[300:],
    )  # fmt: skip


@pytest.fixture(scope="session")
def stability(diabetes):
    return stability_selection(Lasso(alpha=10), *diabetes, random_state=0)
