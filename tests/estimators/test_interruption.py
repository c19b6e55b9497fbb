"""An interruption by the user (Ctrl-C) ends whatever it interrupts."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.ensemble import StackingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_sparsenet import (
    SparseNetRegressor,
    SparseNetRegressorCV,
    sparsenet_path,
)
from sklearn_sparsenet.estimators import _outcome
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.solvers.stopping import Validation


def at_call(number, error=KeyboardInterrupt):
    """Return a function that raises at that call of it, and its calls."""
    calls = []

    def count():
        calls.append(1)
        if len(calls) == number:
            raise error

    return count, calls


class Loss:
    """Squared error whose computation is interrupted."""

    def __init__(self, number, error=KeyboardInterrupt):
        self.count, self.calls = at_call(number, error)

    def __deepcopy__(self, memo):
        return self  # clones count together

    def __call__(self, output, target):
        self.count()
        return (output - target).square().sum(1)


@pytest.fixture
def data():
    X, y = load_diabetes(return_X_y=True)
    return X[:150] * 20, (y[:150] - 150) / 80


def make(kind=SparseNetRegressor, **params):
    target = {"target_sparsity": 15} if kind is SparseNetRegressor else {}
    defaults = {
        "hidden_layer_sizes": (8,), "activation": "tanh", **target,
        "max_iter": 20, "batch_size": 50, "weight_decay": 0.01, "random_state": 0,
    }  # fmt: skip
    return kind(**{**defaults, **params})


def search(net, data):
    GridSearchCV(net, {"target_sparsity": [10, 15, 20]}, cv=3, refit=False).fit(*data)


def stack(net, data):
    StackingRegressor([("a", net), ("b", make(loss=net.loss))], cv=3).fit(*data)


def with_cv(net, data):
    settings = {"target_sparsities": [20, 10], "cv": 3}
    make(SparseNetRegressorCV, loss=net.loss, **settings).fit(*data)


WHOLES = {
    "grid search": search,
    "scores": lambda net, data: cross_val_score(net, *data, cv=5),
    "pipeline": lambda net, data: make_pipeline(StandardScaler(), net).fit(*data),
    "stack": stack,
    "cv": with_cv,
    "path": lambda net, data: sparsenet_path(net, *data, target_sparsities=[20, 10]),
}


@pytest.mark.parametrize("whole", WHOLES)
@pytest.mark.parametrize("number", [1, 30, 55])
def test_what_a_fit_is_a_part_of_ends_at_once(whole, number, data):
    net = make(loss=Loss(number))
    with pytest.raises(KeyboardInterrupt):
        WHOLES[whole](net, data)
    assert len(net.loss.calls) <= number + 3  # to evaluate what there is


@pytest.mark.parametrize("number", [5, 30, 55])
def test_the_refit_of_a_cross_validation_ends_it(number, data):
    alone = make(loss=Loss(0)).fit(*data)
    net = make(SparseNetRegressorCV, loss=Loss(0), target_sparsities=[15], cv=2)
    n_calls = len(net.fit(*data).loss.calls)
    net.loss = Loss(n_calls - len(alone.loss.calls) + number)
    with pytest.raises(KeyboardInterrupt):
        net.fit(*data)
    assert len(net.loss.calls) < n_calls - 1


class Interrupted(nn.Linear):
    def __init__(self, count, *sizes):
        super().__init__(*sizes)
        self.count = count

    def forward(self, inputs):
        if len(inputs) > 1:  # the paths of a network are followed with one row
            self.count()
        return super().forward(inputs)


def in_a_module(count, monkeypatch):
    return {
        "module": lambda p, q: nn.Sequential(
            Interrupted(count, p, 8), nn.Tanh(), nn.Linear(8, q)
        )
    }


def in_a_validation(count, monkeypatch):
    original = Validation.evaluate
    monkeypatch.setattr(
        Validation, "evaluate", lambda *arguments: count() or original(*arguments)
    )
    return {"early_stopping": True}


def in_an_evaluation(count, monkeypatch):
    original = Problem.evaluate
    monkeypatch.setattr(
        Problem, "evaluate", lambda *arguments: count() or original(*arguments)
    )
    return {}


def in_certified_solves(count, monkeypatch):
    settings = {"solver": "lbfgs", "batch_size": "auto", "hidden_layer_sizes": (3,)}
    return in_an_evaluation(count, monkeypatch) | settings


def in_the_storing(count, monkeypatch):
    original = _outcome.path_attributes
    monkeypatch.setattr(
        _outcome, "path_attributes", lambda *arguments: count() or original(*arguments)
    )
    return {}


PLACES = [
    (in_a_module, 20),
    (in_a_module, 60),
    (in_a_validation, 3),
    (in_an_evaluation, 1),
    (in_certified_solves, 3),
    (in_the_storing, 1),
]


def test_what_comes_before_training_leaves_the_estimator_as_it_was(data, monkeypatch):
    """The short training that measures noise is no fit."""
    count, _ = at_call(20)
    net = make(**in_a_module(count, monkeypatch), weight_decay="auto", max_iter=200)
    with pytest.raises(KeyboardInterrupt):
        net.fit(*data)
    assert "module_" not in vars(net)


@pytest.mark.parametrize(("place", "number"), PLACES)
def test_a_fit_keeps_its_network(place, number, data, monkeypatch):
    count, calls = at_call(number)
    net = make(**place(count, monkeypatch))
    with pytest.raises(KeyboardInterrupt, match="it keeps the network that it had"):
        net.fit(*data)
    assert len(calls) <= number + 10  # to evaluate, and to see what is kept
    assert not net.converged_
    assert np.isfinite(net.predict(data[0])).all()
    if place is not in_certified_solves:
        assert net.n_nonzero_ == 15


@pytest.mark.parametrize(("place", "number"), PLACES)
@pytest.mark.parametrize("is_fitted", [False, True], ids=["new", "fitted"])
def test_a_second_interruption_keeps_what_was_before(
    place, number, is_fitted, data, monkeypatch
):
    def count():
        nonlocal calls
        calls += 1
        if calls == number:
            raise KeyboardInterrupt

    def interrupted(*arguments):
        raise KeyboardInterrupt

    calls = 0 if not is_fitted else 10**6
    net = make(**place(count, monkeypatch))
    if is_fitted:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            net.fit(*data)
    before = {name: value for name, value in vars(net).items() if name[-1] == "_"}
    calls = 0
    monkeypatch.setattr(_outcome, "path_attributes", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        net.fit(*data)
    assert not str(caught.value)
    after = {name: value for name, value in vars(net).items() if name[-1] == "_"}
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)


@pytest.mark.parametrize("settings", [{}, {"alpha": 1e-3}])
def test_the_history_tells_of_an_interruption(settings, data):
    net = make(loss=Loss(30), **settings)
    with pytest.raises(KeyboardInterrupt, match="interrupted"):
        net.fit(*data)
    assert net.search_history_["status"][-1] == "interrupted"
    assert np.isfinite(net.predict(data[0])).all()


@pytest.mark.parametrize("error", [SystemExit, GeneratorExit, MemoryError])
def test_other_ends_leave_the_estimator_as_it_was(error, data):
    net = make(loss=Loss(0)).fit(*data)
    before, net.loss = net.module_, Loss(30, error)
    with pytest.raises(error):
        net.fit(*data)
    assert net.module_ is before
    assert net.converged_


def test_one_can_go_on_with_what_was_kept(data):
    net = make(loss=Loss(30), warm_start=True)
    with pytest.raises(KeyboardInterrupt):
        net.fit(*data)
    kept = net.module_
    assert net.fit(*data).converged_
    assert net.module_ is not kept
