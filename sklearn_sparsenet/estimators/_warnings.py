"""Warnings that point at the line of the user's that they are about."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from pathlib import Path

import joblib
import sklearn

__all__ = ["warn_user"]

# A user calls `fit` through scikit-learn's decorators, pipelines, searches.
_PACKAGES = [
    Path(__file__).parents[1],
    *(Path(p.__file__).parent for p in (sklearn, joblib)),
]
_BETWEEN = (*(f"{folder}{os.sep}" for folder in _PACKAGES), contextlib.__file__)


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn from the innermost line that is neither ours nor scikit-learn's."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_BETWEEN):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
