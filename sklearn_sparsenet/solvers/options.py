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
    """How a problem is solved."""

    solver: str = "adam"  # A key of `OPTIMIZERS`, or "lbfgs".
    learning_rate: float = 1e-2  # First step size.
    schedule: Schedule = Schedule.COSINE
    # Part of the solve before the step size begins to fall, in [0, 1).
    plateau_fraction: float = 0.0
    # Keeps the steps of Adam from growing as gradients vanish: its `floor`, which falls
    # with the step size.
    damping: float = 0.0
    # By how much more the steps of large weights are, for penalties of single weights:
    # `growth_factor`, of weights as `Network.step_scale` has them.
    growth: float = 0.0
    batch_size: int = 256
    max_iter: float = 100  # Epochs; the last one need not be whole.
    shuffle: bool = True
    # A solve on full batches, and Newton steps, end once the relative residual is this
    # small.
    kkt_tol: float = 1e-3
    # Samples for early stopping; None: no early stopping.
    validation: Validation | None = None

    def n_steps(self, n_samples: int) -> float:
        """Return the number of steps of a solve on so many samples."""
        return self.max_iter * math.ceil(n_samples / min(self.batch_size, n_samples))
