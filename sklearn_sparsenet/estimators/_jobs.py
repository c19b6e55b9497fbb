"""Work for the jobs of joblib."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from sklearn import config_context, get_config

__all__ = ["as_here"]


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
    is_alone = threading.current_thread() is threading.main_thread()
    has_others = is_alone and os.getpid() != process  # in a process of joblib's
    if has_others:
        warnings.filters[:] = filters
    try:
        with config_context(**config):
            return function(*args)
    finally:
        if has_others:
            warnings.filters[:] = before
