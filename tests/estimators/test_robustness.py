"""What users do besides: odd networks, few rows, impossible losses."""

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_sparsenet import MCP, SparseNetClassifier, SparseNetRegressor, losses
from sklearn_sparsenet.networks.paths import find_paths
from sklearn_sparsenet.search import OnePassSearch
from sklearn_sparsenet.utils.exceptions import DataScaleWarning


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


SOFTMAX = nn.CrossEntropyLoss(reduction="none")


@pytest.mark.parametrize("loss", [SOFTMAX, losses.CrossEntropy()])
def test_a_softmax_of_one_output_is_refused(loss):
    X, y = load_breast_cancer(return_X_y=True)
    with pytest.raises(ValueError, match="does not depend on the outputs"):
        SparseNetClassifier((5,), loss=loss).fit(StandardScaler().fit_transform(X), y)


def test_a_loss_for_other_targets_is_refused():
    X, y = load_wine(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    with pytest.raises(ValueError, match=r"outputs \(8, 3\) and targets \(8,\)"):
        SparseNetClassifier((5,), loss=losses.SquaredError()).fit(X, y)


def test_a_loss_without_a_tensor_is_refused(data):
    with pytest.raises(ValueError, match="must return a Tensor; got 3"):
        fit(data, loss=lambda output, target: 3)


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


@pytest.mark.parametrize(
    "params",
    [{"penalty": MCP}, {"search": OnePassSearch}, {"loss": losses.Poisson}],
    ids=lambda params: next(iter(params)),
)
def test_a_class_is_no_object(params, data):
    with pytest.raises(TypeError, match="is a class; make an object of it"):
        fit(data, **params)


def test_weights_of_classes_are_for_one_label():
    X, y = np.eye(4), np.eye(4, 2, dtype=int)
    net = SparseNetClassifier(class_weight={0: 1, 1: 2})
    with pytest.raises(ValueError, match="several labels"):
        net.fit(X, y)


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


@pytest.mark.parametrize("export", ["to_c", "to_onnx"])
def test_exports_say_what_other_networks_can_do(export, data):
    with pytest.raises(TypeError, match=rf"{export} needs .*to_module\(\) takes any"):
        getattr(fit(data, module=Keeping()), export)()


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
