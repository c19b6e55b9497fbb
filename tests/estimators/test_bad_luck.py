"""Bad luck: interruptions, losses that are not finite, data that teach nothing."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from sklearn_sparsenet import NonFiniteLossError, SparseNetRegressor
from sklearn_sparsenet.penalties import L1
from sklearn_sparsenet.solvers import ProximalOptimizer


class Counting:
    """Squared error that does something at certain calls of the training.

    A fit tries it once before that.
    """

    def __init__(self, act, calls):
        self.act, self.calls, self.n = act, calls, -1

    def __call__(self, output, target):
        self.n += 1
        error = (output - target) ** 2
        return self.act(error) if self.n in self.calls else error


def interrupt(error):
    raise KeyboardInterrupt


@pytest.mark.parametrize("debias", [False, True])
@pytest.mark.parametrize("at", [1, 7, 25, 45])
def test_an_interruption_anywhere_leaves_a_usable_network(diabetes, at, debias):
    X, y = diabetes
    loss = Counting(interrupt, {at})
    settings = {"alpha": 1e-3, "max_iter": 30, "batch_size": 10**4, "debias": debias}
    net = SparseNetRegressor(
        (5,), loss=loss, normalize_y=True, random_state=0, **settings
    )
    if at > 31 and not debias:  # over before
        net.fit(X, y)
        return
    with pytest.raises(KeyboardInterrupt, match="SparseNetRegressor was interrupted"):
        net.fit(X, y)
    assert not net.converged_
    assert np.isfinite(net.predict(X)).all()
    counts = [np.count_nonzero(coef) for coef in net.coefs_]
    assert net.n_nonzero_per_layer_.tolist() == counts
    assert net.n_iter_ <= at


def test_a_second_interruption_leaves(diabetes):
    """Raised again while the first one is being dealt with."""
    loss = Counting(interrupt, {5, 6})
    net = SparseNetRegressor(
        (5,), alpha=1e-3, loss=loss, normalize_y=True, batch_size=10**4
    )
    with pytest.raises(KeyboardInterrupt):
        net.fit(*diabetes)
    assert not hasattr(net, "module_")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_for_once_is_survived(diabetes, bad):
    X, y = diabetes
    loss = Counting(lambda error: error * bad, {30})
    net = SparseNetRegressor(
        (5,), alpha=1e-3, loss=loss, normalize_y=True, max_iter=100, random_state=0
    ).fit(X, y)
    assert loss.n > 30
    assert np.isfinite(net.loss_curve_).all()
    assert all(np.isfinite(coef).all() for coef in net.coefs_)
    assert net.score(X, y) > 0.3


def test_a_loss_that_stays_infinite_ends_in_advice(diabetes):
    X, y = diabetes
    loss = Counting(lambda error: error * np.nan, range(10**9))
    net = SparseNetRegressor(
        (5,), alpha=1e-3, loss=loss, normalize_y=False, random_state=0
    )
    advice = "StandardScaler.*normalize_y=True.*smaller learning_rate_init"
    with pytest.raises(NonFiniteLossError, match=advice):
        net.fit(X, y)
    assert issubclass(NonFiniteLossError, ValueError)
    assert not hasattr(net, "module_")


def test_steps_too_large_are_made_smaller(diabetes):
    """A hundred times what is stable: the loss would be infinite soon."""
    X, y = diabetes
    net = SparseNetRegressor(
        (),
        alpha=1e-3,
        solver="sgd",
        learning_rate_init=25.0,
        batch_size=len(y),
        random_state=0,
    ).fit(X, y)
    assert net.score(X, y) > 0.45
    assert max(net.loss_curve_) < 1e6 * net.loss_curve_[0]


@pytest.mark.parametrize("value", [0.0, -3.5, 1e6])
def test_constant_targets(diabetes, value):
    X, _ = diabetes
    net = SparseNetRegressor((5,), alpha=1e-2, random_state=0)
    got = net.fit(X, np.full(len(X), value)).predict(X)
    np.testing.assert_allclose(got, value, atol=0.05)


def test_a_single_sample_is_learnt():
    net = SparseNetRegressor((5,), alpha=1e-4, random_state=0)
    got = net.fit([[1.0, 2.0]], [7.5]).predict([[1.0, 2.0]])
    assert got == pytest.approx([7.5], abs=0.05)


def interrupt_at(call, monkeypatch, owner, name):
    """Let the call with that number be interrupted as it begins."""
    original, calls = getattr(owner, name), []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(owner, name, interrupted)


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        (ProximalOptimizer, "_shrink", 20),  # between the gradient step and the prox
        (torch.Tensor, "index_copy_", 20),  # within one of them
        (torch.Tensor, "index_copy_", 21),
    ],
)
@pytest.mark.parametrize(
    "params", [{}, {"solver": "sgd"}, {"batch_size": 400, "max_iter": 160}], ids=str
)
def test_an_interrupted_step_leaves_the_count(params, owner, name, call, monkeypatch):
    X = np.random.default_rng(0).normal(size=(400, 12))
    settings = {"max_iter": 20, "batch_size": 50, "random_state": 0, **params}
    net = SparseNetRegressor((20, 10), target_sparsity=15, **settings)
    interrupt_at(call, monkeypatch, owner, name)
    with pytest.raises(KeyboardInterrupt, match="with 15 weights"):
        net.fit(X, X[:, 0] * X[:, 1])
    assert net.n_nonzero_ == 15


@pytest.mark.parametrize("support", [np.ones(3, bool), torch.zeros(3) > 0])
def test_a_support_of_a_users_penalty_is_its_own_affair(support, diabetes):
    class Named(L1):
        pass

    Named.support = support
    net = SparseNetRegressor((5,), alpha=1e-3, penalty=Named(), max_iter=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert net.fit(*diabetes).n_nonzero_ > 0


@pytest.mark.parametrize("layer", [0, 2])
def test_a_network_that_is_dead_is_told(diabetes, layer):
    """As after steps that are too large: no unit of a layer is ever active."""
    widths = [torch.nn.Linear(10, 8), torch.nn.Linear(8, 8), torch.nn.Linear(8, 1)]
    relu = torch.nn.ReLU()
    dead = torch.nn.Sequential(widths[0], relu, widths[1], torch.nn.ReLU(), widths[2])
    dead[layer].bias.data.fill_(-1e6)
    dead[2 - layer].bias.data.fill_(1.0)
    net = SparseNetRegressor(
        module=dead, target_sparsity=40, random_state=0, max_iter=10
    )
    with pytest.warns(ConvergenceWarning, match="units of a layer are dead"):
        net.fit(*diabetes)
    assert np.ptp(net.predict(diabetes[0])) < 1e-12 * np.abs(diabetes[1]).max()
