"""What a fit costs that several processes of one machine share, and what sums cost.

For 1, 2 and 4 processes: the time of a step, of which the part for the sum of the
gradients, and what a process takes of its core. From the time of a sum for several
sizes, and of a step by rows, follows what 8 to 64 machines would do: a model on paper,
with its assumptions beside it. In the folder `examples`::

    OMP_NUM_THREADS=1 python -m benchmarks.processes --write ../docs/large_data.md
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from generated_page import replace_part, table
from torch.distributed import TCPStore

from sklearn_sparsenet import SparseNetRegressor
from sklearn_sparsenet.distributed.group import Group
from sklearn_sparsenet.utils.processes import joined

SIZES = (1, 2, 4)
N_ROWS, N_COLUMNS, HIDDEN, BATCH = 100_000, 100, (512, 512), 8192
SUMS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
MACHINES = (8, 16, 32, 64)
LATENCY, BANDWIDTH = 1e-4, 1.25e9  # seconds, bytes per second: 10 Gbit/s Ethernet


class Timed:
    """A group that notes how long its sums take, the wait for the others included."""

    def __init__(self, group: Group) -> None:
        self._group, self.seconds, self.numbers = group, 0.0, 0
        self.n_sums = 0
        self.rank, self.size = group.rank, group.size

    def sum(self, values: torch.Tensor) -> None:
        """Replace values by their sums over all processes."""
        started = time.perf_counter()
        self._group.sum(values)
        self.seconds += time.perf_counter() - started
        self.n_sums += 1
        self.numbers += values.numel()

    def gather(self, value: object) -> list:
        """Return what each of the processes gives."""
        return self._group.gather(value)


def data(rank: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of one process."""
    rng = np.random.RandomState(rank)
    X = rng.standard_normal((N_ROWS // size, N_COLUMNS)).astype(np.float32)
    y = np.tanh(X[:, 0] * X[:, 1]) + X[:, 2] - 0.1 * X[:, 3]
    return X, y.astype(np.float32)


def fit(rank: int, size: int, port: int) -> dict:
    """Fit a part of the rows; return what it took."""
    warnings.simplefilter("ignore")
    X, y = data(rank, size)
    net = SparseNetRegressor(HIDDEN, batch_size=BATCH, max_iter=4, random_state=0)
    context, timed = nullcontext(), None
    if size > 1:
        limit = timedelta(seconds=300)
        store = TCPStore("127.0.0.1", port, None, False, limit, wait_for_workers=False)
        timed = Timed(Group(store, f"fit {size}", rank, size, limit))
        context = joined(timed)
    wall, process = time.perf_counter(), time.process_time()
    with context:
        net.fit(X, y)
    found = {
        "seconds": time.perf_counter() - wall,
        "process_seconds": time.process_time() - process,
        "n_steps": net.n_iter_ * -(-N_ROWS // BATCH),
        "n_parameters": sum(p.numel() for p in net.module_.parameters()),
        "n_nonzero": net.n_nonzero_,
    }
    if timed is not None:
        found |= {"sum_seconds": timed.seconds, "n_sums": timed.n_sums,
                  "numbers_summed": timed.numbers}  # fmt: skip
    return found


def sums(rank: int, size: int, port: int) -> dict:
    """Return the seconds of a sum of each size, the median of several."""
    limit = timedelta(seconds=300)
    store = TCPStore("127.0.0.1", port, None, False, limit, wait_for_workers=False)
    group, found = Group(store, f"sums {size}", rank, size, limit), {}
    for n_numbers in SUMS:
        values, times = torch.zeros(n_numbers), []
        for _ in range(20):
            started = time.perf_counter()
            group.sum(values)
            times.append(time.perf_counter() - started)
        found[n_numbers] = float(np.median(times))
    return found


def launch(what: str, size: int) -> list[dict]:
    """Return what each of so many processes prints."""
    store = TCPStore("127.0.0.1", 0, None, True, wait_for_workers=False)
    command = [sys.executable, "-m", "benchmarks.processes", "--worker", what]
    running = [
        subprocess.Popen(
            [*command, str(rank), str(size), str(store.port)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    return [json.loads(process.communicate()[0]) for process in running]


def measure() -> dict:
    """Return the record of one run."""
    fits = {size: launch("fit", size) for size in SIZES}
    return {
        "problem": {"rows": N_ROWS, "columns": N_COLUMNS, "hidden": HIDDEN,
                    "batch": BATCH},
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "fits": fits,
        "sums": {size: launch("sums", size)[0] for size in SIZES[1:]},
    }  # fmt: skip


def efficiency(step: float, n_parameters: int, n_machines: int) -> float:
    """Return the share of the time of a step that is no sum, for a batch per machine.

    A ring moves each number twice, but for one part in so many, and waits twice for
    each of the others.
    """
    moved = 2 * (n_machines - 1) / n_machines * 4 * n_parameters / BANDWIDTH
    waits = 2 * (n_machines - 1) * LATENCY
    return step / (step + moved + waits)


def render(record: dict) -> str:
    """Return the tables of a record."""
    fits = {int(size): rows for size, rows in record["fits"].items()}
    alone = fits[1][0]
    lines = []
    for size, rows in fits.items():
        n_steps = rows[0]["n_steps"]
        slowest = max(row["seconds"] for row in rows)
        cpu = sum(row["process_seconds"] for row in rows)
        waits = float(np.median([row.get("sum_seconds", 0.0) for row in rows]))
        lines.append([
            str(size), f"{1e3 * slowest / n_steps:.1f}",
            f"{1e3 * waits / n_steps:.1f}",
            f"{cpu / alone['process_seconds']:.2f}",
            f"{rows[0].get('n_sums', 0) / n_steps:.2f}",
        ])  # fmt: skip
    titles = ["processes", "ms a step", "of it waiting for sums, ms",
              "process time, all, over one alone", "sums a step"]  # fmt: skip
    sizes = next(iter(record["sums"].values()))
    of_sums = [
        [f"{int(n):,}", *(f"{1e3 * row[n]:.2f}" for row in record["sums"].values())]
        for n in sizes
    ]
    step = alone["process_seconds"] / alone["n_steps"]
    model = [
        [str(n), f"{efficiency(step, alone['n_parameters'], n):.0%}"] for n in MACHINES
    ]
    of_size = [f"{size} processes, ms" for size in record["sums"]]
    return "\n\n".join([
        table(titles, lines),
        table(["numbers in a sum", *of_size], of_sums),
        table(["machines", "of the time of a step that is no sum"], model),
    ])  # fmt: skip


def main() -> None:
    """Measure, or be one of the processes that are measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=Path("../docs/processes.json"))
    parser.add_argument("--write", type=Path, help="page whose tables are replaced")
    arguments = parser.parse_args()
    if arguments.worker:
        what, *numbers = arguments.worker
        work = {"fit": fit, "sums": sums}[what]
        print(json.dumps(work(*map(int, numbers))))
        return
    record = json.loads(json.dumps(measure()))
    arguments.out.write_text(json.dumps(record, indent=1) + "\n")
    print(render(record))
    if arguments.write:
        replace_part(arguments.write, "processes", render(record))


if __name__ == "__main__":
    main()
