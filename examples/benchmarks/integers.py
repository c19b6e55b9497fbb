"""C in integers beside C in floats: bytes, accuracy on new rows, time of a row.

The rows of the training calibrate the integers; those of the test are new to them.
Bytes are those of code and constants of an object file by ``-Os``, as `size` counts
them: by gcc for the processor at hand, and by clang for a Cortex-M0, where the package
ziglang is installed. Floats need a library on top there, which is not counted. The same
network runs in all three number formats, which take turns, compiled by ``gcc -O2``; and
where both compilers are there, they have to give the same integers. In `examples`::

    OMP_NUM_THREADS=1 python -m benchmarks.integers --write ../docs/shipping.md
"""

from __future__ import annotations

import ctypes
import importlib.util
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import torch
from cached_runs import Record, load_records, save_records
from generated_page import replace_part, table

from benchmarks.arguments import page_parser, with_data
from benchmarks.problems import PROBLEMS, Data, Problem
from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor
from sklearn_sparsenet.deploy.integer_network import IntegerNetwork, Width

__all__ = ["CASES", "Case", "main", "measure", "page"]

TURNS, CALLS = 15, 20_000
GCC = ["gcc", "-std=c99", "-ffreestanding"]
CLANG = [sys.executable, "-m", "ziglang", "cc", "-std=c99", "-ffreestanding"]
M0 = ["-target", "thumb-freestanding-eabi", "-mcpu=cortex_m0"]
# The rows are called one by one, as by a program of its own.
DRIVER = """
void all(const {x} *x, {out} *out, int n, int calls)
{{
    for (int i = 0; i < calls; i++)
        predict(x + i % n * {n_inputs}, out + i % n * {n_outputs});
}}
"""


@dataclass(frozen=True)
class Case:
    """A problem, and the network that is trained on it."""

    problem: Problem
    hidden: tuple[int, ...]
    n_weights: int


CASES = {
    "digits": Case(replace(PROBLEMS["digits"], scale="whole"), (100, 100), 300),
    "cancer": Case(PROBLEMS["lin_cancer"], (30,), 40),
    "california": Case(PROBLEMS["california"], (100, 100), 300),
}
BITS = {"float": 0, "int8": 8, "int16": 16}


def fit(case: Case, data: Data, seed: int) -> Any:
    """Return a network with so many weights."""
    kind = SparseNetClassifier if data.n_classes else SparseNetRegressor
    net = kind(case.hidden, target_sparsity=case.n_weights, random_state=seed)
    return net.fit(data.X_train, data.y_train)


def score(data: Data, outputs: np.ndarray) -> float:
    """Return the accuracy in percent, or 100 R², for one number per class or target."""
    if data.n_classes:
        return 100 * (1 - data.error(outputs.argmax(axis=1)))
    return 100 * (1 - data.error(outputs) / float(data.y_test.var()))


def n_bytes(source: str, command: list[str], folder: Path) -> int:
    """Return the size of code and constants in the object file."""
    file, made = folder / "net.c", folder / "net.o"
    # The library that declares it may be missing; a call of it is as long.
    file.write_text(source.replace("#include <math.h>", "float expf(float);"))
    subprocess.run([*command, "-Os", "-c", file, "-o", made], check=True)
    told = subprocess.run(["size", made], check=True, capture_output=True, text=True)
    return int(told.stdout.splitlines()[1].split()[0])


def compiled(source: str, rows: np.ndarray, n_outputs: int, command, folder: Path):
    """Return a function that predicts some rows in turn, and what it fills."""
    out = np.zeros((len(rows), n_outputs), np.float32)
    kinds = {"x": "float", "out": "float"}
    if rows.dtype.kind == "i":
        out = out.astype(np.int32)
        kinds = {"x": f"{rows.dtype}_t", "out": "int32_t"}
    driver = DRIVER.format(**kinds, n_inputs=rows.shape[1], n_outputs=n_outputs)
    file = folder / f"{rows.dtype}.c"
    library = folder / f"{Path(command[0]).name}-{rows.dtype}.so"
    file.write_text(source + driver)
    command = [*command, "-O2", "-shared", "-fPIC", file, "-lm", "-o", library]
    subprocess.run(command, check=True)
    run = ctypes.CDLL(str(library)).all

    def call(calls: int) -> None:
        run(rows.ctypes, out.ctypes, len(rows), calls)

    return call, out


def nanoseconds(ways: dict[str, Callable[[int], None]]) -> dict[str, float]:
    """Return the median time of a row by each; they take turns."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(TURNS):
        for name, way in ways.items():
            started = time.process_time()
            way(CALLS)
            found[name].append(1e9 * (time.process_time() - started) / CALLS)
    return {name: median(times) for name, times in found.items()}


def measure(name: str, data: Data, seed: int) -> list[Record]:
    """Fit one network, and compare its sources."""
    net, records, ways = fit(CASES[name], data, seed), [], {}
    has_clang = importlib.util.find_spec("ziglang") is not None
    n_outputs = data.n_classes or 1
    with tempfile.TemporaryDirectory() as made:
        for dtype, bits in BITS.items():
            rows, unit = np.ascontiguousarray(data.X_test), 1.0
            source = net.to_c(dtype=dtype, calibration=data.X_train)
            if bits:
                calibration = data.X_train.astype(float)
                function = net._compact_function("to_c")
                network = IntegerNetwork.of(function, Width(bits), calibration)
                rows = network.inputs(rows.astype(float)).astype(dtype)
                unit = network.unit
            folder = Path(made) / dtype
            folder.mkdir()
            ways[dtype], out = compiled(source, rows, n_outputs, GCC, folder)
            ways[dtype](len(rows))
            agree = None
            if has_clang and bits:
                other, same = compiled(source, rows, n_outputs, CLANG, folder)
                other(len(rows))
                agree = bool((out == same).all())
            given = out * unit
            if bits and not data.n_classes:
                given = given * net.y_scale_ + net.y_mean_
            records.append(
                {
                    "problem": name, "seed": seed, "dtype": dtype,
                    "n_weights": net.n_nonzero_, "score": score(data, given),
                    "gcc": n_bytes(source, GCC, folder),
                    "cortex_m0": (
                        n_bytes(source, CLANG + M0, folder) if has_clang else None
                    ),
                    "stack": stack(source), "compilers_agree": agree,
                }
            )  # fmt: skip
        times = nanoseconds(ways)
    return [record | {"ns": times[record["dtype"]]} for record in records]


def stack(source: str) -> int | None:
    """Return the bytes of RAM that a source in integers tells of."""
    told = re.search(r"RAM: (\d+) bytes", source)
    return int(told[1]) if told else None


def page(records: list[Record]) -> str:
    """Return a table: means of the seeds, and the most that one of them loses."""
    header = ["problem", "network", "weights", "numbers", "bytes, gcc x86-64"]
    header += ["bytes, clang Cortex-M0", "RAM of units, bytes", "accuracy or R², %"]
    header += ["lost, points", "lost by the worst seed", "ns a row"]
    rows = []
    for name, case in CASES.items():
        of_problem = [r for r in records if r["problem"] == name]
        exact = {r["seed"]: r["score"] for r in of_problem if r["dtype"] == "float"}
        for dtype in dict.fromkeys(record["dtype"] for record in of_problem):
            found = [r for r in of_problem if r["dtype"] == dtype]
            lost = [exact[r["seed"]] - r["score"] for r in found]
            cells = [_largest(found, key) for key in ("gcc", "cortex_m0", "stack")]
            network = "-".join(map(str, case.hidden))
            row = [name, network, case.n_weights, dtype, *cells]
            row += [f"{fmean(r['score'] for r in found):.2f}"]
            # Of a zero that is rounded from below no sign is left.
            row += [f"{round(x, 2) + 0.0:.2f}" for x in (fmean(lost), max(lost))]
            rows.append([*row, f"{median(r['ns'] for r in found):.0f}"])
    return table(header, rows)


def _largest(records: list[Record], key: str) -> Any:
    values = [record[key] for record in records if record[key] is not None]
    return max(values, default="")


def main() -> None:
    """Parse the command line; train, measure, print, write."""
    description = __doc__.splitlines()[0]
    parser = page_parser(description, list(CASES), "../docs/integers.json", 5)
    parser.add_argument("--read", action="store_true", help="fit nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if not arguments.read:
        problems = {name: case.problem for name, case in CASES.items()}
        records: list[Record] = []
        for name in with_data(arguments.problems, problems, arguments.data):
            for seed in range(arguments.seeds):
                data = problems[name].load(arguments.data, seed)
                records += measure(name, data, seed)
                save_records(records, arguments.out)
                print(f"{name}, seed {seed}", flush=True)
    text = page(load_records(arguments.out))
    print(text)
    if arguments.write:
        replace_part(arguments.write, "integers", text)


if __name__ == "__main__":
    main()
