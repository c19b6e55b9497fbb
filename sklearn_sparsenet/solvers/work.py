"""What Newton steps may cost, as a part of a training.

In nominal microseconds, not measured ones: the same fit takes the same steps whatever
else the machine is doing.
"""

from __future__ import annotations

from sklearn_sparsenet.solvers.options import SolverOptions
from sklearn_sparsenet.solvers.problem import Problem

__all__ = ["Work", "part_of_training"]

_SHARE, _SHARE_OF_MANY, _MANY = 0.7, 0.1, 10_000  # from so many samples on
_STEP = 250.0  # of a training
_FLOPS = 1e4  # in a microsecond, of double precision
_FEWEST_STEPS = 12  # that there must be time for


def part_of_training(problem: Problem, options: SolverOptions) -> float:
    """Return the part of what a training costs that may be spent after it.

    A step needs all samples, so that of many there is time for few.
    """
    size = min(options.batch_size, problem.n_samples)
    step = _STEP + 6 * size * problem.network.n_weights / _FLOPS
    share = _SHARE if problem.n_samples < _MANY else _SHARE_OF_MANY
    return share * options.n_steps(problem.n_samples) * step


class Work:
    """What steps on the units with weights cost, of `most` nominal microseconds."""

    def __init__(self, problem: Problem, most: float) -> None:
        network = problem.network
        self._left = most
        n_free = len(network.parameters) - network.n_penalized
        n_variables = int(network.weights.count_nonzero()) + n_free
        self._n_outputs = 1 if problem.target.ndim == 2 else 10
        self._gradient = 300 + 6 * problem.n_samples * network.n_weights / _FLOPS
        per_row = self._n_outputs * n_variables * (6e-3 + n_variables / 2 / _FLOPS)
        most_rows = int(most / _FEWEST_STEPS / per_row)
        # Samples that a Hessian can have.
        self.n_rows = min(problem.n_samples, max(1, most_rows))
        # A Hessian of fewer rows than variables is none.
        defined = self.n_rows * self._n_outputs >= min(n_variables, problem.n_samples)
        step = self._hessian(n_variables) + 4 * self._model(n_variables)
        step += 1.5 * self._gradient
        # Whether there is time for some steps at all.
        self.is_enough = defined and _FEWEST_STEPS * step <= most

    def _hessian(self, n_variables: int) -> float:
        n_values = self._n_outputs * self.n_rows * n_variables
        products = n_values * n_variables / 2 + 1.6 * n_variables**3
        return 2200 + 6e-3 * n_values + products / _FLOPS

    @staticmethod
    def _model(n_variables: int) -> float:
        return 600 + n_variables**3 / (2 * _FLOPS)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left."""
        return self._left <= 0

    def spend_on_gradient(self) -> None:
        """Take what an evaluation costs."""
        self._left -= self._gradient

    def spend_on_hessian(self, n_variables: int) -> None:
        """Take what a Hessian, made convex, and the rest of a step cost."""
        self._left -= self._hessian(n_variables)

    def spend_on_model(self, n_variables: int) -> None:
        """Take what a minimum of the model costs."""
        self._left -= self._model(n_variables)
