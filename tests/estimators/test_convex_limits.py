"""Without hidden layer the problem is convex: known solvers are the oracle."""

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import Lasso, LogisticRegression
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor

SETTINGS = {
    "hidden_layer_sizes": (),
    "batch_size": 10**6,
    "max_iter": 4000,
    "kkt_tol": 1e-7,
    "debias": False,
}


@pytest.fixture(scope="module")
def regression():
    X, y = load_diabetes(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    return X, (y - 150) / 50, np.random.default_rng(0).uniform(0.1, 3, len(y))


@pytest.fixture(scope="module")
def binary():
    X, y = load_breast_cancer(return_X_y=True)
    # Columns that nearly repeat others (radius, perimeter, area) are left out: first-
    # order steps would need far more of them there.
    X = StandardScaler().fit_transform(X[:, [0, 1, 4, 8, 9, 11, 14, 18]])
    return X, y, np.random.default_rng(0).uniform(0.1, 3, len(y))


def regressor(alpha, **settings):
    return SparseNetRegressor(
        alpha=alpha, normalize_y=False, **{**SETTINGS, **settings}
    )


def classifier(alpha, **settings):
    return SparseNetClassifier(alpha=alpha, **{**SETTINGS, **settings})


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("alpha", [0.02, 0.2, 0.8])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_squared_error_is_the_lasso(regression, alpha, weighted, solver):
    """Its alpha is half of ours: its loss has the factor one half."""
    X, y, weight = regression
    weight = weight if weighted else None
    lasso = Lasso(alpha / 2, tol=1e-12, max_iter=10**5).fit(X, y, weight)
    ours = regressor(alpha, solver=solver).fit(X, y, weight)
    np.testing.assert_allclose(ours.coefs_[0][:, 0], lasso.coef_, atol=1e-4)
    np.testing.assert_allclose(ours.intercepts_[0], lasso.intercept_, atol=1e-4)
    np.testing.assert_array_equal(ours.coefs_[0][:, 0] == 0, lasso.coef_ == 0)


def test_each_output_is_a_lasso_of_its_own(regression):
    X, y, _ = regression
    Y = np.column_stack([y, X[:, 0] - y])
    ours = regressor(0.3).fit(X, Y)
    for k in range(2):
        lasso = Lasso(0.15, tol=1e-12, max_iter=10**5).fit(X, Y[:, k])
        np.testing.assert_allclose(ours.coefs_[0][:, k], lasso.coef_, atol=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_log_loss_is_l1_logistic_regression(binary, alpha, weighted):
    X, y, weight = binary
    weight = weight if weighted else np.ones(len(y))
    theirs = LogisticRegression(
        C=1 / (alpha * weight.sum()),
        l1_ratio=1,
        solver="saga",
        tol=1e-9,
        max_iter=10**5,
    ).fit(X, y, weight)
    ours = classifier(alpha, learning_rate_init=0.1).fit(X, y, weight)
    np.testing.assert_allclose(ours.coefs_[0][:, 0], theirs.coef_[0], atol=1e-4)
    np.testing.assert_allclose(
        ours.predict_proba(X), theirs.predict_proba(X), atol=1e-4
    )


def test_softmax_has_the_objective_and_probabilities_of_logistic_regression():
    """Its coefficients are not unique."""
    X, y = load_iris(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    alpha = 0.02
    theirs = LogisticRegression(
        C=1 / (alpha * len(y)), l1_ratio=1, solver="saga", tol=1e-9, max_iter=10**5
    ).fit(X, y)
    ours = classifier(alpha, learning_rate_init=0.1, max_iter=8000).fit(X, y)

    def objective(coef, intercept):
        z = X @ coef + intercept
        loss = logsumexp(z, axis=1) - z[np.arange(len(y)), y]
        return loss.mean() + alpha * np.abs(coef).sum()

    reached = objective(ours.coefs_[0], ours.intercepts_[0])
    assert reached == pytest.approx(objective(theirs.coef_.T, theirs.intercept_), 1e-6)
    np.testing.assert_allclose(
        ours.predict_proba(X), theirs.predict_proba(X), atol=1e-4
    )


def alpha_max(X, y, mean, factor):
    return factor * np.abs(X.T @ (mean - y)).max() / len(y)


def test_all_is_zero_at_alpha_max_and_not_below(regression, binary):
    X, y, _ = regression
    top = alpha_max(X, y, y.mean(), 2.0)
    assert regressor(top * (1 + 1e-9)).fit(X, y).n_nonzero_ == 0
    assert regressor(0.99 * top).fit(X, y).n_nonzero_ == 1
    X, y, _ = binary
    top = alpha_max(X, y, y.mean(), 1.0)
    assert classifier(top * (1 + 1e-9)).fit(X, y).n_nonzero_ == 0
    assert classifier(0.99 * top).fit(X, y).n_nonzero_ >= 1


def test_biases_are_penalised_only_when_asked(regression):
    """A penalised bias is the coefficient of a column of ones."""
    X, y, _ = regression
    y = y + 1
    ones = np.column_stack([X, np.ones(len(X))])
    lasso = Lasso(0.2, fit_intercept=False, tol=1e-12, max_iter=10**5).fit(ones, y)
    penalised = regressor(0.4, penalize_bias=True).fit(X, y)
    np.testing.assert_allclose(penalised.coefs_[0][:, 0], lasso.coef_[:-1], atol=1e-4)
    np.testing.assert_allclose(penalised.intercepts_[0], lasso.coef_[-1:], atol=1e-4)
    assert penalised.n_nonzero_ == np.count_nonzero(lasso.coef_[:-1])
    free = regressor(0.4).fit(X, y)
    assert free.intercepts_[0][0] == pytest.approx(y.mean(), abs=1e-4)


def test_conditions_recomputed_by_hand(regression):
    """(26), (27) and a vanishing gradient of the bias, in NumPy, to 1e-6."""
    X, y, weight = regression
    net = regressor(0.3).fit(X, y, weight)
    residual = X @ net.coefs_[0][:, 0] + net.intercepts_[0] - y
    gradient = 2 * X.T @ (weight * residual) / weight.sum()
    coef = net.coefs_[0][:, 0]
    assert np.abs(gradient + 0.3 * np.sign(coef))[coef != 0].max() < 1e-6
    assert np.abs(gradient[coef == 0]).max() <= 0.3 + 1e-6
    assert abs((weight * residual).sum() / weight.sum()) < 1e-6
    assert net.kkt_residual_ <= 1e-7
    assert net.converged_


def test_poisson_regression_is_stationary(regression):
    X, y, _ = regression
    counts = np.round(np.exp(y))
    net = regressor(0.3, loss="poisson", max_iter=8000).fit(X, counts)
    coef, error = net.coefs_[0][:, 0], net.predict(X) - counts
    gradient = X.T @ error / len(X)
    assert np.abs(gradient + 0.3 * np.sign(coef))[coef != 0].max() < 1e-6
    assert np.abs(gradient).max() <= 0.3 + 1e-6
    assert abs(error.mean()) < 1e-6
