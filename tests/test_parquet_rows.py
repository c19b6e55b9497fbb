"""Parquet and Arrow files are read a row group at a time, each once in an epoch."""

import pickle
import tracemalloc

import numpy as np
import pytest

from sklearn_sparsenet import ParquetRows, SparseNetClassifier, SparseNetRegressor
from sklearn_sparsenet.estimators import _scales
from sklearn_sparsenet.solvers import problem, reading_ahead, streamed
from sklearn_sparsenet.solvers.streamed import DatasetPart

pa = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")

QUICK = {"target_sparsity": 10, "max_iter": 3, "batch_size": 50, "random_state": 0}


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(size=(1000, 4))


def frame(values, **more):
    return pa.table({f"x{i}": column for i, column in enumerate(values.T)} | more)


@pytest.fixture
def files(values, tmp_path):
    """Two files, of groups of 100 rows and a shorter one each."""
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    labels = np.where(values[:, 0] > 0, "yes", "no")
    table = frame(values, label=labels)
    parquet.write_table(table[:450], paths[0], row_group_size=100)
    parquet.write_table(table[450:], paths[1], row_group_size=100)
    return paths


@pytest.fixture
def reads(monkeypatch):
    """The groups that are read, in their order."""
    numbers = []
    read = ParquetRows._read

    def noted(self, group):
        numbers.append(group)
        return read(self, group)

    monkeypatch.setattr(ParquetRows, "_read", noted)
    return numbers


def test_rows_are_those_of_the_files(values, files):
    rows = ParquetRows(files, target="label", buffer=1)
    assert rows.n_samples == 1000
    assert rows.feature_names == ["x0", "x1", "x2", "x3"]
    index = np.random.default_rng(1).permutation(1000)[:300]
    np.testing.assert_array_equal(rows.take(index), values[index])
    np.testing.assert_array_equal(rows.slice(380, 720), values[380:720])
    assert (rows.target == np.where(values[:, 0] > 0, "yes", "no")).all()
    some = ParquetRows(str(files[1]), columns=["x2", "x0"], dtype="float32")
    assert some.take(np.array([3])).dtype == np.float32
    np.testing.assert_allclose(some.slice(0, 9), values[450:459, [2, 0]], rtol=1e-6)
    assert some.target is None


@pytest.mark.parametrize("buffer", [1, 3, 100])
def test_an_epoch_reads_every_group_once(files, reads, buffer):
    rows = ParquetRows(files, target="label", buffer=buffer)
    order = rows.order(np.random.default_rng(0))
    assert sorted(order) == list(range(1000))
    assert (np.diff(order[:50]) != 1).any()
    for start in range(0, 1000, 64):
        rows.take(order[start : start + 64])
    assert sorted(reads) == list(range(11))
    assert rows.order(np.random.default_rng(0)).tolist() == order.tolist()
    numbers = np.arange(0, 1000, 3)
    of_part = DatasetPart(rows, numbers).order(np.random.default_rng(0))
    assert numbers[of_part].tolist() == [row for row in order if row % 3 == 0]


def test_a_fit_reads_every_group_once_an_epoch_and_is_the_same_again(
    files, reads, monkeypatch
):
    monkeypatch.setattr(reading_ahead, "_PIECE_ELEMENTS", 1)
    rows = ParquetRows(files, target="label", buffer=3)

    def fit(n_epochs):
        reads.clear()
        net = SparseNetClassifier((6,), **QUICK | {"max_iter": n_epochs})
        return net.fit(rows), len(reads)

    first, few = fit(2)
    second, more = fit(8)
    assert 6 * (11 - 4) <= more - few <= 6 * 11  # at most four are there already
    again, _ = fit(2)
    for a, b in zip(first.coefs_, again.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)
    assert first.feature_names_in_.tolist() == rows.feature_names
    assert second.score(rows, rows.target) > 0.9


def test_arrow_files(values, tmp_path):
    path = tmp_path / "a.arrow"
    table = frame(values)
    with pa.OSFile(str(path), "wb") as sink:
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=128)
    rows = ParquetRows(path, buffer=2)
    np.testing.assert_array_equal(rows.slice(100, 300), values[100:300])


def test_rows_are_pickled_without_what_was_read(files):
    rows = ParquetRows(files, target="label")
    rows.slice(0, 1000)
    stored = pickle.dumps(rows)
    assert len(stored) < 1000
    again = pickle.loads(stored)
    np.testing.assert_array_equal(again.slice(0, 1000), rows.slice(0, 1000))
    assert again.fingerprint == rows.fingerprint


def test_a_fit_goes_on_with_the_same_files_only(values, files, tmp_path):
    rows = ParquetRows(files, target="label")
    net = SparseNetClassifier((6,), checkpoint=tmp_path / "kept", **QUICK).fit(rows)
    assert net.n_nonzero_ == 10
    before = rows.fingerprint
    values[500, 1] += 1
    parquet.write_table(frame(values, label=rows.target), files[0])
    assert ParquetRows(files, target="label").fingerprint != before
    assert ParquetRows(files[0], columns=["x0"]).fingerprint != before


def test_missing_values_are_named(values, tmp_path):
    path = tmp_path / "a.parquet"
    column = pa.array([None if i == 70 else i for i in range(1000)], pa.int64())
    parquet.write_table(frame(values, gaps=column), path, row_group_size=100)
    rows = ParquetRows(path, dtype=float)
    with pytest.raises(ValueError, match="NaN or infinite numbers in row 70"):
        SparseNetRegressor((4,), **QUICK).fit(rows, values[:, 0])


def test_what_cannot_be_read_is_refused(values, files, tmp_path):
    with pytest.raises(ValueError, match="'label' has the type string"):
        ParquetRows(files)
    with pytest.raises(ValueError, match="no column 'x9'"):
        ParquetRows(files, columns=["x9"])
    with pytest.raises(ValueError, match="buffer=0"):
        ParquetRows(files, buffer=0)
    empty = tmp_path / "empty.parquet"
    parquet.write_table(frame(values)[:0], empty)
    with pytest.raises(ValueError, match="no rows"):
        ParquetRows(empty)
    other = tmp_path / "other.parquet"
    parquet.write_table(frame(values[:, :2]), other)
    with pytest.raises(ValueError, match=r"other.*no column 'x2'"):
        ParquetRows([*files, other], target="label")


def test_memory_is_that_of_the_groups(values, tmp_path, monkeypatch):
    for module, name in (
        (streamed, "_BLOCK_ELEMENTS"),
        (problem, "_CHUNK_ELEMENTS"),
        (_scales, "_PIECE_ELEMENTS"),
        (reading_ahead, "_PIECE_ELEMENTS"),
    ):
        monkeypatch.setattr(module, name, 2**15)
    path = tmp_path / "large.parquet"
    table = frame(np.tile(values, (50, 20)))
    parquet.write_table(table, path, row_group_size=2000)
    y = np.tile(values[:, 0], 50)
    rows = ParquetRows(path, buffer=2)
    net = SparseNetRegressor((4,), **QUICK | {"max_iter": 1, "batch_size": 500})
    tracemalloc.start()
    try:
        net.fit(rows, y).predict(rows)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 50_000 * 80 * 8 / 3
