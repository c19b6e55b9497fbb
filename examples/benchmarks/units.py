"""Networks with few units: how small, how accurate and how fast, on MNIST.

A multilayer perceptron and a convolutional network are trained dense, with few inputs
or units (`target_inputs`, `target_units`), which `compact` makes a smaller dense
network of, and with as many single weights as that one has. In the folder `examples`::

    OMP_NUM_THREADS=1 python -m benchmarks.units --data ../../shared/data
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cached_runs import Record, load_records, save_records
from generated_page import replace_part, table
from torch import nn

from benchmarks.problems import PROBLEMS, Data
from sklearn_sparsenet import OnePassSearch, SparseNetClassifier
from sklearn_sparsenet.search.pruning_schedule import PruningSchedule

BATCHES = (1, 256)
# Units are cut slowly: with so few left, and much data, the last ones are chosen late.
SEARCH = OnePassSearch(schedule=PruningSchedule(0.1, 0.55, 0.6))
REPEATS = 30
PAGE = ["network", "kind", "parameters", "dense over it", "test accuracy, %"]
ROUTES = ["network", "route", *(f"µs, batch of {batch}" for batch in BATCHES)]


@dataclass(frozen=True)
class Case:
    """A network, and how many of its inputs and units are to stay.

    Attributes
    ----------
    name : str
    settings : dict
        Of the estimator: its layers and its training.
    few : dict
        Targets on inputs and units.
    """

    name: str
    settings: dict[str, Any]
    few: dict[str, Any]


def convolutional(n_features: int, n_outputs: int) -> nn.Sequential:
    """Return two convolutions and two linear layers, 225 000 weights."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Linear(128, n_outputs)),
    )


CASES = [
    Case(
        "perceptron, 784-300-100-10",
        {"hidden_layer_sizes": (300, 100), "max_iter": 60, "search": SEARCH},
        {"target_inputs": 200, "target_units": (54, 30)},
    ),
    Case(
        "convolutional",
        {"module": convolutional, "max_iter": 15, "search": SEARCH},
        {"target_units": (8, 14, 24)},
    ),
]


def fit(case: Case, data: Data, **targets: Any) -> SparseNetClassifier:
    """Fit a network of the case with other targets."""
    net = SparseNetClassifier(
        **case.settings, **targets, dtype="float32", batch_size=128, random_state=0
    )
    return net.fit(data.X_train, data.y_train)


def parameters(net: SparseNetClassifier) -> int:
    """Return how many numbers a network that is stored dense has."""
    return sum(p.numel() for p in net.module_.parameters())


def measure(case: Case, data: Data) -> list[Record]:
    """Fit the three networks; return sizes, accuracies and times."""
    nets = {
        "dense": fit(case, data, target_sparsity=0.0),
        "few units": fit(case, data, target_sparsity=None, **case.few),
    }
    n_weights = nets["few units"].n_nonzero_
    nets["single weights"] = fit(case, data, target_sparsity=n_weights)
    nets["few units"].compact()
    records: list[Record] = [
        {
            "network": case.name,
            "kind": kind,
            "parameters": parameters(net),
            "weights": net.n_nonzero_,
            "accuracy": net.score(data.X_test, data.y_test),
        }
        for kind, net in nets.items()
    ]
    times = {name: microseconds(run, data.X_test) for name, run in routes(nets).items()}
    return records + [
        {"network": case.name, "route": name, "microseconds": list(found)}
        for name, found in times.items()
    ]


def routes(nets: dict[str, SparseNetClassifier]) -> dict[str, Callable]:
    """Return the ways from rows to outputs, by PyTorch alone and by ours."""
    dense, few = nets["dense"].module_.eval(), nets["few units"].module_.eval()
    compiled = torch.compile(few)
    single = nets["single weights"]

    def torch_route(module: Callable) -> Callable[[np.ndarray], Any]:
        return torch.inference_mode()(lambda X: module(torch.from_numpy(X)))

    return {
        "dense, PyTorch": torch_route(dense),
        "few units, compacted, PyTorch": torch_route(few),
        "few units, compacted, torch.compile": torch_route(compiled),
        "few units, compacted, predict": nets["few units"].predict,
        "single weights, predict": single.predict,
    }


def microseconds(run: Callable, X: np.ndarray) -> list[float]:
    """Return the least time of a call for each size of batches."""
    found = []
    for batch in BATCHES:
        rows, times = X[:batch], []
        run(rows)
        for _ in range(REPEATS):
            started = time.perf_counter()
            run(rows)
            times.append(time.perf_counter() - started)
        found.append(min(times) * 1e6)
    return found


def page(records: list[Record]) -> str:
    """Return a table of sizes and accuracies, and one of times."""
    sizes = [record for record in records if "kind" in record]
    dense = {r["network"]: r["parameters"] for r in sizes if r["kind"] == "dense"}
    rows = [
        [
            r["network"],
            r["kind"],
            r["parameters"],
            f"{dense[r['network']] / r['parameters']:.1f}",
            f"{100 * r['accuracy']:.2f}",
        ]
        for r in sizes
    ]
    times = [
        [r["network"], r["route"], *(f"{value:.0f}" for value in r["microseconds"])]
        for r in records
        if "route" in r
    ]
    return f"{table(PAGE, rows)}\n\n{table(ROUTES, times)}"


def main() -> None:
    """Parse the command line; fit, time, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../../shared/data"))
    parser.add_argument("--rows", type=int, default=20_000, help="training rows")
    parser.add_argument("--out", type=Path, default=Path("../docs/units.json"))
    parser.add_argument("--read", action="store_true", help="fit nothing")
    parser.add_argument("--write", type=Path, help="page whose tables are replaced")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if not arguments.read:
        whole = PROBLEMS["mnist"].load(arguments.data, 0)
        rows = slice(arguments.rows)
        X, y = whole.X_train[rows], whole.y_train[rows]
        facts = (whole.X_test, whole.y_test, whole.hidden, whole.n_classes)
        data = Data(X, y, *facts)
        records = [record for case in CASES for record in measure(case, data)]
        save_records(records, arguments.out)
    text = page(load_records(arguments.out))
    print(text)
    if arguments.write:
        replace_part(arguments.write, "units", text)


if __name__ == "__main__":
    main()
