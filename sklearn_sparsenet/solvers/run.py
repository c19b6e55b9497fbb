"""A solve in progress: its epochs, and the state to go on from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Any, Protocol

import torch
from torch import Tensor

from sklearn_sparsenet.networks.network import Network
from sklearn_sparsenet.optimality import certify
from sklearn_sparsenet.solvers.batches import Batch
from sklearn_sparsenet.solvers.dataset import batch_sizes
from sklearn_sparsenet.solvers.losses_of_steps import LossesOfSteps
from sklearn_sparsenet.solvers.monitor import Monitor
from sklearn_sparsenet.solvers.options import SolverOptions
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.solvers.pruning import Pruning
from sklearn_sparsenet.solvers.rows import Rows
from sklearn_sparsenet.solvers.solution import Status
from sklearn_sparsenet.solvers.stepper import Stepper
from sklearn_sparsenet.solvers.stopping import EarlyStopping
from sklearn_sparsenet.utils.exceptions import NonFiniteLossError
from sklearn_sparsenet.utils.runtime import (
    random_states,
    set_random_states,
)

__all__ = ["ADVICE", "RUNAWAY_TRAINED", "Keeper", "Run"]

_CHECK_EVERY = 20
_MAX_BACKOFFS = 5
# Times its first value, a loss is as bad as an infinite one; that of a network that has
# been trained is good from the beginning.
_RUNAWAY, RUNAWAY_TRAINED = 1e3, 2.0
_BACKOFF = 0.2
# Adam's first steps have the same size for all weights, and what hidden units read is
# positive. Where they read so much that the size, times the number of inputs, exceeds
# this, steps begin small: all units of a layer could be dead after a few of them
# (figures in docs/design_notes.md).
_LONG_STEP = 5.0
_WARM_UP, _WARM_UP_PART = 50, 0.1  # steps; of the run, at most
# Attributes of a run that are kept as they are.
_PLAIN = ("rate", "epoch", "losses", "backoffs", "first_loss")

ADVICE = (
    "The training loss became infinite or NaN, also with a step size of {:.2g}. Scale "
    "X (StandardScaler) or y (normalize_y=True), or set a smaller learning_rate_init."
)


class Keeper(Protocol):
    """Keeps the state of a solve in progress, for another process to go on from."""

    def resume(self, load: Callable[[dict[str, Any]], None]) -> None:
        """Call `load` with the state that the solve goes on from, if there is one.

        If `load` raises an error, the solve has not been changed, and begins anew.
        """

    def offer(self, make_state: Callable[[], dict[str, Any]]) -> None:
        """Ask, between two epochs, whether the state is to be kept."""


def _weighted_mean(losses: Tensor, sizes: list[int]) -> Tensor:
    sizes = sizes[: len(losses)]
    if len(losses) == 1:
        return losses[0]
    return losses @ losses.new_tensor(sizes) / sum(sizes)


def _dtype_of(n_samples: int) -> torch.dtype:
    """Return what the numbers of so many samples are kept in."""
    is_small = n_samples <= torch.iinfo(torch.int32).max
    return torch.int32 if is_small else torch.int64


class Run:
    """One solve in progress: Algorithm 3 with either optimiser."""

    def __init__(
        self,
        problem: Problem,
        alpha: Sequence[float],
        options: SolverOptions,
        generator: torch.Generator,
        early: EarlyStopping | None,
        pruning: Pruning,
    ) -> None:
        self.problem = problem
        self.network: Network = problem.network
        self.alpha = alpha
        self.options = options
        self.generator = generator
        self.early = early
        self.pruning = pruning
        self.stop: Callable[[Tensor], bool] | None = None
        self.stop_from = 0.0
        self.runaway = _RUNAWAY
        self.full_batch = options.batch_size >= problem.n_samples
        self.rate = options.learning_rate
        self.epoch = 0
        self.losses: list[Tensor] = []
        self.backoffs = 0
        self.first_loss: Tensor | None = None
        self.last_good = (self.network.snapshot(), 0)
        self.stepper = Stepper(problem, alpha, options, pruning)
        self.warms_up = self._needs_warm_up()
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Time so far, that before an interruption included."""
        return time.perf_counter() - self._started

    @property
    def last_loss(self) -> float:
        """The loss of the last epoch, a mean over its batches."""
        return float(self.losses[-1])

    @property
    def last_score(self) -> float | None:
        """The validation score after the last epoch; None without early stopping."""
        return self.early.scores[-1] if self.early else None

    @property
    def support(self) -> Tensor:
        """Which weights are left; between two cuts those that the last one left."""
        kept = self.pruning.kept
        return self.network.weights != 0 if kept is None else kept

    def _needs_warm_up(self) -> bool:
        hidden = self.network.layers[1:]
        fan_in = max((math.prod(layer.shape[1:]) for layer in hidden), default=0)
        is_long = self.options.learning_rate * fan_in > _LONG_STEP
        return is_long and self.options.solver == "adam"

    def run_epochs(self, keeper: Keeper | None, monitor: Monitor | None) -> Status:
        """Run epochs until something ends them."""
        while self.epoch < self.options.max_iter:
            if keeper is not None:
                keeper.offer(self.state)
            if monitor is not None:
                monitor.begin_epoch(self.epoch)
            ended = self._epoch()
            if self._check_is_due(ended) and not self._keep_if_good():
                self._back_off()
                continue
            if ended is not None:
                return ended
            if self.early and self.early.update(self.network, self.epoch):
                return Status.EARLY
            if monitor is not None and monitor.end_epoch(self.epoch, self):
                return Status.STOPPED
        return Status.BUDGET

    @torch.no_grad()
    def _epoch(self) -> Status | None:
        """One pass over the samples; steps 1-3 of Algorithm 3."""
        ended = None
        # 1) Shuffle, and split into batches B_1, ..., B_m.
        sizes = batch_sizes(self.problem.n_samples, self.options.batch_size)
        losses = LossesOfSteps(len(sizes))
        left = round((self.options.max_iter - self.epoch) * len(sizes))
        with closing(self._batches(sizes[: max(left, 1)])) as batches:
            for number, batch in enumerate(batches):
                # 2) The gradient of L_B, all layers at once.
                loss = self.stepper.take_gradient(batch)
                self.first_loss = loss if self.first_loss is None else self.first_loss
                losses.append(loss)
                if batch is None and self._is_stationary():
                    ended = Status.STATIONARY
                    break
                # 3) b <- b - lr g_b, W_j <- prox(W_j - lr g_j).
                done = self.epoch + number / len(sizes)
                step = self.epoch * len(sizes) + number
                self._set_rate(done / self.options.max_iter, step)
                self.stepper.advance(step, self._n_steps(len(sizes)))
                self.stepper.step()
                if self._stops(done):
                    ended = Status.ON_TARGET
                    break
        self.stepper.write_back()
        self.epoch += 1
        self.losses.append(_weighted_mean(losses.stacked(), sizes))
        return ended

    def _batches(self, sizes: list[int]) -> Generator[Batch | None]:
        """Yield batches of these sizes, or None for all rows in their order."""
        if self.full_batch:
            yield None
            return
        rows = self.problem.rows.epoch(self.generator)
        order = self._order(rows)[: sum(sizes)].to(self.network.parameters.device)
        yield from self.problem.batches(order, sizes, rows)

    def _order(self, rows: Rows) -> Tensor:
        if not self.options.shuffle:
            return torch.arange(rows.n_samples, dtype=_dtype_of(rows.n_samples))
        order = rows.order(self.generator)
        if order is None:
            n_samples, generator = rows.n_samples, self.generator
            dtype = _dtype_of(n_samples)
            order = torch.randperm(n_samples, generator=generator, dtype=dtype)
        return order

    def _stops(self, epochs_done: float) -> bool:
        if self.stop is None or epochs_done < self.stop_from:
            return False
        self.stepper.write_back()
        return self.stop(self.network.weights)

    def _set_rate(self, progress: float, step: int) -> None:
        plateau = self.options.plateau_fraction
        falling = max(progress - plateau, 0.0) / (1 - plateau)
        factor = self.options.schedule.factor(falling)
        if self.warms_up:
            factor *= min(1.0, max((step + 1) / _WARM_UP, progress / _WARM_UP_PART))
        self.stepper.set_rate(self.rate * factor, self.options.damping * factor)

    def _n_steps(self, steps_per_epoch: int) -> int:
        return max(1, round(self.options.max_iter * steps_per_epoch))

    def _is_stationary(self) -> bool:
        """On full batches the gradient at hand is that of the present iterate."""
        if self.epoch % _CHECK_EVERY or self.options.kkt_tol <= 0:
            return False
        if self.epoch == 0 and self.problem.penalty.frees_zeros:
            return False
        self.stepper.complete_gradient()
        found = certify(
            self.network, self.problem.penalty, self.network.gradient, self.alpha
        )
        return found.largest <= self.options.kkt_tol

    def _check_is_due(self, ended: Status | None) -> bool:
        # A full-batch epoch is a single step; looking costs a synchronisation.
        often = not self.full_batch or self.epoch % _CHECK_EVERY == 0
        return often or ended is not None or self.epoch >= self.options.max_iter

    def _keep_if_good(self) -> bool:
        """Keep the present state unless it is not finite, or the loss ran away."""
        assert self.first_loss is not None
        limit = self.runaway * (self.first_loss.abs() + 1)
        sound = self.network.parameters.sum().isfinite() & (self.losses[-1] < limit)
        good = bool(sound & self.losses[-1].isfinite())
        if good:
            self.last_good = (self.network.snapshot(), self.epoch)
        return good

    def _back_off(self) -> None:
        """Start again from the last good state with a smaller step."""
        if self.backoffs == _MAX_BACKOFFS:
            raise NonFiniteLossError(ADVICE.format(self.rate))
        self.backoffs += 1
        self.rate *= _BACKOFF
        state, self.epoch = self.last_good
        self.network.restore(state)
        del self.losses[self.epoch :]
        if self.early is not None:
            self.early.rewind(self.epoch)
        self.stepper.start()

    def leave_in_order(self) -> None:
        """After an interruption or a stop: undo a step that left no finite state.

        Finish one that was interrupted before its prox, as far as there is a support.
        """
        self.stepper.write_back()
        if not bool(self.network.parameters.isfinite().all()):
            self.network.restore(self.last_good[0])
        support = self.stepper.support
        if support is not None:
            off = ~support
            self.network.parameters[: len(off)].masked_fill_(off, 0.0)

    def state(self) -> dict[str, Any]:
        """Return what is needed to go on, in tensors, numbers and containers."""
        early = self.early
        state = {
            "network": self.network.snapshot(),
            "last_good": self.last_good,
            "stepper": self.stepper.state(),
            "generator": self.generator.get_state(),
            "random": random_states(self.network.parameters.device),
            "pruning": self.pruning.state(),
            "early": None if early is None else early.state(),
            "seconds": self.seconds,
        }
        return state | {name: getattr(self, name) for name in _PLAIN}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned, in this process or another one.

        If that is not possible, nothing has changed.
        """
        before = self.state()
        try:
            self._take_over(state)
        except Exception:
            self._take_over(before)
            raise

    def _take_over(self, state: dict[str, Any]) -> None:
        self.stepper.start()
        self.network.restore(state["network"])
        self.last_good = state["last_good"]
        self.generator.set_state(state["generator"].cpu())
        set_random_states(state["random"], self.network.parameters.device)
        self.pruning.load_state(state["pruning"])
        self.stepper.load_state(state["stepper"])
        if self.early is not None:
            self.early.load_state(state["early"])
        for name in _PLAIN:
            setattr(self, name, state[name])
        self._started = time.perf_counter() - state["seconds"]
