"""Warnings about the scales of the data."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse

from sklearn_sparsenet.estimators._warnings import warn_user
from sklearn_sparsenet.solvers.streamed import StreamedTable, largest_number
from sklearn_sparsenet.utils.exceptions import DataScaleWarning

__all__ = [
    "check_finite",
    "check_range",
    "check_target_range",
    "standardization",
    "warn_about_scales",
    "warn_about_target_scale",
]

_SCALE_RATIO = 1e3
_OFFSET, _FEW_ROWS = 20.0, 10
_SCALE_ROWS = 10_000
_PIECE_ELEMENTS = 2**20
_TARGET_RATIO = 50.0


def check_range(
    X: np.ndarray | sparse.spmatrix | StreamedTable, dtype: torch.dtype
) -> None:
    """Refuse numbers whose squares are beyond the floating type of the fit."""
    if isinstance(X, StreamedTable):  # as it is read
        return
    values = X.data if sparse.issparse(X) else X
    if values.dtype.kind != "f" or values.size == 0:
        return
    largest = max(float(values.max()), -float(values.min()))
    limit = largest_number(dtype)
    if largest > limit:
        name = str(dtype).removeprefix("torch.")
        raise ValueError(
            f"X has numbers of up to {largest:.0e}, too large to be computed with in "
            f"{name}, whose squares end at {limit:.0e}. Put a StandardScaler before "
            "the network, or divide X."
        )


def check_target_range(target: np.ndarray, dtype: torch.dtype) -> None:
    """Refuse a target that the floating type of the fit cannot hold."""
    if np.abs(target).max() > torch.finfo(dtype).max:
        name = str(dtype).removeprefix("torch.")
        raise ValueError(
            f"y has numbers beyond those of {name}, up to {np.abs(target).max():.0e}. "
            "Divide y, or set normalize_y=True if the loss allows for it."
        )


def check_finite(predictions: np.ndarray) -> np.ndarray:
    """Return predictions, which are to be finite; X is refused otherwise."""
    if not np.isfinite(predictions).all():
        raise ValueError(
            "X has numbers that are too large for this network: what it computes from "
            "them is infinite or NaN. Scale X as that of the fit."
        )
    return predictions


def standardization(
    values: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return standardised columns, and the means and deviations that were used.

    Computed from values below 1, so that no square is too large or too small for a
    number. Constant columns have the deviation 1, and become zero. Values have the
    shape (n_samples, n_columns), weights (n_samples,).
    """
    largest = np.abs(values).max(axis=0)
    _, exponent = np.frexp(largest)  # powers of two change no digit
    scaled = np.ldexp(values, -exponent)
    mean = np.average(scaled, axis=0, weights=weight)
    centred = scaled - mean
    deviation = np.sqrt(np.average(centred**2, axis=0, weights=weight))
    # Rounding leaves a constant target a deviation that is not exactly zero.
    constant = deviation <= 1e-12 * np.ldexp(largest, -exponent)
    standardized = np.where(constant, 0.0, centred / np.where(constant, 1, deviation))
    scale = np.where(constant, 1.0, np.ldexp(deviation, exponent))
    return standardized, np.ldexp(mean, exponent), scale


def warn_about_scales(X: np.ndarray | sparse.spmatrix) -> None:
    """Tell the user of columns that one penalty, and one step size, cannot suit.

    Judged by means and positive standard deviations of the columns in a sample of the
    rows: scales that are wildly different, or far from 1 altogether, and columns that
    are far from zero in terms of their deviation.
    """
    if X.ndim != 2 or X.shape[0] < 2:
        return
    n_rows = _SCALE_ROWS
    if isinstance(X, StreamedTable):  # rows are copies, and those of others views
        n_rows = max(2, min(n_rows, _PIECE_ELEMENTS // max(1, X.row_size)))
    rows = X[:: max(1, X.shape[0] // n_rows)]
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = _moments(rows)
    # Rounding leaves constant columns a deviation that is not exactly zero.
    varies = deviation > 1e-12 * max(1.0, deviation.max())
    if not varies.any():
        return
    mean, deviation = np.abs(mean[varies]), deviation[varies]
    smallest, largest = deviation.min(), deviation.max()
    # Few rows, and columns that rarely change, have small deviations by chance.
    usual = np.maximum(deviation, np.median(deviation))
    offset = (mean / usual).max() if X.shape[0] >= _FEW_ROWS else 0.0
    if largest > _SCALE_RATIO * smallest:
        trouble = f"differ in scale by a factor of {largest / smallest:.0e}"
    elif smallest > _SCALE_RATIO or largest < 1 / _SCALE_RATIO:
        trouble = f"have standard deviations from {smallest:.0e} to {largest:.0e}"
    elif offset > _OFFSET:
        trouble = f"have means of up to {offset:.0e} standard deviations"
    else:
        return
    warn_user(
        f"The columns of X {trouble}, so that one penalty, and with module= one step "
        "size, cannot suit them all. Put a StandardScaler (for sparse X: MaxAbsScaler) "
        "before the network.",
        DataScaleWarning,
    )


def warn_about_target_scale(y: np.ndarray) -> None:
    """Tell the user of a target, not standardised, that the steps do not suit."""
    deviation = y.std(axis=0)
    deviation = deviation[deviation > 1e-12 * np.abs(y).max(axis=0)]
    scales = np.concatenate([deviation, 1 / deviation])
    if len(scales) and scales.max() > _TARGET_RATIO:
        warn_user(
            "y has standard deviations from "
            f"{deviation.min():.0e} to {deviation.max():.0e}, but the steps of the "
            "training suit deviations near 1, and with a loss of your own y is not "
            "scaled. Set normalize_y=True to scale it, if the loss allows that, or "
            "normalize_y=False to keep it as it is.",
            DataScaleWarning,
        )


def _moments(rows: np.ndarray | sparse.spmatrix) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each column."""
    if not sparse.issparse(rows):
        # Some columns at a time: copies of all of them would be larger than a batch.
        width = max(2, _PIECE_ELEMENTS // len(rows))
        starts = range(0, rows.shape[1], width)
        parts = (np.float64(rows[:, start : start + width]) for start in starts)
        pairs = [(part.mean(axis=0), part.std(axis=0)) for part in parts]
        mean, deviation = zip(*pairs, strict=True)
        return np.concatenate(mean), np.concatenate(deviation)
    rows = rows.astype(np.float64)
    mean = np.asarray(rows.mean(axis=0), dtype=np.float64).ravel()
    square = np.asarray(rows.multiply(rows).mean(axis=0), dtype=np.float64).ravel()
    return mean, np.sqrt(np.maximum(square - mean**2, 0))
