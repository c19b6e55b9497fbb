"""Data that are read some rows at a time, in place of X."""

import signal
import threading
import traceback
from _thread import interrupt_main

import numpy as np
import pytest
from scipy import sparse
from torch import nn

from sklearn_sparsenet import (
    SparseNetClassifier,
    SparseNetClassifierCV,
    SparseNetRegressor,
    SparseNetRegressorCV,
    sparsenet_path,
    stability_selection,
)
from tests.streams import Listed
from tests.threads import ours_at_the_end

QUICK = {"target_sparsity": 20, "max_iter": 3, "batch_size": 50, "random_state": 0}


@pytest.fixture
def table():
    X = np.random.default_rng(0).normal(size=(600, 6))
    X[np.abs(X) < 0.5] = 0
    return X, X[:, 0] - np.abs(X[:, 1])


def net(**changes):
    return SparseNetRegressor((8,), **QUICK | changes)


def same(one, other):
    pairs = zip(one.coefs_, other.coefs_, strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("changes", [{}, {"early_stopping": True}, {"shuffle": False}])
@pytest.mark.parametrize("search", ["one_pass", "bracket"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_fit_is_that_of_the_array(table, changes, search):
    X, y = table
    wanted = net(search=search, **changes).fit(X, y)
    found = net(search=search, **changes).fit(Listed(X), y)
    assert same(found, wanted)
    np.testing.assert_array_equal(found.predict(Listed(X)), wanted.predict(X))
    assert found.score(Listed(X), y) == wanted.score(X, y)


def test_weights_and_target_of_a_dataset(table):
    X, y = table
    weight = np.arange(600) % 3
    wanted = net().fit(X, y, weight)
    assert same(net().fit(Listed(X, target=y), sample_weight=weight), wanted)


def test_rows_may_be_csr(table, convert_at_once):
    X, y = table
    convert_at_once(0)  # so that the matrix stays as it is
    matrix = sparse.csr_array(X * (np.random.default_rng(1).random(X.shape) < 0.04))
    wanted = net().fit(matrix, y)
    assert same(net().fit(Listed(matrix), y), wanted)
    found = wanted.predict(Listed(matrix))
    np.testing.assert_array_equal(found, wanted.predict(matrix))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes(table, n_classes):
    X, y = table
    y = np.digitize(y, [-1.0, 0.0][: n_classes - 1])
    fitted = SparseNetClassifier((8,), **QUICK).fit(Listed(X), y)
    assert same(fitted, SparseNetClassifier((8,), **QUICK).fit(X, y))
    for ask in (fitted.predict, fitted.predict_proba, fitted.predict_log_proba):
        np.testing.assert_array_equal(ask(Listed(X)), ask(X))
    assert fitted.score(Listed(X), y) == fitted.score(X, y)


def test_images_and_modules(table):
    images, y = table[0].reshape(600, 1, 2, 3), table[1]

    def build(n_features, n_outputs):
        flat = nn.Flatten()
        return nn.Sequential(flat, nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, n_outputs))

    wanted = net(module=build).fit(images, y)
    found = net(module=build).fit(Listed(images), y)
    np.testing.assert_array_equal(found.predict(Listed(images)), wanted.predict(images))
    with pytest.raises(ValueError, match="dim 4"):
        net().fit(Listed(images), y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_folds_paths_and_halves_are_those_of_the_array(table):
    X, y = table
    labels = y > 0
    common = {name: QUICK[name] for name in ("max_iter", "batch_size", "random_state")}
    for scoring in (None, SparseNetClassifier.score):
        how = {"target_sparsities": [20, 9], "cv": 3, "scoring": scoring, **common}
        found = SparseNetClassifierCV((8,), **how).fit(Listed(X), labels, labels + 1)
        wanted = SparseNetClassifierCV((8,), **how).fit(X, labels, labels + 1)
        np.testing.assert_allclose(found.test_scores_, wanted.test_scores_, rtol=1e-12)
    path = sparsenet_path(net(), Listed(X), y, target_sparsities=[20, 9])
    assert path.n_nonzeros.tolist() == [20, 9]
    halves = [
        stability_selection(net(), data, y, n_pairs=1, random_state=0)
        for data in (X, Listed(X))
    ]
    np.testing.assert_array_equal(*(half.frequencies for half in halves))


def test_folds_and_paths_know_the_target_of_a_dataset(table):
    X, y = table
    quick = {"max_iter": 5, "batch_size": 20, "random_state": 0}
    grid = {"target_sparsities": [20, 9]}
    folds = SparseNetRegressorCV((8,), cv=3, **grid, **quick)
    wanted = folds.fit(X, y).test_scores_
    found = folds.fit(Listed(X, target=y)).test_scores_
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    wanted = sparsenet_path(net(), X, y, **grid).train_scores
    found = sparsenet_path(net(), Listed(X, target=y), **grid).train_scores
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    with pytest.raises(ValueError, match="requires y to be passed"):
        folds.fit(X)


def test_names_of_columns(table):
    X, y = table
    names = list("abcdef")
    fitted = net().fit(Listed(X, feature_names=names), y)
    assert fitted.feature_names_in_.tolist() == names
    fitted.predict(Listed(X, feature_names=names))
    fitted.predict(Listed(X))
    with pytest.raises(ValueError, match="must be those of the fit"):
        fitted.predict(Listed(X, feature_names=names[::-1]))
    with pytest.raises(ValueError, match="6 different str"):
        net().fit(Listed(X, feature_names=list("aabcde")), y)


class Breaking(Listed):
    """Rows of which those from 300 on are not what they should be."""

    def take(self, index):
        return self.spoil(self.X[index], index >= 300)


def with_nan(rows, where):
    rows[where, 2] = np.nan
    return rows


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (with_nan, r"NaN or infinite numbers in row 3\d\d"),
        (lambda rows, where: np.where(where[:, None], 1e200, rows), "too large"),
        (lambda rows, where: rows[~where], "was asked for"),
        (lambda rows, where: rows[:, : 6 - where.any()], "of shape"),
        (lambda rows, where: rows.astype(str) if where.any() else rows, "numbers"),
    ],
)
def test_what_is_wrong_with_rows_is_told_when_they_are_read(table, spoil, message):
    X, y = table
    with pytest.raises(ValueError, match=f"X .*{message}"):
        net().fit(Breaking(X, spoil=spoil), y)
    assert ours_at_the_end() == []


def test_rows_to_predict_are_checked_and_named(table):
    X, y = table
    fitted = net().fit(X, y)
    X[[7, 9], 1] = np.inf
    with pytest.raises(ValueError, match="infinite numbers in row 7, 9"):
        fitted.predict(Listed(X))
    with pytest.raises(ValueError, match="expecting 6 features"):
        fitted.predict(Listed(X[:, :5]))


@pytest.mark.parametrize("n_samples", [0, -1, 2.5, True, None])
def test_a_count_of_samples_that_is_none_is_refused(table, n_samples):
    rows = Listed(table[0])
    rows.n_samples = n_samples
    with pytest.raises(ValueError, match="n_samples"):
        net().fit(rows, table[1])


def test_lengths_that_differ_are_refused_before_anything_is_read(table):
    rows = Listed(table[0])
    with pytest.raises(ValueError, match=r"\[600, 599\]"):
        net().fit(rows, table[1][:-1])
    assert sum(rows.asked) < 10
    with pytest.raises(ValueError, match="requires y"):
        net().fit(rows)


def test_a_checkpoint_needs_a_fingerprint(table, tmp_path):
    X, y = table
    with pytest.raises(ValueError, match=r"X\.fingerprint"):
        net(checkpoint=tmp_path).fit(Listed(X), y)
    kept = net(checkpoint=tmp_path).fit(Listed(X, fingerprint="table 1"), y)
    assert same(kept, net().fit(X, y))


class Failing(Listed):
    """Rows that cannot be read for the batches of a training."""

    def __init__(self, X, error):
        super().__init__(X)
        self.error = error

    def take(self, index):
        if threading.current_thread() is not threading.main_thread():
            self.raise_it()
        return super().take(index)

    def raise_it(self):
        raise self.error


@pytest.mark.parametrize("error", [OSError("disk"), KeyboardInterrupt()])
def test_errors_of_the_thread_that_reads_are_those_of_fit(table, error):
    X, y = table
    with pytest.raises(type(error)) as caught:
        net().fit(Failing(X, error), y)
    if isinstance(error, OSError):
        names = [
            frame.name for frame in traceback.extract_tb(caught.value.__traceback__)
        ]
        assert names[-1] == "raise_it"
    assert ours_at_the_end() == []


class Interrupted(Failing):
    """Rows that the user is tired of waiting for."""

    def raise_it(self):
        interrupt_main()


@pytest.fixture
def python_handler():
    """Let Ctrl-C mean what it means in Python, whatever ran in this process before."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("python_handler")
def test_ctrl_c_while_rows_are_read_ends_the_thread(table):
    X, y = table
    with pytest.raises(KeyboardInterrupt):
        net().fit(Interrupted(X, None), y)
    assert ours_at_the_end() == []


def test_an_order_of_a_dataset_is_followed_and_checked(table):
    X, y = table
    seen = []

    class Ordered(Listed):
        def order(self, rng):
            start = rng.integers(600)
            return np.roll(np.arange(600), start)

        def take(self, index):
            if threading.current_thread() is not threading.main_thread():
                seen.append(index)
            return super().take(index)

    first = net().fit(Ordered(X), y)
    steps = np.diff(seen[0])
    assert set(steps % 600) == {1}
    assert same(first, net().fit(Ordered(X), y))
    net(early_stopping=True).fit(Ordered(X), y)
    with pytest.raises(ValueError, match="once"):
        net().fit(Listed(X, order=lambda rng: np.zeros(600, int)), y)


def test_frames_with_columns_of_these_names_are_frames(table):
    pandas = pytest.importorskip("pandas", reason="for frames")
    names = ["n_samples", "take", "slice", "d", "e", "f"]
    frame = pandas.DataFrame(table[0], columns=names)
    assert net().fit(frame, table[1]).feature_names_in_.tolist() == names
