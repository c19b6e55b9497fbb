"""Which rows early stopping scores, and which ones it leaves to training."""

from __future__ import annotations

from math import ceil

import numpy as np

__all__ = ["hold_out"]


def hold_out(
    strata: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split rows into those to train with and those to score, each in their order.

    The shares of the classes are the same in both parts as far as they can be. A class
    is never without a row to train with: one that has a single row is not scored. Fewer
    than two rows to score, or none to train with, are refused.

    Parameters
    ----------
    strata : ndarray of int, shape (n_samples,)
        Class of each row; all zeros where there are none.
    fraction : float
        Of the rows, to be held out.
    seed : int
    """
    n_rows = len(strata)
    common = np.flatnonzero(np.bincount(strata)[strata] > 1)
    n_classes = len(np.unique(strata[common]))
    n_held = ceil(fraction * n_rows)
    if n_held == n_rows > 1:
        raise ValueError(
            f"validation_fraction={fraction!r} leaves none of the {n_rows} rows to "
            "train with."
        )
    n_held = min(n_held, len(common) - n_classes)
    if n_classes < 2 or n_classes <= min(n_held, len(common) - n_held):
        held = _shares(common, strata, n_held, seed) if n_held > 1 else common[:0]
    else:
        held = np.random.RandomState(seed).permutation(common)
        held = np.delete(held, _first_of_each(strata[held]))[:n_held]
    if len(held) < 2:
        raise ValueError(
            f"early_stopping=True can hold out {n_held} of {n_rows} rows, too few for "
            "a score; each class keeps a row to train with. Raise validation_fraction, "
            "or set early_stopping=False."
        )
    held = np.sort(held)
    return np.setdiff1d(np.arange(n_rows), held), held


def _shares(rows: np.ndarray, strata: np.ndarray, n_held: int, seed: int) -> np.ndarray:
    """Return that many rows, with the shares of the classes, but for a row of each."""
    from sklearn.model_selection import train_test_split  # slow to import

    several = np.ptp(strata[rows]) > 0
    kept, held = train_test_split(
        rows,
        test_size=n_held,
        random_state=seed,
        stratify=strata[rows] if several else None,
    )
    lost = np.flatnonzero(~np.isin(strata[held], strata[kept]))
    return np.delete(held, lost[_first_of_each(strata[held[lost]])])


def _first_of_each(classes: np.ndarray) -> np.ndarray:
    return np.unique(classes, return_index=True)[1]
