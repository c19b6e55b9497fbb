"""Sparse input that contradicts itself is refused before compiled code reads it."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.model_selection import KFold

from sklearn_sparsenet import (
    SparseNetClassifier,
    SparseNetClassifierCV,
    SparseNetRegressor,
    sparsenet_path,
)

QUICK = {"hidden_layer_sizes": (4,), "max_iter": 20, "random_state": 0}
FAR = 2**31 - 1


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 6)) * (rng.random((30, 6)) < 0.5)
    return X, (X.sum(axis=1) > 0).astype(int)


@pytest.fixture(scope="module")
def fitted(data):
    return SparseNetClassifier(**QUICK, target_sparsity=8).fit(*data)


def entry(part, place, value):
    def damage(matrix):
        getattr(matrix, part)[place] = value

    return damage


def part(name, change):
    def damage(matrix):
        setattr(matrix, name, change(getattr(matrix, name)))

    return damage


COMPRESSED = {
    "index beyond": entry("indices", 3, FAR),
    "index one beyond": entry("indices", 3, 30),
    "index negative": entry("indices", 3, -1),
    "index very negative": entry("indices", 0, -FAR),
    "indptr beyond": entry("indptr", -1, FAR),
    "indptr negative": entry("indptr", 2, -5),
    "indptr falls": lambda m: m.indptr.__setitem__(1, m.indptr[2] + 1),
    "indptr starts late": entry("indptr", 0, 1),
    "indptr short": part("indptr", lambda a: a[:-2]),
    "indptr long": part("indptr", lambda a: np.r_[a, a[-1]]),
    "indices short": part("indices", lambda a: a[:5]),
    "data short": part("data", lambda a: a[:5]),
    "data 2-d": part("data", lambda a: np.c_[a, a]),
    "float indices": part("indices", lambda a: a.astype(float)),
    "no indptr": part("indptr", lambda a: None),
}


def damaged(make, damage, X):
    matrix = make(X)
    damage(matrix)
    return matrix


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csc_array])
@pytest.mark.parametrize("damage", COMPRESSED.values(), ids=COMPRESSED)
def test_damaged_csr_and_csc_are_refused_at_fit_and_predict(data, fitted, make, damage):
    X, y = data
    bad = damaged(make, damage, X)
    refused = pytest.raises(ValueError, match=r"X is a cs._.* malformed")
    for method in ("predict", "predict_proba", "predict_log_proba"):
        with refused:
            getattr(fitted, method)(bad)
    with refused:
        fitted.score(bad, y)
    with refused:
        SparseNetClassifier(**QUICK).fit(bad, y)


OTHERS = {
    "bsr": (
        lambda X: sparse.bsr_array(X, blocksize=(2, 3)),
        COMPRESSED["index beyond"],
    ),
    "bsr blocks": (
        lambda X: sparse.bsr_array(X, blocksize=(2, 3)),
        part("data", np.ravel),
    ),
    "coo": (sparse.coo_matrix, entry("row", 0, FAR)),
    "coo negative": (sparse.coo_array, entry("col", 0, -7)),
    "coo data": (sparse.coo_array, part("data", lambda a: a[:4])),
    "dia": (sparse.dia_array, part("data", lambda a: a[:1])),
    "lil": (sparse.lil_array, entry("rows", 0, [FAR])),
    "lil index": (sparse.lil_array, lambda m: m.rows[1].__setitem__(0, -9)),
    "dok": (sparse.dok_array, lambda m: m._dict.__setitem__((99, 0), 1.0)),
}


@pytest.mark.parametrize(("make", "damage"), OTHERS.values(), ids=OTHERS)
def test_other_damaged_containers_are_refused(data, fitted, make, damage):
    X, y = data
    bad = damaged(make, damage, X)
    for use in (fitted.predict, lambda X: SparseNetClassifier(**QUICK).fit(X, y)):
        with pytest.raises(ValueError, match=r"X is a"):
            use(bad)


def test_every_other_entry_refuses_them(data, fitted):
    X, y = data
    bad = damaged(sparse.csr_array, COMPRESSED["index beyond"], X)
    cv = SparseNetClassifierCV(**QUICK, target_sparsities=[8], cv=KFold(2))
    net = SparseNetRegressor(**QUICK)
    for use in (
        lambda: cv.fit(bad, y),
        lambda: sparsenet_path(net, bad, y, target_sparsities=[8]),
        lambda: net.fit(X, y).compact().predict(bad),
        lambda: net.fit(bad, y),
    ):
        with pytest.raises(ValueError, match=r"X is a csr_array .* malformed"):
            use()
    with pytest.raises(ValueError, match=r"y is a csr_array .* malformed"):
        SparseNetClassifier(**QUICK).fit(
            X, damaged(sparse.csr_array, COMPRESSED["index beyond"], np.c_[y, 1 - y])
        )


@pytest.mark.parametrize("shape", [(30,), (5, 6, 6)])
def test_sparse_arrays_have_two_dimensions(data, shape):
    with pytest.raises(ValueError, match=f"X .* has {len(shape)} dimensions"):
        SparseNetRegressor(**QUICK).fit(sparse.coo_array(np.ones(shape)), data[1])


def wide_indices(X):
    matrix = sparse.csr_array(X)
    matrix.indices, matrix.indptr = (
        array.astype(np.int64) for array in (matrix.indices, matrix.indptr)
    )
    return matrix


def unsorted_and_repeated(X):
    """Entries in reverse order, the first one in two halves."""
    row, column = np.nonzero(X)
    values = X[row, column]
    row, column = np.r_[row, row[0]][::-1], np.r_[column, column[0]][::-1]
    values = np.r_[values, values[0] / 2][::-1].copy()
    values[-1] /= 2
    order = np.argsort(row, kind="stable")
    indptr = np.r_[0, np.bincount(row, minlength=len(X)).cumsum()]
    return sparse.csr_array((values[order], column[order], indptr), shape=X.shape)


@pytest.mark.parametrize(
    "make",
    [
        sparse.coo_array, sparse.dok_array, sparse.lil_matrix, sparse.bsr_array,
        sparse.dia_array, wide_indices, unsorted_and_repeated,
    ],
    ids=["coo", "dok", "lil", "bsr", "dia", "int64", "unsorted"],
)  # fmt: skip
def test_sound_matrices_of_any_kind_predict_as_arrays_do(data, fitted, make):
    X, y = data
    np.testing.assert_allclose(fitted.predict_proba(make(X)), fitted.predict_proba(X))
    again = SparseNetClassifier(**QUICK, target_sparsity=8).fit(make(X), y)
    np.testing.assert_allclose(again.predict_proba(X), fitted.predict_proba(X))


def test_sparse_targets_are_taken(data):
    X, y = data
    Y = np.c_[y, 1 - y]
    for kind in (SparseNetRegressor, SparseNetClassifier):
        fits = [kind(**QUICK).fit(X, t) for t in (Y, sparse.csc_array(Y))]
        assert np.array_equal(*(fit.predict(X) for fit in fits))
