"""Every fitted attribute: there, of the right shape, and meaning what it says."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor

KINDS = {
    "regression": (SparseNetRegressor, {}),
    "outputs": (SparseNetRegressor, {"activation": "tanh"}),
    "binary": (SparseNetClassifier, {"dtype": "float32"}),
    "classes": (SparseNetClassifier, {"target_sparsity": [50, 30]}),
    "alpha": (SparseNetClassifier, {"alpha": 1e-2}),
    "alphas": (SparseNetRegressor, {"alpha": [1e-2, 2e-2]}),
    "early": (SparseNetClassifier, {"early_stopping": True}),
}


@pytest.fixture(scope="module", params=KINDS)
def fitted(request, standardised):
    one, settings = KINDS[request.param]
    settings = {"target_sparsity": 0.7, "tol": 0.1, "random_state": 0, **settings}
    classes = load_breast_cancer if request.param == "binary" else load_iris
    X, y = standardised(load_diabetes if one is SparseNetRegressor else classes)
    if request.param == "outputs":
        y = np.column_stack([y, X[:, 0]])
    net = one((20, 10) if request.param == "early" else (20,), **settings)
    return net.fit(X, y), X, y


def test_layers(fitted):
    net, X, y = fitted
    widths = [X.shape[1], *net.hidden_layer_sizes]
    classes = getattr(net, "classes_", [])
    outputs = len(classes) if len(classes) > 2 else 1 if y.ndim == 1 else y.shape[1]
    widths.append(outputs)
    shapes = list(pairwise(widths))
    for coefs, intercepts in (
        (net.coefs_, net.intercepts_),
        (net.penalized_coefs_, net.penalized_intercepts_),
    ):
        assert [coef.shape for coef in coefs] == shapes
        assert [len(intercept) for intercept in intercepts] == widths[1:]
        wanted = np.float32 if net.dtype == "float32" else np.float64
        assert all(array.dtype == wanted for array in (*coefs, *intercepts))
    assert net.layer_names_ == [f"{2 * k}.weight" for k in range(len(shapes))]
    state = net.module_.state_dict()
    for k, (coef, intercept) in enumerate(
        zip(net.coefs_, net.intercepts_, strict=True)
    ):
        assert_array_equal(state[f"{2 * k}.weight"].numpy(), coef.T)
        assert_array_equal(state[f"{2 * k}.bias"].numpy(), intercept)
    assert net.n_features_in_ == X.shape[1]
    assert not hasattr(net, "feature_names_in_")


def test_counts(fitted):
    net, _, _ = fitted
    counts = [np.count_nonzero(coef) for coef in net.coefs_]
    assert net.n_nonzero_per_layer_.tolist() == counts
    assert net.n_nonzero_ == sum(counts)
    assert isinstance(net.n_nonzero_, int)
    total = sum(coef.size for coef in net.coefs_)
    assert net.sparsity_ == pytest.approx(1 - sum(counts) / total)
    if net.target_n_nonzero_ is not None:
        goal = np.asarray(net.target_n_nonzero_)
        reached = net.n_nonzero_per_layer_ if goal.ndim else net.n_nonzero_
        assert net.converged_
        assert (np.abs(reached - goal) <= net.tol * goal).all()
        penalized = [np.count_nonzero(coef) for coef in net.penalized_coefs_]
        reached = penalized if goal.ndim else sum(penalized)
        assert (np.abs(reached - goal) <= net.tol * goal).all()


def test_paths(fitted):
    """By products of 0/1 matrices, forwards and backwards."""
    net, X, _ = fitted
    masks = [coef != 0 for coef in net.coefs_]
    heard, reaching = [np.ones(X.shape[1])], [np.ones(masks[-1].shape[1])]
    for mask in masks:
        heard.append(heard[-1] @ mask > 0)
    for mask in masks[::-1]:
        reaching.append(mask @ reaching[-1] > 0)
    ends = reaching[::-1][1:]
    live = [
        (mask & np.outer(start, end).astype(bool)).sum()
        for mask, start, end in zip(masks, heard, ends, strict=False)
    ]
    assert net.n_live_ == sum(live)
    assert_array_equal(net.support_, reaching[-1])
    importances = net.feature_importances_
    assert_array_equal(importances > 0, net.support_)
    assert importances.shape == (X.shape[1],)
    assert importances.max() == 1
    strength = np.linalg.multi_dot([np.abs(coef) for coef in net.coefs_]).sum(axis=1)
    wanted = (strength / strength.max()) ** (1 / len(masks))
    assert_allclose(importances[net.support_], wanted[net.support_], rtol=1e-5)


def test_search(fitted):
    net, _, _ = fitted
    history = net.search_history_
    assert history.keys() == {
        "alpha", "n_nonzero", "n_nonzero_per_layer", "loss", "kkt_residual", "epochs",
        "seconds", "status",
    }  # fmt: skip
    assert all(isinstance(column, np.ndarray) for column in history.values())
    assert {len(column) for column in history.values()} == {net.n_outer_iter_}
    assert 1 <= net.n_outer_iter_ <= net.max_outer_iter
    alphas = np.atleast_1d(net.alpha_)
    assert alphas.shape == ((2,) if np.ndim(net.alpha_) else (1,))
    assert (alphas > 0).all()
    assert_array_equal(np.unique(history["alpha"][-1]), np.unique(alphas))
    assert history["kkt_residual"][-1] == net.kkt_residual_
    assert history["loss"][-1] == net.loss_
    penalized = [np.count_nonzero(coef) for coef in net.penalized_coefs_]
    assert history["n_nonzero_per_layer"][-1].tolist() == penalized
    assert (history["seconds"] > 0).all()
    known = {"budget", "stationary", "on_target", "early", "interrupted"}
    assert set(history["status"]) <= known
    refit = net.n_iter_ - history["epochs"].sum()
    assert (refit > 0) == (net.alpha is None)
    # The curve is that of the solve that was kept, here the last, and of the refit.
    assert len(net.loss_curve_) == history["epochs"][-1] + refit
    assert np.isfinite(net.loss_curve_).all()
    assert (net.validation_scores_ is None) == (not net.early_stopping)


def test_predictions_are_those_of_the_coefficients(fitted):
    net, X, _ = fitted
    activation = np.tanh if net.activation == "tanh" else (lambda z: np.maximum(z, 0))
    z = X
    for k, (coef, intercept) in enumerate(
        zip(net.coefs_, net.intercepts_, strict=True)
    ):
        z = (activation(z) if k else z) @ coef + intercept
    if hasattr(net, "y_mean_"):
        wanted = z * net.y_scale_ + net.y_mean_
        got = net.predict(X)
        assert_allclose(got.reshape(wanted.shape), wanted)
        assert got.shape == ((len(X),) if z.shape[1] == 1 else z.shape)
        return
    probabilities = net.predict_proba(X)
    if z.shape[1] == 1:
        z = np.column_stack([np.zeros(len(z)), z])
    logs = torch.log_softmax(torch.as_tensor(z), 1).numpy()
    assert_allclose(probabilities, np.exp(logs), atol=1e-5)
    assert_allclose(net.predict_log_proba(X), logs, rtol=1e-5, atol=1e-5)


def test_alpha_loss_and_residual_belong_to_the_penalised_network(diabetes):
    """Recomputed in NumPy: (25)-(27) for one hidden layer."""
    X, y = diabetes
    net = SparseNetRegressor(
        (10,), "tanh", target_sparsity=40, tol=0.05, random_state=0
    ).fit(X, y)
    target = (y - net.y_mean_[0]) / net.y_scale_[0]
    (W1, W2), (b1, b2) = net.penalized_coefs_, net.penalized_intercepts_
    hidden = np.tanh(X @ W1 + b1)
    error = (hidden @ W2 + b2)[:, 0] - target
    assert net.loss_ == pytest.approx(np.mean(error**2))
    out = 2 * error[:, None] / len(y)
    back = (out @ W2.T) * (1 - hidden**2)
    residuals = [abs(out.sum()), *np.abs(back.sum(axis=0))]
    for weight, slope in ((W1, X.T @ back), (W2, hidden.T @ out)):
        gradient = slope + net.weight_decay_ * weight
        on = np.abs(gradient + net.alpha_ * np.sign(weight))[weight != 0]
        off = np.maximum(np.abs(gradient[weight == 0]) - net.alpha_, 0)
        residuals += [*on, *off]
    assert net.kkt_residual_ == pytest.approx(max(residuals) / net.alpha_)
    assert net.search_history_["kkt_residual"][-1] == net.kkt_residual_
    assert net.search_history_["alpha"][-1] == net.alpha_


def test_the_classifiers_loss_is_that_of_the_penalised_network(iris):
    X, y = iris
    net = SparseNetClassifier((10,), target_sparsity=30, tol=0.1, random_state=0)
    net.fit(X, y)
    (W1, W2), (b1, b2) = net.penalized_coefs_, net.penalized_intercepts_
    output = torch.as_tensor(np.maximum(X @ W1 + b1, 0) @ W2 + b2)
    wanted = torch.nn.functional.cross_entropy(output, torch.as_tensor(y))
    assert net.loss_ == pytest.approx(wanted.item())


@pytest.mark.parametrize(
    ("settings", "refits"),
    [
        ({"alpha": 1e-2}, False),
        ({"alpha": 1e-2, "debias": True}, True),
        ({"target_sparsity": 30}, True),
        ({"target_sparsity": 30, "debias": False}, False),
    ],
)
def test_debias(diabetes, settings, refits):
    X, y = diabetes
    net = SparseNetRegressor((10,), tol=0.1, random_state=0, **settings).fit(X, y)
    pairs = list(zip(net.coefs_, net.penalized_coefs_, strict=True))
    assert all(((a != 0) == (b != 0)).all() for a, b in pairs)
    assert all(np.array_equal(a, b) for a, b in pairs) != refits
    size = sum(np.abs(a).sum() for a, _ in pairs)
    if refits:  # what the penalty shrank has grown back
        assert size > sum(np.abs(b).sum() for _, b in pairs)


def test_converged_with_a_given_alpha_means_stationary(diabetes):
    X, y = diabetes
    settings = {"alpha": 0.05, "batch_size": 10**4, "random_state": 0}
    good = SparseNetRegressor((), max_iter=4000, kkt_tol=1e-5, **settings).fit(X, y)
    assert good.converged_
    assert good.kkt_residual_ <= 1e-5
    assert good.search_history_["status"][0] == "stationary"
    assert good.n_iter_ < 4000
    poor = SparseNetRegressor((), max_iter=3, kkt_tol=1e-5, **settings).fit(X, y)
    assert not poor.converged_
    assert poor.kkt_residual_ > 1e-5
    assert poor.n_iter_ == 3


def test_nothing_is_fitted_before_fit():
    net = SparseNetRegressor()
    for name in (
        "coefs_",
        "intercepts_",
        "n_nonzero_",
        "feature_importances_",
        "coef_",
    ):
        assert not hasattr(net, name)
