"""Tables of every kind: containers, floating types, names and scales of columns."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse

from sklearn_sparsenet import DataScaleWarning, SparseNetRegressor
from sklearn_sparsenet.solvers import dataset
from tests.comparisons import assert_same_arrays


def regressor(**settings):
    quick = {"alpha": 1e-3, "max_iter": 20, "random_state": 0}
    return SparseNetRegressor((8,), **{**quick, **settings})


def read_only(X):
    X = X.copy()
    X.setflags(write=False)
    return X


@pytest.mark.parametrize(
    "convert",
    [
        sparse.csr_matrix,
        sparse.csc_matrix,
        sparse.csr_array,
        sparse.coo_array,
        sparse.lil_matrix,
        pd.DataFrame,
        pl.DataFrame,
        lambda X: pd.DataFrame(X).astype(object),
        np.ndarray.tolist,
        np.asfortranarray,
        read_only,
        lambda X: np.repeat(X, 2, axis=0)[::2],
        lambda X: X.astype(X.dtype.newbyteorder()),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("batch_size", [60, 7])
def test_every_container_gives_the_same_bits(
    xy, convert, at_once, batch_size, convert_at_once
):
    X, y = xy
    wanted = regressor(batch_size=batch_size).fit(X, y)
    if not at_once:
        convert_at_once(0)
    table = convert(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # polars has no string columns
        net = regressor(batch_size=batch_size).fit(table, y)
        np.testing.assert_array_equal(net.predict(table), wanted.predict(X))
    assert_same_arrays(net.coefs_, wanted.coefs_)


@pytest.mark.parametrize("batch_size", [7, 60])
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float64])
def test_memory_maps_of_any_type(tmp_path, convert_at_once, dtype, at_once, batch_size):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 4, size=(60, 5)).astype(dtype)
    y = X[:, 0] * 1.0 - X[:, 3]
    np.save(tmp_path / "X.npy", X)
    wanted = regressor(batch_size=batch_size).fit(X, y).predict(X)
    if not at_once:
        convert_at_once(0)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    net = regressor(batch_size=batch_size).fit(mapped, y)
    np.testing.assert_array_equal(net.predict(mapped), wanted)
    assert net.predict(mapped).dtype == (np.float32 if dtype == np.float32 else float)


def test_large_memory_maps_are_read_batch_by_batch(
    tmp_path, convert_at_once, monkeypatch
):
    convert_at_once(0)
    for where in ("problem._CHUNK_ELEMENTS", "reading_ahead._PIECE_ELEMENTS"):
        monkeypatch.setattr(f"sklearn_sparsenet.solvers.{where}", 8 * 3)
    read = []
    original = dataset.LazyRows.take
    monkeypatch.setattr(
        dataset.LazyRows,
        "take",
        lambda self, index: read.append(len(index)) or original(self, index),
    )
    rng = np.random.default_rng(0)
    np.save(tmp_path / "X.npy", rng.normal(size=(60, 3)))
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    regressor(batch_size=8, max_iter=2).fit(X, np.arange(60))
    assert max(read) <= 8
    assert sum(read) == (1 + 2) * 60  # how large the columns are, and two epochs


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame])
def test_frames_have_names(xy, library):
    X, y = xy
    frame = library({name: X[:, k] for k, name in enumerate("abcd")})
    net = regressor().fit(frame, y)
    assert net.feature_names_in_.tolist() == list("abcd")
    assert net.n_features_in_ == 4
    with pytest.raises(ValueError, match="feature names should match"):
        net.predict(frame[["b", "a", "c", "d"]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        net.predict(X)
    with pytest.raises(ValueError, match="4 features"):
        regressor().fit(X, y).predict(X[:, :3])


@pytest.mark.parametrize(
    ("X_dtype", "dtype", "wanted"),
    [
        (np.float64, "auto", np.float64),
        (np.float32, "auto", np.float32),
        (np.int64, "auto", np.float64),
        (np.float64, "float32", np.float32),
        (np.float32, torch.float64, np.float64),
    ],
)
def test_floating_types(xy, X_dtype, dtype, wanted):
    X, y = (xy[0] * 3).astype(X_dtype), xy[1]
    net = regressor(dtype=dtype).fit(X, y)
    assert net.predict(X).dtype == wanted
    assert net.coefs_[0].dtype == wanted


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("n_samples", "n_features"), [(1, 3), (3, 1), (2, 30), (300, 2)]
)
def test_any_shape(n_samples, n_features):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n_samples, n_features)), rng.normal(size=n_samples)
    net = SparseNetRegressor((5,), target_sparsity=0.5, max_iter=50, random_state=0)
    assert np.isfinite(net.fit(X, y).predict(X)).all()
    assert len(net.support_) == n_features


WIDE = r"differ in scale by a factor of \de\+0[4-6].*StandardScaler"
SPARSE = sparse.csr_matrix


@pytest.mark.parametrize(
    ("move", "said"),
    [
        (lambda X: X * [1, 1, 1, 1e5], WIDE),
        (lambda X: X * [1, 1e-5, 1, 1], WIDE),
        (lambda X: SPARSE(X * [1, 1, 1, 1e5]), WIDE),
        (lambda X: X + 100, "means of up to.*StandardScaler"),
        (lambda X: X * 1e4, "standard deviations from.*StandardScaler"),
        (lambda X: X * 1e-4, "standard deviations from.*StandardScaler"),
    ],
)
def test_columns_far_from_zero_or_from_unit_scale_are_told(xy, move, said):
    assert issubclass(DataScaleWarning, UserWarning)
    with pytest.warns(DataScaleWarning, match=said):
        regressor(weight_decay=0.0, max_iter=2, kkt_tol=1e9).fit(move(xy[0]), xy[1])


@pytest.mark.parametrize(
    "change",
    [
        lambda X: np.column_stack([X, np.full(60, 1e6)]),
        lambda X: np.column_stack([X, np.r_[-0.11, np.full(59, -0.1)]]),
        lambda X: X * [1, 1, 1, 100],
    ],
    ids=["constant", "rarely changing", "wider"],
)
def test_columns_that_do_no_harm_are_not_told_of(xy, change):
    regressor().fit(change(xy[0]), xy[1])  # warnings are errors
