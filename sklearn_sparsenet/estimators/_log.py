"""What `verbose` prints while a fit runs: rows of a table, and what came of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from textwrap import fill

import numpy as np
from torch import Tensor

from sklearn_sparsenet.estimators._specification import Specification
from sklearn_sparsenet.search.trainer import Trainer
from sklearn_sparsenet.search.training import TrainingResult, max_solves
from sklearn_sparsenet.search.unit_targets import UnitTargets
from sklearn_sparsenet.solvers import Solution
from sklearn_sparsenet.solvers.monitor import Course
from sklearn_sparsenet.solvers.stopping import Validation

__all__ = ["FitLog"]

_WIDTH = 80  # characters of a line, at most
# Rows of the epochs of a fit with verbose=1; each further level has so many times more.
_ROWS, _MORE, _LEVELS = 20, 5, 9
_SOLVES = 10  # of a search that have a row each; then every second, fourth and so on
_USUAL_SOLVES = 20  # of searches that do not say how many they make
_CELLS = {  # characters of each column
    "epoch": 7, "loss": 10, "validation": 11, "weights": 10, "alpha": 10,
    "inputs": 7, "units": 7, "seconds": 8,
}  # fmt: skip


class FitLog:
    """Prints a row for each block of epochs, and a summary; a `Monitor`.

    Nothing of the fit depends on it: it asks for no end, and draws no random numbers.
    Of a path there are the summaries of its points, and with verbose=2 the rows.
    """

    def __init__(
        self, spec: Specification, trainer: Trainer, n_points: int, name: str
    ) -> None:
        self._spec, self._trainer, self._name = spec, trainer, name
        self._n_points, self._n_concluded = n_points, 0
        level = min(int(spec.settings.verbose), _LEVELS) - (n_points > 1)
        more = _MORE ** max(level - 1, 0)
        self._has_rows, self._many = level > 0, _SOLVES * more
        n_solves = max_solves(trainer, spec.search, spec.limits) or _USUAL_SOLVES
        rows_of_a_solve = max(1, _ROWS * more // (n_solves * n_points))
        n_epochs = trainer.session.options.max_iter
        self._block = _rounded_up(n_epochs / rows_of_a_solve)
        self._stage, self._n_epochs, self._n_blocks, self._n_solves = "", 0, 0, 0
        self._started = time.perf_counter()
        self._print_title()

    @classmethod
    def of(
        cls, spec: Specification, trainer: Trainer, n_points: int, name: str
    ) -> FitLog | None:
        """Return one that watches the trainer; None if nothing is to be printed.

        Of processes that share a fit the first one prints.
        """
        if not spec.settings.verbose or spec.processes.rank:
            return None
        log = cls(spec, trainer, n_points, name)
        trainer.session.progress.watch(log)
        return log

    def begin_solve(self, name: str, n_epochs: int) -> None:
        self._stage, self._n_epochs, self._n_blocks = name, n_epochs, 0

    def begin_epoch(self, epoch: int) -> None: ...

    def end_epoch(self, epochs: int, course: Course) -> bool:
        # An epoch may come again, after a step back; its block does not.
        is_next = epochs // self._block > self._n_blocks
        if self._has_rows and is_next and epochs < self._n_epochs:
            self._n_blocks = epochs // self._block
            score = course.last_score
            self._print_row(epochs, course.last_loss, score, course.support, 0.0)
        return False

    def end_solve(self, found: Solution) -> bool:
        self._n_solves += 1
        every = 1 << ((self._n_solves - 1) // self._many).bit_length()
        if self._has_rows and self._n_solves % every == 0:
            numbers = (found.epochs, found.loss, found.validation_score)
            self._print_row(*numbers, found.weights != 0, float(np.mean(found.alpha)))
        return False

    def conclude(self, result: TrainingResult) -> None:
        """Print what was found, at the next point of the path."""
        final, target, width = result.final, result.target, 0
        if self._n_points > 1:  # below each other
            width = len(f"{self._spec.problem.network.n_weights:,}")
        if target is None:
            parts = [f"{sum(final.counts):{width},} weights"]
        else:
            kept, asked = target.grouped(final.counts), target.reached(final.counts)
            parts = [_asked("weights", kept, asked, width)]
        units = None if target is None else target.units
        if units is not None:
            in_use = self._in_use(final.weights != 0, units)
            parts += [
                _asked(each.name, [each.n_in_use(in_use)], [each.goal])
                for each in units.targets
            ]
        parts += [self._score(final), f"{self._seconds:.1f} s"]
        parts += [result.search.reason or final.status.value]
        self._print("; ".join(parts), self._number)
        self._n_concluded += 1
        self._n_solves = 0

    @property
    def _seconds(self) -> float:
        return time.perf_counter() - self._started

    @property
    def _units(self) -> UnitTargets | None:
        target = self._spec.target
        return None if target is None else target.units

    def _in_use(self, support: Tensor, units: UnitTargets) -> Tensor:
        """Mark the inputs and units on a live path."""
        flow = self._trainer.flow
        live = support if flow is None else flow.live(support)
        return units.units.in_use(live)

    def _score(self, final: Solution) -> str:
        """Return how good the network is, where it is to be had in one process."""
        spec, problem = self._spec, self._spec.problem
        weight = problem.sample_weight.cpu().numpy()
        name = "accuracy" if spec.settings.is_classification else "R²"
        if final.validation_score is not None:
            return f"validation {name} {final.validation_score:.4f}"
        if spec.settings.early_stopping or spec.processes.size > 1 or len(weight) < 2:
            return f"loss {final.loss:.4g}"

        def score(outputs: Tensor) -> float:
            return spec.coding.score(outputs, np.arange(len(weight)), weight)

        found = Validation(problem.rows, score, 1).evaluate(problem.network)
        return f"training {name} {found:.4f}"

    def _print_title(self) -> None:
        spec, network = self._spec, self._spec.problem.network
        points = f", {self._n_points} networks" if self._n_points > 1 else ""
        self._print(
            f"{spec.settings.kind.__name__}: {spec.problem.n_samples:,} rows, "
            f"{network.n_weights:,} weights{points}",
            "",
        )
        if self._has_rows:
            names = ["epoch", "loss", "validation", "weights", "seconds"]
            names[4:4] = ["alpha"] if self._units is None else ["inputs", "units"]
            blank = " " * len(self._number)
            self._print_cells("stage", dict(zip(names, names, strict=True)), blank)

    def _print_row(
        self,
        epochs: float,
        loss: float,
        score: float | None,
        support: Tensor,
        alpha: float,
    ) -> None:
        """Print a row, of the weights that are left; λ 0 is none."""
        cells = {
            "epoch": f"{epochs:.0f}",
            "loss": f"{loss:.4g}",
            "validation": "" if score is None else f"{score:.4g}",
            "weights": f"{int(support.sum()):,}",
        }
        if self._units is None:
            cells["alpha"] = f"{alpha:.3g}" if alpha else ""
        else:
            units = self._units.units
            in_use = self._in_use(support, self._units)
            hidden = slice(units.row(1).start, units.row(len(units.sizes) - 1).start)
            cells["inputs"] = f"{int(in_use[units.row(0)].sum()):,}"
            cells["units"] = f"{int(in_use[hidden].sum()):,}"
        cells["seconds"] = f"{self._seconds:.1f}"
        self._print_cells(self._stage, cells, self._number)

    def _print_cells(self, stage: str, cells: dict[str, str], number: str) -> None:
        if not self._spec.settings.early_stopping:
            del cells["validation"]
        row = "".join(f"{text:>{_CELLS[name]}}" for name, text in cells.items())
        self._print(f"{stage:5}{row}", number)

    @property
    def _number(self) -> str:
        """Of the point of the path; nothing where there is one."""
        if self._n_points == 1:
            return ""
        total = str(self._n_points)
        return f"{self._n_concluded + 1:{len(total)}}/{total} "

    def _print(self, text: str, number: str) -> None:
        """Print a text behind the names of the run and of the point of the path."""
        prefix = f"{self._name} {number}" if self._name else number
        lines = fill(prefix + text, _WIDTH, subsequent_indent=f"{prefix}  ")
        # What is told must not end a fit because a terminal has no letter for it.
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        print(lines.encode(encoding, "replace").decode(encoding), flush=True)


def _rounded_up(number: float) -> int:
    """Return the least of 1, 2, 5, 10, 20, 50 and so on that is not smaller."""
    unit = 1
    while True:
        for factor in (1, 2, 5):
            if factor * unit >= number:
                return factor * unit
        unit *= 10


def _asked(what: str, kept: Sequence[int], asked: Sequence[int], width: int = 0) -> str:
    """Say how many there are of what, and how many were asked for: by layer, or all."""
    there, goal = (" + ".join(f"{n:{width},}" for n in each) for each in (kept, asked))
    return f"{there} {what}, {goal} asked"
