"""Warnings about the scales of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from scipy import sparse

from sklearn_sparsenet.estimators._warnings import warn_user
from sklearn_sparsenet.solvers.streamed import (
    StreamedTable,
    block_slices,
    largest_number,
)
from sklearn_sparsenet.utils.exceptions import DataScaleWarning

__all__ = [
    "Standardization",
    "check_finite",
    "check_range",
    "check_target_range",
    "row_blocks",
    "warn_about_scales",
    "warn_about_target_scale",
]

_SCALE_RATIO = 1e3
_OFFSET, _FEW_ROWS = 20.0, 10
_SCALE_ROWS = 10_000
_PIECE_ELEMENTS = 2**20
_FEWEST = 16  # rows that are halved, into eight and eight
_TARGET_RATIO = 50.0
_CANCELLED = 1e-13  # of the mean square: variances below are what rounding leaves


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
    largest = max(float(target.max()), -float(target.min()))
    if largest > torch.finfo(dtype).max:
        name = str(dtype).removeprefix("torch.")
        raise ValueError(
            f"y has numbers beyond those of {name}, up to {largest:.0e}. "
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


def row_blocks(y: np.ndarray) -> Iterator[slice]:
    """Cut the rows of a target into blocks, which are few numbers each."""
    return block_slices(len(y), prod(y.shape[1:]), _PIECE_ELEMENTS)


@dataclass(frozen=True)
class Standardization:
    """What makes columns of numbers have mean 0 and deviation 1.

    Computed from values below 1, so that no square is too large or too small for a
    number. Constant columns have the deviation 1, and become zero. All attributes have
    the shape (n_columns,).
    """

    exponent: np.ndarray  # of two, by whose power values are divided at first
    centre: np.ndarray  # of what is left
    deviation: np.ndarray
    constant: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, weight: np.ndarray) -> Standardization:
        """Return that of values of shape (n_samples, n_columns), with their weights."""
        largest = np.maximum(
            values.max(axis=0).astype(np.float64),
            -values.min(axis=0).astype(np.float64),
        )
        _, exponent = np.frexp(largest)  # powers of two change no digit

        def mean_of(change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
            def weighted(rows: slice) -> np.ndarray:
                return change(_scaled(values[rows], exponent)) * weight[rows, None]

            return _sum(weighted, *values.shape) / total

        total = _sum(lambda rows: weight[rows, None], len(weight))

        centre = mean_of(lambda scaled: scaled)
        deviation = np.sqrt(mean_of(lambda scaled: (scaled - centre) ** 2))
        # Rounding leaves a constant target a deviation that is not exactly zero.
        constant = deviation <= 1e-12 * np.ldexp(largest, -exponent)
        return cls(exponent, centre, deviation, constant)

    @classmethod
    def known(cls, mean: np.ndarray, scale: np.ndarray) -> Standardization:
        """Return that by given numbers."""
        none = np.zeros(len(mean), dtype=np.int32)
        return cls(none, mean, scale, none > 0)

    @property
    def mean(self) -> np.ndarray:
        """What is subtracted from values."""
        return np.ldexp(self.centre, self.exponent)

    @property
    def scale(self) -> np.ndarray:
        """What they are divided by."""
        scale = np.ldexp(self.deviation, self.exponent)
        return np.where(self.constant, 1.0, scale)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return standardised values."""
        centred = _scaled(values, self.exponent) - self.centre
        deviation = np.where(self.constant, 1.0, self.deviation)
        return np.where(self.constant, 0.0, centred / deviation)


def _scaled(values: np.ndarray, exponent: np.ndarray) -> np.ndarray:
    return np.ldexp(values.astype(np.float64), -exponent)


def _sum(
    of_rows: Callable[[slice], np.ndarray], n_rows: int, n_columns: int = 1
) -> np.ndarray:
    """Return the sum of all rows, which are computed a block at a time.

    Halves are added up as NumPy does it: a single column has the same bits.
    """

    def between(start: int, stop: int) -> np.ndarray:
        n_left = stop - start
        if n_left < _FEWEST or n_left * n_columns <= _PIECE_ELEMENTS:
            return of_rows(slice(start, stop)).sum(axis=0)
        half = n_left // 2
        half = start + half - half % 8
        return between(start, half) + between(half, stop)

    return between(0, n_rows)


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
    variance = np.maximum(square - mean**2, 0)
    variance[variance < _CANCELLED * square] = 0.0  # of a constant column
    return mean, np.sqrt(variance)
