"""What a fit costs in one checkout of the library, over what it costs in another.

Usage, in the folder `examples`, with the commit to compare with in a checkout::

    git worktree add ../../before e70ad7a
    python -m benchmarks.versions --before ../../before --out ../docs/versions.json

Each case is fitted in a process of its own, on one thread, once to import and once to
be timed by process time. The two checkouts take turns, the first of each turn being
the other one every time, and the figure is the median ratio of the turns.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from cached_runs import Record, save_records

__all__ = ["CASES", "Case", "main", "measure", "report"]

HERE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Case:
    """A fit that both checkouts make.

    Attributes
    ----------
    name : str
    data : {"digits", "diabetes"}
        Which of scikit-learn's data sets.
    call : str
        An expression of `net`, `X`, `y` and `sparsenet_path`.
    parameters : str
        Arguments of the estimator, as they are written.
    """

    name: str
    data: str
    call: str
    parameters: str

    @property
    def program(self) -> str:
        """A program that prints the process time of the second of two fits."""
        kind = "Classifier" if self.data == "digits" else "Regressor"
        return "\n".join(
            [
                "import time, warnings; warnings.simplefilter('ignore')",
                f"from sklearn.datasets import load_{self.data} as load",
                f"from sklearn_sparsenet import SparseNet{kind}, sparsenet_path",
                "X, y = load(return_X_y=True); X = X / X.std(0).clip(1e-2)",
                f"net = SparseNet{kind}({self.parameters}, random_state=0)",
                "for turn in range(2):",
                "    started = time.process_time()",
                f"    {self.call}",
                "print(time.process_time() - started)",
            ]
        )


FIT, PATH = "net.fit(X, y)", "sparsenet_path(net, X, y)"
CASES = [
    Case("default, digits", "digits", FIT, "max_iter=40, batch_size=64"),
    Case("given alpha", "digits", FIT, "alpha=1e-4, max_iter=40, batch_size=64"),
    Case("two layers", "digits", FIT, "(256, 256), max_iter=40, batch_size=64"),
    Case("default, diabetes", "diabetes", FIT, "max_iter=200"),
    Case("path", "digits", PATH, "(50,), max_iter=20"),
]


def seconds(case: Case, checkout: Path) -> float:
    """Return the process time of the case with the library of a checkout."""
    found = subprocess.run(
        [sys.executable, "-c", case.program],
        env=os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"},
        cwd=checkout,
        check=True,
        capture_output=True,
        text=True,
    )
    return float(found.stdout)


def measure(case: Case, before: Path, turns: int) -> Record:
    """Time the case in both checkouts, turn by turn."""
    times: dict[Path, list[float]] = {HERE: [], before: []}
    for turn in range(turns):
        for checkout in (HERE, before)[:: 1 if turn % 2 else -1]:
            times[checkout].append(seconds(case, checkout))
    return {"case": case.name, "now": times[HERE], "before": times[before]}


def report(records: list[Record]) -> str:
    """Return a line for each case: the median ratio, and the range of the turns."""
    lines = ["case | now / before | lowest | highest", "---|---|---|---"]
    for record in records:
        pairs = zip(record["now"], record["before"], strict=True)
        ratios = sorted(now / before for now, before in pairs)
        shown = (median(ratios), ratios[0], ratios[-1])
        lines.append(" | ".join([record["case"], *(f"{ratio:.2f}" for ratio in shown)]))
    return "\n".join(lines)


def main() -> None:
    """Parse the command line; time, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, required=True, help="other checkout")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--out", type=Path, help="file for the raw times")
    arguments = parser.parse_args()
    before = arguments.before.resolve()
    records = [measure(case, before, arguments.turns) for case in CASES]
    print(report(records))
    if arguments.out:
        save_records(records, arguments.out)


if __name__ == "__main__":
    main()
