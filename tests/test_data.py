"""Rows are the same whatever holds them; large tables are not converted at once."""

import numpy as np
import pytest
import torch
from scipy import sparse

from sklearn_sparsenet.networks.compaction import SelectInputs
from sklearn_sparsenet.solvers import dataset
from sklearn_sparsenet.solvers.dataset import DatasetSubset, make_dataset
from sklearn_sparsenet.solvers.stopping import forward
from sklearn_sparsenet.utils.processes import ALONE

CPU = torch.device("cpu")


def rows_of(X, dtype=torch.float64):
    return make_dataset(X, dtype, CPU)


@pytest.fixture
def table():
    X = np.random.default_rng(0).integers(0, 5, (20, 3)).astype(np.float64)
    X[X < 2] = 0
    return X


@pytest.mark.parametrize("limit", [0, 2**26])
@pytest.mark.parametrize(
    "convert",
    [
        np.asarray,
        sparse.csr_matrix,
        sparse.csc_array,
        lambda X: X.astype(np.uint8),
        lambda X: X.astype(np.uint16),
        lambda X: X.astype(np.float32),
    ],
)
def test_every_table_gives_the_same_rows(table, convert, limit, convert_at_once):
    convert_at_once(limit)
    rows = rows_of(convert(table))
    index = torch.tensor([3, 3, 0, 19])
    assert rows.n_samples == 20
    assert rows.sample_shape == (3,)
    assert rows.take(index).dtype == torch.float64
    np.testing.assert_array_equal(rows.take(index), table[index])
    np.testing.assert_array_equal(rows.slice(4, 9), table[4:9])
    some = DatasetSubset(rows, torch.tensor([5, 7, 11]))
    np.testing.assert_array_equal(some.take(torch.tensor([2, 0])), table[[11, 5]])
    np.testing.assert_array_equal(some.slice(1, 3), table[[7, 11]])
    assert some.n_samples == 3
    assert some.sample_shape == (3,)


def test_memory_maps_are_read_when_asked(table, tmp_path, convert_at_once):
    path = tmp_path / "table.npy"
    np.save(path, table)
    mapped = np.load(path, mmap_mode="r")
    convert_at_once(0)
    for view in (mapped, np.asarray(mapped), mapped[2:]):
        assert isinstance(rows_of(view), dataset.LazyRows)
    np.testing.assert_array_equal(rows_of(mapped).slice(0, 20), table)


def test_the_caller_s_array_is_not_shared_and_may_be_read_only(table):
    rows = rows_of(table)
    wanted = table.copy()
    table[:] = -1
    np.testing.assert_array_equal(rows.slice(0, 20), wanted)
    wanted.setflags(write=False)
    np.testing.assert_array_equal(rows_of(wanted).slice(0, 20), wanted)


def test_large_tables_are_not_converted_at_once(table, convert_at_once):
    convert_at_once(table.size * 8 - 1)
    assert isinstance(rows_of(sparse.csr_matrix(table)), dataset.SparseRows)
    assert isinstance(rows_of(table.astype(np.uint8)), dataset.LazyRows)
    assert isinstance(rows_of(table), dataset.TensorRows)  # floats lie in memory anyway
    convert_at_once(table.size * 8)
    assert isinstance(rows_of(sparse.csr_matrix(table)), dataset.TensorRows)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, np.float32, ">f8"])
@pytest.mark.parametrize("shape", [(20, 3), (20, 3, 1, 2)])
@pytest.mark.parametrize("limit", [0, 2**26])
def test_every_dtype_shape_and_memory_layout_is_read(
    dtype, shape, limit, convert_at_once
):
    convert_at_once(limit)
    X = np.random.default_rng(0).integers(0, 5, shape)
    X = np.asfortranarray(X.astype(dtype))[::-1, ::2]
    X.setflags(write=False)
    rows = rows_of(X, torch.float32)
    assert rows.sample_shape == X.shape[1:]
    assert rows.slice(0, 20).dtype == torch.float32
    np.testing.assert_array_equal(rows.slice(0, 20), X)
    np.testing.assert_array_equal(rows.take(torch.tensor([4, 0])), X[[4, 0]])


@pytest.mark.parametrize("dtype", [np.uint8, np.float64, np.int64, bool])
def test_accelerators_hold_the_table_in_its_own_type(
    dtype, table, tmp_path, convert_at_once
):
    path = tmp_path / "table.npy"
    np.save(path, table.astype(dtype))
    mapped = np.load(path, mmap_mode="r")
    convert_at_once(0)
    rows = make_dataset(mapped, torch.float32, torch.device("meta"))
    assert isinstance(rows, dataset.TensorRows)
    assert rows.values.element_size() == np.dtype(dtype).itemsize
    assert rows.values.device.type == "meta"
    unknown = mapped.astype(">i2")
    rows = make_dataset(unknown, torch.float32, torch.device("meta"))
    assert isinstance(rows, dataset.LazyRows)


def test_rows_of_their_own_type_are_converted_when_read(table):
    values = torch.from_numpy(table.astype(np.uint8))
    rows = dataset.TensorRows(values, torch.float32)
    read = rows.take(torch.tensor([3, 3, 0]))
    assert read.dtype == rows.slice(0, 2).dtype == torch.float32
    np.testing.assert_array_equal(read, table[[3, 3, 0]])
    np.testing.assert_array_equal(rows.slice(4, 9), table[4:9])
    assert (rows.n_samples, rows.sample_shape) == (20, (3,))
    assert not rows.is_converted


class WideRows:
    """Rows that note how many were asked for at once."""

    n_samples, sample_shape = 300, (200_000,)

    def __init__(self):
        self.asked = []

    def slice(self, start, stop):
        self.asked.append(stop - start)
        return torch.arange(start, stop)[:, None].expand(-1, 200_000)

    def here(self):
        return self, 0, ALONE


def test_wide_rows_pass_through_a_network_a_few_at_a_time():
    rows = WideRows()
    outputs = forward(SelectInputs(torch.tensor([7])), rows)
    assert outputs[:, 0].tolist() == list(range(300))
    assert max(rows.asked) * 200_000 <= 2**23


def test_a_matrix_is_brought_into_order_once(convert_at_once):
    convert_at_once(0)
    matrix = sparse.random_array(
        (50, 60), density=0.03, random_state=np.random.default_rng(0), format="csr"
    )
    rows = rows_of(matrix)
    assert rows.factors().values.data is rows.values.data  # nothing is copied
    assert np.shares_memory(rows.values.data, matrix.data)
    doubled = sparse.csr_array((np.ones(4), [5, 5, 2, 1], [0, 3, 4]), shape=(2, 99))
    rows = rows_of(doubled)
    assert rows.values.nnz == 3
    assert rows.factors().values is rows.values
    assert doubled.nnz == 4
    np.testing.assert_array_equal(rows.slice(0, 2), doubled.toarray())


def test_large_matrices_are_not_copied_for_most_of_their_columns(
    convert_at_once, monkeypatch
):
    convert_at_once(0)
    rows = rows_of(
        sparse.random_array(
            (50, 60), density=0.03, random_state=np.random.default_rng(0), format="csr"
        )
    )
    few, many = torch.arange(10), torch.arange(40)
    assert rows.columns(many).sample_shape == (40,)
    monkeypatch.setattr(dataset, "_CONVERT_AT_ONCE_BYTES", 0)
    assert rows.columns(many) is None
    assert rows.columns(few).sample_shape == (10,)
