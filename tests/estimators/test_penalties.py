"""Penalties other than l1 in the estimators: known answers, certificates, targets."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, load_digits
from sklearn.preprocessing import StandardScaler, scale

from sklearn_sparsenet import L0, MCP, SparseNetClassifier, SparseNetRegressor
from sklearn_sparsenet.penalties import firm_threshold, hard_threshold

LINEAR = {
    "hidden_layer_sizes": (),
    "batch_size": 10**6,
    "learning_rate": "constant",
    "normalize_y": False,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return scale(X), scale(y)


@pytest.fixture(scope="module")
def orthogonal():
    """Centred X with X'X = n, so that each coefficient is a problem of its own."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(60, 8))
    X = np.linalg.qr(noise - noise.mean(axis=0))[0] * np.sqrt(60)
    coef = np.array([3, -2, 1, -0.6, 0.4, -0.2, 0.1, 0.0])
    y = X @ coef + 0.1 * rng.normal(size=60) + 5
    return X, y, X.T @ y / 60


def residual_by_hand(penalty, coef, gradient, alpha):
    """The definitions, in NumPy."""
    size = np.abs(gradient)
    if penalty == "l0":
        return np.where(coef != 0, size, 0)
    gamma = MCP().gamma
    slope = alpha * np.sign(coef) * np.maximum(0, 1 - np.abs(coef) / (gamma * alpha))
    off = np.maximum(size - alpha, 0)
    return np.where(coef != 0, np.abs(gradient + slope), off)


def test_l0_on_an_orthogonal_design_is_hard_thresholded_least_squares(orthogonal):
    """The loss is sum (w - b)^2 + c: a weight stays where b^2 > alpha."""
    X, y, least_squares = orthogonal
    # A step of 1/2 is the exact metric of the loss: to the global minimiser.
    net = SparseNetRegressor(
        alpha=0.25, penalty="l0", solver="sgd", learning_rate_init=0.5, max_iter=100,
        kkt_tol=1e-9, **LINEAR,
    ).fit(X, y)  # fmt: skip
    wanted = hard_threshold(torch.tensor(least_squares), 0.5).numpy()
    assert 0 < np.count_nonzero(wanted) < 8
    np.testing.assert_allclose(net.coefs_[0][:, 0], wanted, atol=1e-9)
    assert net.converged_
    assert net.alpha_ == 0.25


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("gamma", [0.6, 3.0, 30.0])
def test_mcp_on_an_orthogonal_design_is_firmly_thresholded_least_squares(
    orthogonal, solver, gamma
):
    """The curvature 2 exceeds 1/gamma: convex as a whole, with one minimiser."""
    X, y, least_squares = orthogonal
    settings = {**LINEAR, "learning_rate": "cosine"}
    net = SparseNetRegressor(
        alpha=0.9, penalty=MCP(gamma), solver=solver, learning_rate_init=0.1,
        max_iter=4000, kkt_tol=1e-7, **settings,
    ).fit(X, y)  # fmt: skip
    wanted = firm_threshold(torch.tensor(least_squares), 0.5, 0.9, gamma).numpy()
    assert 0 < np.count_nonzero(wanted) < 8
    np.testing.assert_allclose(net.coefs_[0][:, 0], wanted, atol=1e-5)


@pytest.mark.parametrize("penalty", ["mcp", "l0"])
def test_linear_regression_ends_at_stationary_points(diabetes, penalty):
    X, y = diabetes
    net = SparseNetRegressor(
        alpha=0.05, penalty=penalty, solver="sgd", learning_rate_init=0.1,
        max_iter=20_000, kkt_tol=1e-8, **LINEAR,
    ).fit(X, y)  # fmt: skip
    coef = net.coefs_[0][:, 0]
    gradient = 2 * X.T @ (X @ coef + net.intercepts_[0] - y) / len(y)
    assert residual_by_hand(penalty, coef, gradient, 0.05).max() < 1e-8
    assert net.converged_
    assert 0 < net.n_nonzero_ < 10


@pytest.mark.parametrize("penalty", ["mcp", "l0"])
def test_digits_with_a_target(penalty):
    """The count is met, and the certificate is what its definition says."""
    X, y = load_digits(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    net = SparseNetClassifier(
        (20,), activation="tanh", penalty=penalty, target_sparsity=200, tol=0.1,
        search="bracket", debias=False, random_state=0,
    ).fit(X, y)  # fmt: skip
    assert net.converged_
    assert abs(net.n_nonzero_ - 200) <= 20
    assert net.score(X, y) > 0.85
    module = net.module_
    output = module(torch.from_numpy(X))
    torch.nn.functional.cross_entropy(output, torch.from_numpy(y)).backward()
    found = []
    for name, parameter in module.named_parameters():
        gradient = parameter.grad.numpy()
        if name in net.layer_names_:
            coef = parameter.detach().numpy()
            gradient = gradient + net.weight_decay_ * coef
            gradient = residual_by_hand(penalty, coef, gradient, net.alpha_)
        found.append(np.abs(gradient).max() / net.alpha_)
    assert net.kkt_residual_ == pytest.approx(max(found), rel=1e-6)


@pytest.mark.parametrize("penalty", ["mcp", "l0", MCP(gamma=10.0), L0()])
def test_diabetes_with_a_target_in_each_layer(diabetes, penalty):
    net = SparseNetRegressor(
        (10,), penalty=penalty, target_sparsity=[20, 5], tol=0.2, max_outer_iter=40,
        random_state=0,
    ).fit(*diabetes)  # fmt: skip
    assert net.converged_
    assert (np.abs(net.n_nonzero_per_layer_ - [20, 5]) <= [4, 1]).all()
    assert net.score(*diabetes) > 0.4


def test_a_warm_start_for_a_larger_strength_of_l0_prunes_on(orthogonal):
    """The old solution is stationary for the new strength too; it is not kept."""
    X, y, least_squares = orthogonal
    settings = {**LINEAR, "solver": "sgd", "learning_rate_init": 0.5, "max_iter": 100}
    net = SparseNetRegressor(alpha=0.09, penalty="l0", warm_start=True, **settings)
    for alpha in (0.09, 2.25):
        net.set_params(alpha=alpha).fit(X, y)
        assert net.n_nonzero_ == (np.abs(least_squares) > np.sqrt(alpha)).sum()
