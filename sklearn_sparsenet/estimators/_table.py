"""Data to fit, checked."""

from __future__ import annotations

from dataclasses import dataclass
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
    """Samples of a fit: all targets and weights, and those rows that are here."""

    X: Any  # array or sparse matrix of shape (n_rows_here, ...)
    y: np.ndarray  # of shape (n_samples,) or (n_samples, n_outputs)
    weight: np.ndarray  # of shape (n_samples,)
    features: dict[str, Any]  # number and names of the columns, as fitted attributes
    dtype: np.dtype  # of X, in all processes
    first: int = 0  # number of the first row that is here
    processes: Processes = ALONE

    def rows(
        self, numbers: np.ndarray, dtype: torch.dtype, device: torch.device
    ) -> Rows:
        """Return some samples, by their numbers, which ascend."""
        n_here = self.X.shape[0]
        ours = numbers[(numbers >= self.first) & (numbers < self.first + n_here)]
        is_whole = np.array_equal(ours, np.arange(self.first, self.first + n_here))
        some = None if is_whole else ours - self.first
        rows = make_dataset(self.X, dtype, device, some)
        if self.processes.size == 1:
            return rows
        return SharedRows.of(rows, self.processes)
