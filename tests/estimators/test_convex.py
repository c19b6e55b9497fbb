"""Without hidden layer the problem is convex: known solvers are the oracle."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax
from sklearn.datasets import load_breast_cancer, load_iris, load_linnerud
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
def regression(diabetes):
    X, y = diabetes
    return X, (y - 150) / 50, weights_of(y)


@pytest.fixture(scope="module")
def binary():
    X, y = load_breast_cancer(return_X_y=True)
    # Columns that nearly repeat others (radius, perimeter, area) are left out: first-
    # order steps would need far more of them there.
    X = StandardScaler().fit_transform(X[:, [0, 1, 4, 8, 9, 11, 14, 18]])
    return X, y, weights_of(y)


@pytest.fixture(scope="module")
def classes():
    X, y = load_iris(return_X_y=True)
    # Without the column that nearly repeats another, for the same reason.
    return StandardScaler().fit_transform(X[:, [0, 1, 3]]), y, weights_of(y)


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


def lasso(alpha, **settings):
    """Its alpha is half of ours: its loss has the factor one half."""
    return Lasso(alpha / 2, tol=1e-12, max_iter=10**5, **settings)


def logistic(alpha, total):
    return LogisticRegression(
        C=1 / (alpha * total), l1_ratio=1, solver="saga", tol=1e-9, max_iter=10**5
    )


def assert_stationary(coef, gradient, alpha):
    """(26) and (27)."""
    on = coef != 0
    assert_allclose(gradient[on], -alpha * np.sign(coef[on]), atol=1e-6)
    assert (np.abs(gradient[~on]) <= alpha + 1e-6).all()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("alpha", [0.02, 0.2, 0.8])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_squared_error_is_the_lasso(regression, alpha, weighted, solver):
    X, y, weight = regression
    weight = weight if weighted else None
    theirs = lasso(alpha).fit(X, y, weight)
    ours = regressor(alpha, solver=solver).fit(X, y, weight)
    assert_allclose(ours.coefs_[0][:, 0], theirs.coef_, atol=1e-4)
    assert_allclose(ours.intercepts_[0], theirs.intercept_, atol=1e-4)
    assert_array_equal(ours.coefs_[0][:, 0] == 0, theirs.coef_ == 0)


def test_each_weighted_output_is_a_lasso_of_its_own(outputs):
    X, Y = outputs
    weight = weights_of(Y)
    net = regressor(0.3).fit(X, Y, weight)
    for k in range(Y.shape[1]):
        theirs = lasso(0.3).fit(X, Y[:, k], weight)
        assert_allclose(net.coefs_[0][:, k], theirs.coef_, atol=1e-4)
        assert_allclose(net.intercepts_[0][k], theirs.intercept_, atol=1e-4)
    assert 0 < net.n_nonzero_ < net.coefs_[0].size


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_log_loss_is_l1_logistic_regression(binary, alpha, weighted):
    X, y, weight = binary
    weight = weight if weighted else np.ones(len(y))
    theirs = logistic(alpha, weight.sum()).fit(X, y, weight)
    ours = classifier(alpha).fit(X, y, weight)
    assert_allclose(ours.coefs_[0][:, 0], theirs.coef_[0], atol=1e-4)
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-4)


def test_each_label_is_a_logistic_regression_of_its_own(classes):
    """Losses are summed over labels, so that each has the λ of the whole."""
    X, y, _ = classes
    Y = np.column_stack([y == 0, y == 1]).astype(int)
    theirs = MultiOutputClassifier(logistic(0.05, len(y))).fit(X, Y)
    net = classifier(0.05).fit(X, Y)
    for k, each in enumerate(theirs.estimators_):
        assert_allclose(net.coefs_[0][:, k], each.coef_[0], atol=1e-4)
        assert net.intercepts_[0][k] == pytest.approx(each.intercept_[0], abs=1e-4)


def test_softmax_has_the_objective_and_probabilities_of_logistic_regression():
    """Its coefficients are not unique."""
    X, y = load_iris(return_X_y=True)
    X, alpha = StandardScaler().fit_transform(X), 0.02
    theirs = logistic(alpha, len(y)).fit(X, y)
    ours = classifier(alpha).fit(X, y)

    def objective(coef, intercept):
        chances = softmax(X @ coef + intercept, axis=1)
        loss = -np.log(chances[np.arange(len(y)), y])
        return loss.mean() + alpha * np.abs(coef).sum()

    reached = objective(ours.coefs_[0], ours.intercepts_[0])
    assert reached == pytest.approx(objective(theirs.coef_.T, theirs.intercept_), 1e-6)
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-4)


@pytest.mark.parametrize(("solver", "rate"), [("adam", 0.1), ("sgd", 1.0)])
def test_weighted_softmax_is_stationary(classes, solver, rate):
    X, y, weight = classes
    net = classifier(0.05, solver=solver, learning_rate_init=rate).fit(X, y, weight)
    coef, intercept = net.coefs_[0], net.intercepts_[0]
    error = softmax(X @ coef + intercept, axis=1) - np.eye(3)[y]
    error *= (weight / weight.sum())[:, None]
    assert_stationary(coef, X.T @ error, 0.05)
    assert_allclose(error.sum(axis=0), 0, atol=1e-6)
    assert 0 < net.n_nonzero_ < coef.size
    assert net.converged_


@pytest.mark.parametrize(
    ("loss", "slope"),
    [
        ("squared_error", lambda z, y: 2 * (z - y)),
        ("poisson", lambda z, y: np.exp(z) - y),
        # Twice the textbook form: the squared error near zero.
        ("huber", lambda z, y: 2 * np.clip(z - y, -1.35, 1.35)),
    ],
)
def test_weighted_regressions_are_stationary(regression, loss, slope):
    X, y, weight = regression
    y = np.round(np.exp(y)) if loss == "poisson" else y
    net = regressor(0.3, loss=loss).fit(X, y, weight)
    coef = net.coefs_[0][:, 0]
    output = X @ coef + net.intercepts_[0]
    assert loss != "huber" or np.abs(output - y).max() > 1.35
    slopes = slope(output, y) * weight / weight.sum()
    assert_stationary(coef, X.T @ slopes, 0.3)
    assert abs(slopes.sum()) < 1e-6
    assert 0 < net.n_nonzero_ < len(coef)
    assert net.kkt_residual_ <= net.kkt_tol
    assert net.converged_


def test_poisson_without_penalty_is_poisson_regression(outputs):
    X, Y = outputs
    counts = np.round(np.exp(Y[:, 0] + 1))
    weight = weights_of(counts)
    theirs = PoissonRegressor(alpha=0, tol=1e-10, max_iter=10**4)
    theirs.fit(X, counts, weight)
    net = regressor(0.0, loss="poisson").fit(X, counts, weight)
    assert_allclose(net.coefs_[0][:, 0], theirs.coef_, atol=1e-4)
    assert_allclose(net.predict(X), theirs.predict(X), rtol=1e-3)


@pytest.mark.parametrize("problem", ["regression", "binary", "classes"])
def test_all_is_zero_at_alpha_max_and_not_below(request, problem):
    X, y, weight = request.getfixturevalue(problem)
    share, codes = weight / weight.sum(), np.eye(3)[y] if problem == "classes" else y
    mean, factor = share @ codes, 2 if problem == "regression" else 1
    top = factor * np.abs((share * X.T) @ (mean - codes)).max()
    make = regressor if problem == "regression" else classifier
    net = make(top * (1 + 1e-9)).fit(X, y, weight)
    assert net.n_nonzero_ == 0
    constant = net.predict(X) if problem == "regression" else net.predict_proba(X)
    wanted = [1 - mean, mean] if problem == "binary" else mean
    assert_allclose(constant[0], wanted, atol=1e-6)
    below = make(0.99 * top).fit(X, y, weight)
    assert below.n_nonzero_ == 1 if problem == "regression" else below.n_nonzero_ >= 1


def test_biases_are_penalised_only_when_asked(regression):
    """A penalised bias is the coefficient of a column of ones."""
    X, y, _ = regression
    y = y + 1
    ones = np.column_stack([X, np.ones(len(X))])
    coef = lasso(0.4, fit_intercept=False).fit(ones, y).coef_
    penalised = regressor(0.4, penalize_bias=True).fit(X, y)
    assert_allclose(penalised.coefs_[0][:, 0], coef[:-1], atol=1e-4)
    assert_allclose(penalised.intercepts_[0], coef[-1:], atol=1e-4)
    assert penalised.n_nonzero_ == np.count_nonzero(coef[:-1])
    free = regressor(0.4).fit(X, y)
    assert free.intercepts_[0][0] == pytest.approx(y.mean(), abs=1e-4)


def test_normalised_target_is_the_lasso_of_the_normalised_target(diabetes):
    X, y = diabetes
    weight = weights_of(y)
    net = regressor(0.2, normalize_y="auto").fit(X, y, weight)
    mean = np.average(y, weights=weight)
    scale = np.sqrt(np.average((y - mean) ** 2, weights=weight))
    theirs = lasso(0.2).fit(X, (y - mean) / scale, weight)
    assert_allclose(net.coefs_[0][:, 0], theirs.coef_, atol=1e-4)
    predicted = theirs.predict(X) * scale + mean
    assert_allclose(net.predict(X), predicted, atol=1e-4 * scale)


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
    assert_array_equal(net.alpha_, [0.1, 0.4])


@pytest.mark.parametrize("k", [2, 5])
def test_a_target_is_found_where_the_lasso_has_it(diabetes, k):
    """The λ that leaves k weights is one at which the Lasso has k as well."""
    X, y = diabetes
    settings = {"target_sparsity": k, "tol": 0, "search": "bracket", "max_iter": 3000}
    net = SparseNetRegressor((), batch_size=10**6, random_state=0, **settings)
    net.fit(X, y)
    coef = lasso(net.alpha_).fit(X, (y - y.mean()) / y.std()).coef_
    assert net.n_nonzero_ == np.count_nonzero(coef) == k
    assert_array_equal(net.support_, coef != 0)
