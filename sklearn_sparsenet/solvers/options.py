"""How a problem is solved."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from sklearn_sparsenet.solvers.stopping import Validation

__all__ = ["Schedule", "SolverOptions"]


class Schedule(Enum):
    """How the step size falls over a solve."""

    CONSTANT = "constant"
    COSINE = "cosine"

    def factor(self, progress: float) -> float:
        """Return the factor on the first step size, `progress` going from 0 to 1."""
        if self is Schedule.CONSTANT:
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class SolverOptions:
    """How a problem is solved.

    Parameters
    ----------
    solver : str
        A key of `OPTIMIZERS`.
    learning_rate : float
        First step size.
    schedule : Schedule
    plateau_fraction : float in [0, 1)
        Part of the solve before the step size begins to fall.
    damping : float
        Keeps the steps of Adam from growing as gradients vanish: its `floor`, which
        falls with the step size.
    growth : float
        By how much more the steps of large weights are, for penalties of single
        weights: `growth_factor`, of weights as `Network.step_scale` has them.
    batch_size : int
    max_iter : float
        Epochs; the last one need not be whole.
    shuffle : bool
    kkt_tol : float
        On full batches, a solve ends once its relative residual is this small.
    validation : Validation or None
        Samples for early stopping; None: no early stopping.
    """

    solver: str = "adam"
    learning_rate: float = 1e-2
    schedule: Schedule = Schedule.COSINE
    plateau_fraction: float = 0.0
    damping: float = 0.0
    growth: float = 0.0
    batch_size: int = 256
    max_iter: float = 100
    shuffle: bool = True
    kkt_tol: float = 1e-3
    validation: Validation | None = None

    def n_steps(self, n_samples: int) -> float:
        """Return the number of steps of a solve on so many samples."""
        return self.max_iter * math.ceil(n_samples / min(self.batch_size, n_samples))
