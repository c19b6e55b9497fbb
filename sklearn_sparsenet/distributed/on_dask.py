"""One fit by the workers of a Dask cluster, each with the partitions that it has."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
from torch.distributed import TCPStore

from sklearn_sparsenet.distributed.data_parallel import as_timeout
from sklearn_sparsenet.distributed.group import Group
from sklearn_sparsenet.estimators import SparseNetClassifier, SparseNetRegressor
from sklearn_sparsenet.utils.exceptions import ProcessLostError
from sklearn_sparsenet.utils.processes import joined

__all__ = ["fit_on_dask"]

# Dask is imported where it is used: who has none can do all the rest.

Network = TypeVar("Network", SparseNetClassifier, SparseNetRegressor)

# Seconds in which workers that have lost another one tell so.
_FOR_OTHERS = 5.0
# A task of a fit runs once, on its worker, or not at all.
_ONCE = {"allow_other_workers": False, "pure": False, "retries": 0}


def fit_on_dask(
    client: Any,
    estimator: Network,
    X: Any,
    y: Any,
    sample_weight: Any = None,
    timeout: float = 300.0,
) -> Network:
    """Fit one network to the partitions of Dask collections, where they are.

    The workers that have partitions share the fit, as processes do in
    `data_parallel`: no partition moves, and the network is the one that a single
    process finds with all rows but for rounding.

    Parameters
    ----------
    client : distributed.Client
        Connected to the workers that have the partitions.
    estimator : SparseNetClassifier or SparseNetRegressor
        Stays as it is. Pipelines are refused, as each worker would fit the steps before
        the network to rows of its own.
    X : dask array of shape (n_samples, ...) or dask DataFrame
        Of known or unknown length; columns are not divided.
    y : dask array or Series of shape (n_samples,) or (n_samples, n_outputs)
        With the partitions of X.
    sample_weight : dask array or Series of shape (n_samples,), optional
        With the partitions of X.
    timeout : float, default=300
        Seconds that a worker waits for the others at most, before it raises an error.

    Returns
    -------
    SparseNetClassifier or SparseNetRegressor
        Fitted, with the parameters of `estimator`.

    Raises
    ------
    TypeError
        If something is no collection of Dask, or the estimator is another one.
    ValueError
        If partitions do not go together, and what `fit` raises, from the worker where
        it was raised.
    ProcessLostError
        If a worker is lost, with its address.

    Notes
    -----
    The rows of a worker follow each other, in the order of its partitions; workers
    follow each other by their first partitions. Batches are drawn in this order. So the
    fit is the same again where the partitions are on the same workers again, and that
    of one process on rows in this order.

    Partitions without rows are left out, and so are workers without others. Warnings
    and what `verbose` tells are written by the workers.

    Examples
    --------
    >>> net = fit_on_dask(client, net, frame[inputs], frame["y"])  # doctest: +SKIP
    >>> frame[inputs].map_partitions(net.predict)  # doctest: +SKIP
    """
    limit = as_timeout(timeout)
    if not isinstance(estimator, SparseNetClassifier | SparseNetRegressor):
        raise TypeError(
            "fit_on_dask fits a SparseNetClassifier or SparseNetRegressor, not "
            f"{type(estimator).__name__}. Transform the collections first."
        )
    given = {"X": X, "y": y, "sample_weight": sample_weight}
    named = {name: value for name, value in given.items() if value is not None}
    partitions = _partitions(client, named)
    shares = {
        worker: [[of_one[number] for number in numbers] for of_one in partitions]
        for worker, numbers in _shares(client, partitions).items()
    }
    store, tasks = _begin(client, estimator, shares, limit)
    try:
        _watch(client, tasks)
        return next(iter(tasks.values())).result(limit.total_seconds())
    finally:
        client.cancel(list(tasks.values()))
        del store  # which the tasks have found each other by


def _partitions(client: Any, collections: dict[str, Any]) -> list[list[Any]]:
    """Return futures of the partitions of each collection, of which there are as many.

    Where they are computed is the affair of Dask, and does not change any more.
    """
    for name, collection in collections.items():
        if not hasattr(collection, "to_delayed"):
            raise TypeError(
                f"{name} must be a dask array, DataFrame or Series, not "
                f"{type(collection).__name__}; dask.array.from_array makes one."
            )
    kept = client.persist(list(map(_with_whole_rows, collections.values())))
    found = [client.compute(np.ravel(one.to_delayed()).tolist()) for one in kept]
    counts = list(map(len, found))
    if len(set(counts)) > 1:
        raise ValueError(
            f"{', '.join(collections)} have {', '.join(map(str, counts))} partitions: "
            "rechunk arrays, or repartition frames, so that they have the same rows."
        )
    return found


def _with_whole_rows(collection: Any) -> Any:
    """Return a collection whose partitions have all columns."""
    if max(getattr(collection, "numblocks", ())[1:], default=1) == 1:
        return collection
    return collection.rechunk(dict.fromkeys(range(1, collection.ndim), -1))


def _shares(client: Any, partitions: Sequence[Sequence[Any]]) -> dict[str, list[int]]:
    """Return the numbers of the partitions that each worker has, if they have rows.

    Workers come in the order of their first ones. Where X is says who has a partition.
    """
    from distributed import wait

    wait(partitions[0])
    holders = client.who_has(partitions[0])
    of_each = [client.map(_n_rows, of_one, pure=False) for of_one in partitions]
    shares: dict[str, list[int]] = {}
    for number, sizes in enumerate(zip(*client.gather(of_each), strict=True)):
        if len(set(sizes)) > 1:
            raise ValueError(
                f"X, y and weights have {', '.join(map(str, sizes))} rows in partition "
                f"{number}: rechunk arrays, or repartition frames."
            )
        workers = holders[partitions[0][number].key]
        if not workers:
            raise ProcessLostError(
                f"The worker that had partition {number} was lost before the fit began."
            )
        if sizes[0]:
            shares.setdefault(min(workers), []).append(number)
    if not shares:
        raise ValueError("X has no rows.")
    return shares


def _n_rows(partition: Any) -> int:
    return partition.shape[0]


def _begin(
    client: Any, estimator: Any, shares: dict[str, list[list[Any]]], limit: timedelta
) -> tuple[Any, dict[str, Any]]:
    """Start the task of each worker; return futures of the store, and of the tasks."""
    from distributed.comm import get_address_host

    first = next(iter(shares))
    there = {"workers": [first], **_ONCE}
    store = client.submit(_open_store, get_address_host(first), limit, **there)
    address = client.submit(_address, store, **there)
    tasks = {}
    for rank, (worker, share) in enumerate(shares.items()):
        what = (share, estimator, address, rank, len(shares), limit)
        tasks[worker] = client.submit(_fit, *what, workers=[worker], **_ONCE)
    return store, tasks


def _open_store(host: str, limit: timedelta) -> TCPStore:
    """Return what the workers find each other by; it lives on a worker, as a result."""
    return TCPStore(host, 0, is_master=True, wait_for_workers=False, timeout=limit)


def _address(store: TCPStore) -> tuple[str, int]:
    return store.host, store.port


def _reach(address: tuple[str, int], limit: timedelta) -> TCPStore:
    try:
        return TCPStore(*address, is_master=False, timeout=limit)
    except RuntimeError as error:
        host, port = address
        raise ProcessLostError(
            f"The first worker of the fit cannot be reached at {host}:{port}. ({error})"
        ) from error


def _fit(
    share: Sequence[Sequence[Any]],
    estimator: Any,
    address: tuple[str, int],
    rank: int,
    size: int,
    limit: timedelta,
) -> Any:
    """Fit to partitions on this worker, with the others; the first returns the network.

    The others begin only if they find a thread: this one gives its place to whatever
    comes next, so that two fits at a time do not wait for each other.
    """
    from distributed import get_worker, secede

    secede()
    try:
        data = list(map(_concatenated, share))
        group = Group(_reach(address, limit), "sklearn_sparsenet", rank, size, limit)
        try:
            with joined(group):
                estimator.fit(*data)
        finally:
            group.leave()
    except Exception as error:
        error.add_note(f"Process {rank} of the fit is worker {get_worker().address}.")
        raise
    return estimator if rank == 0 else None


def _concatenated(pieces: Sequence[Any]) -> Any:
    """Return one array, sparse matrix, or frame with its names."""
    if len(pieces) == 1:
        return pieces[0]
    if hasattr(pieces[0], "iloc"):
        from dask.dataframe.dispatch import concat

        return concat(list(pieces))
    from dask.array.dispatch import concatenate_lookup

    return concatenate_lookup.dispatch(type(pieces[0]))(list(pieces), axis=0)


def _watch(client: Any, tasks: dict[str, Any]) -> None:
    """Wait until all tasks have ended; raise what has stopped one of them.

    A task whose worker is gone waits for it without end, as it may run nowhere else,
    or is cancelled if its data are gone, too.
    """

    def pending() -> dict[str, Any]:
        return {w: task for w, task in tasks.items() if task.status == "pending"}

    def is_well() -> bool:
        is_there = pending().keys() <= client.nthreads().keys()
        states = {task.status for task in tasks.values()}
        return is_there and states <= {"pending", "finished"}

    while pending() and is_well():
        _wait(pending(), seconds=1, return_when="FIRST_COMPLETED")
    if not is_well():
        there = client.nthreads()
        others = {worker: task for worker, task in pending().items() if worker in there}
        _wait(others, seconds=_FOR_OTHERS)
        raise _reason(tasks)


def _wait(tasks: dict[str, Any], seconds: float, **how: Any) -> None:
    from distributed import CancelledError, wait

    with suppress(TimeoutError, CancelledError):
        wait(list(tasks.values()), seconds, **how)


def _reason(tasks: dict[str, Any]) -> BaseException:
    """Return why a fit has failed; who is lost has neither ended nor told an error."""
    lost = [w for w, task in tasks.items() if task.status not in ("finished", "error")]
    errors = [task.exception() for task in tasks.values() if task.status == "error"]
    own = [error for error in errors if not isinstance(error, ProcessLostError)]
    if own:
        # Where one worker refuses its data, the others quote what it says.
        return min(own, key=lambda error: len(str(error)))
    if not lost:
        return errors[0]
    reason = ProcessLostError(
        f"Dask worker {', '.join(lost)} was lost during the fit, or did not come along "
        "in time. The fit cannot go on without it."
    )
    reason.__cause__ = next(iter(errors), None)
    return reason
