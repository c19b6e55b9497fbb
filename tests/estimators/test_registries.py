"""A new activation, and a new loss, are one entry each; the rest of the library knows.

Each entry here is what would stand in `networks/activations.py` or `losses`.
"""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_regression
from torch import nn
from torch.nn import functional

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor, load
from sklearn_sparsenet.deploy.predictor import Predictor
from sklearn_sparsenet.losses import LOSSES, Loss, SquaredError
from sklearn_sparsenet.losses.responses import Response
from sklearn_sparsenet.networks.activations import ACTIVATIONS, Activation, Rule
from sklearn_sparsenet.networks.backprop import AutogradEngine, ChainEngine, make_engine
from sklearn_sparsenet.networks.network import Network, build_mlp, find_nonsmooth
from tests.comparisons import pickled, saved
from tests.runtimes import HAS_COMPILER, by_c, by_onnxruntime, compiled


class ScaledTanh(nn.Module):
    def __init__(self, scale=1.7159):
        super().__init__()
        self.scale = scale

    def forward(self, inputs):
        return self.scale * inputs.tanh()


def scaled_tanh_kernel(module):
    def kernel(values):
        values[...] = module.scale * np.tanh(values)

    return kernel


def scaled_tanh_nodes(graph, module):
    graph.node("Mul", [graph.node("Tanh", [graph.last]), graph.number(module.scale)])


SCALED_TANH = Activation(
    ScaledTanh,
    rule=lambda m: Rule(
        True,
        lambda x, y: x.tanh_().mul_(m.scale),
        lambda d, y: d.mul_(m.scale - y.square() / m.scale),
    ),
    numpy=scaled_tanh_kernel,
    c=lambda m, number: f"{number(m.scale)} * tanhf(v)",
    onnx=scaled_tanh_nodes,
    options={"scale": float},
)


@dataclass(frozen=True)
class LogCosh(Loss):
    standardizes_target = True
    targets = ("real",)

    def per_sample(self, output, target):
        rest = output - target
        return (rest + functional.softplus(-2 * rest) - np.log(2)).sum(1)

    def loss_and_gradient(self, output, target):
        return self.per_sample(output, target), (output - target).tanh_()


@dataclass(frozen=True)
class Softplus(Response):
    def tensor(self, output):
        return functional.softplus(output)

    def numpy(self, outputs):
        return np.logaddexp(outputs, 0)

    def c(self, n_outputs, number):
        return f"for (i = 0; i < {n_outputs}; i++) out[i] = log1pf(expf(out[i]));\n"

    def onnx(self, graph):
        graph.node("Softplus", [graph.last])


@dataclass(frozen=True)
class SoftplusPoisson(Loss):
    targets = ("real",)
    response = Softplus()

    def per_sample(self, output, target):
        mean = self.predict(output)
        return (mean - target * mean.log()).sum(1)


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setitem(ACTIVATIONS, "scaled_tanh", SCALED_TANH)
    monkeypatch.setitem(LOSSES["real"], "log_cosh", LogCosh)
    monkeypatch.setitem(LOSSES["real"], "softplus_poisson", SoftplusPoisson)


@pytest.fixture(params=["log_cosh", "softplus_poisson"])
def fitted(request, registered):
    X, y = make_regression(100, 12, n_informative=5, random_state=0)
    y = np.abs(y) / 50 if request.param == "softplus_poisson" else y
    net = SparseNetRegressor(
        (8,), "scaled_tanh", loss=request.param, target_sparsity=30, random_state=0
    )
    return net.fit(X.astype(np.float32), y), X.astype(np.float32), y


def test_a_fit_has_the_asked_number_of_weights_and_learns(fitted):
    net, X, y = fitted
    assert net.n_nonzero_ == 30
    assert net.score(X, y) > 0.4
    assert not find_nonsmooth(net.module_)


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("loss", [LogCosh(), SoftplusPoisson()])
def test_the_gradient_by_hand_is_that_of_autograd(loss, generator):
    module = build_mlp(4, (5, 3), 2, "scaled_tanh", generator)
    network = Network(module, ["0.weight", "2.weight", "4.weight"])
    X, y = torch.randn(2, 9, 4, generator=generator, dtype=torch.float64)
    weight, found = torch.rand(9, generator=generator, dtype=torch.float64), []
    engine = make_engine(network, loss)
    assert isinstance(engine, ChainEngine)
    for each in (engine, AutogradEngine(network, loss)):
        value = each.add_gradient(X, y[:, :2].abs(), weight, accumulate=False)
        found.append((value, network.gradient.clone()))
    torch.testing.assert_close(*found)


def test_numpy_predicts_what_the_module_does(fitted):
    net, X, _ = fitted
    assert Predictor.of(net.module_, 12) is not None
    with torch.no_grad():
        expected = net.to_module()(torch.from_numpy(X)).numpy()[:, 0]
    assert_allclose(net.predict(X), expected, rtol=1e-4, atol=1e-5)
    compact = pickled(net).compact()
    assert_allclose(compact.predict(X), expected, rtol=1e-4, atol=1e-5)


def test_a_file_has_the_network_and_the_fit(fitted, monkeypatch):
    net, X, y = fitted
    net.module_[1].scale = 1.5
    content = saved(net)
    again = load(BytesIO(content))
    assert type(again._loss_) is type(net._loss_)
    assert_array_equal(again.predict(X), net.predict(X))
    assert_array_equal(again.fit(X, y).coefs_[0], net.fit(X, y).coefs_[0])
    monkeypatch.delitem(ACTIVATIONS, "scaled_tanh")
    with pytest.raises(ValueError, match="scaled_tanh"):
        load(BytesIO(content))


@pytest.mark.skipif(not HAS_COMPILER, reason="there is no C compiler")
def test_c_predicts_the_same(fitted, tmp_path):
    net, X, _ = fitted
    expected = net.predict(X)[:, None]
    found = by_c(compiled(net.to_c(), tmp_path), X, expected.shape)
    assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_integers_read_an_activation_from_a_table(fitted):
    net, X, _ = fitted
    source = net.to_c(dtype="int16", calibration=X)
    assert "Layer 0: the activation is a table of 257 values" in source


def test_onnx_predicts_the_same(fitted):
    net, X, _ = fitted
    expected = net.predict(X)[:, None]
    (found,) = by_onnxruntime(net, X)
    assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("one", [SparseNetRegressor, SparseNetClassifier])
def test_names_are_known_as_long_as_they_are_registered(one):
    with pytest.raises(ValueError, match=r"'activation' parameter.*'silu'"):
        one(activation="scaled_tanh").fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(ValueError, match="'loss' parameter"):
        one(loss="log_cosh").fit([[0.0], [1.0]], [0, 1])


class Foreign:
    """The members of a squared error, without the base of losses."""

    standardizes_target = True
    targets = ("real",)
    n_calls = 0

    def per_sample(self, output, target):
        return (output - target).square().sum(1)

    def loss_and_gradient(self, output, target):
        Foreign.n_calls += 1
        return self.per_sample(output, target), 2 * (output - target)

    def predict(self, output):
        return output

    def fit_intercept_only(self, target, weight):
        return (target * weight[:, None]).sum(0) / weight.sum()

    def check_target(self, target):
        assert target.ndim == 2


class ForeignQuartic(Foreign):
    def per_sample(self, output, target):
        return (output - target).pow(4).sum(1)


def test_objects_that_are_not_derived_from_loss_do_as_well():
    X, y = make_regression(60, 6, random_state=0)
    settings = {"target_sparsity": 15, "weight_decay": 0.0, "random_state": 0}
    Foreign.n_calls = 0
    net = SparseNetRegressor((5,), loss=Foreign(), **settings).fit(X, y)
    assert Foreign.n_calls > 0
    expected = SparseNetRegressor((5,), loss=SquaredError(), **settings).fit(X, y)
    assert_array_equal(net.predict(X), expected.predict(X))
    assert_array_equal(pickled(net).predict(X), net.predict(X))
    with pytest.raises(TypeError, match=r"Foreign.*cannot be exported"):
        net.to_c()
    with pytest.raises(TypeError, match=r"Foreign.*by code of your own"):
        net.save(BytesIO())
    with pytest.raises(ValueError, match="is for targets that are real"):
        SparseNetClassifier((5,), loss=Foreign()).fit(X, y > 0)
    Foreign.n_calls = 0
    SparseNetRegressor((5,), loss=ForeignQuartic(), **settings).fit(X, y)
    assert Foreign.n_calls == 0


def test_what_is_said_of_a_method_is_not_inherited_by_another():
    class Absolute(SquaredError):
        def per_sample(self, output, target):
            return (output - target).abs().sum(1)

    class Quartic:
        def per_sample(self, output, target):
            return (output - target).pow(4).sum(1)

    class Mixed(Quartic, SquaredError):
        pass

    class Positive(SquaredError):
        def predict(self, output):
            return output.exp()

    ones = torch.ones(2, 1)
    assert Absolute().loss_and_gradient(ones, ones) is None
    assert Mixed().loss_and_gradient(ones, ones) is None
    assert Absolute().decay_unit == Mixed().decay_unit == 1.0
    assert Absolute().response == Response()
    assert Positive().loss_and_gradient(ones, ones) is not None
    assert Positive().decay_unit == SquaredError().decay_unit == 2.0
    assert Positive().response is None
