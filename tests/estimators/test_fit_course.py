"""How a fit goes: warm starts, early stopping, what is printed, what has converged."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor
from sklearn_sparsenet.search.proximal_trainer import ProximalTrainer


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_warm_start_begins_where_the_fit_before_ended(iris, solver):
    X, y = iris
    settings = {"alpha": 1e-3, "solver": solver, "random_state": 0, "max_iter": 50}
    net = SparseNetClassifier((8,), warm_start=True, **settings).fit(X, y)
    before = net.loss_
    assert net.fit(X, y).loss_ < before
    coefs = [coef.copy() for coef in net.coefs_]
    net.set_params(learning_rate_init=1e-15, max_iter=1).fit(X, y)
    for mine, other in zip(net.coefs_, coefs, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-12)
    with pytest.raises(ValueError, match="same classes"):
        net.fit(X, np.where(y == 0, 7, y))
    assert net.classes_.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match=r"warm_start=True.*another shape"):
        net.fit(X[:, :3], y)
    with pytest.raises(ValueError, match=r"warm_start=True.*another shape"):
        net.set_params(hidden_layer_sizes=(9,)).fit(X, y)


def test_warm_search_tries_the_known_alpha_first(diabetes):
    settings = {"target_sparsity": 40, "tol": 0.1, "search": "bracket"}
    net = SparseNetRegressor((10,), warm_start=True, random_state=0, **settings).fit(
        *diabetes
    )
    known = net.alpha_
    net.fit(*diabetes)
    assert net.search_history_["alpha"][0] == known


def test_without_warm_start_a_fit_begins_anew(iris):
    X, y = iris
    net = SparseNetClassifier((8,), alpha=1e-3, max_iter=30, random_state=0)
    first = net.fit(X, y).predict_proba(X)
    net.fit(X[:, :2], np.where(y == 2, "x", "y"))  # other columns, other classes
    assert net.classes_.tolist() == ["x", "y"]
    assert net.n_features_in_ == 2
    np.testing.assert_array_equal(net.fit(X, y).predict_proba(X), first)


def test_early_stopping_restores_the_best_state():
    """The network kept scores the best of the scores, on the rows held out."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 6))
    y = X[:, 0] * X[:, 1] + rng.normal(size=300)
    net = SparseNetRegressor(
        (40,), alpha=1e-4, early_stopping=True, validation_fraction=0.3,
        n_iter_no_change=5, batch_size=32, max_iter=200, learning_rate="constant",
        random_state=3,
    ).fit(X, y)  # fmt: skip
    best = int(np.argmax(net.validation_scores_))
    assert len(net.validation_scores_) == best + 1 + 5 == net.n_iter_
    assert net.search_history_["status"][0] == "early"
    # The second of the seeds that fit draws is that of the split.
    split = check_random_state(3).randint(2**31 - 1, size=3)[1]
    _, held = train_test_split(np.arange(300), test_size=0.3, random_state=split)
    score = net.score(X[np.sort(held)], y[np.sort(held)])
    assert score == pytest.approx(max(net.validation_scores_))


def test_early_stopping_keeps_the_count(iris):
    X, y = iris
    for target in (40, [30, 15]):
        net = SparseNetClassifier(
            (20,), target_sparsity=target, tol=0.1, early_stopping=True, random_state=0
        ).fit(X, y)
        goal = np.asarray(target)
        reached = net.n_nonzero_per_layer_ if goal.ndim else net.n_nonzero_
        assert (np.abs(reached - goal) <= 0.1 * goal).all()
        # The epoch in which a solve meets the target is not scored any more.
        assert len(net.loss_curve_) - 1 <= len(net.validation_scores_)
        assert 0.5 < max(net.validation_scores_) <= 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("one", [SparseNetClassifier, SparseNetRegressor])
def test_targets_are_met_on_a_gpu(one, iris):
    X, y = iris
    net = one((20,), target_sparsity=40, tol=0.1, device="cuda", random_state=0)
    net.fit(X, y)
    assert abs(net.n_nonzero_ - 40) <= 4
    assert next(net.module_.parameters()).device.type == "cuda"
    assert net.coefs_[0].dtype == np.float32
    assert net.score(X, y) > 0.8
    again = pickle.loads(pickle.dumps(net))
    assert next(again.module_.parameters()).device.type == "cpu"
    wanted = np.float32 if one is SparseNetRegressor else y.dtype
    assert net.predict(X).dtype == wanted


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_without_a_gpu_auto_is_the_cpu_and_cuda_an_error(iris):
    X, y = iris
    settings = {"alpha": 1e-3, "max_iter": 5, "random_state": 0}
    auto = SparseNetClassifier((5,), device="auto", **settings).fit(X, y)
    cpu = SparseNetClassifier((5,), device="cpu", **settings).fit(X, y)
    np.testing.assert_array_equal(auto.predict_proba(X), cpu.predict_proba(X))
    with pytest.raises(ValueError, match="device='cuda' is not available here"):
        SparseNetClassifier((5,), device="cuda", **settings).fit(X, y)


def test_the_last_loss_of_an_epoch_cut_short_is_a_mean_too():
    X = np.random.default_rng(0).normal(size=(100, 4))
    settings = {"batch_size": 10, "max_iter": 30, "random_state": 0, "debias": False}
    settings["search"] = "bracket"
    net = SparseNetRegressor((10,), target_sparsity=0.5, tol=0.2, **settings).fit(
        X, X[:, 0] - X[:, 1]
    )
    assert net.search_history_["status"][-1] == "on_target"
    assert net.loss_curve_[-1] > 0.5 * net.loss_  # of ten batches, one was seen


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
