r"""How much noise there is in few samples: what the weight decay goes by.

A network that predicts well what it has not seen needs little weight decay, and one
that cannot do better than a constant needs much. A few steps on four fifths of the
samples tell which of the two it is, from the loss on the last fifth.

What is held out depends on the samples alone, not on their order, and equal ones stay
together: a sample that is there twice is worth one of twice the weight.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from math import ceil, inf, isfinite, prod

import numpy as np
import torch
from torch import Tensor

from sklearn_sparsenet.networks.network import Network
from sklearn_sparsenet.penalties import L1
from sklearn_sparsenet.solvers.dataset import DatasetSubset
from sklearn_sparsenet.solvers.loop import solve
from sklearn_sparsenet.solvers.monitor import Course, Monitor
from sklearn_sparsenet.solvers.options import SolverOptions
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.solvers.solution import Solution, Status
from sklearn_sparsenet.solvers.stopping import Validation
from sklearn_sparsenet.utils.exceptions import NonFiniteLossError
from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = ["distinct_samples", "mean_square", "unexplained_share"]

_STEPS = 100
_LOOKS, _PATIENCE = 20, 0.25  # of the steps, without a smaller loss
_HELD_OUT = 5  # one in so many samples
_ELEMENTS_AT_ONCE = 2**15  # of inputs: CSR rows are densified


def distinct_samples(problem: Problem) -> tuple[int, Tensor]:
    """Return how many samples have different inputs or targets, and a number of each.

    This is the same for equal inputs, and otherwise as good as drawn at random.
    """
    number = _digests(inputs.float() for inputs in _inputs(problem))
    target = problem.target.reshape(problem.n_samples, -1)
    n_distinct = len(np.unique(number ^ _digests([target])))
    return n_distinct, torch.from_numpy(number)


def mean_square(problem: Problem) -> float:
    """Return the weighted mean of the squared inputs, 1 for standardised columns."""
    squares = [inputs.square().mean(1) for inputs in _inputs(problem)]
    weight = problem.sample_weight
    return float(torch.cat(squares).to(weight) @ weight / weight.sum())


def _inputs(problem: Problem) -> Iterator[Tensor]:
    """Yield the inputs of some samples after the other, as rows."""
    size = max(1, _ELEMENTS_AT_ONCE // max(1, prod(problem.rows.sample_shape)))
    for start in range(0, problem.n_samples, size):
        stop = min(start + size, problem.n_samples)
        yield problem.rows.slice(start, stop).flatten(1)


def _digests(pieces: Iterable[Tensor]) -> np.ndarray:
    """Return a number for each row, which tells what is in it."""
    rows = (row for piece in pieces for row in piece.cpu().numpy() + 0)  # no -0.0
    digests = (hashlib.blake2b(row.tobytes(), digest_size=7).digest() for row in rows)
    numbers = (int.from_bytes(digest, "little") for digest in digests)
    return np.fromiter(numbers, np.int64)


@single_threaded()
def unexplained_share(
    problem: Problem, number: Tensor, options: SolverOptions
) -> float:
    """Return what a short training leaves of the loss of the best constant.

    That is the smallest loss on held-out samples, in [0, 1]; 1 where it cannot be told.
    The network is left as it is; `number` is what `distinct_samples` gave, and
    `options` say how to train, but not for how many epochs. A KeyboardInterrupt of the
    user goes on to the caller.
    """
    held = number % _HELD_OUT == 0
    weight = problem.sample_weight * held.to(problem.sample_weight)
    constant = _loss_of_constant(problem, weight)
    if constant is None or bool(held.all()):
        return 1.0
    if constant == 0:  # of a constant target
        return 0.0
    before = problem.network.snapshot()
    try:
        losses = _train(problem, held, options)
    except NonFiniteLossError:
        return 1.0
    finally:
        problem.network.restore(before)
    least = min(losses, default=constant)
    return min(max(least / constant, 0.0), 1.0) if isfinite(least) else 1.0


def _loss_of_constant(problem: Problem, weight: Tensor) -> float | None:
    """Return the loss without inputs on some samples; None if it is no scale."""
    constant = problem.loss.fit_intercept_only(problem.target, problem.sample_weight)
    if constant is None or not bool(weight.any()):
        return None
    output = constant.expand(problem.n_samples, -1)
    values = problem.loss.per_sample(output, problem.target)
    loss = float(values.to(weight) @ weight / weight.sum())
    return loss if isfinite(loss) and loss >= 0 else None


class _Looks(Monitor):
    """Scores a network now and then, and ends a training that does not help it."""

    def __init__(self, network: Network, validation: Validation, every: int) -> None:
        self._network, self._validation, self._every = network, validation, every
        self._best_epoch = 0
        self.losses: list[float] = []

    def begin_solve(self, name: str, n_epochs: int) -> None: ...

    def begin_epoch(self, epoch: int) -> None: ...

    def end_solve(self, found: Solution) -> bool:
        return False

    def end_epoch(self, epochs: int, course: Course) -> bool:
        if epochs % self._every:
            return False
        loss = -self._validation.evaluate(self._network)
        if loss < min(self.losses, default=inf):
            self._best_epoch = epochs
        self.losses.append(loss)
        return epochs - self._best_epoch >= self._validation.patience


def _train(problem: Problem, held: Tensor, options: SolverOptions) -> list[float]:
    """Train on what is not held out; return losses on what is, on the way."""
    kept, rest = (~held).nonzero()[:, 0], held.nonzero()[:, 0]
    n_epochs = ceil(_STEPS / ceil(len(kept) / options.batch_size))
    every, patience = ceil(n_epochs / _LOOKS), ceil(n_epochs * _PATIENCE)
    validation = Validation(
        DatasetSubset(problem.rows, rest), _score(problem, rest), patience
    )
    looks = _Looks(problem.network, validation, every)
    part = replace(
        problem,
        rows=DatasetSubset(problem.rows, kept),
        target=problem.target[kept],
        sample_weight=problem.sample_weight[kept],
        penalty=L1(),
        weight_decay=0.0,
    )
    short = replace(options, max_iter=n_epochs, kkt_tol=0.0)
    none = [0.0] * len(problem.network.layers)
    found = solve(part, none, short, torch.Generator().manual_seed(0), monitor=looks)
    if found.status is Status.INTERRUPTED:
        raise KeyboardInterrupt
    return looks.losses


def _score(problem: Problem, rest: Tensor) -> Callable[[Tensor], float]:
    target, weight = problem.target[rest], problem.sample_weight[rest]
    weight = weight / weight.sum()

    def score(output: Tensor) -> float:
        return -float(problem.loss.per_sample(output, target).to(weight) @ weight)

    return score
