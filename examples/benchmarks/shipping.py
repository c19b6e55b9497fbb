"""Networks trained sparse: how fast they predict, and how large their files are.

MNIST, 784-300-100-10 and 784-1024-1024-10, trained to 5, 2 and 1 % of their weights.
The routes take turns, on one thread. In the folder `examples`::

    OMP_NUM_THREADS=1 python -m benchmarks.shipping --data ../../shared/data

``--parts`` chooses what is measured. Loads, which are long enough, and one row are told
in process time, on which what else the machine does has less influence.
"""

from __future__ import annotations

import argparse
import importlib.util
import pickle
import tempfile
import time
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cached_runs import Record, save_records
from generated_page import replace_part, table
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from torch import nn

from benchmarks.problems import PROBLEMS, Schedule
from sklearn_sparsenet import SparseNetClassifier, load
from sklearn_sparsenet.deploy.predictor import Predictor

HIDDEN = ((300, 100), (1024, 1024))
DENSITIES = (0.05, 0.02, 0.01)
BATCHES = (1, 256, 10000)
SECONDS = 6.0  # for all repeats of a case
LEAST_REPEATS = 20

Route = Callable[[np.ndarray], Any]


def train(data, hidden: tuple[int, ...], density: float) -> SparseNetClassifier:
    """Return a network with that share of its weights, 1000 steps."""
    schedule = Schedule.for_rows(len(data.X_train), 1000)
    net = SparseNetClassifier(
        hidden,
        target_sparsity=1 - density,
        max_iter=schedule.epochs,
        batch_size=schedule.batch_size,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return net.fit(data.X_train, data.y_train)


def routes(net: SparseNetClassifier) -> dict[str, Route]:
    """Return the ways from validated inputs to outputs, dense ones and ours.

    ``"ours"`` chooses; ``"ours, ..."`` are its choices: for each layer d(ense) or
    s(parse).
    """
    module = net.module_
    layers = [child for child in module if isinstance(child, nn.Linear)]
    weights = [layer.weight.detach() for layer in layers]
    biases = [layer.bias.detach() for layer in layers]
    found: dict[str, Route] = {
        "torch dense": torch.no_grad()(lambda X: module(torch.from_numpy(X))),
        "numpy dense": numpy_route(weights, biases),
        "torch CSR": torch_csr_route(weights, biases),
    }
    if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"):
        found["onnxruntime dense"] = onnx_route(module)
    predictor = Predictor.of(module, net.n_features_in_)
    assert predictor is not None
    found["ours"] = predictor
    for plan in ("ddd", "sdd", "ssd", "sss", "dsd", "dss"):
        found[f"ours, {plan}"] = predictor.with_plan([letter == "s" for letter in plan])
    return found


def numpy_route(weights: list[torch.Tensor], biases: list[torch.Tensor]) -> Route:
    """Return a plain forward pass in NumPy."""
    pairs = [(w.numpy().T, b.numpy()) for w, b in zip(weights, biases, strict=True)]

    def run(X: np.ndarray) -> np.ndarray:
        for weight, bias in pairs[:-1]:
            X = np.maximum(X @ weight + bias, 0)
        return X @ pairs[-1][0] + pairs[-1][1]

    return run


def torch_csr_route(weights: list[torch.Tensor], biases: list[torch.Tensor]) -> Route:
    """Return a forward pass with PyTorch's CSR tensors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # sparse CSR is "beta"
        pairs = [
            (w.to_sparse_csr(), b[:, None])
            for w, b in zip(weights, biases, strict=True)
        ]

    def run(X: np.ndarray) -> torch.Tensor:
        columns = torch.from_numpy(X).T.contiguous()
        for weight, bias in pairs[:-1]:
            columns = torch.relu(weight @ columns + bias)
        return (pairs[-1][0] @ columns + pairs[-1][1]).T

    return torch.no_grad()(run)


def onnx_route(module: nn.Module) -> Route:
    """Return onnxruntime on the dense network, idle units and all."""
    import onnxruntime

    from sklearn_sparsenet.deploy import Function, to_onnx
    from sklearn_sparsenet.losses import SquaredError

    size = module[0].in_features
    model = to_onnx(Function(module, (size,), SquaredError()))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda X: session.run(None, {"X": X})


def medians(
    ways: dict[str, Callable[[], Any]], clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Return the median seconds of each; they take turns, in a random order.

    What ran before has filled the caches: a fixed order favours some of them.
    """
    rng = np.random.default_rng(0)
    for way in ways.values():
        way()
    started = time.perf_counter()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    while True:
        for name in rng.permutation(list(ways)):
            way = ways[name]
            begun = clock()
            way()
            seconds[name].append(clock() - begun)
        n_repeats = len(next(iter(seconds.values())))
        if n_repeats >= LEAST_REPEATS and time.perf_counter() - started > SECONDS:
            return {name: float(np.median(s)) for name, s in seconds.items()}


def speed(net: SparseNetClassifier, X: np.ndarray, n_rows: int) -> Record:
    """Return the microseconds of all routes for a batch."""
    rows = np.ascontiguousarray(X[:n_rows])
    found = medians({k: lambda r=r: r(rows) for k, r in routes(net).items()})
    return {
        "n_rows": n_rows,
        "plan": net.prediction_plan(n_rows),
        **{name: 1e6 * value for name, value in found.items()},
    }


def one_row(net: SparseNetClassifier, data) -> Record:
    """Return the microseconds of the public `predict` for one row, and sklearn's."""
    hidden = tuple(coef.shape[1] for coef in net.coefs_[:-1])
    other = MLPClassifier(hidden, max_iter=1, batch_size=500, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        other.fit(data.X_train[:1000], data.y_train[:1000])
    row = data.X_test[:1]
    found = medians(
        {"ours": lambda: net.predict(row), "sklearn": lambda: other.predict(row)},
        time.process_time,
    )
    return {name: 1e6 * value for name, value in found.items()}


def loads(net: SparseNetClassifier) -> Record:
    """Return the milliseconds of a load of both kinds of files."""
    with tempfile.TemporaryDirectory() as directory:
        plain, small = Path(directory) / "plain", Path(directory) / "small"
        net.save(plain)
        net.save(small, compress=True)
        ways = {"plain": lambda: load(plain), "compressed": lambda: load(small)}
        found = medians(ways, time.process_time)
    return {name: 1e3 * value for name, value in found.items()}


def files(net: SparseNetClassifier) -> Record:
    """Return the sizes of files in bytes."""
    dense = len(pickle.dumps(net.densify()))
    packed = len(pickle.dumps(net.sparsify()))
    net.densify()
    plain, small = BytesIO(), BytesIO()
    net.save(plain)
    net.save(small, compress=True)
    compact = pickle.loads(pickle.dumps(net)).compact()
    return {
        "dense pickle": dense,
        "sparse pickle": packed,
        "save": len(plain.getvalue()),
        "compressed": len(small.getvalue()),
        "C source": len(net.to_c()),
        "units": [coef.shape[1] for coef in compact.coefs_[:-1]],
        "inputs": int(net.support_.sum()),
    }


def convolutional(path: Path) -> Record:
    """Return sizes and speed of a network that `paper.mnist` kept, made compact."""
    from paper.mnist import build_cnn

    net = load(path, module=build_cnn)
    dense = net.module_
    report = net.sparsity_report()
    n_nonzero = net.n_nonzero_
    images = torch.randint(0, 256, (256, 1, 28, 28)).float()
    expected = dense(images).detach()
    compact = net.compact().module_
    difference = float((compact(images).detach() - expected).abs().max())
    found = medians(
        {
            "dense": torch.no_grad()(lambda: dense(images)),
            "compact": torch.no_grad()(lambda: compact(images)),
        }
    )
    return {
        "n_nonzero": n_nonzero,
        "units": list(map(int, report["n_units"])),
        "live units": list(map(int, report["n_live_units"])),
        "parameters": sum(p.numel() for p in dense.parameters()),
        "compact parameters": sum(p.numel() for p in compact.parameters()),
        "difference": difference,
        **{f"{name} ms": 1e3 * value for name, value in found.items()},
    }


def convolutional_table(records: list[Record]) -> str:
    """Return the table of compact convolutional networks."""
    header = ["weights left", "units", "left", "parameters", "left", "dense, ms"]
    header += ["compact, ms", "×", "largest difference of outputs"]
    rows = [
        [
            r["n_nonzero"],
            ", ".join(map(str, r["units"])),
            ", ".join(map(str, r["live units"])),
            r["parameters"],
            r["compact parameters"],
            f"{r['dense ms']:.0f}",
            f"{r['compact ms']:.0f}",
            f"{r['dense ms'] / r['compact ms']:.1f}",
            f"{r['difference']:.1e}",
        ]
        for r in records
    ]
    return table(header, rows)


def main() -> None:
    """Parse the command line; train, measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("shipping.json"))
    parser.add_argument("--write", type=Path, help="page whose tables are replaced")
    parser.add_argument(
        "--cnn", type=Path, nargs="+", default=[], help="networks that paper.mnist kept"
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    kept = [convolutional(path) for path in arguments.cnn]
    save_records(kept, arguments.out.with_suffix(".cnn.json"))
    data = PROBLEMS["mnist"].load(arguments.data, 0)
    records: list[Record] = []
    for hidden in HIDDEN:
        for density in DENSITIES:
            net = train(data, hidden, density)
            records.append(
                {
                    "hidden": hidden,
                    "density": density,
                    "accuracy": net.score(data.X_test, data.y_test),
                    **{part: PARTS[part](net, data) for part in arguments.parts},
                }
            )
            save_records(records, arguments.out)
            print(records[-1], flush=True)
    texts = {part: TABLES[part](records) for part in arguments.parts}
    if kept:
        texts["convolutions"] = convolutional_table(kept)
    for part, text in texts.items():
        print(text)
        if arguments.write:
            replace_part(arguments.write, f"shipping: {part}", text)


def named(record: Record) -> list[str]:
    """Return what a network is called in the tables, and how much is left of it."""
    sizes = (784, *record["hidden"], 10)
    return ["-".join(map(str, sizes)), f"{100 * record['density']:g} %"]


def speed_table(records: list[Record]) -> str:
    """Return the table of the microseconds of a batch."""
    dense = [k for k in records[0]["speed"][0] if k.endswith(("dense", "CSR"))]
    rows = []
    for record in records:
        for case in record["speed"]:
            best = min(v for k, v in case.items() if k.startswith("ours, "))
            fastest = min(case[k] for k in dense if k != "torch CSR")
            rows.append(
                [*named(record), case["n_rows"], f"{case['ours']:.0f}"]
                + [f"{case[k]:.0f}" for k in dense]
                + [f"{fastest / case['ours']:.1f}", f"{case['ours'] / best:.2f}"]
                + [", ".join(case["plan"])]
            )
    header = ["network", "left", "rows", "ours", *dense, "× the fastest dense"]
    return table([*header, "/ our best route", "chosen"], rows)


def size_table(records: list[Record]) -> str:
    """Return the table of the sizes of files."""
    rows = []
    for record in records:
        found = record["sizes"]
        kept = ("dense pickle", "sparse pickle", "save", "compressed")
        rows.append(
            [
                *named(record),
                f"{record['accuracy']:.4f}",
                found["inputs"],
                ", ".join(map(str, found["units"])),
                *(f"{found[kind] / 1024:.0f}" for kind in kept),
                *(f"{found['dense pickle'] / found[kind]:.0f}" for kind in kept[2:]),
            ]
        )
    header = ["network", "left", "accuracy", "inputs", "units", "dense pickle, KB"]
    header += ["sparsified, KB", "save, KB", "compressed, KB", "dense / save"]
    return table([*header, "dense / compressed"], rows)


def load_table(records: list[Record]) -> str:
    """Return the table of loads, and of predictions of one row."""
    rows = []
    for record in records:
        found, row = record["loads"]["load"], record["loads"]["one row"]
        times = [f"{found[kind]:.1f}" for kind in ("plain", "compressed")]
        rows.append([*named(record), *times, f"{row['ours'] / row['sklearn']:.2f}"])
    header = ["network", "left", "load, ms", "load compressed, ms"]
    return table([*header, "predict of one row / scikit-learn's"], rows)


PARTS: dict[str, Callable[..., Any]] = {
    "speed": lambda net, data: [speed(net, data.X_test, n) for n in BATCHES],
    "sizes": lambda net, data: files(net),
    "loads": lambda net, data: {"load": loads(net), "one row": one_row(net, data)},
}
TABLES = {"speed": speed_table, "sizes": size_table, "loads": load_table}


if __name__ == "__main__":
    main()
