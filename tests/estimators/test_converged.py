"""`converged_` means one thing, whatever solver and search: recounted here."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from sklearn_sparsenet import SparseNetRegressor
from sklearn_sparsenet.search.proximal_trainer import ProximalTrainer


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 5))
    return X, np.tanh(X[:, 0]) + 0.3 * X[:, 1] + 0.1 * rng.normal(size=60)


def fit(data, **settings):
    settings = {"activation": "tanh", "max_iter": 20, "random_state": 0} | settings
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net = SparseNetRegressor((6,), **settings).fit(*data)
    return net, any(issubclass(w.category, ConvergenceWarning) for w in caught)


def as_documented(net):
    """Say whether a fit has converged, from weights and residual alone."""
    is_certified = net.kkt_residual_ <= net.kkt_tol
    if net.target_n_nonzero_ is None:
        return is_certified
    counts = np.array([np.count_nonzero(coef) for coef in net.coefs_])
    goals = np.atleast_1d(net.target_n_nonzero_)
    counts = counts if len(goals) > 1 else counts.sum(keepdims=True)
    on_target = np.abs(counts - goals) <= net.tol * goals
    enough = on_target.sum() >= (net.min_layers_on_target or len(goals))
    return enough and (net.solver != "lbfgs" or is_certified)


GOALS = [
    {"alpha": 0.02},
    {"alpha": 0.02, "kkt_tol": 0},
    {"target_sparsity": 8, "tol": 0},
    {"target_sparsity": [5, 3], "min_layers_on_target": 1},
    {"target_sparsity": 8, "search": "bracket", "max_outer_iter": 3},
    {"target_sparsity": 8, "debias": False},
    {"target_sparsity": 1},
]


@pytest.mark.parametrize("goal", GOALS, ids=str)
@pytest.mark.parametrize("kkt_tol", [1e-3, 10])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_converged_is_the_target_and_the_residual(data, solver, kkt_tol, goal):
    net, is_told = fit(data, **{"solver": solver, "kkt_tol": kkt_tol} | goal)
    assert net.converged_ == as_documented(net)
    searched = net.target_n_nonzero_ is not None
    assert net.converged_ or is_told or not searched


def test_a_refit_that_loses_weights_has_not_met_the_target(data, monkeypatch):
    def lossy(trainer, found):
        state = found.state[0].clone()
        state[state.nonzero()[:2]] = 0.0  # weights come first
        trainer.problem.network.restore((state, found.state[1]))
        return type(found).at(trainer.problem, found.alpha, epochs=0.0, seconds=0.0)

    settings = {"search": "bracket", "target_sparsity": 8, "max_iter": 60}
    assert fit(data, **settings)[0].converged_
    monkeypatch.setattr(ProximalTrainer, "refit", lossy)
    net, is_told = fit(data, **settings)
    assert (net.n_nonzero_, net.converged_, is_told) == (6, False, True)
