"""Modules of many kinds are trained rightly: what is counted is computed with."""

import copy

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_regression
from torch import nn
from torch.nn.utils import parametrize, prune

from sklearn_sparsenet import SparseNetRegressor
from tests.comparisons import pickled, reloaded
from tests.estimators.user_modules import (
    HIDDEN,
    QUICK,
    Two,
    X,
    Y,
    chain,
    changed,
    linear,
    two,
)


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


def routed(s, x):
    """Some rows take a layer of their own; there may be none in the data."""
    rare = x[:, :1] > 3
    if not rare.any():
        return Two.forward(s, x)
    return torch.where(rare, s.rare(x), Two.forward(s, x))


def skipping(s, x):
    """Stochastic depth, hardly ever trained."""
    x = Two.hidden(s, x)
    skips = s.training and torch.rand(()) > 0.02
    return x if skips else x + s.skipped(x)


def by_signs(s, x):
    """Binary weights, with the gradient of the weights themselves."""
    weight = s.a.weight
    signs = weight + (weight.sign() - weight).detach()
    return torch.tanh(x @ signs.t())


def in_place(s, x):
    x.mul_(2).sub_(1)
    return Two.forward(s, x)


class Recurrent(nn.Module):
    """Of a single step, for which the recurrent weights do nothing."""

    def __init__(self, kind=nn.LSTM):
        super().__init__()
        self.r, self.c = kind(6, 5, batch_first=True), nn.Linear(5, 1)

    def forward(self, x):
        return self.c(self.r(x[:, None])[0][:, -1])


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.e, self.c = nn.Embedding(90, 2), nn.Linear(12, 1)

    def forward(self, x):
        return self.c(self.e((10 * x.abs()).long()).flatten(1))


class Remembers(Two):
    def __init__(self):
        super().__init__()
        self.outputs = []

    def hidden(self, x):
        self.outputs.append(super().hidden(x))
        self.last = (self.outputs[-1], self.a.weight * 2)
        return self.outputs.pop(0)


class Alias(Two):
    """The parameter itself, in a list."""

    def __init__(self):
        super().__init__()
        self.weights = [self.a.weight]

    def hidden(self, x):
        return torch.tanh(x @ self.weights[0].t())


class Numbers(Two):
    def __init__(self):
        super().__init__()
        self.register_parameter("table", None)
        whole = torch.arange(6).view(1, 6)
        self.index = nn.Parameter(whole, requires_grad=False)
        self.none = nn.Parameter(torch.zeros(0, 3))
        self.a = self._modules.pop("a")  # after them

    def forward(self, x):
        return super().forward(x[:, self.index[0]])


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.c = nn.Linear(6, 6), nn.Linear(6, 1)
        self.b = nn.Linear(6, 6)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.c(torch.tanh(self.b(torch.tanh(self.a(x)))))


def dead():
    module = chain(nn.ReLU())
    nn.init.constant_(module[0].bias, -100.0)
    return module


def zero():
    module = chain(nn.Tanh())
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


TRAINED = {
    "chain": lambda: chain(nn.Tanh()),
    "dead": dead,
    "zero": zero,
    "dropout": lambda: chain(nn.Dropout(0.5)),
    "batch norm": lambda: chain(nn.BatchNorm1d(HIDDEN)),
    "doubled": changed(parametrize.register_parametrization, "weight", Doubled()),
    "pruned bias": changed(prune.l1_unstructured, "bias", 0.3),
    "lazy": lambda: nn.Sequential(
        nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.LazyLinear(1)
    ),
    "compiled": lambda: torch.compile(chain(), backend="eager"),
    "parallel": lambda: nn.DataParallel(chain()),
    "double": lambda: chain(nn.Tanh()).bfloat16(),
    "LSTM": Recurrent,
    "GRU": lambda: Recurrent(nn.GRU),
    "Routed": two(forward=routed, rare=linear(6, 1)),
    "Skipping": two(skipping, skipped=linear(HIDDEN, HIDDEN)),
    "Signs": two(by_signs),
    "Gated": two(
        forward=lambda s, x: Two.forward(s, x) + s.gate * s.shut(x),
        shut=linear(6, 1), gate=lambda s: nn.Parameter(torch.zeros(1)),
    ),
    "Masked": two(lambda s, x: torch.tanh(x @ s.a.weight.tril().t())),
    "Offset": two(forward=lambda s, x: 60 * Two.forward(s, x) + 1.7e9),
    "Squeezed": two(forward=lambda s, x: Two.forward(s, x).squeeze()),
    "Half": two(forward=lambda s, x: Two.forward(s, x).bfloat16()),
    "InPlace": two(forward=in_place),
    **{kind.__name__: kind for kind in (Tokens, Remembers, Alias, Numbers, Tied)},
}  # fmt: skip


DOUBTFUL = ["chain", "dead", "zero", "dropout", "batch norm", "LSTM", "Routed"]
DOUBTFUL += ["Skipping", "Signs", "Gated", "Masked"]


def fitted(name, X=X, **settings):
    torch.manual_seed(0)
    net = SparseNetRegressor(module=TRAINED[name](), **{**QUICK, **settings})
    return net.fit(X, Y[: len(X)])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name == "compiled" else ())
        for name in TRAINED
        if name != "zero"
    ],
)
def test_what_is_counted_is_what_is_computed_with(name):
    before = X.copy()
    net = fitted(name)
    assert_array_equal(X, before)
    parameters = dict(net.module_.named_parameters())
    counts = [int(parameters[name].count_nonzero()) for name in net.layer_names_]
    assert net.n_nonzero_per_layer_.tolist() == counts
    assert sum(counts) == 12
    predicted = net.predict(X)
    assert np.isfinite(predicted).all()
    rows = [net.predict(X[[i]])[0] for i in range(0, 41, 8)]
    digits = 1e-2 if name == "Half" else 1e-9
    assert_allclose(rows, predicted[::8], rtol=digits)
    again = fitted(name)
    assert_array_equal(again.predict(X), predicted)
    # None of a network that is left can be taken out without a change.
    with torch.no_grad():
        for layer in net.layer_names_:
            parameters[layer].zero_()
    changes = np.ptp(predicted) > 1e-6
    assert np.array_equal(net.predict(X), predicted) != changes


@pytest.mark.parametrize(
    "rows",
    [0 * X, 1e4 * X, X[:2], X.astype(np.float32)],
    ids=["none", "large", "two rows", "float32"],
)
@pytest.mark.parametrize("name", DOUBTFUL)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:.*scale:UserWarning")
def test_no_module_is_refused_for_its_data(name, rows):
    """Neither dead, nor saturated, nor never asked for."""
    fitted(name, rows, target_sparsity=None, alpha=1e-3, max_iter=1)


@pytest.mark.parametrize(
    "name", ["Alias", "Tied", "Numbers", "lazy", "LSTM", "Remembers"]
)
def test_copies_of_a_fit_compute_with_their_parameters(name):
    net = fitted(name, target_sparsity=0.4)
    copies = [pickled(net), reloaded(net, module=TRAINED[name]())]
    if name != "lazy":  # PyTorch cannot copy the module that it was given
        copies.append(copy.deepcopy(net))
    for other in copies:
        assert_array_equal(other.predict(X), net.predict(X))
        with torch.no_grad():
            dict(other.module_.named_parameters())[net.layer_names_[0]].mul_(2)
        assert not np.array_equal(other.predict(X), net.predict(X))


@pytest.mark.parametrize(
    ("settings", "n_rows", "n_batch"),
    [
        ({"batch_size": 1}, 9, 1),
        ({}, 1, 1),
        ({"early_stopping": True, "validation_fraction": 0.6}, 3, 1),
    ],
)
def test_batch_normalisation_cannot_do_with_single_rows(settings, n_rows, n_batch):
    settings = {**QUICK, "target_sparsity": None, "alpha": 1e-3, **settings}
    net = SparseNetRegressor(module=TRAINED["batch norm"](), **settings)
    with pytest.raises(ValueError, match=f"batches of {n_batch} row .*batch_size"):
        net.fit(X[:n_rows], Y[:n_rows])
    net.set_params(module=TRAINED["chain"]()).fit(X[:n_rows], Y[:n_rows])


def test_no_single_row_is_left_over_of_a_full_batch(monkeypatch):
    monkeypatch.setattr("sklearn_sparsenet.solvers.problem._CHUNK_ELEMENTS", 6)
    fitted("batch norm", X[:33], batch_size=33)


def test_a_module_that_a_callable_has_at_hand_is_not_trained():
    module = TRAINED["chain"]()
    before = copy.deepcopy(module.state_dict())
    nets = [
        SparseNetRegressor(module=lambda p, k: module, **QUICK).fit(X, Y)
        for _ in range(2)
    ]
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    assert_array_equal(*(net.predict(X) for net in nets))


def test_hooks_of_parameters_are_kept():
    """A mask of gradients: what it stops stays what it was, but for the penalty."""
    module = TRAINED["chain"]()
    mask = torch.ones(HIDDEN, 6)
    mask[:, 1] = 0
    module[0].weight.register_hook(lambda gradient: gradient * mask)
    settings = {**QUICK, "target_sparsity": None, "alpha": 0.0}
    net = SparseNetRegressor(module=module, **settings).fit(X.astype("f"), Y)
    same = net.module_[0].weight == module[0].weight
    assert bool((same == (mask == 0)).all())


def test_a_trial_changes_no_result(monkeypatch):
    """Neither generators nor what a module has in its buffers."""
    settings = {"X": X, "batch_size": 10, "max_iter": 3}
    for name in ("dropout", "batch norm", "Skipping"):
        with_trial = fitted(name, **settings).predict(X)
        where = "sklearn_sparsenet.estimators._specification.check_network"
        with monkeypatch.context() as patch:
            patch.setattr(where, lambda *_: None)
            assert_array_equal(fitted(name, **settings).predict(X), with_trial)


def test_what_a_module_writes_into_its_inputs_is_not_in_the_data():
    settings = {**QUICK, "target_sparsity": None, "alpha": 1e-3}
    out_of_place = two(forward=lambda s, x: Two.forward(s, 2 * x - 1))
    torch.manual_seed(0)
    other = SparseNetRegressor(module=out_of_place(), **settings).fit(X, Y)
    predicted = fitted("InPlace", **settings).predict(X)
    assert_array_equal(predicted, other.predict(X))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_activations_may_come_before_the_first_layer(solver):
    rows, y = make_regression(100, 10, random_state=0)
    torch.manual_seed(0)
    layers = [nn.Tanh(), nn.Linear(10, 5), nn.Tanh(), nn.Linear(5, 1)]
    settings = {"target_sparsity": 20, "tol": 0.1, "solver": solver, "random_state": 0}
    net = SparseNetRegressor(module=nn.Sequential(*layers), **settings).fit(rows, y)
    assert abs(net.n_nonzero_ - 20) <= 2
    assert net.kkt_residual_ < 1e-6 or solver == "adam"
