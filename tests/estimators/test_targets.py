"""Targets of every kind are met on real data, or a warning says why not."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor
from sklearn_sparsenet.search import BracketSearch

LOADERS = {
    "digits": load_digits,
    "cancer": load_breast_cancer,
    "wine": load_wine,
    "diabetes": load_diabetes,
}


def load(name):
    X, y = LOADERS[name](return_X_y=True)
    return StandardScaler().fit_transform(X), y


def make(name, **settings):
    kind = SparseNetRegressor if name == "diabetes" else SparseNetClassifier
    return kind(**{"hidden_layer_sizes": (50,), "random_state": 0, **settings})


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize(
    ("target", "tol"),
    [(0.9, 0.01), (60, 0.02), ([0.9, 0.8], 0.05), ({"0.weight": 80, "*": 0.7}, 0.05)],
)
def test_targets_are_met(name, target, tol):
    X, y = load(name)
    net = make(name, target_sparsity=target, tol=tol).fit(X, y)
    assert net.converged_
    reached = net.n_nonzero_per_layer_ if np.ndim(net.alpha_) else net.n_nonzero_
    goal = np.asarray(net.target_n_nonzero_)
    assert (np.abs(reached - goal) <= tol * goal).all()
    counts = [np.count_nonzero(coef) for coef in net.coefs_]
    assert net.n_nonzero_per_layer_.tolist() == counts
    assert net.n_nonzero_ == sum(counts)
    total = sum(coef.size for coef in net.coefs_)
    assert net.sparsity_ == pytest.approx(1 - sum(counts) / total)
    history = net.search_history_
    assert history["n_nonzero"][-1] == net.n_nonzero_
    assert len(history["alpha"]) == net.n_outer_iter_ <= 20
    assert net.n_iter_ > history["epochs"].sum()  # and the refit


def test_layers_that_a_dict_leaves_out_are_free():
    X, y = load("wine")
    net = make("wine", target_sparsity={"2.weight": 20}, tol=0.05).fit(X, y)
    assert net.layer_names_ == ["2.weight"]
    assert net.alpha_.shape == net.target_n_nonzero_.shape == (1,)
    assert np.count_nonzero(net.coefs_[0]) == net.coefs_[0].size
    assert abs(net.n_nonzero_ - 20) <= 1


def test_enough_layers_on_target():
    X, y = load("wine")
    net = make("wine", target_sparsity=[60, 3], tol=0.0, min_layers_on_target=1)
    net.fit(X, y)
    assert net.converged_
    assert (net.n_nonzero_per_layer_ == [60, 3]).any()


@pytest.mark.parametrize("stop", ["converged", "in_flight"])
def test_other_searches(stop):
    X, y = load("wine")
    search = BracketSearch(rule="order_statistic", stop=stop)
    net = make("wine", target_sparsity=80, tol=0.05, search=search).fit(X, y)
    assert abs(net.n_nonzero_ - 80) <= 4
    ended = net.search_history_["status"][-1]
    assert (ended == "on_target") == (stop == "in_flight")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"max_outer_iter": 1, "search": "bracket"},
            r"asked for 10 weights.*kept \d+.*max_outer_iter=1",
        ),
        ({"target_sparsity": 1, "tol": 0}, "path from an input to an output"),
    ],
)
def test_what_cannot_be_met_is_told(settings, message):
    X, y = load("wine")
    net = make("wine", **{"target_sparsity": 10, "tol": 0, **settings})
    with pytest.warns(ConvergenceWarning, match=message):
        net.fit(X, y)
    assert net.n_outer_iter_ <= net.max_outer_iter
    assert np.isfinite(net.predict_proba(X)).all()


def test_a_given_alpha_wins_over_the_target():
    X, y = load("wine")
    net = make("wine", alpha=1e-3, target_sparsity=5, kkt_tol=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.fit(X, y)
    assert net.alpha_ == 1e-3
    assert net.target_n_nonzero_ is None
    assert net.n_outer_iter_ == 1
    assert not net.converged_  # the residual is not zero
    for first, second in zip(net.coefs_, net.penalized_coefs_, strict=True):
        np.testing.assert_array_equal(first, second)  # no debias


@pytest.mark.parametrize("alpha", [[1e-3, 1e-1], {"0.weight": 1e-3, "2*": 1e-1}])
def test_one_alpha_per_layer(alpha):
    X, y = load("wine")
    net = make("wine", alpha=alpha).fit(X, y)
    assert net.alpha_.tolist() == [1e-3, 1e-1]
    equal = make("wine", alpha=1e-3).fit(X, y)
    assert net.n_nonzero_per_layer_[1] < equal.n_nonzero_per_layer_[1]
