"""One fit by all processes of a `torch.distributed` group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import count

from torch import distributed
from torch.distributed import ProcessGroup
from torch.distributed.distributed_c10d import _get_default_store

from sklearn_sparsenet.distributed.group import Group
from sklearn_sparsenet.utils.arguments import as_number
from sklearn_sparsenet.utils.processes import joined

__all__ = ["as_timeout", "data_parallel"]

# How often the processes of a group, known by their ranks, have come together.
_numbers: dict[str, count[int]] = {}


@contextmanager
def data_parallel(
    group: ProcessGroup | None = None, timeout: float = 300.0
) -> Iterator[None]:
    """Let all processes of a group fit one network, each to samples of its own.

    Whatever launches the processes, each of them calls `fit` in this context, with
    equal parameters and with its own samples, of any number. All end with the network
    that one process finds with all samples, one process's after the other's: the same
    but for rounding, and the same bits in each of them.

    A step takes one sum over the processes, of as many numbers as the network has
    parameters. Every process draws the batches from all samples, and computes with
    those that it has, so that large batches keep all of them busy.

    Parameters
    ----------
    group : ProcessGroup, optional
        None: all processes of the default group, after
        `torch.distributed.init_process_group`, as under torchrun.
    timeout : float, default=300
        Seconds that a process waits for the others at most, before it raises an error;
        the longest pause that one of them may make.

    Raises
    ------
    RuntimeError
        If there is no group, or this process is none of it.
    ProcessLostError
        By `fit`, if another process has ended, or keeps the others waiting for too
        long, or has raised an error after the data were checked.
    ValueError
        By `fit`, in all processes, if the data of one cannot be used, or do not go with
        those of the others, or their parameters differ.

    Notes
    -----
    What `fit` does alone is done by all in the same way: early stopping, searches for
    λ, paths, and checkpoints, which the first process writes and reads. Estimators with
    `cv` are not fitted so; their folds are what runs in parallel.

    Examples
    --------
    Under ``torchrun --nproc-per-node=4``:

    >>> torch.distributed.init_process_group("gloo")  # doctest: +SKIP
    >>> with data_parallel(timeout=60):  # doctest: +SKIP
    ...     net.fit(X_local, y_local)
    """
    limit = as_timeout(timeout)
    if not (distributed.is_available() and distributed.is_initialized()):
        raise RuntimeError(
            "data_parallel needs a process group: launch the processes with torchrun, "
            'and call torch.distributed.init_process_group("gloo") in each.'
        )
    ranks = distributed.get_process_group_ranks(group)
    if distributed.get_rank() not in ranks:
        raise RuntimeError(f"This process is none of the group, which has {ranks}.")
    rank, store = distributed.get_rank(group), _get_default_store()
    how = (rank, len(ranks), limit, _accelerated(group))
    processes = Group(store, _next_name(ranks), *how)
    try:
        with joined(processes):
            yield
    finally:
        processes.leave()


def _accelerated(group: ProcessGroup | None) -> ProcessGroup | None:
    on_gpus = distributed.get_backend(group) == "nccl"
    return (group or distributed.group.WORLD) if on_gpus else None


def _next_name(ranks: Sequence[int]) -> str:
    """Return a name that these processes have not used yet, and that all find."""
    members = "-".join(map(str, ranks))
    number = next(_numbers.setdefault(members, count()))
    return f"sklearn_sparsenet/{members}/{number}"


def as_timeout(seconds: object) -> timedelta:
    """Return a time to wait; refuse what is no positive number of seconds."""
    number = as_number(seconds)
    if number is None or not 0 < number < float("inf"):
        raise ValueError(f"timeout={seconds!r} must be a positive number of seconds.")
    return timedelta(seconds=float(number))
