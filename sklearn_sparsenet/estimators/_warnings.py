"""Warnings that point at the line of the user's that they are about."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

import joblib
import sklearn

__all__ = ["to_be_told", "told_before", "warn_user"]

# A user calls `fit` through scikit-learn's decorators, pipelines, searches.
_PACKAGES = [
    Path(__file__).parents[1],
    *(Path(p.__file__).parent for p in (sklearn, joblib)),
]
_BETWEEN = (*(f"{folder}{os.sep}" for folder in _PACKAGES), contextlib.__file__)

# The filters of the module `warnings` belong to the whole process: to change them for
# a while in one thread loses what the others have set.
_is_told: ContextVar[bool] = ContextVar("is_told", default=False)


@contextlib.contextmanager
def told_before() -> Iterator[None]:
    """Leave out what there is to say of data and parameters in a fit.

    For fits to parts of the data, of which all together have told it. What happens in
    training is told all the same.
    """
    yield from _telling(False)


@contextlib.contextmanager
def to_be_told() -> Iterator[None]:
    """Warn in here, even in fits whose data and parameters are told of before."""
    yield from _telling(True)


def _telling(is_new: bool) -> Iterator[None]:
    token = _is_told.set(not is_new)
    try:
        yield
    finally:
        _is_told.reset(token)


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn from the innermost line that is neither ours nor scikit-learn's."""
    if _is_told.get():
        return
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_BETWEEN):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
