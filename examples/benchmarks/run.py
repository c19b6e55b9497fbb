"""Run the benchmark: fits of every method on every problem, into a JSON file.

Usage, in the folder `examples`::

    python -m benchmarks.run --data ../../shared/data           # hours
    python -m benchmarks.run --data ../../shared/data --quick   # minutes

Records that the file has already are not computed again, but for the methods named
after ``--again``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from cached_runs import load_records, save_records

from benchmarks.harness import Job, run_all
from benchmarks.methods import METHODS
from benchmarks.problems import PROBLEMS

QUICK = {
    "problems": ["digits", "mg", "lin_diabetes"],
    "densities": [0.02],
    "budgets": [1000],
    "seeds": 2,
}


def parse() -> argparse.Namespace:
    """Return the options; ``--quick`` changes their defaults."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=PROBLEMS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--again", nargs="+", choices=METHODS, default=[])
    parser.add_argument("--densities", nargs="+", type=float, help="shares left")
    parser.add_argument("--budgets", nargs="+", type=int, default=[1000, 5000])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--per-layer", action="store_true")
    if parser.parse_known_args()[0].quick:
        parser.set_defaults(**QUICK)
    return parser.parse_args()


def available(arguments: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Return the problems and methods that can be run; tell of the others."""
    problems, methods = [], []
    for name in arguments.problems:
        missing = PROBLEMS[name].missing(arguments.data)
        if missing:
            print(f"skipped {name}: {arguments.data} has no {', '.join(missing)}")
        else:
            problems.append(name)
    for name in arguments.methods:
        if METHODS[name].is_missing:
            print(f"skipped {name}: {METHODS[name].package} is not installed")
        else:
            methods.append(name)
    return problems, methods


def make_jobs(arguments: argparse.Namespace) -> Iterator[Job]:
    """Yield the fits, seed by seed, so that an early look sees all problems."""
    problems, methods = available(arguments)
    for seed in range(arguments.seeds):
        for name in problems:
            problem = PROBLEMS[name]
            chosen = problem.densities
            if arguments.densities and problem.hidden:
                chosen = tuple(arguments.densities)
            for method in methods:
                kind = METHODS[method]
                if problem.kind not in kind.kinds:
                    continue
                if arguments.per_layer and not kind.per_layer:
                    continue
                for steps in arguments.budgets if kind.has_budget else [0]:
                    for density in chosen if kind.has_count else [1.0]:
                        yield Job(
                            name, method, density, steps, seed, arguments.per_layer
                        )


def main() -> None:
    """Parse the command line and run."""
    arguments = parse()
    if arguments.again:
        kept = [
            record
            for record in load_records(arguments.out)
            if record["method"] not in arguments.again
        ]
        save_records(kept, arguments.out)
    run_all(make_jobs(arguments), arguments.data, arguments.out, arguments.jobs)


if __name__ == "__main__":
    main()
