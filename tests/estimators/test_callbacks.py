"""Scikit-learn's callbacks: what they are told of a fit, and how they end one."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import (
    OnePassSearch,
    SparseNetClassifier,
    SparseNetRegressor,
)
from sklearn_sparsenet.estimators import _callbacks
from sklearn_sparsenet.search import Search, SearchResult
from sklearn_sparsenet.solvers.run import Run
from tests.comparisons import assert_same_network, pickled, reloaded
from tests.estimators.small_fits import LBFGS, make, with_noise
from tests.estimators.tasks import Recorder


class Watcher(Recorder):
    """Keeps the network of every task."""

    def __init__(self):
        super().__init__()
        self.networks, self.data = [], []

    def on_fit_task_end(
        self, estimator, context, *, X, y, metadata, fitted_estimator=None
    ):
        self.data.append((X, y, metadata))
        self.networks.append((fitted_estimator, fitted_estimator.predict(X)))
        super().on_fit_task_end(estimator, context)


class Propagated(Recorder):
    max_propagation_depth = None


KINDS = {
    "one_pass": ({}, ["train", "solve"]),
    "all rows": ({"batch_size": 200}, ["train", "solve"]),
    "no debias": ({"debias": False}, ["train", "solve"]),
    "bracket": ({"search": "bracket", "tol": 0.1}, None),
    "early": ({"early_stopping": True, "n_iter_no_change": 1}, ["train", "solve"]),
    "noise": ({"module": with_noise}, ["train", "solve"]),
    "fixed": ({"alpha": 0.01}, ["solve"]),
    "fixed, debias": ({"alpha": 0.01, "debias": True}, ["solve", "refit"]),
    "lbfgs": (LBFGS, None),
    "lbfgs, fixed": ({**LBFGS, "alpha": 0.05, "debias": True}, None),
}
quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@quiet
@pytest.mark.parametrize(
    "kind",
    [pytest.param(k, marks=pytest.mark.slow) if k == "lbfgs" else k for k in KINDS],
)
def test_tasks_are_a_tree_and_change_nothing(kind, data):
    params, names = KINDS[kind]
    alone = make(**params).fit(*data)
    recorder, watcher = Recorder(), Watcher()
    watched = make(**params).set_callbacks(recorder, watcher).fit(*data)
    assert_same_network(watched, alone)
    assert watched.loss_curve_ == alone.loss_curve_
    assert recorder.events[:2] == ["setup", "fit"]
    assert recorder.events[-1] == "teardown"
    assert not recorder.open
    assert recorder.root.parent is None
    solves = [solve.task_name for solve in recorder.solves]
    if names is None and watched.solver == "lbfgs":
        assert solves.count("solve") == alone.n_outer_iter_
        assert solves.count("start") >= 1
        assert recorder.root.max_subtasks is None
        assert all(solve.max_subtasks == 0 for solve in recorder.solves)
    elif names is None:
        assert alone.n_outer_iter_ > 1
        assert solves == ["solve"] * alone.n_outer_iter_ + ["refit"]
        assert recorder.root.max_subtasks == watched.max_outer_iter + 1
    else:
        assert solves == names
        assert recorder.root.max_subtasks == len(names)
    if watched.solver != "lbfgs":
        epochs = sum(len(solve._children_map) for solve in recorder.solves)
        assert epochs == alone.n_iter_
        assert epochs <= sum(solve.max_subtasks for solve in recorder.solves)
    assert set(vars(watched)) == {*vars(alone), "_skl_callbacks"}


@dataclass
class Solves(Search):
    """A search that makes so many solves, whatever they find."""

    n_solves: int

    def run(self, trainer, limits):
        trials = [trainer.solve([1e-3]) for _ in range(self.n_solves)]
        return SearchResult(trials[-1], tuple(trials), True)

    def max_solves(self, limits):
        return self.n_solves + limits.debias


@quiet
@pytest.mark.parametrize(
    ("params", "n_tasks"),
    [
        # fit, train with 450 blocks of 10 epochs, solve with 250 blocks of 2.
        ({"max_iter": 5000}, 3 + 450 + 250),
        ({"max_iter": 1, "batch_size": 20}, 3 + 2),
        # 5000 epochs in blocks of 6.
        ({"max_iter": 5000, "alpha": 1e-2, "kkt_tol": 0}, 2 + 834),
        # 5 solves of 150 blocks of 2 epochs, and the refit of 150 epochs.
        ({"max_iter": 300, "search": Solves(5), "kkt_tol": 0}, 1 + 6 + 5 * 150 + 150),
        # 21 solves of up to 46 blocks leave 12 tasks: 11 blocks, then none.
        ({"max_iter": 46, "search": Solves(24), "kkt_tol": 0}, 1 + 25 + 21 * 46 + 10),
    ],
)
def test_there_are_a_thousand_tasks_at_most(params, n_tasks, data):
    recorder = Recorder()
    small = {"hidden_layer_sizes": (2,), "batch_size": 50, "activation": "relu"}
    small |= params
    make(**small).set_callbacks(recorder).fit(data[0][:50], data[1][:50])
    assert len(recorder.ended) == n_tasks <= 1005
    for solve in recorder.solves:
        assert len(solve._children_map) == solve.max_subtasks


def test_steps_that_are_taken_back_are_no_new_tasks(data, monkeypatch):
    went_back = []
    back_off = Run._back_off
    monkeypatch.setattr(
        Run, "_back_off", lambda run: (went_back.append(run.epoch), back_off(run))
    )
    recorder = Recorder()
    net = make(solver="sgd", activation="relu", learning_rate_init=10.0, max_iter=100)
    net.set_callbacks(recorder).fit(*data)
    assert went_back
    for solve in recorder.solves:
        assert len(solve._children_map) == solve.max_subtasks


def test_the_estimator_of_a_task_predicts_as_the_network_did(data):
    of_classes = (SparseNetClassifier, load_iris(return_X_y=True))
    for kind, (X, y) in ((SparseNetRegressor, data), of_classes):
        watcher = Watcher()
        weight = np.linspace(0.5, 1.5, len(X))
        net = make(kind).set_callbacks(watcher).fit(X, y, weight)
        for estimator, predicted in watcher.networks:
            # Training went on, but not on this network.
            assert_array_equal(estimator.predict(X), predicted)
        assert_array_equal(watcher.networks[-1][1], net.predict(X))
        assert not np.array_equal(watcher.networks[0][1], net.predict(X))
        counts = [estimator.n_nonzero_ for estimator, _ in watcher.networks]
        assert counts[0] > counts[-1] == 15
        for X_seen, y_seen, metadata in watcher.data:
            assert X_seen is X
            assert y_seen is y
            assert metadata["sample_weight"] is weight


@pytest.mark.parametrize("search", ["one_pass", "bracket"])
def test_scoring_monitor(search, data):
    X, y = pd.DataFrame(data[0]).rename(columns="x{}".format), pd.Series(data[1])
    monitor = ScoringMonitor(scoring="r2")
    net = make(search=search, tol=0.3).set_callbacks(monitor)
    weight = np.linspace(0.5, 1.5, len(X))
    rows = monitor_rows(monitor, net.fit(X, y, sample_weight=weight))
    assert rows[-1]["task_name"] == "fit"
    assert rows[-1]["r2"] == net.score(X, y, sample_weight=weight)
    last = [row for row in rows if len(row["task_id_path"]) == 2][-1]
    if search == "bracket":  # ends with the refit, which is what is kept
        assert last["r2"] == rows[-1]["r2"]
    assert len([row for row in rows if row["task_name"] == "epochs"]) == net.n_iter_


def monitor_rows(monitor, net):
    rows = monitor.get_logs().data
    return sorted(rows, key=lambda row: len(row["task_id_path"]) == 1)


def test_networks_on_the_way_know_the_columns_of_their_own_fit(data):
    """Warnings, of names that there were in the fit before, would be errors."""
    X, y = data
    net = make().fit(pd.DataFrame(X).add_prefix("x"), y)
    watcher = Watcher()
    net.set_callbacks(watcher).fit(X[:, :5], y)
    assert {network.n_features_in_ for network, _ in watcher.networks} == {5}
    assert not hasattr(net, "feature_names_in_")


def test_nothing_is_copied_unless_a_callback_asks(data, monkeypatch):
    def refuse(spec):
        raise AssertionError

    monkeypatch.setattr(_callbacks, "_as_it_stands", refuse)
    make().set_callbacks(Recorder()).fit(*data)
    with pytest.raises(AssertionError):
        make().set_callbacks(Watcher()).fit(*data)


def test_a_network_that_is_not_finite_is_not_shown(data):
    seen = []

    class Finite(Recorder):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            seen.append(fitted_estimator)
            super().on_fit_task_end(estimator, context)

    # That a step on all rows led to infinity is noticed after 20 of them at most.
    net = make(solver="sgd", learning_rate_init=1e15, batch_size=200)
    with pytest.raises(ValueError, match="infinite or NaN"):
        net.set_params(activation="relu").set_callbacks(Finite()).fit(*data)
    assert None in seen


def test_searches_of_your_own(data):
    class Alone:
        def run(self, trainer, limits):
            return OnePassSearch().run(trainer, limits)

    class Again(OnePassSearch):  # inherits max_solves, which is not true of it
        def run(self, trainer, limits):
            super().run(trainer, limits)
            return super().run(trainer, limits)

    for search, n_solves in ((Alone(), 2), (Again(), 4)):
        recorder = Recorder()
        make(search=search).set_callbacks(recorder).fit(*data)
        assert recorder.root.max_subtasks is None
        assert len(recorder.solves) == n_solves


def test_a_fit_again_shows_nothing_of_the_one_before(data):
    X, y = data
    net = make(kkt_tol=1).fit(X, y).compact().sparsify()
    watcher = Watcher()
    net.set_params(hidden_layer_sizes=(4,)).set_callbacks(watcher).fit(X[:, :6], y)
    assert_array_equal(watcher.networks[-1][1], net.predict(X[:, :6]))
    warm = make(warm_start=True).fit(X, y)
    watcher = Watcher()
    warm.set_callbacks(watcher).fit(X, y)
    assert_array_equal(watcher.networks[-1][1], warm.predict(X))


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_progress_bars(n_jobs, data, capsys):
    X, y = data
    net = make(tol=0.3)
    bars = ProgressBar(max_propagation_depth=None)
    net.set_callbacks(bars).fit(X, y)
    printed = capsys.readouterr().out
    assert "SparseNetRegressor - fit" in printed
    assert "SparseNetRegressor - train #0" in printed
    assert all("100%" in line for line in printed.strip().splitlines())
    net.set_callbacks()
    model = make_pipeline(StandardScaler(), net)
    model.set_callbacks(bars).fit(X, y)
    printed = capsys.readouterr().out
    assert "train #0" in printed
    model.set_callbacks()
    grid = {"sparsenetregressor__target_sparsity": [10, 15]}
    search = GridSearchCV(model, grid, cv=2, n_jobs=n_jobs)
    search.set_callbacks(bars).fit(X, y)
    printed = capsys.readouterr().out
    assert printed.count("train #0") == 5
    assert all("100%" in line for line in printed.strip().splitlines())
    assert search.best_estimator_[-1].n_nonzero_ in (10, 15)


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_scores_within_a_grid_search(n_jobs, data):
    monitor = ScoringMonitor(scoring="r2")
    net = make().set_callbacks(monitor)
    search = GridSearchCV(net, {"target_sparsity": [10, 15]}, cv=2, n_jobs=n_jobs)
    search.fit(*data)
    rows = monitor.get_logs().data
    ends = [row for row in rows if row["estimator_name"] == "SparseNetRegressor"]
    n_epochs = [row for row in ends if row["task_name"] == "epochs"]
    assert len(n_epochs) == 5 * search.best_estimator_.n_iter_


def test_propagated_callbacks_see_one_tree(data):
    recorder = Propagated()
    model = make_pipeline(StandardScaler(), make()).set_callbacks(recorder)
    model.fit(*data)
    assert recorder.root.estimator_name == "Pipeline"
    names = {context.task_name for context in recorder.root}
    assert {"train", "solve", "epochs"} <= names
    assert not hasattr(model[-1], "_skl_callbacks")
    assert not hasattr(model[-1], "_parent_callback_ctx")


def test_copies_and_files(data):
    monitor, bar = ScoringMonitor(scoring="r2"), ProgressBar()
    net = make().set_callbacks(monitor, bar).fit(*data)
    assert clone(net)._skl_callbacks == [monitor, bar]
    again = pickled(net)
    assert_array_equal(again.predict(data[0]), net.predict(data[0]))
    assert len(again._skl_callbacks) == 2
    again.fit(*data)
    assert_array_equal(again.predict(data[0]), net.predict(data[0]))
    loaded = reloaded(net)
    assert_array_equal(loaded.predict(data[0]), net.predict(data[0]))
    assert not hasattr(loaded, "_skl_callbacks")


def test_errors_of_callbacks_and_of_fits_tear_down(data):
    class Fails(Recorder):
        def on_fit_task_end(self, estimator, context):
            raise RuntimeError("not today")

    callback = Fails()
    net = make().set_callbacks(callback)
    with pytest.raises(RuntimeError, match="not today"):
        net.fit(*data)
    assert callback.events[-1] == "teardown"
    assert not hasattr(net, "_callback_fit_ctx")
