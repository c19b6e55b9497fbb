"""Dask collections whose partitions are on workers that the test chooses."""

import os
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

COLUMNS = ["height", "age", "noise", "more noise"]


def make_data(n_samples=300):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, len(COLUMNS)))
    y = X[:, 0] - X[:, 1] ** 2 + 0.1 * rng.normal(size=n_samples)
    weight = rng.integers(1, 4, n_samples).astype(float)
    return X, y, weight


def make_frame(X, y, weight):
    return pd.DataFrame(X, columns=COLUMNS).assign(y=y, weight=weight)


def placed(client, pieces, numbers):
    """Put pieces on workers, by their numbers; return delayed ones."""
    from dask import delayed

    workers = sorted(client.nthreads())
    return [
        delayed(client.scatter(piece, workers=[workers[number]], hash=False))
        for piece, number in zip(pieces, numbers, strict=True)
    ]


@contextmanager
def connected(processes=True):
    """Yield the client of two workers: processes, or threads of this one."""
    pytest.importorskip("distributed", reason="Dask is not installed")
    from distributed import Client, LocalCluster

    how = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with (
        LocalCluster(processes=processes, **how) as cluster,
        Client(cluster) as client,
    ):
        yield client


def kept(client, collection):
    """Return a collection whose partitions are there, for as long as it is."""
    from distributed import wait

    collection = client.persist(collection)
    wait(collection)
    return collection


def place_frame(client, frame, rows, numbers):
    """Return a dask DataFrame of these rows, partition by partition."""
    import dask.dataframe as dd

    pieces = placed(client, [frame.iloc[some] for some in rows], numbers)
    collection = dd.from_delayed(pieces, meta=frame.iloc[:0], verify_meta=False)
    return kept(client, collection)


def place_array(client, array, rows, numbers, lengths=None):
    """Return a dask array of these rows; its chunk sizes are unknown, or given."""
    import dask.array as da

    lengths = lengths or [np.nan] * len(rows)
    pieces = placed(client, [array[some] for some in rows], numbers)
    of_pieces = [
        da.from_delayed(piece, (length, *array.shape[1:]), meta=array[:0])
        for piece, length in zip(pieces, lengths, strict=True)
    ]
    collection = da.concatenate(of_pieces, allow_unknown_chunksizes=True)
    return kept(client, collection)


def assert_same_fit(one, other):
    assert one.n_nonzero_ == other.n_nonzero_
    assert one.get_params() == other.get_params()
    for ours, theirs in zip(one.coefs_, other.coefs_, strict=True):
        assert ((ours != 0) == (theirs != 0)).all()
        assert_allclose(ours, theirs, rtol=0, atol=1e-9)


def ends_its_process(output, target):
    """The squared error; the hundredth time, the end of the last worker."""
    from distributed import get_worker

    worker = get_worker()
    is_last = worker.name == 1
    worker.n_asked = getattr(worker, "n_asked", 0) + 1
    if is_last and worker.n_asked == 100:
        os._exit(1)
    return ((output - target) ** 2).mean(1)
