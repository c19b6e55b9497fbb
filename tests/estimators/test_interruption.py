"""An interruption by the user (Ctrl-C) ends whatever it interrupts."""

import warnings
from unittest.mock import Mock

import numpy as np
import pytest
from sklearn.ensemble import StackingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_sparsenet import SparseNetRegressor, SparseNetRegressorCV, sparsenet_path
from sklearn_sparsenet.estimators import _outcome
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.solvers.stopping import Validation
from tests.estimators import small_fits
from tests.estimators.small_fits import DATA
from tests.faults import Loss, interrupt, raising


@pytest.fixture
def data():
    return DATA[0][:150], DATA[1][:150]


def make(kind=SparseNetRegressor, **params):
    return small_fits.make(kind, **{"weight_decay": 0.01, **params})


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
    net = make(loss=Loss({number: interrupt}))
    with pytest.raises(KeyboardInterrupt):
        WHOLES[whole](net, data)
    assert net.loss.calls <= number + 3  # to evaluate what there is


@pytest.mark.parametrize("number", [5, 30, 55])
def test_the_refit_of_a_cross_validation_ends_it(number, data):
    alone = make(loss=Loss()).fit(*data)
    net = make(SparseNetRegressorCV, loss=Loss(), target_sparsities=[15], cv=2)
    n_calls = net.fit(*data).loss.calls
    net.loss = Loss({n_calls - alone.loss.calls + number: interrupt})
    with pytest.raises(KeyboardInterrupt):
        net.fit(*data)
    assert net.loss.calls < n_calls - 1


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


def before(owner, name, **settings):
    """Return the place that is a call of an attribute of an object."""

    def place(count, monkeypatch):
        original = getattr(owner, name)

        def counted(*arguments):
            count()
            return original(*arguments)

        monkeypatch.setattr(owner, name, counted)
        return settings

    return place


in_certified_solves = before(
    Problem, "evaluate", solver="lbfgs", batch_size="auto", hidden_layer_sizes=(3,)
)
PLACES = [
    (in_a_module, 20),
    (in_a_module, 60),
    (before(Validation, "evaluate", early_stopping=True), 3),
    (before(Problem, "evaluate"), 1),
    (in_certified_solves, 3),
    (before(_outcome, "path_attributes"), 1),
]


class Ending:
    """Raises at that call of it."""

    def __init__(self, number):
        self.calls, self.number = 0, number

    def __call__(self):
        self.calls += 1
        if self.calls == self.number:
            raise KeyboardInterrupt


def test_what_comes_before_training_leaves_the_estimator_as_it_was(data, monkeypatch):
    """The short training that measures noise is no fit."""
    net = make(
        **in_a_module(Ending(20), monkeypatch), weight_decay="auto", max_iter=200
    )
    with pytest.raises(KeyboardInterrupt):
        net.fit(*data)
    assert "module_" not in vars(net)


@pytest.mark.parametrize(("place", "number"), PLACES)
def test_a_fit_keeps_its_network(place, number, data, monkeypatch):
    count = Ending(number)
    net = make(**place(count, monkeypatch))
    with pytest.raises(KeyboardInterrupt, match="it keeps the network that it had"):
        net.fit(*data)
    assert count.calls <= number + 10  # to evaluate, and to see what is kept
    assert not net.converged_
    assert np.isfinite(net.predict(data[0])).all()
    if place is not in_certified_solves:
        assert net.n_nonzero_ == 15


@pytest.mark.parametrize(("place", "number"), PLACES)
@pytest.mark.parametrize("is_fitted", [False, True], ids=["new", "fitted"])
def test_a_second_interruption_keeps_what_was_before(
    place, number, is_fitted, data, monkeypatch
):
    count = Ending(number)
    net = make(**place(count, monkeypatch))
    if is_fitted:
        count.calls = 10**6
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            net.fit(*data)
    before = {name: value for name, value in vars(net).items() if name[-1] == "_"}
    count.calls = 0
    again = Mock(side_effect=KeyboardInterrupt)
    monkeypatch.setattr(_outcome, "path_attributes", again)
    with pytest.raises(KeyboardInterrupt) as caught:
        net.fit(*data)
    assert not str(caught.value)
    after = {name: value for name, value in vars(net).items() if name[-1] == "_"}
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)


@pytest.mark.parametrize("settings", [{}, {"alpha": 1e-3}])
def test_the_history_tells_of_an_interruption(settings, data):
    net = make(loss=Loss({30: interrupt}), **settings)
    with pytest.raises(KeyboardInterrupt, match="interrupted"):
        net.fit(*data)
    assert net.search_history_["status"][-1] == "interrupted"
    assert np.isfinite(net.predict(data[0])).all()


@pytest.mark.parametrize("error", [SystemExit, GeneratorExit, MemoryError])
def test_other_ends_leave_the_estimator_as_it_was(error, data):
    net = make(loss=Loss()).fit(*data)
    before, net.loss = net.module_, Loss({30: raising(error)})
    with pytest.raises(error):
        net.fit(*data)
    assert net.module_ is before
    assert net.converged_


def test_one_can_go_on_with_what_was_kept(data):
    net = make(loss=Loss({30: interrupt}), warm_start=True)
    with pytest.raises(KeyboardInterrupt):
        net.fit(*data)
    kept = net.module_
    assert net.fit(*data).converged_
    assert net.module_ is not kept
