"""Supports as good as the best: our error over that of the best rival of each cell.

A cell is a problem, a share of the weights and a budget; all methods have the same
network, rows, batches and epochs. The best rival of a cell is the one with the lowest
median *test* error there, a favour to it. Usage, in the folder `examples`::

    python -m benchmarks.supports --data ../../shared/data
    python -m benchmarks.supports --problems mnist genes --budgets 1000 5000 --seeds 5
    python -m benchmarks.supports --write ../docs/supports.md

Runs that the file has already are not computed again, so that a table can be made in
parts; the page says how many seeds each cell has.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from cached_runs import Record, load_records
from generated_page import replace_part, table

from benchmarks.arguments import page_parser, parse_problems
from benchmarks.comparisons import Comparison, Results
from benchmarks.harness import Job, run_all
from benchmarks.problems import PROBLEMS
from benchmarks.report import geometric_mean, listed, name, verdict

OURS = "l1"
RIVALS = (
    "gmp_tuned",
    "gmp_steady",
    "acdc",
    "granet",
    "factors_2",
    "factors_2_mild",
    "factors_3",
    "chita",
)
CELLS = ("digits", "mg", "california", "madelon", "pumadyn", "mnist", "genes")
QUICK = tuple(problem for problem in CELLS if problem != "mnist")
BAR, SPARSE = 0.85, 0.02  # geometric mean, over cells with so many weights at most
PAGE = ["cell", "seeds", "ours", "best rival", "its error", "ratio", "spread", "worse"]


def make_jobs(
    problems: list[str],
    methods: list[str],
    densities: list[float],
    budgets: list[int],
    seeds: int,
) -> list[Job]:
    """Return the fits, seed by seed; p ≫ n has a density of its own."""
    return [
        Job(problem, method, density, steps, seed)
        for seed in range(seeds)
        for steps in budgets
        for problem in problems
        for density in (
            PROBLEMS[problem].densities if problem == "genes" else densities
        )
        for method in methods
    ]


def best_rivals(results: Results) -> list[tuple[str, Comparison]]:
    """Return the best rival of each cell, and the comparison with it."""
    found = []
    for cell in results.cells():
        rivals = {
            rival: comparison
            for rival in RIVALS
            if (comparison := results.compare(cell, OURS, rival)) is not None
        }
        if rivals:
            best = min(rivals, key=lambda rival: rivals[rival].other)
            found.append((best, rivals[best]))
    return found


def page(records: list[Record]) -> str:
    """Return the verdict, a row for each cell, and a row for each rival."""
    results = Results(records)
    found = best_rivals(results)
    judged = [c for _, c in found if c.cell.density <= SPARSE]
    worse = [name(c.cell) for _, c in found if c.is_worse]
    mean = geometric_mean(judged)
    met = bool(judged) and mean <= BAR and not worse
    said = (
        f"Our error over that of the best rival, geometric mean of the {len(judged)} "
        f"cells with at most {SPARSE:.0%} of the weights: {mean:.2f} (bar: {BAR}). "
        f"Worse by more than the spread in {listed(worse)}. The bar is {verdict(met)}."
    )
    cells = [_row(results, rival, comparison) for rival, comparison in found]
    rivals = []
    for rival in RIVALS:
        pairs = [
            c for c in results.compare_all(OURS, rival) if c.cell.density <= SPARSE
        ]
        if pairs:
            lower = np.mean([c.is_lower for c in pairs])
            rivals.append(
                [rival, len(pairs), f"{geometric_mean(pairs):.2f}", f"{lower:.0%}"]
            )
    return "\n\n".join(
        [
            said,
            table(PAGE, cells),
            table(["rival", "cells", "ours over it", "ours lower"], rivals),
        ]
    )


def _row(results: Results, rival: str, comparison: Comparison) -> list[Any]:
    cell = comparison.cell
    seeds = results.runs(cell, OURS).keys() & results.runs(cell, rival).keys()
    return [
        name(cell),
        len(seeds),
        f"{comparison.ours:.4f}",
        rival,
        f"{comparison.other:.4f}",
        f"{comparison.ratio:.2f}",
        f"{comparison.spread:.4f}",
        "**yes**" if comparison.is_worse else "",
    ]


def main() -> None:
    """Parse the command line; run, print, write."""
    out = "../docs/supports.json"
    parser = page_parser(__doc__.splitlines()[0], CELLS, out, seeds=2)
    parser.set_defaults(problems=list(QUICK))
    parser.add_argument("--methods", nargs="+", default=[OURS, *RIVALS])
    parser.add_argument("--densities", nargs="+", type=float, default=[0.02, 0.005])
    parser.add_argument("--budgets", nargs="+", type=int, default=[1000])
    arguments = parse_problems(parser)
    jobs = make_jobs(
        arguments.problems,
        arguments.methods,
        arguments.densities,
        arguments.budgets,
        arguments.seeds,
    )
    if jobs:
        run_all(jobs, arguments.data, arguments.out, arguments.jobs)
    text = page(load_records(arguments.out))
    print(text)
    if arguments.write:
        replace_part(arguments.write, "supports", text)


if __name__ == "__main__":
    main()
