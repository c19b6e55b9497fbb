"""The NumPy route gives what PyTorch gives, whichever product each layer takes."""

import tracemalloc

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import nn

from sklearn_sparsenet import losses
from sklearn_sparsenet.deploy import predictor as module_under_test
from sklearn_sparsenet.deploy.predictor import Predictor, predict_from
from sklearn_sparsenet.networks.activations import ACTIVATIONS
from tests.problems import network_of


def network(activation="tanh", hidden=(30, 20), density=0.2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    found = network_of((12, *hidden, 3), activation, seed)
    kept = torch.rand(found.n_weights, generator=generator) < density
    found.weights.mul_(5 * kept)
    return found.copy_module().eval()


def assert_agrees(predictor, module, X, **tolerance):
    dense = X.toarray() if sparse.issparse(X) else X
    dtype = next(module.parameters()).dtype
    with torch.no_grad():
        wanted = module(torch.tensor(dense.copy(), dtype=dtype)).numpy()
    outputs = predictor(X)
    assert outputs.dtype == wanted.dtype
    np.testing.assert_allclose(outputs, wanted, **tolerance)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("route", [True, False])
@pytest.mark.parametrize("n_rows", [1, 7, 600])
def test_outputs_are_those_of_pytorch(activation, route, n_rows, monkeypatch):
    monkeypatch.setattr(module_under_test._Layer, "is_sparse", lambda self, n: route)
    X = np.random.default_rng(0).standard_normal((n_rows, 12)) * 3
    module = network(activation)
    predictor = Predictor.of(module, 12)
    assert predictor.plan(n_rows) == ["sparse" if route else "dense"] * 3
    assert_agrees(predictor, module, X, rtol=1e-9, atol=1e-9)
    single = module.float()
    X = X.astype(np.float32)
    assert_agrees(Predictor.of(single, 12), single, X, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("hidden", [(), (5,), (6, 5, 4)])
@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
def test_any_depth_and_density(hidden, density):
    module = network("relu", hidden, density)
    X = np.random.default_rng(0).standard_normal((9, 12))
    for table in (X, sparse.csr_matrix(X), np.asfortranarray(X), X[::-1]):
        assert_agrees(Predictor.of(module, 12), module, table, rtol=1e-9, atol=1e-9)
    assert Predictor.of(module, 12)(X[:0]).shape == (0, 3)


@pytest.mark.parametrize("convert", [sparse.csr_matrix, sparse.csc_array])
@pytest.mark.parametrize("n_used", [3, 20_000])
def test_sparse_rows_are_densified_in_blocks_of_what_is_read(
    convert, n_used, monkeypatch
):
    monkeypatch.setattr(module_under_test, "_BLOCK_INPUTS", 2**18)
    X = sparse.random(900, 20_000, 1e-3, "csr", random_state=0)
    module = nn.Linear(20_000, 2).double()
    with torch.no_grad():
        module.weight[:, n_used:] = 0
    predictor, table = Predictor.of(module, 20_000), convert(X)
    predictor(table[:2])
    tracemalloc.start()
    outputs = predictor(table)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6 + 3 * X.data.nbytes  # a block of 256 rows would be 41 MB
    wanted = X @ module.weight.detach().numpy().T + module.bias.detach().numpy()
    np.testing.assert_allclose(outputs, wanted, rtol=1e-9, atol=1e-12)


def test_entries_that_are_stored_in_parts_are_summed():
    module = network("relu")
    parts = (np.array([1.0, 2.0, 4.0]), np.array([7, 3, 7]), np.array([0, 3]))
    X = sparse.csr_array(parts, shape=(1, 12))
    whole = Predictor.of(module, 12)(X.toarray())
    np.testing.assert_array_equal(Predictor.of(module, 12)(X), whole)


def test_sparser_layers_and_more_rows_are_multiplied_sparsely():
    def plan(density, n_rows):
        layer = network("relu", (400,), density)
        return Predictor.of(layer, 12).plan(n_rows)[0]

    wide = nn.Sequential(nn.Linear(1000, 1000), nn.ReLU(), nn.Linear(1000, 2))
    with torch.no_grad():
        wide[0].weight *= torch.rand_like(wide[0].weight) < 0.02
    assert Predictor.of(wide, 1000).plan(256)[0] == "sparse"
    assert plan(1.0, 256) == "dense"


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Linear(12, 3), nn.ReLU6(), nn.Linear(3, 1)),
        nn.Sequential(nn.Linear(12, 3), nn.LayerNorm(3), nn.Linear(3, 1)),
        nn.Sequential(nn.Linear(12, 3), nn.GELU("tanh"), nn.Linear(3, 1)),
        nn.Sequential(nn.Unflatten(1, (3, 4)), nn.Flatten(), nn.Linear(12, 1)),
    ],
)
def test_other_modules_are_left_to_pytorch(module):
    assert Predictor.of(module, 12) is None


def test_networks_with_other_layers_are_not_read_for_nothing(monkeypatch):
    def compact(module, sample_shape):
        raise AssertionError("a copy is made and run")

    monkeypatch.setattr(module_under_test, "compact_module", compact)
    norm = nn.Sequential(nn.Linear(12, 5), nn.BatchNorm1d(5), nn.Linear(5, 2))
    assert Predictor.of(norm, 12) is None
    with pytest.raises(AssertionError):
        Predictor.of(network(), 12)


@pytest.mark.parametrize(
    "loss",
    [
        losses.SquaredError(),
        losses.AbsoluteError(),
        losses.Huber(),
        losses.Poisson(),
        losses.PoissonEmission((3.0, 1.0, 0.0)),
        losses.LogLoss(),
        losses.OneBit(0.2),
        losses.CrossEntropy(),
        losses.CustomLoss(torch.nn.MSELoss(reduction="none"), torch.tanh),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predictions_from_outputs_are_those_of_the_loss(loss, dtype):
    outputs = np.random.default_rng(0).standard_normal((7, 3)).astype(dtype) * 30
    outputs[0] = [1000, 0, -1000]
    found = predict_from(outputs.copy(), loss)
    wanted = loss.predict(torch.tensor(outputs)).numpy()
    assert found.dtype == wanted.dtype
    rtol = 1e-5 if dtype is np.float32 else 1e-12
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=1e-30)
