"""Fitted attributes mean what they say; warm starts, early stopping, interruptions."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.fixture(scope="module")
def net(diabetes):
    net = SparseNetRegressor(
        (10,), "tanh", target_sparsity=40, tol=0.05, random_state=0
    )
    return net.fit(*diabetes)


def test_alpha_loss_and_residual_belong_to_the_penalised_network(net, diabetes):
    """Recomputed in NumPy: (25)-(27) for one hidden layer."""
    X, y = diabetes
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


def test_the_penalised_solution_has_the_count_to_the_tolerance(net):
    count = sum(np.count_nonzero(coef) for coef in net.penalized_coefs_)
    assert abs(count - net.n_nonzero_) <= net.tol * net.n_nonzero_
    assert net.n_nonzero_ == 40


def test_coefficients_are_the_networks(net, diabetes):
    X, _ = diabetes
    hidden = np.tanh(X @ net.coefs_[0] + net.intercepts_[0])
    output = (hidden @ net.coefs_[1] + net.intercepts_[1])[:, 0]
    np.testing.assert_allclose(net.predict(X), output * net.y_scale_ + net.y_mean_)
    assert [coef.shape for coef in net.coefs_] == [(10, 10), (10, 1)]


def test_live_weights_and_inputs(net):
    first, second = (coef != 0 for coef in net.coefs_)
    live = first & second[:, 0] & np.ones((10, 1), dtype=bool)
    heard = first.any(axis=0)
    assert net.n_live_ == live.sum() + (second[:, 0] & heard).sum() <= net.n_nonzero_
    np.testing.assert_array_equal(net.support_, live.any(axis=1))


def test_curves_and_counts(net):
    history = net.search_history_
    assert set(history) == {
        "alpha",
        "n_nonzero",
        "n_nonzero_per_layer",
        "loss",
        "kkt_residual",
        "epochs",
        "seconds",
        "status",
    }
    assert all(len(column) == net.n_outer_iter_ for column in history.values())
    assert np.isfinite(net.loss_curve_).all()
    assert net.validation_scores_ is None
    assert net.layer_names_ == ["0.weight", "2.weight"]


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


@pytest.mark.parametrize("settings", [{"alpha": 1e-3}, {}])
def test_early_stopping_keeps_the_best_state_on_target(settings):
    X, y = load_digits(return_X_y=True)
    net = SparseNetClassifier(
        (30,),
        early_stopping=True,
        n_iter_no_change=3,
        target_sparsity=300,
        tol=0.05,
        random_state=0,
        **settings,
    ).fit(X / 16, y)
    # The epoch in which a solve meets the target is not scored any more.
    assert len(net.loss_curve_) - 1 <= len(net.validation_scores_)
    assert 0.5 < max(net.validation_scores_) <= 1
    if settings:
        assert net.n_iter_ < 43  # of the 43 epochs that make 1000 steps
    else:
        assert abs(net.n_nonzero_ - 300) <= 15


def test_warm_start_continues():
    X, y = load_iris(return_X_y=True)
    settings = {"alpha": 1e-3, "max_iter": 50, "random_state": 0}
    net = SparseNetClassifier((8,), warm_start=True, **settings).fit(X, y)
    before = net.loss_
    assert net.fit(X, y).loss_ < before
    cold = SparseNetClassifier((8,), **settings).fit(X, y)
    assert cold.fit(X, y).loss_ == pytest.approx(before)
    with pytest.raises(ValueError, match="same classes"):
        net.fit(X, np.where(y == 0, 7, y))
    assert net.classes_.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="another shape"):
        net.set_params(hidden_layer_sizes=(9,)).fit(X, y)


def test_warm_search_tries_the_known_alpha_first(diabetes):
    settings = {"target_sparsity": 40, "tol": 0.1, "search": "bracket"}
    net = SparseNetRegressor((10,), warm_start=True, random_state=0, **settings).fit(
        *diabetes
    )
    known = net.alpha_
    net.fit(*diabetes)
    assert net.search_history_["alpha"][0] == known


class Interrupting:
    """Squared error that is interrupted once, at a certain call."""

    def __init__(self, at):
        self.calls, self.at = 0, at

    def __call__(self, output, target):
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt
        return (output - target) ** 2


def test_an_interruption_keeps_what_there_is(diabetes):
    X, y = diabetes
    net = SparseNetRegressor(
        (10,), loss=Interrupting(500), normalize_y=False, random_state=0
    )
    with pytest.raises(KeyboardInterrupt, match="interrupted"):
        net.fit(X, y)
    assert np.isfinite(net.predict(X)).all()
    assert net.search_history_["status"][-1] == "interrupted"
    fixed = SparseNetRegressor(
        (10,), alpha=1e-3, loss=Interrupting(500), normalize_y=False, random_state=0
    )
    with pytest.raises(KeyboardInterrupt, match="interrupted"):
        fixed.fit(X, y)
    assert np.isfinite(fixed.predict(X)).all()


def test_a_constant_target_is_predicted(diabetes):
    X, _ = diabetes
    net = SparseNetRegressor((5,), alpha=1e-3, random_state=0)
    net.fit(X, np.full(len(X), 3.5))
    np.testing.assert_allclose(net.predict(X), 3.5, atol=0.05)


def test_progress_only_when_asked(diabetes, capsys):
    settings = {"alpha": 1e-3, "max_iter": 3, "random_state": 0}
    SparseNetRegressor((5,), **settings).fit(*diabetes)
    assert capsys.readouterr() == ("", "")
    SparseNetRegressor((5,), verbose=1, **settings).fit(*diabetes)
    assert capsys.readouterr().out.startswith("solve 1: alpha 0.001, 0.001; weights")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_on_a_gpu(diabetes):
    import pickle

    X, y = diabetes
    net = SparseNetRegressor((10,), target_sparsity=40, tol=0.1, device="cuda").fit(
        X, y
    )
    assert net.predict(X).dtype == np.float32
    assert (
        next(pickle.loads(pickle.dumps(net)).module_.parameters()).device.type == "cpu"
    )
