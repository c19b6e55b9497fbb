"""What targets on inputs and units cost: process time over that of targets on weights.

A fit with `target_inputs` or `target_units` is compared with one whose target is the
number of weights that the first one left, anywhere in the network. Both have the
defaults in all else. They take turns in one process of one thread, the first of each
turn being the other one every time; the figure is the median ratio of the turns. In the
folder `examples`::

    OMP_NUM_THREADS=1 python -m benchmarks.unit_cost --write ../docs/inputs_and_units.md
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from cached_runs import Record, load_records, save_records
from generated_page import replace_part, table

from benchmarks.arguments import page_parser, parse_problems
from benchmarks.harness import warm_up
from benchmarks.problems import PROBLEMS, Data
from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor

__all__ = ["CASES", "Case", "main", "measure", "page"]

TURNS = 3
KINDS = ["inputs", "units", "inputs, units and weights"]
HEADER = ["problem", "inputs; units of each layer", *KINDS]


@dataclass(frozen=True)
class Case:
    """How many inputs of a problem, and units of each hidden layer, are to stay."""

    inputs: int
    units: tuple[int, ...]
    density: float  # share of the weights, where they have a target as well

    def targets(self) -> dict[str, dict[str, Any]]:
        """Return the targets of each kind; the rest of the network is dense, or not."""
        inputs = {"target_inputs": self.inputs}
        units = {"target_units": self.units}
        targets = [
            inputs | {"target_sparsity": None},
            units | {"target_sparsity": None},
            inputs | units | {"target_sparsity": 1 - self.density},
        ]
        return dict(zip(KINDS, targets, strict=True))


CASES = {
    "madelon": Case(20, (25, 25), 0.02),
    "digits": Case(20, (25, 25), 0.05),
    "pumadyn": Case(4, (25, 25), 0.05),
    "mg": Case(3, (32, 32, 16), 0.05),
}


def fit(data: Data, seed: int, targets: dict[str, Any]) -> tuple[float, int]:
    """Return the process time of a fit, and the weights that it left."""
    kind = SparseNetClassifier if data.n_classes else SparseNetRegressor
    net = kind(data.hidden, random_state=seed, **targets)
    started = time.process_time()
    net.fit(data.X_train, data.y_train)
    return time.process_time() - started, net.n_nonzero_


def measure(name: str, data: Data, seed: int) -> list[Record]:
    """Time the fits of a problem, turn by turn."""
    records = []
    for kind, targets in CASES[name].targets().items():
        _, n_weights = fit(data, seed, targets)
        rivals = {"groups": targets, "weights": {"target_sparsity": n_weights}}
        times: dict[str, list[float]] = {rival: [] for rival in rivals}
        for turn in range(TURNS):
            for rival in list(rivals)[:: 1 if turn % 2 else -1]:
                times[rival].append(fit(data, seed, rivals[rival])[0])
        found = {"problem": name, "kind": kind, "seed": seed, "n_weights": n_weights}
        records.append(found | times)
    return records


def page(records: list[Record]) -> str:
    """Return a table of the median ratios, and the range of the seeds' medians."""
    rows = []
    for name, case in CASES.items():
        cells = []
        for kind in KINDS:
            of_kind = [r for r in records if (r["problem"], r["kind"]) == (name, kind)]
            if of_kind:
                turns = [_ratios(record) for record in of_kind]
                middle = median(ratio for ratios in turns for ratio in ratios)
                seeds = [median(ratios) for ratios in turns]
                cells.append(f"{middle:.2f} ({min(seeds):.2f} to {max(seeds):.2f})")
        if cells:
            asked = f"{case.inputs}; {', '.join(map(str, case.units))}"
            rows.append([name, asked, *cells])
    return table(HEADER, rows)


def _ratios(record: Record) -> list[float]:
    pairs = zip(record["groups"], record["weights"], strict=True)
    return [groups / weights for groups, weights in pairs]


def main() -> None:
    """Parse the command line; time, print, write."""
    description = __doc__.splitlines()[0]
    parser = page_parser(description, list(CASES), "../docs/unit_cost.json", 3)
    parser.add_argument("--read", action="store_true", help="fit nothing")
    arguments = parse_problems(parser)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if not arguments.read:
        warm_up()
        records: list[Record] = []
        for seed in range(arguments.seeds):
            for name in arguments.problems:
                data = PROBLEMS[name].load(arguments.data, seed)
                records += measure(name, data, seed)
                save_records(records, arguments.out)
                print(f"{name}, seed {seed}", flush=True)
    text = page(load_records(arguments.out))
    print(text)
    if arguments.write:
        replace_part(arguments.write, "unit cost", text)


if __name__ == "__main__":
    main()
