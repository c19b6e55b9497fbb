"""Folds do not copy the table: what is large is read by row numbers."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import make_scorer, r2_score
from sklearn.model_selection import ShuffleSplit

from sklearn_sparsenet import (
    SparseNetClassifier,
    SparseNetClassifierCV,
    SparseNetRegressor,
    SparseNetRegressorCV,
)
from sklearn_sparsenet.estimators import _scales, _table_rows
from sklearn_sparsenet.estimators._table_rows import TableRows
from sklearn_sparsenet.solvers import problem, reading_ahead, stopping

QUICK = {"max_iter": 1, "batch_size": 100, "random_state": 0}


@pytest.fixture
def small_pieces(convert_at_once, monkeypatch):
    """What holds for 64 MB holds for little, so that tests are fast."""
    convert_at_once(0)
    monkeypatch.setattr(_table_rows, "_BLOCK_ELEMENTS", 2**15)
    monkeypatch.setattr(problem, "_CHUNK_ELEMENTS", 2**15)
    monkeypatch.setattr(reading_ahead, "_PIECE_ELEMENTS", 2**15)
    monkeypatch.setattr(stopping, "_CHUNK_ELEMENTS", 2**15)
    monkeypatch.setattr(_scales, "_SCALE_ROWS", 100)


def mapped(X, folder):
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r")


def as_csr(X, folder):
    return sparse.csr_array(X * (np.abs(X) > 0.5))


def peak_bytes(function):
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("hold", [mapped, as_csr])
@pytest.mark.parametrize("scoring", [None, "r2", make_scorer(r2_score)])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_folds_take_a_part_of_the_memory_of_the_table(
    hold, scoring, tmp_path, small_pieces
):
    X = np.random.default_rng(0).standard_normal((8000, 128))
    y = X[:, 0]
    table = hold(X, tmp_path)
    n_bytes = X.nbytes if hold is mapped else table.data.nbytes
    net = SparseNetRegressorCV(
        (2,), target_sparsities=[20], cv=2, scoring=scoring, **QUICK
    )
    weight = np.arange(8000) > 3
    assert peak_bytes(lambda: net.fit(table, y)) < n_bytes / 3
    assert peak_bytes(lambda: net.fit(table, y, weight)) < n_bytes / 3


@pytest.mark.parametrize("hold", [lambda X, folder: X, mapped, as_csr])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_folds_by_numbers_are_those_of_copies(
    hold, tmp_path, convert_at_once, monkeypatch
):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2500, 6))
    y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
    weight = rng.integers(0, 3, 2500)
    table = hold(X, tmp_path)

    def scores():
        net = SparseNetClassifierCV(
            (3,), target_sparsities=[15, 9], cv=ShuffleSplit(2, random_state=0),
            class_weight="balanced", scoring="neg_log_loss", **QUICK,
        )  # fmt: skip
        net.fit(table, y, weight)
        return net.test_scores_, net.train_scores_, net.n_nonzeros_

    wanted = scores()
    convert_at_once(0)
    monkeypatch.setattr(_table_rows, "_BLOCK_ELEMENTS", 2**13)
    for found, expected in zip(scores(), wanted, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_rows_by_number_have_the_probabilities_of_the_rows(n_classes):
    """Not those of the probabilities, taken for outputs once more."""
    X = np.random.default_rng(0).standard_normal((90, 3))
    y = np.digitize(X[:, 0], [-0.5, 0.5][: n_classes - 1])
    net = SparseNetClassifier((3,), target_sparsity=9, **QUICK).fit(X, y)
    numbers = np.arange(80, 20, -1)
    by_number = net.predict_proba(TableRows(X, numbers))
    np.testing.assert_array_equal(by_number, net.predict_proba(X[numbers]))


def test_counts_by_number_are_those_of_the_rows():
    X = np.random.default_rng(0).standard_normal((90, 3))
    y = np.random.default_rng(1).poisson(np.exp(X[:, 0]))
    net = SparseNetRegressor((3,), loss="poisson", target_sparsity=9, **QUICK)
    net.fit(X, y)
    by_number = net.predict(TableRows(X, np.arange(30)))
    np.testing.assert_array_equal(by_number, net.predict(X[:30]))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scorers_of_users_get_the_rows_themselves():
    X = np.random.default_rng(0).standard_normal((90, 3))
    seen = []

    def score(estimator, X, y):
        seen.append(X)
        return -abs(y - estimator.predict(X)).mean()

    net = SparseNetRegressorCV((2,), target_sparsities=[6], cv=3, scoring=score)
    net.set_params(**QUICK).fit(X, X[:, 0])
    assert all(isinstance(part, np.ndarray) for part in seen)
    assert sorted(map(len, seen)) == [30] * 3 + [60] * 3


def test_blocks_are_all_rows_in_their_order(small_pieces):
    table = np.arange(9000)[:, None]
    numbers = np.random.default_rng(0).permutation(9000)[:7000]
    blocks = list(TableRows(np.repeat(table, 8, axis=1), numbers).blocks())
    assert [len(block) for block in blocks] == [7000]
    blocks = list(TableRows(np.repeat(table, 32, axis=1), numbers).blocks())
    assert all(len(block) % 1024 == 0 for block in blocks[:-1])
    assert len(blocks) == 6
    np.testing.assert_array_equal(np.concatenate(blocks)[:, 0], numbers)
