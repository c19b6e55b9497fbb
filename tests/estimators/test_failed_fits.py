"""A fit that fails, wherever, leaves an estimator as it was: all or nothing."""

import numpy as np
import pandas as pd
import pytest
from torch import nn

from sklearn_sparsenet import (
    NonFiniteLossError,
    SparseNetClassifier,
    SparseNetClassifierCV,
    SparseNetRegressor,
    SparseNetRegressorCV,
)

QUICK = {"max_iter": 5, "activation": "tanh", "random_state": 0, "tol": 1.0}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    return X, (X[:, 0] + rng.normal(size=40) > 0).astype(int)


def fail(*args, **kwargs):
    raise RuntimeError("on purpose")


def assert_kept(estimator, before):
    """Check the identity of all attributes, not their values alone."""
    after = vars(estimator)
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)


@pytest.mark.parametrize("fits_before", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        "estimators._coding.ClassCoding.make_loss",
        "estimators._coding.ClassCoding.tensor",
        "estimators._specification.build_limits", "search.path.train",
        "estimators._outcome.path_attributes", "estimators._fitted.CachedPredictor",
        "estimators._fitting.message_of",
    ],
)  # fmt: skip
def test_wherever_a_fit_fails(data, name, fits_before, monkeypatch):
    X, y = data
    net = SparseNetClassifier((4,), target_sparsity=6, **QUICK)
    if fits_before:
        net.fit(X, y)
    before = dict(vars(net))
    monkeypatch.setattr(f"sklearn_sparsenet.{name}", fail)
    with pytest.raises(RuntimeError, match="on purpose"):
        net.fit(X[:, :2], np.array(["a", "b", "c"])[np.arange(40) % 3])
    assert_kept(net, before)


@pytest.mark.parametrize("fits_before", [True, False])
def test_a_fit_that_diverges_leaves_nothing(data, fits_before):
    X, y = data
    net = SparseNetRegressor((4,), target_sparsity=6, **QUICK)
    if fits_before:
        net.fit(X, y)
    net.set_params(learning_rate_init=1e15, activation="relu", solver="sgd")
    before = dict(vars(net))
    with pytest.raises(NonFiniteLossError, match="learning_rate_init"):
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
    before = dict(vars(net))
    if fault == "refit":
        where = "sklearn_sparsenet.estimators._cross_validation.fit_network"
        monkeypatch.setattr(where, fail)
    with pytest.raises(RuntimeError, match="on purpose"):
        net.fit(X[::-1, :2], y)
    assert_kept(net, before)


NAMED = pd.DataFrame(np.random.default_rng(1).normal(size=(40, 2)), columns=["a", "b"])
HALVES = np.repeat([0, 1], 20)
REFUSED = {
    "X": (NAMED.replace(NAMED.iloc[0, 0], np.nan), HALVES, None, {}),
    "y": (NAMED, np.where(HALVES > 0, np.nan, 1.0), None, {}),
    "no y": (NAMED, None, None, {}),
    "rows": (NAMED, HALVES[1:], None, {}),
    "weights": (NAMED, HALVES, -HALVES, {}),
    "no weight": (NAMED, HALVES, 0 * HALVES, {}),
    "target": (NAMED, HALVES, None, {"target_sparsity": 10**6}),
    "alpha": (NAMED, HALVES, None, {"alpha": [1, 2, 3]}),
    "module": (NAMED, HALVES, None, {"module": nn.Linear(9, 1)}),
    "outputs": (NAMED, HALVES, None, {"module": nn.Linear(2, 7)}),
    "dtype": (NAMED, HALVES, None, {"dtype": "int8"}),
    "solver": (NAMED, HALVES, None, {"solver": "lbfgs", "batch_size": 3}),
    "loss": (NAMED, HALVES, None, {"loss": lambda output, target: "none"}),
    "held out": (
        NAMED, HALVES, None, {"early_stopping": True, "validation_fraction": 1e-9},
    ),
    "checkpoint": (NAMED, HALVES, None, {"checkpoint": __file__}),
}  # fmt: skip
OF_NUMBERS = {"dates": (NAMED, HALVES.astype("M8[D]"), None, {})}
OF_CLASSES = {
    "one class": (NAMED, 0 * HALVES, None, {}),
    "class_weight": (NAMED, HALVES, None, {"class_weight": {0: -1.0}}),
    "other classes": (NAMED, np.arange(40) % 3, None, {"warm_start": True}),
}
CASES = [
    *((SparseNetRegressor, name) for name in REFUSED | OF_NUMBERS),
    *((SparseNetClassifier, name) for name in REFUSED | OF_CLASSES),
]


@pytest.mark.filterwarnings("ignore:The columns of X")
@pytest.mark.parametrize("fits_before", [True, False], ids=["fitted", "new"])
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_refusal_comes_before_anything_is_set(
    kind, name, fits_before, data, monkeypatch
):
    """So that nothing has to be taken back."""
    X, y, weight, wrong = (REFUSED | OF_NUMBERS | OF_CLASSES)[name]
    net = kind((4,), target_sparsity=6, **QUICK)
    if fits_before or name == "other classes":
        net.fit(*data)
    net.set_params(**wrong)
    before, changed = dict(vars(net)), []
    with monkeypatch.context() as patch:
        for how in ("__setattr__", "__delattr__"):
            patch.setattr(kind, how, lambda _, name, *value: changed.append(name))
        with pytest.raises((ValueError, TypeError)):
            net.fit(X, y, weight)
    assert changed == []
    assert_kept(net, before)
