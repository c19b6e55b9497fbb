"""The penalised solution: stationary, with the count, whatever the library says of it.

Residuals are computed here, by autograd in double precision.
"""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor
from tests.comparisons import assert_same_arrays

ENOUGH = 0.05  # times λ


def residual(net, X, y):
    """Return the largest violation of (26), (27) and of ∂L/∂b = 0, in units of λ."""
    coefs, intercepts = (
        [torch.tensor(array, dtype=torch.float64).requires_grad_() for array in arrays]
        for arrays in (net.penalized_coefs_, net.penalized_intercepts_)
    )
    value = torch.tensor(np.asarray(X, dtype=float))
    for k, (coef, intercept) in enumerate(zip(coefs, intercepts, strict=True)):
        value = (torch.tanh(value) if k else value) @ coef + intercept
    if isinstance(net, SparseNetRegressor):
        target = (y - net.y_mean_[0]) / net.y_scale_[0]
        loss = (value[:, 0] - torch.tensor(target)).square().mean()
    else:
        loss = torch.nn.functional.cross_entropy(value, torch.tensor(y))
    loss = loss + net.weight_decay_ / 2 * sum(coef.square().sum() for coef in coefs)
    loss.backward()
    alphas = np.broadcast_to(net.alpha_, len(coefs))
    found = [float(b.grad.abs().max()) / alphas.min() for b in intercepts]
    for coef, alpha in zip(coefs, alphas, strict=True):
        w, g = coef.detach(), coef.grad
        off = torch.where(
            w != 0, (g + alpha * w.sign()).abs(), (g.abs() - alpha).clamp(min=0)
        )
        found.append(float(off.max()) / alpha)
    return max(found)


def count(coefs):
    return sum(np.count_nonzero(coef) for coef in coefs)


def fit(kind, target, X, y, hidden=(100,), **settings):
    settings = {"activation": "tanh", "random_state": 0, **settings}
    return kind(hidden, target_sparsity=target, **settings).fit(X, y)


def fit_certified(kind, target, X, y, **settings):
    """Fit until a network says that its ℓ1 solution is one.

    Of networks with 100 units some say so, and which ones depends on rounding, which
    differs between processors.
    """
    for seed in range(8):
        net = fit(kind, target, X, y, random_state=seed, **settings)
        if net.kkt_residual_ <= net.kkt_tol:
            return net
    raise AssertionError("none of eight networks has an ℓ1 solution")


def test_a_wide_network_that_says_so_has_a_solution_with_the_count(diabetes):
    net = fit_certified(SparseNetRegressor, 50, *diabetes)
    assert count(net.coefs_) == count(net.penalized_coefs_) == 50
    assert residual(net, *diabetes) == pytest.approx(net.kkt_residual_, abs=1e-4)


@pytest.mark.parametrize(
    ("hidden", "settings"),
    [
        ((10,), {"activation": "tanh"}),
        ((), {}),
        ((10,), {"penalize_bias": True}),
        ((10, 5), {}),
    ],
    ids=str,
)
def test_the_conditions_hold_with_the_count(hidden, settings, diabetes):
    target = 20 if hidden else 5
    net = fit(SparseNetRegressor, target, *diabetes, hidden, **settings)
    assert count(net.coefs_) == count(net.penalized_coefs_) == target
    assert net.kkt_residual_ <= ENOUGH
    if "penalize_bias" not in settings:
        assert residual(net, *diabetes) <= ENOUGH
        assert residual(net, *diabetes) == pytest.approx(net.kkt_residual_, abs=1e-4)


def test_a_lambda_for_each_layer(diabetes):
    net = fit(SparseNetRegressor, [20, 5], *diabetes, (10,), random_state=1)
    counts = [np.count_nonzero(coef) for coef in net.penalized_coefs_]
    assert counts == net.target_n_nonzero_.tolist() == [20, 5]
    assert residual(net, *diabetes) == pytest.approx(net.kkt_residual_, rel=1e-3)


@pytest.mark.parametrize("target", [[20, 5], 0.9], ids=str)
def test_what_is_not_solved_is_no_worse_than_the_network(target, diabetes):
    """Units vanish as λ falls, and those that are left have too few places."""
    hidden = (10,) if target == [20, 5] else (100,)
    net = fit(SparseNetRegressor, target, *diabetes, hidden)
    assert residual(net, *diabetes) < 5


def test_more_weights_than_units(wine):
    X, y = wine
    net = fit(SparseNetClassifier, 0.9, X, y)
    assert abs(count(net.penalized_coefs_) - 160) <= 1
    assert residual(net, X, y) <= ENOUGH


def test_float32_is_solved_in_double_precision(diabetes):
    X, y = diabetes
    net = fit(SparseNetRegressor, 20, X.astype(np.float32), y, (10,))
    assert net.coefs_[0].dtype == net.penalized_coefs_[0].dtype == np.float32
    assert residual(net, X.astype(np.float32), y) <= ENOUGH


def test_several_classes(standardised):
    X, y = standardised(load_digits)
    net = fit(SparseNetClassifier, 50, X[:600], y[:600], (10,), random_state=2)
    assert count(net.coefs_) == count(net.penalized_coefs_) == 50
    assert residual(net, X[:600], y[:600]) <= ENOUGH


def test_without_debias_it_is_the_network(diabetes):
    kept = fit(SparseNetRegressor, 20, *diabetes, (10,), debias=False)
    wanted = fit(SparseNetRegressor, 20, *diabetes, (10,))
    assert kept.n_nonzero_ == 20
    assert kept.converged_
    assert_same_arrays(kept.coefs_, wanted.penalized_coefs_)


def test_a_refit_from_there_stays_there(diabetes):
    net = fit_certified(SparseNetRegressor, 50, *diabetes, warm_start=True)
    before = net.penalized_coefs_
    net.set_params(alpha=net.alpha_).fit(*diabetes)
    assert net.n_nonzero_ == 50
    assert net.converged_
    assert_same_arrays(net.coefs_, before)


def test_a_refit_next_to_it_finds_it(diabetes):
    net = fit_certified(SparseNetRegressor, 50, *diabetes, warm_start=True)
    net.set_params(alpha=1.002 * net.alpha_).fit(*diabetes)
    assert abs(net.n_nonzero_ - 50) <= 2
    assert residual(net, *diabetes) <= net.kkt_tol


def test_the_network_does_not_depend_on_the_tolerance(diabetes):
    """Which is that of the penalised solution alone."""
    exact = fit(SparseNetRegressor, 20, *diabetes, (10,), tol=0)
    loose = fit(SparseNetRegressor, 20, *diabetes, (10,), tol=0.5)
    assert abs(count(loose.penalized_coefs_) - 20) <= 10
    assert_same_arrays(exact.coefs_, loose.coefs_)


def test_on_kinks_the_solution_has_the_weights_of_the_network(diabetes):
    """Minimisers of a ReLU network lie where it has no derivative."""
    net = fit(SparseNetRegressor, 20, *diabetes, (10,), activation="relu")
    for own, other in zip(net.coefs_, net.penalized_coefs_, strict=True):
        np.testing.assert_array_equal(own != 0, other != 0)
    assert any(map(np.any, map(np.subtract, net.coefs_, net.penalized_coefs_)))
