"""A fit that fails, wherever, leaves an estimator as it was: all or nothing."""

import numpy as np
import pytest

from sklearn_sparsenet import (
    SparseNetClassifier,
    SparseNetClassifierCV,
    SparseNetRegressor,
    SparseNetRegressorCV,
)
from sklearn_sparsenet.estimators._validation import CALLBACK_ATTRIBUTES

QUICK = {"max_iter": 5, "activation": "tanh", "random_state": 0, "tol": 1.0}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    return X, (X[:, 0] + rng.normal(size=40) > 0).astype(int)


def fail(*args, **kwargs):
    raise RuntimeError("on purpose")


def state(estimator):
    return {k: v for k, v in vars(estimator).items() if k not in CALLBACK_ATTRIBUTES}


def assert_kept(estimator, before):
    """Check the identity of all attributes, not their values alone."""
    after = state(estimator)
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)


@pytest.mark.parametrize("fits_before", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        "estimators._coding.ClassCoding.make_loss",
        "estimators._coding.ClassCoding.tensor",
        "estimators._specification.build_limits",
        "search.path.train",
        "estimators._outcome.path_attributes",
        "estimators._fitted.Route",
        "estimators._fitting.message_of",
    ],
)
def test_wherever_a_fit_fails(data, name, fits_before, monkeypatch):
    X, y = data
    net = SparseNetClassifier((4,), target_sparsity=6, **QUICK)
    if fits_before:
        net.fit(X, y)
    before = state(net)
    monkeypatch.setattr(f"sklearn_sparsenet.{name}", fail)
    with pytest.raises(RuntimeError, match="on purpose"):
        net.fit(X[:, :2], np.array(["a", "b", "c"])[np.arange(40) % 3])
    assert_kept(net, before)


@pytest.mark.parametrize("fits_before", [True, False])
@pytest.mark.parametrize(
    "wrong", [{"target_sparsity": 10**6}, {"alpha": [1, 2, 3]}], ids=str
)
def test_a_refused_fit_leaves_nothing(data, wrong, fits_before):
    X, y = data
    net = SparseNetRegressor((4,), target_sparsity=6, **QUICK)
    if fits_before:
        net.fit(X, y)
    net.set_params(**wrong)
    before = state(net)
    with pytest.raises(ValueError, match=r"weights|layers"):
        net.fit(X[:, :2], y)
    assert_kept(net, before)


@pytest.mark.parametrize("fits_before", [True, False])
@pytest.mark.parametrize("fault", ["refit", "selection", "fold"])
@pytest.mark.parametrize("kind", [SparseNetRegressorCV, SparseNetClassifierCV])
def test_a_cv_is_of_one_fit(data, kind, fault, fits_before, monkeypatch):
    X, y = data
    net = kind((4,), target_sparsities=[6, 12], cv=2, **QUICK)
    if fits_before:
        net.fit(X, y)
    if fault == "selection":
        net.set_params(selection=fail)
    if fault == "fold":
        net.set_params(scoring=fail)
    before = state(net)
    if fault == "refit":
        monkeypatch.setattr("sklearn_sparsenet.estimators.cv.fit_network", fail)
    with pytest.raises(RuntimeError, match="on purpose"):
        net.fit(X[::-1, :2], y)
    assert_kept(net, before)
