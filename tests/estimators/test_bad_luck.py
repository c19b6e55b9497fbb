"""Bad luck, and what users do besides: odd networks, losses and data, interruptions."""

import copy
import pickle
import warnings
from collections import OrderedDict

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from sklearn_sparsenet import NonFiniteLossError, SparseNetRegressor
from sklearn_sparsenet.networks.paths import find_paths
from sklearn_sparsenet.penalties import L1
from sklearn_sparsenet.solvers import ProximalOptimizer
from sklearn_sparsenet.utils.exceptions import DataScaleWarning
from tests.faults import Loss, interrupt, interrupted


def regressor(**settings):
    return SparseNetRegressor((5,), **{"alpha": 1e-3, "random_state": 0, **settings})


@pytest.mark.parametrize("debias", [False, True])
@pytest.mark.parametrize("at", [1, 7, 25, 45])
def test_an_interruption_anywhere_leaves_a_usable_network(diabetes, at, debias):
    X, y = diabetes
    loss = Loss({at + 1: interrupt})
    settings = {"max_iter": 30, "batch_size": 10**4, "debias": debias}
    net = regressor(loss=loss, normalize_y=True, **settings)
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
    loss = Loss({6: interrupt, 7: interrupt})
    net = regressor(loss=loss, normalize_y=True, batch_size=10**4)
    with pytest.raises(KeyboardInterrupt):
        net.fit(*diabetes)
    assert not hasattr(net, "module_")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_for_once_is_survived(diabetes, bad):
    X, y = diabetes
    loss = Loss({31: lambda losses: losses * bad})
    net = regressor(loss=loss, normalize_y=True, max_iter=100).fit(X, y)
    assert loss.calls > 31
    assert np.isfinite(net.loss_curve_).all()
    assert all(np.isfinite(coef).all() for coef in net.coefs_)
    assert net.score(X, y) > 0.3


def test_a_loss_that_stays_infinite_ends_in_advice(diabetes):
    net = regressor(loss=lambda o, t: (o - t) ** 2 * np.nan, normalize_y=False)
    advice = "StandardScaler.*normalize_y=True.*smaller learning_rate_init"
    with pytest.raises(NonFiniteLossError, match=advice):
        net.fit(*diabetes)
    assert issubclass(NonFiniteLossError, ValueError)
    assert not hasattr(net, "module_")


def test_steps_too_large_are_made_smaller(diabetes):
    """A hundred times what is stable: the loss would be infinite soon."""
    X, y = diabetes
    settings = {"alpha": 1e-3, "solver": "sgd", "batch_size": len(y)}
    net = SparseNetRegressor((), learning_rate_init=25.0, random_state=0, **settings)
    net.fit(X, y)
    assert net.score(X, y) > 0.45
    assert max(net.loss_curve_) < 1e6 * net.loss_curve_[0]


@pytest.mark.parametrize("value", [0.0, -3.5, 1e6])
def test_constant_targets(diabetes, value):
    X, _ = diabetes
    net = regressor(alpha=1e-2)
    got = net.fit(X, np.full(len(X), value)).predict(X)
    np.testing.assert_allclose(got, value, atol=0.05)


def test_a_single_sample_is_learnt():
    net = regressor(alpha=1e-4)
    got = net.fit([[1.0, 2.0]], [7.5]).predict([[1.0, 2.0]])
    assert got == pytest.approx([7.5], abs=0.05)


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
    monkeypatch.setattr(owner, name, interrupted(getattr(owner, name), call))
    with pytest.raises(KeyboardInterrupt, match="with 15 weights"):
        net.fit(X, X[:, 0] * X[:, 1])
    assert net.n_nonzero_ == 15


@pytest.mark.parametrize("support", [np.ones(3, bool), torch.zeros(3) > 0])
def test_a_support_of_a_users_penalty_is_its_own_affair(support, diabetes):
    class Named(L1):
        pass

    Named.support = support
    net = regressor(penalty=Named(), max_iter=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert net.fit(*diabetes).n_nonzero_ > 0


@pytest.mark.parametrize("layer", [0, 2])
def test_a_network_that_is_dead_is_told(diabetes, layer):
    """As after steps that are too large: no unit of a layer is ever active."""
    first, second, last = (nn.Linear(a, b) for a, b in ((10, 8), (8, 8), (8, 1)))
    dead = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)
    dead[layer].bias.data.fill_(-1e6)
    dead[2 - layer].bias.data.fill_(1.0)
    settings = {"target_sparsity": 40, "random_state": 0, "max_iter": 10}
    net = SparseNetRegressor(module=dead, **settings)
    with pytest.warns(ConvergenceWarning, match="units of a layer are dead"):
        net.fit(*diabetes)
    assert np.ptp(net.predict(diabetes[0])) < 1e-12 * np.abs(diabetes[1]).max()


def test_the_loss_after_the_last_step_is_looked_at():
    X = np.random.default_rng(0).normal(size=(100, 4))
    settings = {"alpha": 0.0, "solver": "sgd", "learning_rate_init": 1e15}
    net = SparseNetRegressor(module=nn.Linear(4, 1), max_iter=1, **settings)
    with pytest.raises(NonFiniteLossError):
        net.fit((1e3 * X).astype(np.float32), X[:, 0] - X[:, 1])


@pytest.mark.parametrize("rate", [1.0, 10.0, 50.0])
def test_steps_too_large_for_the_first_epoch(rate):
    x = np.random.default_rng(0).normal(size=(400, 10))
    net = SparseNetRegressor(
        (), alpha=1e-3, solver="sgd", learning_rate_init=rate, random_state=0
    ).fit(x, x[:, 0] - x[:, 1])
    assert net.score(x, x[:, 0] - x[:, 1]) > 0.5


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    X = generator.standard_normal((200, 8))
    return X, X[:, 0] + np.sin(2 * X[:, 1]) + 0.1 * generator.standard_normal(200)


def fit(data, **params):
    defaults = {"target_sparsity": 20, "max_iter": 60, "random_state": 0}
    return SparseNetRegressor(**{**defaults, **params}).fit(*data)


def named():
    layers = {"fc1": nn.Linear(8, 6), "act": nn.ReLU(), "out": nn.Linear(6, 1)}
    return nn.Sequential(OrderedDict(layers))


def tied():
    first, second = nn.Linear(8, 8), nn.Linear(8, 8)
    second.weight = first.weight
    return nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), nn.Linear(8, 1))


@pytest.mark.parametrize("make", [named, tied])
def test_networks_with_names_or_weights_of_their_own_come_back(make, data):
    net = fit(data, module=make())
    for other in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net.sparsify())):
        assert_array_equal(net.predict(data[0]), other.predict(data[0]))
        assert list(other.module_.state_dict()) == list(net.module_.state_dict())


class Keeping(nn.Module):
    """Keeps an activation, as for a look at it."""

    def __init__(self):
        super().__init__()
        self.into, self.out = nn.Linear(8, 10), nn.Linear(10, 1)

    def forward(self, inputs):
        self.hidden = torch.relu(self.into(inputs))
        return self.out(self.hidden)


def test_a_module_may_keep_what_it_computed(data):
    assert fit(data, module=Keeping()).n_nonzero_ == 20


@pytest.mark.parametrize(
    ("hidden", "target"), [((200,), 900), ((20,), [120, 10])], ids=["all", "layers"]
)
def test_early_stopping_leaves_the_exact_count(hidden, target, data):
    net = fit(
        data, hidden_layer_sizes=hidden, target_sparsity=target, early_stopping=True,
        min_layers_on_target=None if isinstance(target, int) else 1,
    )  # fmt: skip
    counts = net.n_nonzero_ if isinstance(target, int) else net.n_nonzero_per_layer_
    assert_array_equal(counts, target)


def test_early_stopping_wants_rows_to_score(data):
    X, y = data
    with pytest.raises(ValueError, match=r"1 of 10 rows.*validation_fraction"):
        fit((X[:10], y[:10]), early_stopping=True)


def test_a_loss_in_single_precision_will_do(data):
    net = fit(data, loss=lambda output, target: (output - target).square().float())
    assert net.score(*data) > 0.5


@pytest.mark.parametrize("scale", [100.0, 0.01])
def test_a_loss_of_ones_own_is_told_of_the_scale_of_y(scale, data):
    X, y = data
    loss = nn.SmoothL1Loss(reduction="none")
    with pytest.warns(DataScaleWarning, match="normalize_y=True"):
        fit((X, scale * y), loss=loss)
    fit((X, scale * y), loss=loss, normalize_y=True)
    fit((X, scale * y), loss=loss, normalize_y=False)
    fit(data, loss=loss)


def test_hooks_are_called_from_when_they_are_there(data):
    net = fit(data)
    calls = []
    net.predict(data[0])
    handle = net.module_[0].register_forward_hook(lambda *what: calls.append(1))
    hooked = net.predict(data[0])
    assert len(calls) == 1
    handle.remove()
    np.testing.assert_allclose(net.predict(data[0]), hooked)
    assert len(calls) == 1


class Folding(nn.Module):
    """Computes what is no layer."""

    def __init__(self):
        super().__init__()
        self.into, self.out = nn.Linear(8, 10), nn.Linear(10, 1)

    def forward(self, inputs):
        return self.out(self.into(inputs).abs())


def test_exports_say_what_other_networks_can_do(data):
    net = fit(data, module=Folding())
    with pytest.raises(TypeError, match=r"to_c needs .* abs.*to_module\(\) takes any"):
        net.to_c()


class Standardised(nn.Module):
    """Scales inputs by what it has seen of them."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.ones(8))
        self.into, self.act, self.out = nn.Linear(8, 10), nn.ReLU(), nn.Linear(10, 1)

    def forward(self, inputs):
        if self.training:
            self.scale.copy_(inputs.std(0))
        return self.out(self.act(self.into(inputs / self.scale)))


def test_paths_are_those_of_the_trained_module(data):
    X, y = data
    X = X * np.array([1, 0.01, 10, 10, 10, 10, 10, 100])
    with pytest.warns(DataScaleWarning):
        net = fit((X, y), module=Standardised())
    wanted = find_paths(net.module_, net.layer_names_, (8,))
    assert_array_equal(net.feature_importances_, wanted.input_strength)
