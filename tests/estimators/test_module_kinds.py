"""Modules of many kinds are trained rightly: what is counted is computed with."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.datasets import make_regression
from torch import nn
from torch.nn.utils import parametrize, prune

from sklearn_sparsenet import SparseNetRegressor, load

QUICK = {"target_sparsity": 12, "tol": 0, "max_iter": 30, "random_state": 0}
rng = np.random.default_rng(0)
X = rng.normal(size=(41, 6))
Y = X[:, 0] - 2 * X[:, 1] + 0.3 * X[:, 2] ** 2
HIDDEN = 8


class Two(nn.Module):
    """Two linear layers; subclasses call them in other ways."""

    def __init__(self):
        super().__init__()
        self.a, self.c = nn.Linear(6, HIDDEN), nn.Linear(HIDDEN, 1)

    def hidden(self, x):
        return torch.tanh(self.a(x))

    def forward(self, x):
        return self.c(self.hidden(x))


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


def chain(*after_first):
    return nn.Sequential(nn.Linear(6, HIDDEN), *after_first, nn.Linear(HIDDEN, 1))


def changed(change, *arguments):
    def make():
        module = chain(nn.Tanh())
        change(module[0], *arguments)
        return module

    return make


class Routed(Two):
    """Some rows take a layer of their own; there may be none in the data."""

    def __init__(self):
        super().__init__()
        self.rare = nn.Linear(6, 1)

    def forward(self, x):
        rare = x[:, :1] > 3
        if not rare.any():
            return super().forward(x)
        return torch.where(rare, self.rare(x), super().forward(x))


class Skipping(Two):
    """Stochastic depth, hardly ever trained."""

    def __init__(self):
        super().__init__()
        self.skipped = nn.Linear(HIDDEN, HIDDEN)

    def hidden(self, x):
        x = super().hidden(x)
        skips = self.training and torch.rand(()) > 0.02
        return x if skips else x + self.skipped(x)


class Signs(Two):
    """Binary weights, with the gradient of the weights themselves."""

    def hidden(self, x):
        weight = self.a.weight
        signs = weight + (weight.sign() - weight).detach()
        return torch.tanh(x @ signs.t())


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


class Gated(Two):
    def __init__(self):
        super().__init__()
        self.shut, self.gate = nn.Linear(6, 1), nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return super().forward(x) + self.gate * self.shut(x)


class Masked(Two):
    def hidden(self, x):
        return torch.tanh(x @ self.a.weight.tril().t())


class Offset(Two):
    def forward(self, x):
        return 60 * super().forward(x) + 1.7e9


class Squeezed(Two):
    def forward(self, x):
        return super().forward(x).squeeze()


class Half(Two):
    def forward(self, x):
        return super().forward(x).bfloat16()


class InPlace(Two):
    def forward(self, x):
        x.mul_(2).sub_(1)
        return super().forward(x)


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
    **{
        kind.__name__: kind for kind in (Routed, Skipping, Signs, Tokens, Gated, Masked)
    },
    **{kind.__name__: kind for kind in (Offset, Squeezed, Half, InPlace)},
    **{kind.__name__: kind for kind in (Remembers, Alias, Numbers, Tied)},
}


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
    np.testing.assert_array_equal(X, before)
    parameters = dict(net.module_.named_parameters())
    counts = [int(parameters[name].count_nonzero()) for name in net.layer_names_]
    assert net.n_nonzero_per_layer_.tolist() == counts
    assert sum(counts) == 12
    predicted = net.predict(X)
    assert np.isfinite(predicted).all()
    rows = [net.predict(X[[i]])[0] for i in range(0, 41, 8)]
    digits = 1e-2 if name == "Half" else 1e-9
    np.testing.assert_allclose(rows, predicted[::8], rtol=digits)
    again = fitted(name)
    np.testing.assert_array_equal(again.predict(X), predicted)
    # None of a network that is left can be taken out without a change.
    with torch.no_grad():
        for layer in net.layer_names_:
            parameters[layer].zero_()
    changes = np.ptp(predicted) > 1e-6
    assert np.array_equal(net.predict(X), predicted) != changes


@pytest.mark.parametrize("data", ["none", "large", "two rows", "float32"])
@pytest.mark.parametrize("name", DOUBTFUL)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:.*scale:UserWarning")
def test_no_module_is_refused_for_its_data(name, data):
    """Neither dead, nor saturated, nor never asked for."""
    kinds = {
        "none": 0 * X,
        "large": 1e4 * X,
        "two rows": X[:2],
        "float32": X.astype(np.float32),
    }
    fitted(name, kinds[data], target_sparsity=None, alpha=1e-3, max_iter=1)


@pytest.mark.parametrize(
    "name", ["Alias", "Tied", "Numbers", "lazy", "LSTM", "Remembers"]
)
def test_copies_of_a_fit_compute_with_their_parameters(tmp_path, name):
    torch.manual_seed(0)
    net = SparseNetRegressor(
        module=TRAINED[name](), **{**QUICK, "target_sparsity": 0.4}
    )
    net.fit(X, Y)
    net.save(tmp_path / "net")
    copies = [
        pickle.loads(pickle.dumps(net)),
        load(tmp_path / "net", module=TRAINED[name]()),
    ]
    if name != "lazy":  # PyTorch cannot copy the module that it was given
        copies.append(copy.deepcopy(net))
    for other in copies:
        np.testing.assert_array_equal(other.predict(X), net.predict(X))
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
    np.testing.assert_array_equal(*(net.predict(X) for net in nets))


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
            np.testing.assert_array_equal(
                fitted(name, **settings).predict(X), with_trial
            )


def test_what_a_module_writes_into_its_inputs_is_not_in_the_data():
    class OutOfPlace(Two):
        def forward(self, x):
            return super().forward(2 * x - 1)

    settings = {**QUICK, "target_sparsity": None, "alpha": 1e-3}
    torch.manual_seed(0)
    other = SparseNetRegressor(module=OutOfPlace(), **settings).fit(X, Y)
    predicted = fitted("InPlace", **settings).predict(X)
    np.testing.assert_array_equal(predicted, other.predict(X))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_activations_may_come_before_the_first_layer(solver):
    rows, y = make_regression(100, 10, random_state=0)
    torch.manual_seed(0)
    layers = [nn.Tanh(), nn.Linear(10, 5), nn.Tanh(), nn.Linear(5, 1)]
    settings = {"target_sparsity": 20, "tol": 0.1, "solver": solver, "random_state": 0}
    net = SparseNetRegressor(module=nn.Sequential(*layers), **settings).fit(rows, y)
    assert abs(net.n_nonzero_ - 20) <= 2
    assert net.kkt_residual_ < 1e-6 or solver == "adam"
