"""One fit by the workers of a Dask cluster, which are threads of this process here."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from sklearn_sparsenet import SparseNetClassifier
from sklearn_sparsenet.distributed import fit_on_dask
from tests.distributed.clusters import (
    assert_same_fit,
    make_data,
    make_frame,
    place_array,
    place_frame,
)
from tests.estimators.small_fits import make

PROCESSES = False
DATA = X, y, weight = make_data()
ROWS = np.split(np.arange(300), [50, 90, 90, 200])  # the third is empty
ON = [1, 0, 1, 1, 0]
ORDER = np.concatenate([ROWS[k] for k in (0, 3, 1, 4)])
WITH_ROWS = [0, 1, 3, 4]
LENGTHS = list(map(len, ROWS))


def test_a_frame(client):
    net = make()
    frame = place_frame(client, make_frame(*DATA), ROWS, ON)
    inputs = frame[frame.columns[:4]]
    fitted = fit_on_dask(client, net, inputs, frame["y"], frame["weight"], timeout=60)
    local = make_frame(*DATA).iloc[ORDER]
    alone = make().fit(local.iloc[:, :4], local["y"], local["weight"])
    assert_same_fit(fitted, alone)
    assert_array_equal(fitted.feature_names_in_, alone.feature_names_in_)
    assert not hasattr(net, "coefs_")
    given = inputs.partitions[WITH_ROWS]
    predicted = given.map_partitions(fitted.predict).compute()
    assert_allclose(predicted, fitted.predict(make_frame(*DATA).iloc[:, :4]), 1e-12)


@pytest.mark.parametrize("lengths", [LENGTHS, None], ids=["known", "unknown"])
def test_arrays(client, lengths):
    names = np.where(y > 0, "high", "low")
    given = [
        place_array(client, values, ROWS, ON, lengths) for values in (X, names, weight)
    ]
    fitted = fit_on_dask(client, make(SparseNetClassifier), *given, timeout=60)
    alone = make(SparseNetClassifier).fit(X[ORDER], names[ORDER], weight[ORDER])
    assert_same_fit(fitted, alone)
    assert_array_equal(fitted.classes_, ["high", "low"])
    table = given[0] if lengths else given[0].blocks[WITH_ROWS]
    predicted = table.map_blocks(fitted.predict, dtype=names.dtype, drop_axis=1)
    assert_array_equal(predicted.compute(), fitted.predict(X))
    chunks = table.chunks[0], (2,)
    chances = table.map_blocks(fitted.predict_proba, dtype=float, chunks=chunks)
    assert_allclose(chances.compute(), fitted.predict_proba(X), 1e-12)


def test_sparse_parts_and_divided_columns(client):
    import dask.array as da

    thin = np.where(np.abs(X) > 1, X, 0)
    targets = place_array(client, y, ROWS, ON, LENGTHS)
    table = place_array(client, thin, ROWS, ON, LENGTHS)
    net = make(batch_size=300)
    alone = make(batch_size=300).fit(thin, y)
    sparse = table.map_blocks(sp.csr_array, dtype=float, meta=sp.csr_array((0, 4)))
    assert_same_fit(fit_on_dask(client, net, sparse, targets, timeout=60), alone)
    halves = da.concatenate([table[:, :1], table[:, 1:]], axis=1)
    assert_same_fit(fit_on_dask(client, net, halves, targets, timeout=60), alone)


def test_one_worker_has_all_rows(client):
    """The other one has a partition without any."""
    given = [place_array(client, v, ROWS, [1, 1, 0, 1, 1]) for v in (X, y)]
    fitted = fit_on_dask(client, make(), *given, timeout=60)
    for ours, theirs in zip(fitted.coefs_, make().fit(X, y).coefs_, strict=True):
        assert_array_equal(ours, theirs)


def test_an_error_of_one_worker_comes_out(client):
    unknown = y.copy()
    unknown[220] = np.nan
    given = [place_array(client, v, ROWS, ON) for v in (X, unknown)]
    worker = sorted(client.nthreads())[0]
    with pytest.raises(ValueError, match=r"^Input y contains NaN") as caught:
        fit_on_dask(client, make(), *given, timeout=60)
    assert worker in caught.value.__notes__[0]


def test_what_cannot_be_fitted_so_is_refused(client):
    table, targets = (place_array(client, v, ROWS, ON) for v in (X, y))
    others = place_array(client, y, ROWS[:2], ON[:2])
    shifted = place_array(client, y, [ROWS[1], ROWS[0], *ROWS[2:]], ON)
    nothing = [place_array(client, v, ROWS[2:3], [0]) for v in (X, y)]
    with pytest.raises(TypeError, match=r"not Pipeline.*Transform"):
        fit_on_dask(client, make_pipeline(LinearRegression()), table, targets)
    with pytest.raises(TypeError, match=r"y must be a dask .*, not ndarray"):
        fit_on_dask(client, make(), table, y)
    with pytest.raises(ValueError, match="X, y have 5, 2 partitions"):
        fit_on_dask(client, make(), table, others)
    with pytest.raises(ValueError, match="have 50, 40 rows in partition 0"):
        fit_on_dask(client, make(), table, shifted)
    with pytest.raises(ValueError, match="X has no rows"):
        fit_on_dask(client, make(), *nothing)
    with pytest.raises(ValueError, match="timeout=0 must be"):
        fit_on_dask(client, make(), table, targets, timeout=0)
