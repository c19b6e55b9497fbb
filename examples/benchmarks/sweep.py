"""No cliffs: the error over targets from 1 to 99 % and budgets of 200 to 20000 steps.

Also one λ against one per layer, over the same targets. Usage, in `examples`::

    python -m benchmarks.sweep --data ../../shared/data --plot ../docs/sweep.svg
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from cached_runs import Record

from benchmarks.harness import Job, run_all
from benchmarks.problems import PROBLEMS

DENSITIES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.99)
BUDGETS = (200, 500, 1000, 2000, 5000, 10000, 20000)
BUDGET, DENSITY = 1000, 0.05  # of the sweep over the other one
LABELS = {
    "density": f"share of the weights left ({BUDGET} steps)",
    "steps": f"gradient steps ({DENSITY:.0%} of the weights left)",
}


def make_jobs(problems: list[str], seeds: int) -> Iterator[Job]:
    """Yield the fits of both sweeps."""
    for seed in range(seeds):
        for name in problems:
            for method in ("l1", "gmp"):
                for density in DENSITIES:
                    yield Job(name, method, density, BUDGET, seed)
                for steps in BUDGETS:
                    yield Job(name, method, DENSITY, steps, seed)
            for steps in BUDGETS:
                yield Job(name, "dense", 1.0, steps, seed)
            for density in DENSITIES:
                yield Job(name, "l1", density, BUDGET, seed, per_layer=True)


def curve(
    records: list[Record], over: str, problem: str, method: str, per_layer: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of one sweep and the errors, their medians over the seeds."""
    density = 1.0 if method == "dense" else DENSITY
    fixed, value = ("steps", BUDGET) if over == "density" else ("density", density)
    chosen: dict[float, list[float]] = {}
    for record in records:
        wanted = (problem, method, per_layer, value)
        has = tuple(record[k] for k in ("problem", "method", "per_layer", fixed))
        if has == wanted:
            chosen.setdefault(record[over], []).append(record["error"])
    values = sorted(chosen)
    return np.array(values), np.array([np.median(chosen[v]) for v in values])


def plot(records: list[Record], problems: list[str], path: Path) -> None:
    """Draw both sweeps; needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        len(problems), 2, figsize=(9, 3 * len(problems)), squeeze=False
    )
    lines = {
        "ours": ("l1", False),
        "ours, per layer": ("l1", True),
        "pruning": ("gmp", False),
        "dense": ("dense", False),
    }
    for row, problem in zip(axes, problems, strict=True):
        for axis, over in zip(row, ("density", "steps"), strict=True):
            for colour, (label, key) in enumerate(lines.items()):
                method, per_layer = key
                values, errors = curve(records, over, problem, method, per_layer)
                is_swept = len(values) > 1 or method == "dense"
                if is_swept:
                    axis.plot(values, errors, f"C{colour}.-", label=label)
            axis.set(xscale="log", ylabel="test error", ylim=(0, None), title=problem)
            axis.set_xlabel(LABELS[over])
    axes[0, 0].legend()
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    """Parse the command line, run, plot if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("sweep.json"))
    parser.add_argument("--plot", type=Path, help="an image file to write")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--problems", nargs="+", default=["digits", "mg", "pumadyn"])
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    present = [n for n in arguments.problems if not PROBLEMS[n].missing(arguments.data)]
    jobs = make_jobs(present, arguments.seeds)
    records = run_all(jobs, arguments.data, arguments.out, arguments.jobs)
    if arguments.plot:
        plot(records, present, arguments.plot)


if __name__ == "__main__":
    main()
