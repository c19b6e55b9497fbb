"""Jobs of joblib, and how many threads a fit may have beside them."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from joblib import cpu_count
from joblib.parallel import get_active_backend
from sklearn import config_context, get_config

__all__ = ["as_here", "count_threads"]

# What joblib sets in the processes of its workers, to the threads that each may have.
_LIMIT = "OMP_NUM_THREADS"


def count_threads(n_jobs: float | None) -> int:
    """Return how many threads `n_jobs` stands for, here.

    None is one, or what `joblib.parallel_config` says, up to the number of cores; -1
    are all of these. In a worker of joblib's None is one, and a number at most what
    joblib leaves to it: one if workers are threads, else its `inner_max_num_threads`.
    """
    backend, asked = get_active_backend()
    is_in_worker = (getattr(backend, "nesting_level", 0) or 0) > 0
    if n_jobs is None:
        number = 1 if is_in_worker or asked is None else asked
    else:
        number = int(n_jobs)
    if number < 0:
        number = max(1, cpu_count() + 1 + number)
    if n_jobs is None:
        return min(number, cpu_count())
    if not is_in_worker:
        return number
    limit = os.environ.get(_LIMIT, "1") if _is_main_thread() else "1"
    return min(number, max(1, int(limit) if limit.isdigit() else 1))


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def as_here(function: Callable) -> Callable:
    """Return a function for jobs, with the configuration and warnings filters of here.

    `sklearn.utils.parallel` exchanges the filters in every job. Jobs may be threads of
    one process, to which the filters belong as a whole, and then they are lost.
    """
    filters = list(warnings.filters)
    return partial(_as_there, function, get_config(), filters, os.getpid())


def _as_there(
    function: Callable, config: dict, filters: list, process: int, *args: Any
) -> Any:
    before = list(warnings.filters)
    has_others = _is_main_thread() and os.getpid() != process  # of joblib's
    if has_others:
        warnings.filters[:] = filters
    try:
        with config_context(**config):
            return function(*args)
    finally:
        if has_others:
            warnings.filters[:] = before
