"""Warnings point at the line of the user's that they are about."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import SparseNetRegressor
from sklearn_sparsenet.exceptions import DataScaleWarning

IMPOSSIBLE = {"target_sparsity": 2, "max_iter": 3}  # for three layers


def two_of_three_layers():
    return SparseNetRegressor((4, 4), **IMPOSSIBLE)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda net: net,
        lambda net: make_pipeline(StandardScaler(), net),
        lambda net: GridSearchCV(net, {"tol": [0.1]}, cv=2),
    ],
    ids=["alone", "pipeline", "search"],
)
def test_convergence_warnings_do(wrap):
    X, y = load_diabetes(return_X_y=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        wrap(two_of_three_layers()).fit(X[:60], y[:60])
    assert {w.category for w in caught} >= {ConvergenceWarning}
    assert {w.filename for w in caught} == {__file__}


def test_warnings_of_the_data_do():
    X, y = load_diabetes(return_X_y=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        two_of_three_layers().fit(X[:60] * np.logspace(0, 6, X.shape[1]), y[:60, None])
    found = {w.category for w in caught}
    assert found >= {DataScaleWarning, DataConversionWarning}
    assert {w.filename for w in caught} == {__file__}
