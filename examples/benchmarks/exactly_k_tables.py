"""Tables and verdicts of exactly k inputs: medians over the seeds.

Errors are of `exactly_k`; classifiers are shown by their accuracy in per cent. In each
column the best method is bold, the true inputs left aside; ours has a ✓ where its
error is at most `MARGIN` above that of the best rival.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from cached_runs import Record
from generated_page import table

from benchmarks import report
from benchmarks.exactly_k import JUDGES, REFERENCE
from benchmarks.input_problems import COUNTS, INPUT_PROBLEMS, TRUTH
from benchmarks.selectors import SELECTORS

__all__ = ["Bar", "Medians", "bars", "page"]

MARGIN = 0.003
OURS = ("ours", "ours_weights")
RIVALS = tuple(method for method in SELECTORS if method not in OURS)
NAMES = {REFERENCE: "the true inputs"} | {m: s.name for m, s in SELECTORS.items()}
COLUMNS = JUDGES | {"own": "own network"}
FASTER = 20
TIMED = tuple(problem for problem in COUNTS if problem != "mnist_whole")
TITLES = {
    "madelon": "Madelon, accuracy in per cent",
    "pumadyn": "pumadyn32nm, error in units of the variance",
    "digits": "Digits, accuracy in per cent",
    "cancer": "Breast cancer, accuracy in per cent",
    "mnist": "MNIST, 10 000 training rows, accuracy in per cent",
    "mnist_whole": "MNIST, all training rows, accuracy in per cent",
}


class Medians:
    """Medians over the seeds, by problem, method and count."""

    def __init__(self, cells: Iterable[Record]) -> None:
        self._runs: dict[tuple[str, str, int], list[Record]] = defaultdict(list)
        for cell in cells:
            self._runs[cell["problem"], cell["method"], cell["k"]].append(cell)

    def values(self, problem: str, method: str, k: int, name: str) -> list[float]:
        """Return an entry of every seed, of those that have it."""
        runs = self._runs.get((problem, method, k), [])
        return [run[name] for run in runs if run[name] is not None]

    def __call__(self, problem: str, method: str, k: int, name: str) -> float | None:
        """Return the median; None if no seed has it."""
        values = self.values(problem, method, k, name)
        return float(np.median(values)) if values else None

    def methods(self, problem: str) -> list[str]:
        """Return those that were run, in the order of the page."""
        run = {method for name, method, _ in self._runs if name == problem}
        return [method for method in NAMES if method in run]

    def best_rival(self, problem: str, k: int, name: str) -> float | None:
        """Return the lowest median of the rivals."""
        found = [self(problem, method, k, name) for method in RIVALS]
        return min((value for value in found if value is not None), default=None)


@dataclass(frozen=True)
class Bar:
    """Something to be reached.

    Attributes
    ----------
    what : str
    measured : str
        Empty if it is not known.
    met : bool
    """

    what: str
    measured: str = ""
    met: bool = False

    @property
    def shown(self) -> str:
        """What was measured."""
        return self.measured or "–"

    @property
    def verdict(self) -> str:
        """Whether it is met, if that is known."""
        return report.verdict(self.met, bool(self.measured))


def page(cells: list[Record]) -> str:
    """Return the verdicts, and two tables for each problem."""
    medians = Medians(cells)
    both = zip(*(bars(medians, method) for method in OURS), strict=True)
    rows = [
        [each[0].what, *(cell for bar in each for cell in (bar.shown, bar.verdict))]
        for each in both
    ]
    header = ["bar", *(word for m in OURS for word in (NAMES[m], "verdict"))]
    parts = [table(header, rows)]
    for problem in INPUT_PROBLEMS:
        if medians.methods(problem):
            parts += [f"**{TITLES[problem]}**", _judged(medians, problem)]
            parts.append(_chosen(medians, problem))
    return "\n\n".join(parts)


def bars(medians: Medians, method: str) -> list[Bar]:
    """Return what one of our methods has to reach."""
    found = [
        _near_the_best(medians, method, problem, name)
        for problem in ("mnist", "madelon")
        for name in COLUMNS
    ]
    found += [_mnist_at_50(medians, method), _madelon_at_100(medians, method)]
    found += [_recall(medians, method, k) for k in (20, 30)]
    found += _pumadyn(medians, method)
    return found + [_time(medians, method, problem) for problem in TIMED]


def _near_the_best(medians: Medians, method: str, problem: str, name: str) -> Bar:
    what = f"{problem}, {COLUMNS[name]}: within {100 * MARGIN:.1f} points at every k"
    gaps = {}
    for k in COUNTS[problem]:
        own = medians(problem, method, k, name)
        best = medians.best_rival(problem, k, name)
        if own is None or best is None:
            return Bar(what)
        gaps[k] = own - best
    worst = max(gaps, key=lambda k: gaps[k])
    share = sum(gap <= MARGIN for gap in gaps.values())
    said = f"{share} of {len(gaps)}; furthest {100 * gaps[worst]:+.1f} at {worst}"
    return Bar(what, said, share == len(gaps))


def _mnist_at_50(medians: Medians, method: str) -> Bar:
    what = "MNIST, all rows, k = 50: SVM at 95.3 %"
    error = medians("mnist_whole", method, 50, "svm")
    if error is None:
        return Bar(what)
    return Bar(what, f"{100 * (1 - error):.1f}", error <= 1 - 0.953)


def _madelon_at_100(medians: Medians, method: str) -> Bar:
    what = "madelon, k = 100: the best judge at 84.4 %"
    errors = [medians("madelon", method, 100, name) for name in JUDGES]
    known = [error for error in errors if error is not None]
    if not known:
        return Bar(what)
    return Bar(what, f"{100 * (1 - min(known)):.1f}", min(known) <= 1 - 0.844)


def _recall(medians: Medians, method: str, k: int) -> Bar:
    what = f"madelon, k = {k}: recall of .9"
    true = medians("madelon", method, k, "true")
    if true is None:
        return Bar(what)
    recall = true / len(TRUTH["madelon"])
    return Bar(what, f"{recall:.2f}", recall >= 0.9)


def _pumadyn(medians: Medians, method: str) -> list[Bar]:
    truth = "pumadyn, k = 4: the four true inputs in every seed"
    small = "pumadyn, k = 4: error of .06 in every seed"
    true = medians.values("pumadyn", method, 4, "true")
    errors = medians.values("pumadyn", method, 4, "own")
    if not true:
        return [Bar(truth), Bar(small)]
    hits, worst = sum(each == 4 for each in true), max(errors)
    return [
        Bar(truth, f"{hits} of {len(true)}", hits == len(true)),
        Bar(small, f"{worst:.3f}", worst <= 0.06),
    ]


def _time(medians: Medians, method: str, problem: str) -> Bar:
    what = f"{problem}: a {FASTER}th of LassoNet's time at every k"
    ratios = []
    for k in COUNTS[problem]:
        own = medians(problem, method, k, "seconds")
        other = medians(problem, "lassonet", k, "seconds")
        if own is None or other is None:
            return Bar(what)
        ratios.append(other / own)
    return Bar(what, f"a {min(ratios):.0f}th or less", min(ratios) >= FASTER)


def _judged(medians: Medians, problem: str) -> str:
    counts = COUNTS[problem]
    header = ["judge", "method", *(f"k = {k}" for k in counts)]
    rows = []
    for name, label in COLUMNS.items():
        for method in medians.methods(problem):
            shown = [_shown(medians, problem, method, k, name) for k in counts]
            if any(shown):
                rows.append([label, NAMES[method], *shown])
    return table(header, rows)


def _shown(medians: Medians, problem: str, method: str, k: int, name: str) -> str:
    error = medians(problem, method, k, name)
    if error is None:
        return ""
    is_classified = INPUT_PROBLEMS[problem].n_classes > 0
    text = f"{100 * (1 - error):.1f}" if is_classified else f"{error:.3f}"
    others = [medians(problem, other, k, name) for other in (*RIVALS, *OURS)]
    lowest = min((other for other in others if other is not None), default=error)
    if method != REFERENCE and error <= lowest:
        text = f"**{text}**"
    rival = medians.best_rival(problem, k, name)
    if method in OURS and rival is not None and error <= rival + MARGIN:
        text += " ✓"
    return text


def _chosen(medians: Medians, problem: str) -> str:
    """Return the table of what was chosen, and how long it took."""
    counts = COUNTS[problem]
    listed = ", ".join(map(str, counts))
    is_known = problem in TRUTH
    header = ["method", "seeds", *([f"true inputs at {listed}"] if is_known else [])]
    header += ["inputs kept by itself", "seconds"]
    rows = []
    for method in medians.methods(problem):
        seeds = len(medians.values(problem, method, counts[0], "k"))
        row = [NAMES[method], seeds]
        for name in ("true", "n_own") if is_known else ("n_own",):
            found = [medians(problem, method, k, name) for k in counts]
            row.append(", ".join("–" if v is None else f"{v:.0f}" for v in found))
        times = [medians(problem, method, k, "seconds") for k in counts]
        known = [time for time in times if time is not None]
        low, high = (f"{edge(known):.1f}" for edge in (min, max))
        rows.append([*row, low if low == high else f"{low} to {high}"])
    return table(header, rows)
