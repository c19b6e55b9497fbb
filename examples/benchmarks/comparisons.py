"""From records to cells, and from cells to the comparisons that are reported."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from cached_runs import Record

from benchmarks.problems import PROBLEMS

__all__ = ["Cell", "Comparison", "Results", "is_exact"]

SMALLEST = 1e-4  # errors below it count as this in ratios


@dataclass(frozen=True, order=True)
class Cell:
    """A problem at a density and a budget."""

    problem: str
    steps: int
    density: float


def is_exact(record: Record) -> bool:
    """Tell whether the count is the target, layer by layer if it is per layer."""
    counts = record["n_nonzero_per_layer"]
    asked = record["target"]
    return counts == list(asked) if record["per_layer"] else sum(counts) == asked


@dataclass(frozen=True)
class Comparison:
    """One method against another in one cell, over the seeds that both have.

    Attributes
    ----------
    cell : Cell
    ours, other : float
        Median errors.
    spread : float
        Interquartile range of the paired differences.
    """

    cell: Cell
    ours: float
    other: float
    spread: float

    @property
    def is_lower(self) -> bool:
        """Whether the error is lower."""
        return self.ours < self.other

    @property
    def is_worse(self) -> bool:
        """Whether the error is higher by more than the spread."""
        return self.ours - self.other > self.spread

    @property
    def ratio(self) -> float:
        """Error over error."""
        return max(self.ours, SMALLEST) / max(self.other, SMALLEST)


class Results:
    """Records with one target for the network, by cell, method and seed."""

    def __init__(self, records: list[Record]):
        self.records = records
        self._runs: dict[tuple[Cell, str], dict[int, Record]] = defaultdict(dict)
        for record in records:
            if not record["per_layer"]:
                cell = Cell(record["problem"], record["steps"], record["density"])
                self._runs[cell, record["method"]][record["seed"]] = record

    def cells(self, kind: str = "network") -> list[Cell]:
        """Return the cells with a count and a budget, in the order of the problems."""
        order = list(PROBLEMS)
        found = {
            cell
            for cell, _ in self._runs
            if cell.steps
            and cell.density < 1
            and (PROBLEMS[cell.problem].kind == "network") == (kind == "network")
        }
        return sorted(found, key=lambda c: (order.index(c.problem), c.steps, c.density))

    def runs(self, cell: Cell, method: str) -> dict[int, Record]:
        """Return the records by seed; references at any density, budget are found."""
        for steps in (cell.steps, 0):
            for density in (cell.density, 1.0):
                runs = self._runs.get((Cell(cell.problem, steps, density), method))
                if runs:
                    return runs
        return {}

    def column(self, cell: Cell, method: str, name: str) -> np.ndarray:
        """Return one entry of the records of a cell."""
        return np.array([record[name] for record in self.runs(cell, method).values()])

    def live_share(self, cell: Cell, method: str) -> float:
        """Return the median share of live weights among the nonzero ones."""
        runs = self.runs(cell, method).values()
        return float(
            np.median([r["n_live"] / max(1, r["n_nonzero"]) for r in runs])
            if runs
            else np.nan
        )

    def compare(self, cell: Cell, ours: str, other: str) -> Comparison | None:
        """Compare two methods; None if they have no seed in common."""
        a, b = self.runs(cell, ours), self.runs(cell, other)
        seeds = sorted(a.keys() & b.keys())
        if not seeds:
            return None
        errors = np.array([[runs[seed]["error"] for seed in seeds] for runs in (a, b)])
        low, high = np.quantile(errors[0] - errors[1], [0.25, 0.75])
        medians = np.median(errors, axis=1)
        return Comparison(cell, float(medians[0]), float(medians[1]), float(high - low))

    def compare_all(self, ours: str, other: str, kind: str = "network"):
        """Return the comparisons of all cells that both methods have."""
        found = [self.compare(cell, ours, other) for cell in self.cells(kind)]
        return [comparison for comparison in found if comparison is not None]
