"""Convex problems beyond the plain ones: optimality by hand, or by known solvers."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.datasets import load_diabetes, load_iris, load_linnerud
from sklearn.linear_model import Lasso, LogisticRegression, PoissonRegressor
from sklearn.multioutput import MultiOutputClassifier
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor

SETTINGS = {
    "hidden_layer_sizes": (),
    "batch_size": 10**6,
    "max_iter": 8000,
    "kkt_tol": 1e-8,
    "learning_rate_init": 0.1,
    "debias": False,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    # Without the column that nearly repeats another: first-order steps suffice.
    return StandardScaler().fit_transform(X[:, [0, 1, 3]]), y


@pytest.fixture(scope="module")
def outputs():
    X, Y = load_linnerud(return_X_y=True)
    return StandardScaler().fit_transform(X), StandardScaler().fit_transform(Y)


def regressor(alpha, **settings):
    return SparseNetRegressor(
        alpha=alpha, **{"normalize_y": False, **SETTINGS, **settings}
    )


def classifier(alpha, **settings):
    return SparseNetClassifier(alpha=alpha, **{**SETTINGS, **settings})


def weights_of(y):
    return np.random.default_rng(0).uniform(0.1, 3, len(y))


def assert_stationary(coef, gradient, alpha):
    """(26) and (27)."""
    on = coef != 0
    np.testing.assert_allclose(gradient[on], -alpha * np.sign(coef[on]), atol=1e-6)
    assert (np.abs(gradient[~on]) <= alpha + 1e-6).all()


@pytest.mark.parametrize(("solver", "rate"), [("adam", 0.1), ("sgd", 1.0)])
def test_weighted_softmax_is_stationary(iris, solver, rate):
    X, y = iris
    weight = weights_of(y)
    net = classifier(0.05, solver=solver, learning_rate_init=rate).fit(X, y, weight)
    coef, intercept = net.coefs_[0], net.intercepts_[0]
    error = softmax(X @ coef + intercept, axis=1) - np.eye(3)[y]
    error *= (weight / weight.sum())[:, None]
    assert_stationary(coef, X.T @ error, 0.05)
    np.testing.assert_allclose(error.sum(axis=0), 0, atol=1e-6)
    assert 0 < net.n_nonzero_ < coef.size
    assert net.converged_


def test_softmax_is_all_zero_from_its_largest_alpha_on(iris):
    X, y = iris
    weight = weights_of(y)
    share = weight / weight.sum()
    frequencies = share @ np.eye(3)[y]
    top = np.abs(X.T @ (share[:, None] * (frequencies - np.eye(3)[y]))).max()
    net = classifier(top * (1 + 1e-9)).fit(X, y, weight)
    assert net.n_nonzero_ == 0
    np.testing.assert_allclose(net.predict_proba(X[:1])[0], frequencies, atol=1e-6)
    assert classifier(0.99 * top).fit(X, y, weight).n_nonzero_ > 0


def test_each_weighted_output_is_a_lasso_of_its_own(outputs):
    X, Y = outputs
    weight = weights_of(Y)
    net = regressor(0.3).fit(X, Y, weight)
    for k in range(Y.shape[1]):
        lasso = Lasso(0.15, tol=1e-12, max_iter=10**5).fit(X, Y[:, k], weight)
        np.testing.assert_allclose(net.coefs_[0][:, k], lasso.coef_, atol=1e-4)
        np.testing.assert_allclose(net.intercepts_[0][k], lasso.intercept_, atol=1e-4)
    assert 0 < net.n_nonzero_ < net.coefs_[0].size


def test_each_label_is_a_logistic_regression_of_its_own(iris):
    """Losses are summed over labels, so that each has the λ of the whole."""
    X, y = iris
    Y = np.column_stack([y == 0, y == 1]).astype(int)
    alpha = 0.05
    theirs = LogisticRegression(
        C=1 / (alpha * len(y)), l1_ratio=1, solver="saga", tol=1e-9, max_iter=10**5
    )
    theirs = MultiOutputClassifier(theirs).fit(X, Y)
    net = classifier(alpha).fit(X, Y)
    for k, each in enumerate(theirs.estimators_):
        np.testing.assert_allclose(net.coefs_[0][:, k], each.coef_[0], atol=1e-4)
        assert net.intercepts_[0][k] == pytest.approx(each.intercept_[0], abs=1e-4)


def test_normalised_target_is_the_lasso_of_the_normalised_target():
    X, y = load_diabetes(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    weight = weights_of(y)
    net = regressor(0.2, normalize_y="auto").fit(X, y, weight)
    mean = np.average(y, weights=weight)
    scale = np.sqrt(np.average((y - mean) ** 2, weights=weight))
    np.testing.assert_allclose([net.y_mean_[0], net.y_scale_[0]], [mean, scale])
    lasso = Lasso(0.1, tol=1e-12, max_iter=10**5).fit(X, (y - mean) / scale, weight)
    np.testing.assert_allclose(net.coefs_[0][:, 0], lasso.coef_, atol=1e-4)
    predicted = lasso.predict(X) * scale + mean
    np.testing.assert_allclose(net.predict(X), predicted, atol=1e-4 * scale)


def test_poisson_without_penalty_is_poisson_regression(outputs):
    X, Y = outputs
    counts = np.round(np.exp(Y[:, 0] + 1))
    weight = weights_of(counts)
    theirs = PoissonRegressor(alpha=0, tol=1e-10, max_iter=10**4)
    theirs.fit(X, counts, weight)
    net = regressor(0.0, loss="poisson").fit(X, counts, weight)
    np.testing.assert_allclose(net.coefs_[0][:, 0], theirs.coef_, atol=1e-4)
    np.testing.assert_allclose(net.predict(X), theirs.predict(X), rtol=1e-3)


def test_huber_is_stationary(outputs):
    """Twice the textbook form: the squared error near zero."""
    X, Y = outputs
    y = np.where(np.arange(len(Y)) == 3, 20, Y[:, 0])
    net = regressor(0.1, loss="huber").fit(X, y)
    error = np.clip(net.predict(X) - y, -1.35, 1.35)
    assert error.min() == -1.35
    coef = net.coefs_[0][:, 0]
    assert_stationary(coef, 2 * X.T @ error / len(y), 0.1)
    assert abs(error.mean()) < 1e-6
    assert np.count_nonzero(coef) > 0


@pytest.mark.parametrize("penalize_bias", [False, True])
def test_one_alpha_for_each_layer(outputs, penalize_bias):
    """Two linear layers side by side: each has its own λ, its bias with it."""
    X, Y = outputs

    class Halves(nn.Module):
        def __init__(self, n_features, n_outputs):
            super().__init__()
            self.first = nn.Linear(2, n_outputs)
            self.second = nn.Linear(1, n_outputs)

        def forward(self, x):
            return self.first(x[:, :2]) + self.second(x[:, 2:])

    alpha = {"first.weight": 0.1, "second.weight": 0.4}
    net = regressor(alpha, module=Halves, penalize_bias=penalize_bias)
    y = Y[:, 0] + 0.5
    net.fit(X, y)
    gradient = 2 * X.T @ (net.predict(X) - y) / len(y)
    first, second = net.module_.first, net.module_.second
    assert_stationary(first.weight.detach().numpy()[0], gradient[:2], 0.1)
    assert_stationary(second.weight.detach().numpy()[0], gradient[2:], 0.4)
    slope = np.array([2 * np.mean(net.predict(X) - y)])
    if penalize_bias:  # the cheaper of the two biases does it all
        assert second.bias.item() == 0
        assert_stationary(first.bias.detach().numpy(), slope, 0.1)
    else:
        assert abs(slope[0]) < 1e-6
    assert net.n_nonzero_per_layer_.tolist() == [
        np.count_nonzero(layer.weight.detach()) for layer in (first, second)
    ]
    np.testing.assert_array_equal(net.alpha_, [0.1, 0.4])


def test_a_target_is_found_where_the_lasso_has_it():
    """The λ that leaves k weights is one at which the Lasso has k as well."""
    X, y = load_diabetes(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    for k in (2, 5):
        net = SparseNetRegressor(
            (),
            target_sparsity=k,
            tol=0,
            search="bracket",
            batch_size=10**6,
            max_iter=3000,
            random_state=0,
        ).fit(X, y)
        scaled = (y - y.mean()) / y.std()
        lasso = Lasso(net.alpha_ / 2, tol=1e-12, max_iter=10**5).fit(X, scaled)
        assert net.n_nonzero_ == np.count_nonzero(lasso.coef_) == k
        np.testing.assert_array_equal(net.support_, lasso.coef_ != 0)
