"""Sparse rows are multiplied as they are: the same results, nothing densified."""

import numpy as np
import pytest
import torch
from scipy import sparse

from sklearn_sparsenet import SparseNetClassifier
from sklearn_sparsenet.losses import CrossEntropy
from sklearn_sparsenet.networks import sparse_inputs
from sklearn_sparsenet.networks.network import Network, find_layers
from sklearn_sparsenet.networks.sparse_inputs import (
    SparseInputs,
    add_outer_product,
    affine,
)
from sklearn_sparsenet.penalties import FixedSupport
from sklearn_sparsenet.solvers.dataset import DatasetSubset, SparseRows, make_dataset
from sklearn_sparsenet.solvers.live_part import live_part
from sklearn_sparsenet.solvers.problem import Problem
from tests.problems import network_of

CPU = torch.device("cpu")
N_ROWS, N_COLUMNS = 40, 300


@pytest.fixture
def counts():
    X = sparse.random_array(
        (N_ROWS, N_COLUMNS),
        density=0.02,
        random_state=np.random.default_rng(0),
        format="csr",
    )
    X.data = np.ceil(9 * X.data)
    return X


@pytest.fixture(autouse=True)
def nothing_is_small(convert_at_once):
    convert_at_once(0)


def make_problem(X, hidden=(5,), dtype=torch.float64, rows=None):
    network = network_of((N_COLUMNS, *hidden, 3), "tanh")
    module = network.copy_module().to(dtype)
    target = torch.arange(N_ROWS) % 3
    weight = torch.linspace(0.5, 2, N_ROWS, dtype=dtype)
    rows = rows or make_dataset(X, dtype, CPU)
    network = Network(module, find_layers(module))
    return Problem(network, CrossEntropy(), rows, target, weight)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("keep", [0.0, 1.0])
def test_products_are_those_of_dense_rows(counts, dtype, keep):
    rows = counts.astype(np.float32 if dtype == torch.float32 else np.float64)
    dense, inputs = torch.from_numpy(rows.toarray()), SparseInputs(rows)
    weight, bias = torch.randn(4, N_COLUMNS, dtype=dtype), torch.randn(4, dtype=dtype)
    delta, before = torch.randn(N_ROWS, 4, dtype=dtype), torch.randn_like(weight)
    for shift in (bias, None):
        found, wanted = torch.empty_like(delta), torch.empty_like(delta)
        affine(inputs, weight.t(), shift, found)
        affine(dense, weight.t(), shift, wanted)
        torch.testing.assert_close(found, wanted)
    found, wanted = before.clone(), before.clone()
    add_outer_product(delta, inputs, found, keep)
    add_outer_product(delta, dense, wanted, keep)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("hidden", [(), (5,), (6, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_those_of_dense_rows(counts, hidden, dtype):
    found, wanted = (make_problem(X, hidden, dtype) for X in (counts, counts.toarray()))
    for index in (torch.tensor([3, 3, 0, 39]), torch.arange(7)):
        losses = found.batch_gradient(index), wanted.batch_gradient(index)
        torch.testing.assert_close(*losses)
        torch.testing.assert_close(found.network.gradient, wanted.network.gradient)
    torch.testing.assert_close(found.evaluate(), wanted.evaluate())


def test_some_rows_are_rows_of_a_table(counts):
    index = torch.randperm(N_ROWS, generator=torch.Generator().manual_seed(0))
    rows = DatasetSubset(make_dataset(counts, torch.float64, CPU), index)
    found = make_problem(None, rows=rows)
    wanted = make_problem(counts[index.numpy()])
    for left, right in zip(found.evaluate(), wanted.evaluate(), strict=True):
        assert torch.equal(left, right)


def test_training_on_a_support_reads_no_other_column(counts):
    problem = make_problem(counts)
    weights = problem.network.weights
    where = torch.tensor([7, 300 + 40, 300 + 7, 1501])
    support = torch.zeros_like(weights, dtype=torch.bool).index_fill_(0, where, True)
    weights.masked_fill_(~support, 0.0)
    part = live_part(problem, FixedSupport(support))
    assert part.problem.rows.sample_shape == (2,)
    loss, gradient = problem.evaluate()
    own_loss, own_gradient = part.problem.evaluate()
    torch.testing.assert_close(own_loss, loss)
    torch.testing.assert_close(own_gradient, gradient[part.where])


def unsummed(X):
    """Store every entry as two halves."""
    parts = np.repeat(X.data / 2, 2), np.repeat(X.indices, 2), 2 * X.indptr
    return sparse.csr_array(parts, X.shape)


def long_indices(X):
    X = X.copy()
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


@pytest.mark.parametrize(
    "convert",
    [
        sparse.csr_matrix,
        sparse.csc_array,
        lambda X: X.astype(np.int64),
        unsummed,
        long_indices,
    ],
)
@pytest.mark.parametrize("hidden", [(), (5,)])
def test_every_sparse_container_gives_the_same_bits(counts, convert, hidden):
    y = np.arange(N_ROWS) % 3
    settings = {"target_sparsity": 60, "batch_size": 10, "max_iter": 30}
    net = SparseNetClassifier(hidden, random_state=0, **settings)
    wanted = net.fit(counts, y).predict_proba(counts)
    table = convert(counts)
    np.testing.assert_array_equal(net.fit(table, y).predict_proba(table), wanted)


def test_training_never_densifies_the_table(counts, monkeypatch):
    read = []
    for name in ("take", "slice"):
        monkeypatch.setattr(SparseRows, name, counted(getattr(SparseRows, name), read))
    settings = {"target_sparsity": 60, "batch_size": 10, "max_iter": 30}
    # A fit is judged by some samples, densified.
    monkeypatch.setattr("sklearn_sparsenet.estimators._outcome._ASKED", 2)
    # The automatic strength looks for equal rows, some densified rows at a time.
    net = SparseNetClassifier((5,), weight_decay=0.0, random_state=0, **settings)
    net.fit(counts, np.arange(N_ROWS) % 3)
    assert max(read) <= 2


def counted(function, read):
    def counting(*args):
        rows = function(*args)
        if rows.shape[1] == N_COLUMNS:
            read.append(len(rows))
        return rows

    return counting


def test_many_columns_stay_sparse_and_few_are_densified(monkeypatch):
    rows = sparse.random_array(
        (20, 300), density=0.02, random_state=np.random.default_rng(0), format="csr"
    )
    inputs, numbers = SparseInputs(rows), torch.arange(5, 250)
    dense = torch.from_numpy(rows.toarray())[:, 5:250]
    assert torch.equal(inputs.columns(numbers), dense)
    monkeypatch.setattr(sparse_inputs, "_DENSIFIED", 1000)
    kept = inputs.columns(numbers)
    assert isinstance(kept, SparseInputs)
    weight = torch.randn(245, 3, dtype=dense.dtype)
    torch.testing.assert_close(kept.times(weight), dense @ weight)
    few = torch.arange(40)
    assert torch.equal(inputs.columns(few), torch.from_numpy(rows.toarray())[:, :40])


def test_rows_are_split_in_their_order():
    rows = sparse.random_array(
        (20, 30), density=0.2, random_state=np.random.default_rng(0), format="csr"
    )
    weight = torch.eye(30, dtype=torch.float64)
    parts = list(SparseInputs(rows).split([7, 12, 1]))
    assert [len(part) for part in parts] == [7, 12, 1]
    found = torch.cat([part.times(weight) for part in parts])
    assert torch.equal(found, torch.from_numpy(rows.toarray()))
