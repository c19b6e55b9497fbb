"""How a fit goes: warm starts, early stopping, what is printed, and the device."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor


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
        (40,),
        alpha=1e-4,
        early_stopping=True,
        validation_fraction=0.3,
        n_iter_no_change=5,
        batch_size=32,
        max_iter=200,
        learning_rate="constant",
        random_state=3,
    ).fit(X, y)
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


@pytest.mark.parametrize("verbose", [0, False, 1, True, 2])
@pytest.mark.parametrize("settings", [{"target_sparsity": 25}, {"alpha": 1e-3}])
def test_a_line_for_each_solve_only_when_asked(iris, capsys, verbose, settings):
    net = SparseNetClassifier(
        (10,), tol=0.1, verbose=verbose, max_iter=20, random_state=0, **settings
    ).fit(*iris)
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = printed.out.splitlines()
    history = net.search_history_
    assert len(lines) == (net.n_outer_iter_ if verbose else 0)
    for number, line in enumerate(lines):
        alphas = ", ".join(f"{a:.3g}" for a in np.ravel(history["alpha"][number]))
        assert line.startswith(f"solve {number + 1}: alpha {alphas}; weights kept ")
        kept = history["n_nonzero_per_layer" if "alpha" in settings else "n_nonzero"]
        assert f"kept {', '.join(map(str, np.ravel(kept[number])))};" in line


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
