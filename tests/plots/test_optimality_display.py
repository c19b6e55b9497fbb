"""Optimality: what is drawn is the gradient of the penalised solution."""

import numpy as np
import pytest

from sklearn_sparsenet import (
    GroupL2,
    SparseGroupL2,
    SparseNetClassifier,
    SparseNetRegressor,
)
from sklearn_sparsenet.plots import OptimalityDisplay


def test_optimality_has_the_gradients_of_the_penalised_solution(net, diabetes):
    """Recomputed in NumPy: the squared error of the standardised target, ReLU."""
    display = OptimalityDisplay.from_estimator(net, *diabetes)
    X, y = (np.asarray(values) for values in diabetes)
    (W1, W2), (b1, b2) = net.penalized_coefs_, net.penalized_intercepts_
    before = X @ W1 + b1
    hidden = np.maximum(before, 0)
    error = (hidden @ W2 + b2)[:, 0] - (y - net.y_mean_) / net.y_scale_
    out = 2 * error[:, None] / len(y)
    first = X.T @ (out @ W2.T * (before > 0)) + net.weight_decay_ * W1
    a = np.abs([*first.ravel(), *(hidden.T @ out + net.weight_decay_ * W2).ravel()])
    support = np.array([*W1.ravel(), *W2.ravel()]) != 0
    np.testing.assert_allclose(
        display.sorted_lines_[0].get_ydata(), np.sort(a)[::-1], rtol=1e-6, atol=1e-12
    )
    for points, some in (
        (display.support_points_[0], support),
        (display.zero_points_[0], ~support),
    ):
        expected = np.sort(a[some])[::-1]
        np.testing.assert_allclose(points.get_ydata(), expected, rtol=1e-6, atol=1e-12)
    assert display.alpha_lines_[0].get_ydata()[0] == net.alpha_
    ordered = np.sort(a)[::-1]
    assert display.intervals[0] == pytest.approx((ordered[25], ordered[24]))


def test_optimality_of_a_minimiser_has_lambda_in_the_interval(diabetes):
    net = SparseNetRegressor((), solver="lbfgs", target_sparsity=5, random_state=0)
    display = OptimalityDisplay.from_estimator(net.fit(*diabetes), *diabetes)
    (low, high), a = display.intervals[0], display.magnitudes[0]
    assert low <= net.alpha_ == pytest.approx(high, rel=2e-3)
    np.testing.assert_allclose(a[display.supports[0]], net.alpha_, rtol=2e-3)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.4])
def test_optimality_of_groups_has_a_point_for_each(diabetes, l1_ratio):
    """By hand: two outputs, and without hidden layers a group for each input."""
    X, y = (np.asarray(values) for values in diabetes)
    Y = np.c_[y, y**2]
    penalty = SparseGroupL2(l1_ratio) if l1_ratio else GroupL2()
    net = SparseNetRegressor(
        (), penalty=penalty, alpha=0.4, max_iter=500, batch_size=442
    )
    display = OptimalityDisplay.from_estimator(net.fit(X, Y), X, Y)
    (W,), (b,) = net.penalized_coefs_, net.penalized_intercepts_
    gradient = 2 * X.T @ (X @ W + b - (Y - net.y_mean_) / net.y_scale_) / len(Y)
    a, support = display.magnitudes[0], display.supports[0]
    np.testing.assert_array_equal(support, (W != 0).any(axis=1))
    assert 0 < support.sum() < 10
    rest = np.maximum(np.abs(gradient) - l1_ratio * a[:, None], 0)
    norms = np.linalg.norm(rest, axis=1)
    np.testing.assert_allclose((1 - l1_ratio) * a, norms, rtol=1e-6)
    np.testing.assert_allclose(a[support], net.alpha_, rtol=1e-2)
    assert a[~support].max() < net.alpha_
    low, high = display.intervals[0]
    assert (low, high) == (a[~support].max(), a[support].min())
    assert "group" in display.ax_.get_ylabel()


def test_optimality_of_groups_of_several_layers(diabetes):
    for alpha in (0.02, [0.02, 0.01]):
        net = SparseNetRegressor(
            (8,), penalty="group_l2", alpha=alpha, max_iter=50, random_state=0
        )
        display = OptimalityDisplay.from_estimator(net.fit(*diabetes), *diabetes)
        held = np.concatenate(display.supports)
        columns = [(W != 0).any(axis=1) for W in net.penalized_coefs_]
        np.testing.assert_array_equal(held, np.concatenate(columns))
        assert len(display.magnitudes) == np.size(alpha)


def test_optimality_per_layer_has_axes_of_its_own(classifier, digits):
    display = OptimalityDisplay.from_estimator(classifier, *digits)
    assert len(display.axes_) == 3
    alphas = [line.get_ydata()[0] for line in display.alpha_lines_]
    assert alphas == classifier.alpha_.tolist()
    counts = [len(points.get_ydata()) for points in display.support_points_]
    penalized = classifier.penalized_coefs_
    assert counts == [np.count_nonzero(coef) for coef in penalized]


def test_optimality_knows_weights_of_samples_and_held_out_rows(digits):
    X, y = digits
    weight = np.random.default_rng(0).integers(0, 3, len(y)).astype(float)
    net = SparseNetClassifier(
        (6,), target_sparsity=60, max_iter=30, early_stopping=True,
        class_weight="balanced", random_state=0,
    )  # fmt: skip
    net.fit(X, y, sample_weight=weight)
    params, state = net.get_params(), dict(vars(net))
    OptimalityDisplay.from_estimator(net, X, y, weight)  # else it would warn
    assert net.get_params() == params
    assert vars(net).keys() == state.keys()
    with pytest.warns(UserWarning, match="does not belong to these data"):
        OptimalityDisplay.from_estimator(net, X, y)


def test_optimality_refuses_other_data(net, classifier, diabetes, digits):
    X, y = diabetes
    with pytest.raises(ValueError, match="other features"):
        OptimalityDisplay.from_estimator(net, X.iloc[:, :5], y)
    X, y = digits
    with pytest.raises(ValueError, match="other classes"):
        OptimalityDisplay.from_estimator(classifier, X[y < 5], y[y < 5])


def test_optimality_says_in_words_what_it_shows(net, diabetes):
    """What the certificate has, and that minimisers sit on the kinks of ReLU."""
    display = OptimalityDisplay.from_estimator(net, *diabetes)
    found, n_weights = net.certificate_, sum(coef.size for coef in net.coefs_)
    n_met = round((1 - found.violations) * n_weights)
    assert 0 < n_met < n_weights
    text = display.ax_.get_title(loc="left")
    assert text.startswith(
        f"{n_met} of {n_weights} weights meet the conditions to 1 %;"
    )
    assert f"the largest residual is {found.largest:.2g} λ." in text
    assert "ReLU: minimisers sit\non kinks" in text


def test_a_minimiser_without_kinks_is_said_to_be_one(diabetes):
    net = SparseNetRegressor((), solver="lbfgs", target_sparsity=5, random_state=0)
    display = OptimalityDisplay.from_estimator(net.fit(*diabetes), *diabetes)
    words = "10 of 10 weights meet the conditions to 1 %;\nthe largest residual is "
    assert display.summary.startswith(words)
    assert "kinks" not in display.summary
    assert float(display.summary.split()[-2]) <= net.kkt_tol


def test_of_several_axes_the_words_are_above_the_figure(classifier, digits):
    display = OptimalityDisplay.from_estimator(classifier, *digits)
    assert display.figure_.get_suptitle() == display.summary
    assert "weights meet the conditions" in display.summary


def test_the_weight_decay_is_that_of_the_fit_after_a_warm_start(diabetes):
    X, y = diabetes
    first = {"max_iter": 60, "random_state": 0, "warm_start": True, "alpha": 0.05}
    net = SparseNetRegressor((4,), "tanh", **first).fit(X, y)
    net.set_params(alpha=None, target_sparsity=15).fit(X, y)
    assert net.weight_decay_ == 0.0
    display = OptimalityDisplay.from_estimator(net, X, y)
    residual = f"largest residual is {net.kkt_residual_:.2g}"
    assert residual in display.summary
