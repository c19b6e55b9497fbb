"""Networks of users' classes are reported, made compact, exported and kept."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor
from sklearn_sparsenet.deploy import onnx_by_torch
from tests.comparisons import pickled, reloaded
from tests.runtimes import HAS_COMPILER, by_c, by_onnxruntime, compiled

CLASSES = np.array([f"digit {number}" for number in range(10)])


class Convolutions(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 8, 3)
        self.hidden, self.out = nn.Linear(32, 16), nn.Linear(16, n_out)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.first(x.view(-1, 1, 8, 8))), 2)
        x = torch.flatten(F.relu(self.second(x)), 1)
        return self.out(F.relu(self.hidden(x)))


class Perceptron(nn.Module):
    """A chain, with one activation for two layers, called in another order."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.out = nn.Linear(12, n_out)
        self.act = nn.Tanh()
        self.first, self.second = nn.Linear(n_in, 20), nn.Linear(20, 12)

    def forward(self, x):
        return self.out(self.act(self.second(self.act(self.first(x)))))


class Residual(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.first, self.out = nn.Linear(n_in, 16), nn.Linear(16, n_out)
        self.inner, self.outer = nn.Linear(16, 24), nn.Linear(24, 16)
        self.norm = nn.LayerNorm(16)

    def forward(self, x):
        x = self.first(x)
        x = x + self.outer(F.gelu(self.inner(x)))
        return self.out(self.norm(F.relu(x)))


class Joined(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.left, self.right = nn.Linear(n_in, 10), nn.Linear(n_in, 8)
        self.out = nn.Linear(18, n_out)

    def forward(self, x):
        left, right = torch.tanh(self.left(x / 2)), self.right(x).relu()
        return self.out(torch.cat([left, 1 - right], dim=1))


class Normalised(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.first, self.norm = nn.Linear(n_in, 20), nn.BatchNorm1d(20)
        self.drop, self.out = nn.Dropout(0.1), nn.Linear(20, n_out)

    def forward(self, x):
        return self.out(self.drop(F.silu(self.norm(self.first(x)))))


class Deciding(nn.Module):
    """What cannot be known without the values."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.first, self.out = nn.Linear(n_in, 10), nn.Linear(10, n_out)

    def forward(self, x):
        x = self.first(x)
        return self.out(torch.tanh(x / 2 if x.abs().max() > 1e6 else x))


class Softened(nn.Module):
    """A function between its layers that is not known, but that PyTorch can export."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.first, self.out = nn.Linear(n_in, 10), nn.Linear(10, n_out)

    def forward(self, x):
        x = self.first(x)
        return self.out(x / (1 + x.abs()))


GRAPHS = (Residual, Joined)
CHAINS = (Convolutions, Perceptron, Normalised)


def digits(dtype):
    X, y = load_digits(return_X_y=True)
    return (X[:300] / 16).astype(dtype), CLASSES[y[:300]]


def fit(module, dtype=np.float32):
    X, y = digits(dtype)
    settings = {"target_sparsity": 150, "max_iter": 10, "random_state": 0}
    torch.manual_seed(0)
    return SparseNetClassifier(module=module, **settings).fit(X, y), X


@pytest.fixture(scope="module", params=(*CHAINS, *GRAPHS), ids=lambda m: m.__name__)
def fitted(request):
    return fit(request.param)


def assert_same_predictions(net, other, X):
    expected = other.predict_proba(X)
    assert_allclose(net.predict_proba(X), expected, rtol=1e-4, atol=1e-6)
    assert_array_equal(net.predict(X), other.predict(X))


def test_compact_networks_are_smaller_and_predict_the_same(fitted):
    net, X = fitted
    compact = pickled(net).compact()
    n_weights = [
        sum(p.numel() for p in each.module_.parameters()) for each in (compact, net)
    ]
    assert n_weights[0] < n_weights[1]
    assert_same_predictions(compact, net, X)
    assert_same_predictions(pickled(compact), net, X)
    assert_same_predictions(pickled(compact.sparsify()), net, X)
    assert_array_equal(compact.support_, net.support_)
    assert_same_predictions(compact.compact(), net, X)


def test_reports_name_the_layers_of_the_class(fitted):
    net, _ = fitted
    report = net.sparsity_report()
    names = [n for n, p in type(net.module_)(64, 10).named_parameters() if p.ndim > 1]
    assert list(report["layer"]) == names
    compact = pickled(net).compact()
    after = compact.sparsity_report()
    assert list(after["n_units"]) == list(report["n_live_units"])
    assert list(after["n_live_units"]) == list(report["n_live_units"])
    assert_array_equal(after["n_live"], report["n_live"])


def test_onnx_gives_the_same_probabilities_and_labels(fitted):
    net, X = fitted
    for each in (net, pickled(net).compact()):
        probabilities, label = by_onnxruntime(each, X)
        expected = net.predict_proba(X)
        assert_allclose(probabilities, expected, rtol=1e-4, atol=1e-6)
        assert_array_equal(label, net.predict(X))
    probabilities, _ = by_onnxruntime(net, X, sparse_initializers=True)
    assert_allclose(probabilities, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("module", [Convolutions, Residual, Joined])
def test_onnx_in_double_precision(module):
    net, X = fit(module, np.float64)
    probabilities, label = by_onnxruntime(net, X)
    assert probabilities.dtype == np.float64
    assert_allclose(probabilities, net.predict_proba(X), rtol=1e-4, atol=1e-6)
    assert_array_equal(label, net.predict(X))


@pytest.mark.slow
def test_a_module_for_pytorch(fitted):
    net, X = fitted
    module, expected = net.to_module(), net.predict_proba(X)
    with torch.no_grad():
        assert_allclose(module(torch.tensor(X)), expected, rtol=1e-4, atol=1e-6)
    program = torch.export.export(
        module, (torch.tensor(X[:7]),), dynamic_shapes=({0: torch.export.Dim("n")},)
    )
    exported = program.module()(torch.tensor(X)).detach()
    assert_allclose(exported, expected, rtol=1e-4, atol=1e-6)


def test_chains_of_linear_layers_predict_as_perceptrons_do(tmp_path):
    net, X = fit(Perceptron)
    assert set(net.prediction_plan(1)) <= {"dense", "sparse"}
    outputs = net.module_(torch.tensor(X)).softmax(1).detach()
    assert_allclose(net.predict_proba(X), outputs, rtol=1e-4, atol=1e-6)
    if HAS_COMPILER:
        found = by_c(compiled(net.to_c(), tmp_path), X, outputs.shape)
        assert_allclose(found, outputs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("module", GRAPHS)
def test_graphs_are_no_perceptrons(module):
    net, _ = fit(module)
    assert net.prediction_plan(1) is None
    with pytest.raises(TypeError, match="C source is for multilayer perceptrons"):
        net.to_c()


def test_files_of_compact_networks():
    """Those of chains need no class any more."""
    net, X = fit(Convolutions)
    assert_same_predictions(reloaded(net.compact()), net, X)
    net, X = fit(Residual)
    compact = pickled(net).compact()
    with pytest.raises(ValueError, match="module="):
        reloaded(compact)
    again = reloaded(compact, module=compact.module_)
    assert_same_predictions(again, net, X)


@pytest.mark.parametrize("module", [Normalised, Residual])
def test_compact_networks_are_trained_on(module):
    net, X = fit(module)
    _, y = digits(np.float32)
    net.compact().partial_fit(X, y)
    assert np.isfinite(net.predict_proba(X)).all()
    assert net.n_nonzero_ <= 150


def test_outputs_without_their_dimension():
    class Squeezed(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.out = nn.Linear(64, 8), nn.Linear(8, 1)

        def forward(self, x):
            return self.out(F.relu(self.first(x))).squeeze(-1)

    X, _ = digits(np.float32)
    net = SparseNetRegressor(module=Squeezed(), max_iter=5, random_state=0)
    net.set_params(target_sparsity=30).fit(X, X[:, 20] - X[:, 30])
    expected = net.predict(X)
    (predictions,) = by_onnxruntime(net, X)
    assert_allclose(predictions[:, 0], expected, rtol=1e-4, atol=1e-6)
    assert_allclose(net.compact().predict(X), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("module", "reason"), [(Deciding, "it calls abs"), (Softened, "it calls abs")]
)
def test_what_is_not_known_is_named(module, reason, monkeypatch):
    pytest.importorskip("onnx")
    monkeypatch.setattr(onnx_by_torch, "find_spec", lambda name: None)
    net, X = fit(module)
    before = net.predict_proba(X)
    with pytest.raises(TypeError, match=f"{module.__name__} .{reason}"):
        net.compact()
    with pytest.raises(TypeError, match=rf"{reason}.*install sklearn-sparsenet\[onnx"):
        net.to_onnx()
    with pytest.raises(TypeError, match=f"to_c needs.*{reason}"):
        net.to_c()
    assert net.prediction_plan(1) is None
    assert set(net.sparsity_report()["n_live_units"].isna()) == {True}
    assert_allclose(net.to_module()(torch.tensor(X)).detach(), before, rtol=1e-5)
    assert_array_equal(net.predict_proba(X), before)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # PyTorch's exporter uses what it deprecates
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_not_known_is_exported_by_pytorch(dtype):
    pytest.importorskip("onnxscript", reason="PyTorch's exporter is not installed")
    net, X = fit(Softened, dtype)
    for rows in (X, X[:1]):
        probabilities, label = by_onnxruntime(net, rows)
        expected = net.predict_proba(rows)
        assert probabilities.dtype == expected.dtype
        assert_allclose(probabilities, expected, rtol=1e-4, atol=1e-6)
        assert_array_equal(label, net.predict(rows))
    net, _ = fit(Deciding)
    with pytest.raises(TypeError, match=r"calls abs.*PyTorch cannot export Deciding"):
        net.to_onnx()
