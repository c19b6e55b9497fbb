"""What a fit makes of the cores: wall time with `n_jobs`, beside scikit-learn's MLP.

Competitors take turns, and ratios are medians over the turns. It means something on an
idle machine with two cores or more; the load of a minute before is in the records. In
the folder `examples`, with neither OMP_NUM_THREADS nor anything else that takes cores
from scikit-learn::

    python -m benchmarks.cores --write ../docs/large_data.md

Without the files of MNIST the images are random.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import joblib
import numpy as np
import torch
from cached_runs import Record, load_records, save_records
from generated_page import replace_part, table
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from torch import nn

from benchmarks.problems import PROBLEMS
from sklearn_sparsenet import SparseNetClassifier, SparseNetClassifierCV
from sklearn_sparsenet.networks.network import build_mlp

ROWS, WIDE, BATCH, EPOCHS = 20_000, (1024, 1024), 256, 2
FEW_IMAGES = 4000
MANY_ROWS, COLUMNS, HIDDEN = 1_000_000, 30, (100, 100)
COUNTS = {"one thread": 1, "two threads": 2}
MANY_BATCH = 512  # of so many rows by default
Table = tuple[np.ndarray, np.ndarray]
# A name, and what it stands for: numerator, denominator, time, and the bar.
RATIOS = {
    "784-1024-1024-10, two epochs, two threads over scikit-learn's MLP": (
        ("wide", "two threads"), ("wide", "scikit-learn"), "wall", "≤ 0.8",
    ),
    "the same, one thread over two": (
        ("wide", "one thread"), ("wide", "two threads"), "wall", "≥ 1.7",
    ),
    "the same, one core busy with another process, two threads over one": (
        ("busy", "two threads"), ("busy", "one thread"), "wall", "≤ 1",
    ),
    "10⁶ rows × 30, 100-100, one epoch, one thread over a loop in PyTorch": (
        ("rows", "one thread"), ("rows", "torch"), "process", "≤ 1.1",
    ),
    "28 × 28 pixels, 16 and 32 channels, two epochs, one thread over two": (
        ("convolutional", "one thread"), ("convolutional", "two threads"), "wall", "",
    ),
    "digits, default network, two threads over one": (
        ("digits", "two threads"), ("digits", "one thread"), "wall", "≤ 1.05",
    ),
    "digits, 5 folds × 10 targets and the last fit, two processes over one": (
        ("folds", "two threads"), ("folds", "one thread"), "wall", "≤ 0.55",
    ),
}  # fmt: skip


def images(directory: Path) -> Table:
    """Return rows of MNIST, or random ones of that size."""
    if PROBLEMS["mnist"].missing(directory):
        return drawn(ROWS, 784)
    data = PROBLEMS["mnist"].load(directory, 0)
    return data.X_train[:ROWS], data.y_train[:ROWS]


def drawn(n_rows: int, n_columns: int) -> Table:
    """Draw rows and ten classes of them."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_columns), dtype=np.float32)
    weight = rng.standard_normal((n_columns, 10), dtype=np.float32)
    return X, (X @ weight).argmax(1)


def fit_ours(hidden: tuple[int, ...], n_jobs: int, X, y, **settings: Any) -> None:
    """Fit our estimator, all else being the default."""
    net = SparseNetClassifier(hidden, n_jobs=n_jobs, random_state=0, **settings)
    net.fit(X, y)


def fit_convolutional(n_jobs: int, X, y) -> None:
    """Fit a network whose batches are divided into blocks of rows."""
    module = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 7 * 7, 10),
    )  # fmt: skip
    settings = {"max_iter": EPOCHS, "batch_size": BATCH, "random_state": 0}
    net = SparseNetClassifier(module=module, n_jobs=n_jobs, **settings)
    net.fit(X.reshape(-1, 1, 28, 28), y)


def fit_folds(n_jobs: int, X, y) -> None:
    """Choose one of ten targets by five folds, which are what runs in parallel."""
    SparseNetClassifierCV(cv=5, n_jobs=n_jobs, random_state=0).fit(X, y)


def fit_sklearn(X, y) -> None:
    """Fit scikit-learn's perceptron, which takes all cores."""
    MLPClassifier(WIDE, batch_size=BATCH, max_iter=EPOCHS, random_state=0).fit(X, y)


def fit_torch(X, y) -> None:
    """Run the loop that people write themselves, for one epoch on one thread."""
    inputs, target = torch.tensor(X), torch.tensor(y)
    generator = torch.Generator().manual_seed(0)
    net = build_mlp(COLUMNS, HIDDEN, 10, "relu", generator).float()
    loss, before = nn.CrossEntropyLoss(), torch.get_num_threads()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    torch.set_num_threads(1)
    for index in torch.randperm(len(X), generator=generator).split(MANY_BATCH):
        optimizer.zero_grad()
        loss(net(inputs[index]), target[index]).backward()
        optimizer.step()
    torch.set_num_threads(before)


def ours(hidden: tuple[int, ...], **settings: Any) -> dict[str, Callable]:
    """Return our two competitors."""
    return {k: partial(fit_ours, hidden, n, **settings) for k, n in COUNTS.items()}


def measure(
    case: str, fits: dict[str, Callable], data: Table, turns: int
) -> list[Record]:
    """Return seconds of every competitor in every turn."""
    for fit in fits.values():
        fit(*(part[:1024] for part in data))  # imports and first calls are no part
    found = []
    for turn in range(turns):
        for name, fit in fits.items():
            wall, process = time.perf_counter(), time.process_time()
            fit(*data)
            record = {"case": case, "name": name, "turn": turn}
            record["wall"] = round(time.perf_counter() - wall, 3)
            record["process"] = round(time.process_time() - process, 3)
            record["load"] = round(os.getloadavg()[0], 2)
            found.append(record)
            print(record, flush=True)
    return found


def _spin() -> None:
    while True:
        pass


@contextmanager
def busy_core() -> Iterator[None]:
    """Keep a core busy with a process of its own."""
    process = multiprocessing.get_context("spawn").Process(target=_spin, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def run(directory: Path, turns: int) -> list[Record]:
    """Measure everything; about five minutes."""
    wide = ours(WIDE, batch_size=BATCH, max_iter=EPOCHS)
    data = images(directory)
    records = measure("wide", {**wide, "scikit-learn": fit_sklearn}, data, turns)
    with busy_core():
        records += measure("busy", wide, data, turns)
    one = ours(HIDDEN, max_iter=1)["one thread"]
    rows = drawn(MANY_ROWS, COLUMNS)
    records += measure("rows", {"one thread": one, "torch": fit_torch}, rows, turns)
    images_of = tuple(part[:FEW_IMAGES] for part in data)
    layers = {name: partial(fit_convolutional, n) for name, n in COUNTS.items()}
    records += measure("convolutional", layers, images_of, turns)
    X, y = load_digits(return_X_y=True)
    small = ours((100,))
    table = X.astype(np.float32), y
    records += measure("digits", small, table, turns)
    folds = {name: partial(fit_folds, n) for name, n in COUNTS.items()}
    return records + measure("folds", folds, table, turns)


def page(records: list[Record]) -> str:
    """Return the table of the ratios, and of the seconds behind them."""
    seconds: dict[tuple[str, str, str], list[float]] = {}
    for record in records:
        for kind in ("wall", "process"):
            key = (record["case"], record["name"], kind)
            seconds.setdefault(key, []).append(record[kind])
    rows = []
    for what, (over, under, kind, bar) in RATIOS.items():
        pair = [seconds[*each, kind] for each in (over, under)]
        ratio = median(a / b for a, b in zip(*pair, strict=True))
        cells = [f"{median(each):.2f}" for each in pair]
        rows.append([what, kind, *cells, f"{ratio:.2f}", bar])
    header = ["what", "time", "seconds", "seconds, the other", "ratio", "bar"]
    load = max(record["load"] for record in records if record["case"] != "busy")
    return (
        f"{table(header, rows)}\n\nMedians of {records[-1]['turn'] + 1} turns on "
        f"{joblib.cpu_count()} cores; the load of the machine was up to {load}, these "
        "fits included."
    )


def main() -> None:
    """Measure, and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("../docs/cores.json"))
    parser.add_argument("--read", action="store_true", help="fit nothing")
    parser.add_argument("--write", type=Path, help="page whose table is replaced")
    parser.add_argument("--turns", type=int, default=3)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if not arguments.read:
        save_records(run(arguments.data, arguments.turns), arguments.out)
    text = page(load_records(arguments.out))
    print(text)
    if arguments.write:
        replace_part(arguments.write, "cores", text)


if __name__ == "__main__":
    main()
