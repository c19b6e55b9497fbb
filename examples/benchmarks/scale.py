"""How time and memory grow with the data and the network.

Usage, in the folder `examples`::

    python -m benchmarks.scale [--parts rows csr] [--write ../docs/large_data.md]

Each measurement runs in a process of its own, on one thread. Time is that of the
process for an epoch: the difference of two fits at a fixed λ with more and with fewer
epochs, which have the preparation and the evaluation in common. Memory is the largest
that a fit with the default search, of one epoch, has on top of what there was before
it, data included: pages of memory maps are no memory of the process and do not count.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from generated_page import replace_part, table
from scipy import sparse

from sklearn_sparsenet import SparseNetRegressor

__all__ = ["PARTS", "main", "overall", "page", "steepest"]

Record = dict[str, Any]
ALPHA, RATE = 1e-4, 1e-3
_SAMPLED_SECONDS = 0.005


@dataclass(frozen=True)
class Work:
    """A fit whose epoch is measured.

    Attributes
    ----------
    make : callable(size, directory) -> X, y
        Data of a size; files go to the directory.
    hidden : callable(size) -> tuple of int
    epochs : callable(size) -> int
        By how many epochs the two fits differ.
    batch_size : int
    """

    make: Callable[[int, Path], tuple[Any, np.ndarray]]
    epochs: Callable[[int], int]
    hidden: Callable[[int], tuple[int, ...]] = lambda size: (10,)
    batch_size: int = 500

    def measure(self, size: int, directory: Path) -> Record:
        """Return seconds of an epoch, and peak memory of a fit in bytes."""
        X, y = self.make(size, directory)
        small = np.random.default_rng(0).standard_normal((1000, 3))
        self._fit(1, small, small[:, 0], max_iter=1)  # what a first fit pays for
        with peak_memory() as peak:  # before others leave memory to be used again
            self._fit(size, X, y, max_iter=1, alpha=None, debias="auto")
        seconds = [self._seconds(size, X, y, epochs) for epochs in self._epochs(size)]
        short, long = self._epochs(size)
        return {
            "size": size,
            "seconds": (seconds[1] - seconds[0]) / (long - short),
            "fit_seconds": seconds[0],
            "peak_bytes": peak[0],
            "data_bytes": bytes_of(X),
        }

    def _epochs(self, size: int) -> tuple[int, int]:
        return 1, 1 + self.epochs(size)

    def _seconds(self, size: int, X: Any, y: np.ndarray, epochs: int) -> float:
        started = time.process_time()
        self._fit(size, X, y, max_iter=epochs)
        return time.process_time() - started

    def _fit(self, size: int, X: Any, y: np.ndarray, **parameters: Any) -> None:
        fixed = {
            "alpha": ALPHA,
            "debias": False,
            "learning_rate_init": RATE,
            "batch_size": min(self.batch_size, len(y) // 2),
            "random_state": 0,
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            SparseNetRegressor(self.hidden(size), **fixed | parameters).fit(X, y)


def bytes_of(X: Any) -> int:
    """Return how large the data are."""
    parts = (X.data, X.indices, X.indptr) if sparse.issparse(X) else (X,)
    return sum(part.nbytes for part in parts)


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Yield a list whose entry is, afterwards, by how many bytes memory rose."""
    before, found, ended = _anonymous_bytes(), [0], threading.Event()

    def watch() -> None:
        while not ended.wait(_SAMPLED_SECONDS):
            found[0] = max(found[0], _anonymous_bytes() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        ended.set()
        watcher.join()


def _anonymous_bytes() -> int:
    """Return the memory of this process without pages of files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


def _target(X: Any) -> np.ndarray:
    some = X[:, :3]
    dense = some.toarray() if sparse.issparse(some) else np.asarray(some)
    return np.tanh(dense.sum(axis=1)).astype(np.float32)


def mapped_rows(n_rows: int, directory: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return a memory map of so many rows of 20 columns."""
    path, rng = directory / "X.npy", np.random.default_rng(0)
    shape = (n_rows, 20)
    X = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    for start in range(0, n_rows, 10**5):
        stop = min(start + 10**5, n_rows)
        X[start:stop] = rng.standard_normal((stop - start, 20), dtype=np.float32)
    X.flush()
    return np.load(path, mmap_mode="r"), _target(X)


def dense_columns(n_columns: int, directory: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return 1000 rows of so many columns."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1000, n_columns), dtype=np.float32)
    return X, _target(X)


def csr(n_rows: int, n_columns: int, n_stored: int) -> tuple[Any, np.ndarray]:
    """Return a CSR matrix with the same number of entries in every row."""
    rng = np.random.default_rng(0)
    each = n_stored // n_rows
    apart = n_columns // each
    places = rng.integers(0, apart, (n_rows, each), dtype=np.int32)
    parts = (
        rng.random(n_rows * each, dtype=np.float32),
        (places + np.arange(each, dtype=np.int32) * apart).ravel(),
        np.arange(n_rows + 1, dtype=np.int32) * each,
    )
    X = sparse.csr_array(parts, shape=(n_rows, n_columns))
    return X, _target(X)


def csr_columns(n_columns: int, directory: Path) -> tuple[Any, np.ndarray]:
    """Return 10 000 rows with 20 entries each in so many columns."""
    return csr(10**4, n_columns, 20 * 10**4)


def csr_entries(n_stored: int, directory: Path) -> tuple[Any, np.ndarray]:
    """Return 100 000 rows and columns with so many entries."""
    return csr(10**5, 10**5, n_stored)


def of_width(width: int, directory: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return 2000 rows of 100 columns, whatever the width of the network."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2000, 100), dtype=np.float32)
    return X, _target(X)


class MadeRows:
    """Rows of 100 columns that are made when they are asked for."""

    def __init__(self, n_samples: int) -> None:
        self.n_samples = n_samples
        self.rates = np.linspace(1.0, 2.0, 100, dtype=np.float32)
        self.nbytes = n_samples * self.rates.nbytes

    def take(self, index: np.ndarray) -> np.ndarray:
        """Return some rows."""
        return np.sin((index[:, None] % 8191).astype(np.float32) * self.rates)

    def slice(self, start: int, stop: int) -> np.ndarray:
        """Return rows start:stop."""
        return self.take(np.arange(start, stop))


def made_rows(n_rows: int, directory: Path) -> tuple[MadeRows, np.ndarray]:
    """Return a dataset of so many rows, and a target in memory."""
    return MadeRows(n_rows), np.sin(np.arange(n_rows) % 8191).astype(np.float32)


@dataclass(frozen=True)
class Part:
    """A row of the table for each size; what grows, and what is measured."""

    what: str
    sizes: tuple[int, ...]
    measure: Callable[[int, Path], Record]


PARTS = {
    "rows": Part(
        "rows of a memory map, 20 columns",
        (10**4, 10**5, 10**6, 10**7),
        Work(mapped_rows, lambda size: max(1, 10**6 // size)).measure,
    ),
    "columns": Part(
        "columns, 1000 rows",
        (10**2, 10**3, 10**4, 10**5),
        Work(dense_columns, lambda size: max(4, 10**5 // size), batch_size=100).measure,
    ),
    "csr_columns": Part(
        "columns of CSR, 20 entries in each of 10 000 rows",
        (10**2, 10**3, 10**4, 10**5),
        Work(csr_columns, lambda size: 4, batch_size=200).measure,
    ),
    "width": Part(
        "width of a hidden layer, 100 columns, 2000 rows",
        (128, 512, 2048, 4096),
        Work(of_width, lambda size: 20, lambda size: (size,), 200).measure,
    ),
    "csr": Part(
        "entries of a CSR matrix of 100 000 × 100 000",
        (10**5, 10**6, 10**7),
        Work(csr_entries, lambda size: 2, batch_size=2000).measure,
    ),
    "memory": Part(
        "rows that are made when they are read, 100 columns",
        (10**5, 10**6, 10**7),
        Work(made_rows, lambda size: 1, batch_size=1000).measure,
    ),
}


def steepest(records: list[Record], key: str) -> float:
    """Return the largest slope between sizes that follow each other, in logarithms."""
    points = [(math.log(r["size"]), math.log(max(r[key], 1e-9))) for r in records]
    return max((b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(points))


def overall(records: list[Record], key: str) -> float:
    """Return the slope of the line through all sizes, in logarithms."""
    logs = np.log([[r["size"], max(r[key], 1e-9)] for r in records])
    return float(np.polyfit(*logs.T, 1)[0])


def page(parts: dict[str, list[Record]]) -> str:
    """Return the table of what was measured."""
    rows = []
    for name, records in parts.items():
        slopes = [f"{s(records, 'seconds'):.2f}" for s in (overall, steepest)]
        for record in records:
            peak, data = record["peak_bytes"] / 2**20, record["data_bytes"] / 2**20
            rows.append(
                [
                    PARTS[name].what if record is records[0] else "",
                    f"{record['size']:,}".replace(",", " "),
                    f"{record['seconds']:.3g}",
                    *(slopes if record is records[-1] else ["", ""]),
                    f"{data:.0f}",
                    f"{peak:.0f}",
                ]
            )
    header = ["what grows", "size", "seconds an epoch", "slope", "steepest"]
    return table([*header, "data, MB", "peak on top, MB"], rows)


def _measure_apart(name: str, size: int) -> Record:
    one = json.dumps([name, size])
    command = [sys.executable, "-m", "benchmarks.scale", "--one", one]
    found = subprocess.run(
        command,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    print(name, found.stdout.strip(), flush=True)
    return json.loads(found.stdout)


def main() -> None:
    """Parse the command line, measure, write JSON and the part of the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--largest", type=int, help="leave larger sizes out")
    parser.add_argument("--json", type=Path, default=Path("../docs/scale.json"))
    parser.add_argument("--write", type=Path, help="page whose table is replaced")
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        name, size = arguments.one
        with tempfile.TemporaryDirectory() as directory:
            print(json.dumps(PARTS[name].measure(size, Path(directory))))
        return
    known = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
    for name in arguments.parts:
        sizes = PARTS[name].sizes
        limit = arguments.largest or max(sizes)
        known[name] = [_measure_apart(name, size) for size in sizes if size <= limit]
        lines = ",\n".join(
            f"  {json.dumps(key)}: {json.dumps(known[key])}" for key in known
        )
        arguments.json.write_text(f"{{\n{lines}\n}}\n")
    if arguments.write:
        shown = {name: known[name] for name in PARTS if name in known}
        replace_part(arguments.write, "scale", page(shown))


if __name__ == "__main__":
    main()
