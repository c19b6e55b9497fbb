"""Tables, targets, weights, units and modules of further kinds."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from sklearn_sparsenet import (
    DataScaleWarning,
    SparseNetClassifier,
    SparseNetRegressor,
    losses,
)
from sklearn_sparsenet.solvers import dataset

QUICK = {"alpha": 1e-3, "max_iter": 40, "random_state": 0}


@pytest.fixture(scope="module")
def xy():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    X[np.abs(X) < 0.5] = 0
    return X, X[:, 0] - X[:, 1] ** 2


def regressor(**settings):
    return SparseNetRegressor((8,), **{**QUICK, **settings})


def classifier(**settings):
    return SparseNetClassifier((8,), **{**QUICK, **settings})


def read_only(X):
    X = X.copy()
    X.setflags(write=False)
    return X


@pytest.mark.parametrize(
    "convert",
    [
        np.asfortranarray,
        read_only,
        lambda X: np.repeat(X, 2, axis=0)[::2],
        lambda X: X.astype(X.dtype.newbyteorder()),
        np.ndarray.tolist,
        sparse.coo_array,
        sparse.lil_matrix,
        lambda X: pd.DataFrame(X).astype(object),
    ],
)
def test_the_same_numbers_give_the_same_bits(xy, convert):
    X, y = xy
    wanted = regressor().fit(X, y)
    table = convert(X)
    net = regressor().fit(table, y)
    for mine, other in zip(net.coefs_, wanted.coefs_, strict=True):
        np.testing.assert_array_equal(mine, other)
    np.testing.assert_array_equal(net.predict(table), wanted.predict(X))


@pytest.mark.parametrize("batch_size", [7, 60])
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float64])
def test_memory_maps_of_any_type(tmp_path, convert_at_once, dtype, at_once, batch_size):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 4, size=(60, 5)).astype(dtype)
    y = X[:, 0] * 1.0 - X[:, 3]
    mapped = np.memmap(tmp_path / "X", dtype=dtype, mode="w+", shape=X.shape)
    mapped[:] = X
    mapped.flush()
    wanted = regressor(batch_size=batch_size).fit(X, y).predict(X)
    if not at_once:
        convert_at_once(0)
    mapped = np.memmap(tmp_path / "X", dtype=dtype, mode="r", shape=X.shape)
    net = regressor(batch_size=batch_size).fit(mapped, y)
    np.testing.assert_array_equal(net.predict(mapped), wanted)
    assert net.predict(mapped).dtype == (np.float32 if dtype == np.float32 else float)


def test_large_memory_maps_are_read_batch_by_batch(
    tmp_path, convert_at_once, monkeypatch
):
    convert_at_once(0)
    monkeypatch.setattr("sklearn_sparsenet.solvers.problem._CHUNK_ELEMENTS", 8 * 3)
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
    np.testing.assert_array_equal(net.predict(frame), regressor().fit(X, y).predict(X))
    with pytest.raises(ValueError, match="feature names should match"):
        net.predict(frame[["b", "a", "c", "d"]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        net.predict(X)
    with pytest.raises(ValueError, match="4 features"):
        regressor().fit(X, y).predict(X[:, :3])


@pytest.mark.parametrize("wrap", [list, pd.Series, pl.Series])
def test_labels_in_any_container(xy, wrap):
    X, y = xy
    labels = np.where(y > 0, "yes", "no")
    net = classifier().fit(X, wrap(labels.tolist()))
    np.testing.assert_array_equal(
        net.predict(X), classifier().fit(X, labels).predict(X)
    )


@pytest.mark.parametrize(
    "classes",
    [
        [0, 1],
        [1, 2],
        [-1.0, 1.0],
        [False, True],
        ["a", "b"],
        ["a", "b", "c"],
        [7, 3, 5],
    ],
)
def test_labels_of_any_type(classes):
    X, y = load_iris(return_X_y=True)
    y = y % len(classes)
    labels = np.array(sorted(classes))[y]
    net = classifier(max_iter=200).fit(X, labels)
    assert net.classes_.tolist() == sorted(classes)
    assert net.predict(X).dtype == labels.dtype
    coded = classifier(max_iter=200).fit(X, y)
    np.testing.assert_array_equal(net.predict_proba(X), coded.predict_proba(X))
    best = net.classes_[net.predict_proba(X).argmax(axis=1)]
    np.testing.assert_array_equal(net.predict(X), best)
    np.testing.assert_allclose(net.predict_proba(X).sum(axis=1), 1)


def test_several_labels_sparse_or_dense_weighted_or_repeated(xy):
    X, y = xy
    Y = np.column_stack([y > 0, X[:, 2] > 0, np.arange(60) % 2]).astype(int)
    net = classifier().fit(X, Y)
    assert set(np.unique(net.predict(X))) <= {0, 1}
    assert net.predict_proba(X).shape == (60, 3)
    again = classifier().fit(X, sparse.csr_matrix(Y))
    np.testing.assert_array_equal(net.predict_proba(X), again.predict_proba(X))
    weight = np.arange(60) % 3
    rows = np.repeat(np.arange(60), weight)
    weighted = classifier().fit(X, Y, weight).predict_proba(X)
    repeated = classifier().fit(X[rows], Y[rows]).predict_proba(X)
    np.testing.assert_allclose(weighted, repeated, atol=1e-7)


@pytest.mark.parametrize("loss", ["absolute_error", "huber", "poisson"])
def test_weights_are_repetitions_whatever_the_loss(xy, loss):
    X, y = xy
    y = np.exp(y).round()
    weight = np.arange(60) % 4
    rows = np.repeat(np.arange(60), weight)
    weighted = regressor(loss=loss).fit(X, y, weight)
    repeated = regressor(loss=loss).fit(X[rows], y[rows])
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-6)
    np.testing.assert_allclose(weighted.y_mean_, repeated.y_mean_)
    np.testing.assert_allclose(weighted.loss_, repeated.loss_)


@pytest.mark.parametrize("batch_size", [9, 60])
def test_rows_without_weight_are_absent(xy, batch_size):
    """Also from batches, standardisation and the held-out part."""
    X, y = xy
    weight = (np.arange(60) % 3 > 0) * 1.0
    kept = weight > 0
    settings = {"batch_size": batch_size, "early_stopping": True}
    wild = np.where(kept, y, 1e9)
    net = regressor(**settings).fit(X, wild, weight)
    alone = regressor(**settings).fit(X[kept], y[kept])
    np.testing.assert_array_equal(net.predict(X), alone.predict(X))
    assert net.validation_scores_ == alone.validation_scores_


@pytest.mark.parametrize("factor", [1e-6, 3.0, 1e6])
def test_only_ratios_of_weights_count(xy, factor):
    X, y = xy
    weight = 1 + np.arange(60) % 4
    first = regressor().fit(X, y, weight).predict(X)
    second = regressor().fit(X, y, weight * factor).predict(X)
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_balanced_classes_weigh_alike(xy):
    X, _ = xy
    y = np.arange(60) % 5 == 0
    balanced = classifier(class_weight="balanced").fit(X, y)
    weight = np.where(y, 60 / (2 * 12), 60 / (2 * 48))
    weighted = classifier().fit(X, y, weight)
    np.testing.assert_array_equal(balanced.predict_proba(X), weighted.predict_proba(X))
    assert balanced.predict_proba(X)[:, 1].mean() > 0.4


@pytest.mark.parametrize(
    ("loss", "standardised"),
    [
        ("squared_error", True),
        ("absolute_error", True),
        ("huber", True),
        ("poisson", False),
        (losses.PoissonEmission(1.0), False),
        (nn.MSELoss(reduction="none"), False),
    ],
)
@pytest.mark.parametrize("asked", ["auto", False])
def test_which_targets_are_standardised(xy, loss, standardised, asked):
    X, y = xy
    y = 5 + np.abs(y)
    weight = 1 + np.arange(60) % 4
    net = regressor(loss=loss, normalize_y=asked).fit(X, y, weight)
    if asked == "auto" and standardised:
        mean = np.average(y, weights=weight)
        deviation = np.sqrt(np.average((y - mean) ** 2, weights=weight))
        np.testing.assert_allclose([net.y_mean_, net.y_scale_], [[mean], [deviation]])
    else:
        np.testing.assert_array_equal([net.y_mean_, net.y_scale_], [[0], [1]])


def test_a_users_loss_gets_a_standardised_target_when_asked(xy):
    X, y = xy
    seen = []

    def loss(output, target):
        seen.append(target)
        return (output - target) ** 2

    settings = {"loss": loss, "normalize_y": True, "batch_size": 60}
    net = regressor(**settings).fit(X, 1e3 + 50 * y)
    # The first call, on a few rows, tries the loss.
    assert abs(seen[1].mean()) < 1e-9
    assert float((seen[1] ** 2).mean()) == pytest.approx(1)
    assert seen[1].shape == (60, 1)
    assert net.predict(X).mean() == pytest.approx(1e3 + 50 * y.mean(), abs=10)


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_each_output_in_a_unit_of_its_own(xy, scale):
    X, y = xy
    Y = np.column_stack([y, X[:, 2]])
    unit, origin = np.array([scale, 1 / scale]), np.array([-scale, 2 / scale])
    wanted = regressor().fit(X, Y)
    net = regressor().fit(X, origin + Y * unit)
    got = (net.predict(X) - origin) / unit
    np.testing.assert_allclose(got, wanted.predict(X), atol=1e-5)
    for mine, other in zip(net.coefs_, wanted.coefs_, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-6)  # weights: never rescaled


def test_scales_of_columns(xy):
    """Constant columns, weights and images are no reason for a warning."""
    X, y = xy
    regressor().fit(np.column_stack([X, np.full(60, 1e6)]), y)  # warnings are errors
    regressor().fit(X * [1, 1, 1, 100], y)
    with pytest.warns(DataScaleWarning, match=r"factor of \de\+0[4-6].*StandardScaler"):
        regressor().fit(X * [1, 1e-5, 1, 1], y)
    assert issubclass(DataScaleWarning, UserWarning)


@pytest.mark.filterwarnings(
    f"ignore::{ConvergenceWarning.__module__}.ConvergenceWarning"
)
@pytest.mark.parametrize(
    ("n_samples", "n_features"), [(1, 3), (3, 1), (2, 30), (300, 2)]
)
def test_any_shape(n_samples, n_features):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n_samples, n_features)), rng.normal(size=n_samples)
    net = SparseNetRegressor((5,), target_sparsity=0.5, max_iter=50, random_state=0)
    assert np.isfinite(net.fit(X, y).predict(X)).all()
    assert len(net.support_) == n_features
