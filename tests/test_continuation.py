"""Certified solutions by their number of weights: starts, search, estimators."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor
from sklearn_sparsenet.search import BracketSearch, ContinuationSearch, SearchBudget
from sklearn_sparsenet.search import continuation as search_module
from sklearn_sparsenet.solvers import Continuation, Status
from sklearn_sparsenet.solvers import continuation as solver_module
from tests.comparisons import assert_same_arrays

SETTINGS = {"activation": "tanh", "solver": "lbfgs", "random_state": 0}


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(X)[:120], y[:120]


def regressor(**more):
    return SparseNetRegressor((6,), **{**SETTINGS, **more})


def test_grid_points_find_themselves():
    for index in range(-330, 171):
        assert Continuation.index([Continuation.alpha(index)] * 3) == index
        assert Continuation.index([Continuation.alpha(index) * 0.99]) == index - 1
    assert Continuation.index([1e-2, 0.0]) == Continuation.index([1e-2])


@pytest.mark.parametrize("lag", Continuation.lags)
def test_every_lambda_has_one_start(lag):
    for index in (-330, -142, 0, 170):
        alpha = Continuation.alpha(index, lag)
        assert Continuation.index([alpha]) == index
        assert Continuation.start([alpha] * 2) == index - lag
    unequal = [0.9 * alpha, alpha / 0.9]  # of layers: from the last grid point
    assert Continuation.start(unequal) == Continuation.index(unequal)


@pytest.mark.slow
def test_counts_where_fresh_starts_collapse():
    """Fresh starts end with 50 weights up to λ=.016, with none from .017 on."""
    X, y = load_digits(return_X_y=True)
    settings = {**SETTINGS, "random_state": 2}
    net = SparseNetClassifier((16,), target_sparsity=24, tol=2 / 24, **settings)
    net.fit(X / 16 - 0.5, y)
    assert abs(net.n_nonzero_ - 24) <= 2
    assert net.certificate_.largest <= 1e-3


@pytest.mark.parametrize("target", [10, 30])
def test_certified_on_target_and_lambda_gives_it_again(diabetes, target):
    found = regressor(target_sparsity=target, tol=2 / target).fit(*diabetes)
    assert found.converged_
    assert abs(found.n_nonzero_ - target) <= 2
    assert found.certificate_.largest <= 1e-3
    assert found.kkt_residual_ == found.certificate_.largest
    again = regressor(alpha=found.alpha_).fit(*diabetes)
    assert again.n_nonzero_ == found.n_nonzero_
    assert_same_arrays(again.coefs_, found.penalized_coefs_)


@pytest.mark.parametrize(
    ("load", "hidden", "target"),
    [(load_breast_cancer, (8,), 15), (load_digits, (8,), 60)],
)
@pytest.mark.slow
def test_classifiers_are_certified(load, hidden, target):
    X, y = load(return_X_y=True)
    if load is load_digits:
        X, y = X[y < 4][:300] / 16 - 0.5, y[y < 4][:300]
    else:
        X = StandardScaler().fit_transform(X)
    # Counts of certified solutions jump: which ones there are depends on the processor.
    net = SparseNetClassifier(hidden, target_sparsity=target, tol=0.2, **SETTINGS)
    net.fit(X, y)
    assert net.certificate_.largest <= 1e-3
    again = SparseNetClassifier(hidden, alpha=net.alpha_, **SETTINGS).fit(X, y)
    assert again.n_nonzero_ == net.n_nonzero_


def test_linear_model_needs_no_start(diabetes):
    """Convex: the same minimiser whatever the path, and any exact count."""
    net = SparseNetRegressor((), solver="lbfgs", target_sparsity=4, tol=0)
    assert net.fit(*diabetes).n_nonzero_ == 4
    assert net.kkt_residual_ <= 1e-3


def test_impossible_count_gives_the_nearest_and_says_so(diabetes, monkeypatch):
    """Where smaller λ bring no more weights, the walk towards them ends."""
    monkeypatch.setattr(search_module, "_INDEX_RANGE", (-150, 60))
    net = regressor(target_sparsity=65, tol=0, max_outer_iter=2, max_iter=300)
    with pytest.warns(ConvergenceWarning, match=r"asked for 65 .* kept .* solves"):
        net.fit(*diabetes)
    assert not net.converged_
    assert net.n_outer_iter_ == 2
    assert net.alpha_ >= Continuation.alpha(-150)


def test_targets_per_layer(diabetes):
    net = regressor(target_sparsity=[14, 3], tol=0.35)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        net.fit(*diabetes)
    assert net.alpha_.shape == (2,)
    assert net.certificate_.largest <= 1e-3
    again = regressor(alpha=net.alpha_).fit(*diabetes)
    np.testing.assert_array_equal(again.n_nonzero_per_layer_, net.n_nonzero_per_layer_)


def test_bracket_over_certified_solves(diabetes):
    search = BracketSearch(stop="converged")
    net = regressor(search=search, target_sparsity=15, tol=0.2).fit(*diabetes)
    assert net.converged_
    assert net.kkt_residual_ <= 1e-3
    assert regressor(alpha=net.alpha_).fit(*diabetes).n_nonzero_ == net.n_nonzero_


def test_relu_is_not_passed(diabetes):
    """Minimisers lie on kinks; the residual is told, and why."""
    net = regressor(activation="relu", alpha=3e-3, max_iter=500)
    with pytest.warns(ConvergenceWarning, match=r"ReLU is not smooth.*kinks"):
        net.fit(*diabetes)
    assert not net.converged_
    certificate = net.certificate_
    assert certificate.largest > 1e-3
    assert 0 < certificate.violations <= 1
    assert 0 < certificate.root_mean_square <= certificate.largest


def test_budget_is_told(diabetes):
    net = regressor(alpha=3e-3, max_iter=3)
    with pytest.warns(ConvergenceWarning, match="Raise max_iter or kkt_tol"):
        net.fit(*diabetes)


def test_refit_is_least_squares_on_the_support(diabetes):
    net = SparseNetRegressor((), solver="lbfgs", target_sparsity=3, tol=0, debias=True)
    net.fit(*diabetes)
    X, y = diabetes
    X = X - X.mean(0)
    kept = net.coefs_[0][:, 0] != 0
    exact = np.linalg.lstsq(X[:, kept], y - y.mean(), rcond=None)[0]
    np.testing.assert_allclose(net.coefs_[0][kept, 0] * net.y_scale_, exact, rtol=1e-3)
    assert kept.sum() == 3


def test_no_refit_unless_asked(diabetes):
    net = regressor(target_sparsity=12, tol=0.2).fit(*diabetes)
    np.testing.assert_array_equal(net.coefs_[0], net.penalized_coefs_[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"penalty": "mcp"}, "penalty='l1' only"),
        ({"early_stopping": True}, "early_stopping"),
        ({"batch_size": 32}, "batch_size=32"),
        ({"dtype": "float32"}, "float64"),
        ({"module": torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Linear(10, 1))},
         "Dropout"),
    ],
)  # fmt: skip
def test_refusals_before_training(diabetes, settings, message, monkeypatch):
    monkeypatch.setattr(Continuation, "solve", None)
    with pytest.raises(ValueError, match=message):
        regressor(alpha=1e-2, **settings).fit(*diabetes)


def test_continuation_needs_lbfgs(diabetes):
    with pytest.raises(ValueError, match="goes with solver='lbfgs'"):
        regressor(solver="adam", search="continuation").fit(*diabetes)


def test_float32_input_is_solved_in_float64(diabetes):
    X, y = diabetes
    net = regressor(alpha=0.02).fit(X.astype(np.float32), y)
    assert net.coefs_[0].dtype == np.float64
    assert net.converged_


@pytest.mark.parametrize("at", ["warm-up", "loose", "exact"])
def test_interruption_keeps_a_network(diabetes, monkeypatch, at):
    calls = []
    original = solver_module.solve_active_set

    def active_set(problem, alpha, options):
        loose = options == solver_module._LOOSE
        calls.append(loose)
        found = original(problem, alpha, options)
        if (at == "loose") == loose and at != "warm-up":
            object.__setattr__(found, "status", Status.INTERRUPTED)
        return found

    def warm_up(*args, **kwargs):
        found = solver_module_solve(*args, **kwargs)
        if at == "warm-up":
            object.__setattr__(found, "status", Status.INTERRUPTED)
        return found

    solver_module_solve = solver_module.solve
    monkeypatch.setattr(solver_module, "solve_active_set", active_set)
    monkeypatch.setattr(solver_module, "solve", warm_up)
    net = regressor(target_sparsity=20)
    with pytest.raises(KeyboardInterrupt, match="interrupted"):
        net.fit(*diabetes)
    assert not net.converged_
    assert np.isfinite(net.predict(diabetes[0])).all()


def test_search_needs_a_target_and_a_path():
    class NoTarget:
        target = path = None

    with pytest.raises(ValueError, match="needs a target"):
        ContinuationSearch().run(NoTarget(), SearchBudget())
