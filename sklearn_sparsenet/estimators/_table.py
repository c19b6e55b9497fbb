"""Data to fit, checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from sklearn_sparsenet.solvers.dataset import make_dataset
from sklearn_sparsenet.solvers.rows import Rows
from sklearn_sparsenet.solvers.shares import SharedRows
from sklearn_sparsenet.utils.processes import ALONE, Processes

__all__ = ["Table"]


@dataclass(frozen=True)
class Table:
    """Samples of a fit: targets and weights of all, and those rows that are here."""

    X: Any  # array or sparse matrix of shape (n_rows_here, ...)
    y: np.ndarray  # of shape (n_samples,) or (n_samples, n_outputs)
    weight: np.ndarray  # of shape (n_samples,)
    features: dict[str, Any]  # number and names of the columns, as fitted attributes
    dtype: np.dtype  # of X, in all processes
    first: int = 0  # number of the first row that is here
    processes: Processes = ALONE
    # Of the samples that y and weight are about, which ascend; None: all.
    numbers: np.ndarray | None = None

    def part(self, places: np.ndarray) -> Table:
        """Return some of these samples, by their places among them, which ascend."""
        numbers = places if self.numbers is None else self.numbers[places]
        y, weight = self.y[places], self.weight[places]
        return replace(self, y=y, weight=weight, numbers=numbers)

    def of_positive_weight(self) -> Table:
        """Return what is left without samples of weight 0."""
        if self.weight.min() > 0:
            return self
        return self.part(np.flatnonzero(self.weight))

    def rows(self, dtype: torch.dtype, device: torch.device) -> Rows:
        """Return the rows of the samples."""
        rows = make_dataset(self.X, dtype, device, self._numbers_here())
        return self.processes.joint(rows, SharedRows.of)

    def _numbers_here(self) -> np.ndarray | None:
        """Return which rows of X are among the samples; None: all."""
        if self.numbers is None:
            return None
        here = self.numbers - self.first
        here = here[(here >= 0) & (here < self.X.shape[0])]
        return None if np.array_equal(here, np.arange(self.X.shape[0])) else here
