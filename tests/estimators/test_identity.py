"""What tells parameters, and estimators, apart: equal ones in every process.

joblib knows an estimator again by its content: copies, pickles, other processes.
"""

import copy
import functools
import pickle

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from torch import nn

from sklearn_sparsenet import MCP, SparseNetRegressor, SparseNetRegressorCV
from sklearn_sparsenet.estimators._identity import identify
from sklearn_sparsenet.losses import CustomLoss
from tests.processes import run_script


class Plain:
    def __init__(self, value):
        self.value = value

    def method(self, x):
        return x * self.value


class InSlots:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


class Scaled(nn.Module):
    """What it does depends on an attribute that its repr does not show."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


def class_with(function):
    return type("Edited", (nn.Module,), {"forward": function})


def close_over(value):
    return lambda x: x + value


PAIRS = {
    "numbers": (1, 1.0),
    "code": (lambda x: x + 1, lambda x: x + 2),
    "names": (lambda x: x.sin(), lambda x: x.cos()),
    "closures": (close_over(1), close_over(2)),
    "functions in functions": (close_over(close_over(1)), close_over(close_over(2))),
    "partials": (functools.partial(max, 1), functools.partial(max, 2)),
    "methods": (Plain(1).method, Plain(2).method),
    "objects": (Plain(1), Plain(2)),
    "dataclasses": (MCP(gamma=2), MCP(gamma=3)),
    "arrays": (np.zeros(5000), np.r_[np.zeros(4000), 1, np.zeros(999)]),
    "names of columns": (np.array(["a", None], object), np.array(["b", None], object)),
    "tensors": (torch.zeros(3), torch.ones(3)),
    "modules": (nn.ReLU(), nn.Sigmoid()),
    "weights": (
        nn.CrossEntropyLoss(weight=torch.ones(2)),
        nn.CrossEntropyLoss(weight=torch.zeros(2)),
    ),
    "attributes of modules": (Scaled(1.0), Scaled(2.0)),
    "attributes of modules in modules": (
        nn.Sequential(nn.ReLU(), Scaled(1.0)),
        nn.Sequential(nn.ReLU(), Scaled(2.0)),
    ),
    "attributes of PyTorch's losses": (nn.SmoothL1Loss(beta=5), nn.SmoothL1Loss()),
    "code of classes": (class_with(lambda s, x: x), class_with(lambda s, x: 2 * x)),
    "slots": (InSlots(1), InSlots(2)),
    "constants in code of classes": (
        class_with(lambda s, x: 2 * x),
        class_with(lambda s, x: 3 * x),
    ),
    "tensors in modules in objects": (
        Plain(nn.BCELoss(weight=torch.zeros(2))),
        Plain(nn.BCELoss(weight=torch.ones(2))),
    ),
    "tensors that NumPy does not know": (
        torch.zeros(2, dtype=torch.bfloat16),
        torch.ones(2, dtype=torch.bfloat16),
    ),
    "sets": ({"a", "b"}, {"a", "c"}),
    "containers": ({"a": [1, (2, Plain(1))]}, {"a": [1, (2, Plain(2))]}),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_what_differs_is_told_apart(kind):
    one, other = PAIRS[kind]
    assert identify(one) != identify(other)
    assert identify(one) == identify(one)
    # As the loss of a fit, with others.
    one, other = ({"loss": CustomLoss(Plain(value).method)} for value in (one, other))
    assert identify(one) != identify(other)


def test_what_is_made_again_is_the_same():
    assert identify(close_over(1)) == identify(close_over(1))
    assert identify(Plain([1, {2}])) == identify(Plain([1, {2}]))


def test_names_are_known_by_what_they_say():
    """And not by where they lie."""
    columns = np.array(["first column", "second column"], object)
    assert identify(columns) == identify(pickle.loads(pickle.dumps(columns)))


def test_a_device_and_what_is_around_are_not_looked_at():
    one, other = nn.Sequential(nn.ReLU()), nn.Sequential(nn.ReLU())
    one[0].device, other[0].device = torch.device("cpu"), torch.device("meta")
    one[0].all_of_it, other[0].all_of_it = [one], [other]
    assert identify(one) == identify(other)


def test_circles_end():
    circle = Plain(1)
    circle.value = circle
    assert "Plain" in identify(circle)


class Module(nn.Module):
    """Tensors in many places: tied, buffers, plain attributes, lists."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 2)
        self.second = nn.Linear(2, 2)
        self.tied = self.second
        self.norm = nn.BatchNorm1d(2)
        self.head = nn.Linear(2, 1).requires_grad_(False)
        self.register_buffer("hidden", torch.arange(3), persistent=False)
        self.plain = torch.tensor(2.0)
        self.half = [torch.ones(2, dtype=torch.bfloat16), self.plain]

    def forward(self, inputs):
        return self.head(self.norm(self.tied(self.second(self.first(inputs)))))


def build(n_features, n_outputs, width=4):
    hidden = nn.Linear(n_features, width)
    return nn.Sequential(hidden, nn.ReLU(), nn.Linear(width, n_outputs))


class Weighted:
    """A loss with a tensor and a module."""

    def __init__(self):
        self.weight = torch.rand(3)
        self.inner = nn.SmoothL1Loss(reduction="none")

    def __call__(self, output, target):
        return self.inner(output, target).sum(1)


ESTIMATORS = {
    "module": lambda: SparseNetRegressor(module=Module()),
    "recurrent": lambda: SparseNetRegressor(module=nn.LSTM(3, 2)),
    "function": lambda: SparseNetRegressor(module=build),
    "partial": lambda: SparseNetRegressor(module=functools.partial(build, width=2)),
    "loss": lambda: SparseNetRegressor(loss=Weighted(), penalty=MCP(gamma=3)),
    "CV": lambda: SparseNetRegressorCV(module=Module(), scoring="r2"),
    "state": lambda: SparseNetRegressor(random_state=np.random.RandomState(0)),
}


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_copies_and_pickles_have_the_same_hash(kind):
    net = ESTIMATORS[kind]()
    others = copy.copy(net), copy.deepcopy(net), pickle.loads(pickle.dumps(net))
    found = {joblib.hash(one) for one in (net, *others, clone(net), clone(others[-1]))}
    assert len(found) == 1


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fitted_networks_have_the_hash_of_their_pickles():
    X = np.random.default_rng(0).standard_normal((40, 3))
    net = SparseNetRegressor(module=Module(), target_sparsity=6, max_iter=2)
    net.set_params(random_state=0).fit(X, X[:, 0])
    twin = pickle.loads(pickle.dumps(net))
    assert joblib.hash(net) == joblib.hash(twin) == joblib.hash(copy.deepcopy(net))
    np.testing.assert_array_equal(twin.predict(X), net.predict(X))


@pytest.mark.parametrize("name", ["first.weight", "norm.running_mean", "hidden"])
def test_other_numbers_have_another_hash(name):
    net = SparseNetRegressor(module=Module())
    before = joblib.hash(net)
    tensors = dict(net.module.named_parameters()) | dict(net.module.named_buffers())
    with torch.no_grad():
        tensors[name].view(-1)[0] += 1
    assert joblib.hash(net) != before
    net.module.requires_grad_(False)
    assert len({before, joblib.hash(net)}) == 2


def test_a_pickle_gives_the_module_back():
    module = Module()
    back = pickle.loads(pickle.dumps(SparseNetRegressor(module=module))).module
    assert type(back) is Module
    assert back.tied is back.second
    assert back.half[1] is back.plain
    assert isinstance(back.first.weight, nn.Parameter)
    assert back.first.weight.requires_grad
    assert not back.head.weight.requires_grad
    assert back.half[0].dtype == torch.bfloat16
    for name, tensor in module.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor)
    assert torch.equal(back.hidden, module.hidden)
    shared = copy.copy(SparseNetRegressor(module=module))
    assert shared.module is module


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_memory_of_a_pipeline_finds_a_module_again(tmp_path):
    fits = []

    class Counting(SelectFromModel):
        def fit(self, X, y=None, **params):
            fits.append(1)
            return super().fit(X, y, **params)

    # joblib pickles what it keeps; a class of a function has no name to find it by.
    Counting.__qualname__ = "Counting"
    globals()["Counting"] = Counting
    X = np.random.default_rng(0).standard_normal((40, 3))
    net = SparseNetRegressor(module=Module(), target_sparsity=6, max_iter=2)
    net.set_params(random_state=0)
    for _ in range(3):
        steps = Counting(clone(net), threshold=-np.inf), LinearRegression()
        make_pipeline(*steps, memory=str(tmp_path)).fit(X, X[:, 0])
    assert len(fits) == 1


OF_A_FUNCTION = """
from sklearn_sparsenet.estimators._identity import identify
def loss(a, b, names=frozenset(["x", "y", "zeta"])):
    return a if b in {"one", "two", "three"} else (lambda c: c)(a)
print(identify(loss))
"""
OF_A_MODULE = """
import joblib, torch
from torch import nn
from sklearn_sparsenet import SparseNetClassifier
torch.manual_seed(0)
module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 2))
print(joblib.hash(SparseNetClassifier(module=module)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("script", [OF_A_FUNCTION, OF_A_MODULE])
def test_another_process_says_the_same(script):
    assert len({run_script(script, PYTHONHASHSEED=seed) for seed in "12"}) == 1
