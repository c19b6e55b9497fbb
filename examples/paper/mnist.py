"""Tables 4 to 7: MNIST and a network of three convolutions (687392 weights).

Convolutions of 3 × 3 with 32, 64 and 128 channels, each with ReLU and 2 × 2 maxima,
then 1152-512-10. The paper: plain SGD with steps of 0.1, batches of 128, 200 epochs a
solve. Next to it the same targets by the library's search, 10 epochs in all. In the
folder `examples`::

    python -m paper.mnist --data mnist --only one_pass         # half an hour
    python -m paper.mnist --data mnist --epochs 5              # hours
    python -m paper.mnist --data mnist --device cuda           # full length

The data: the four gzipped files of MNIST in one directory. Images stay bytes and are
converted batch by batch. Runs that were interrupted go on where they stopped.
"""

from __future__ import annotations

import gzip
import importlib.util
import resource
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from cached_runs import Record
from torch import Tensor, nn

from paper.experiment import (
    PAPER_SEARCHES,
    Run,
    SquaredL2,
    fit,
    parser,
    run_experiment,
    sorted_gradients,
)
from sklearn_sparsenet import SparseNetClassifier

EPOCHS, QUICK_EPOCHS = 200, 5
ONE_PASS_EPOCHS = 10
L2_ALPHAS = (0.0, 1e-6, 1e-5, 1e-4, 1e-3)
PER_LAYER = (250, 8000, 13000, 20000, 4200)
# The paper's, but for the last of each; the paper's second per layer is not known.
TARGETS: tuple[int | tuple[int, ...], ...] = (
    50000,
    100000,
    PER_LAYER,
    (200, 4000, 8000, 10000, 2500),
)
FEWEST = 5000  # one more target, by the library's search alone
MAX_SOLVES = 29


class Pixels(nn.Module):
    """Bytes to [-1, 1], in the memory format that convolutions are fastest with."""

    def forward(self, images: Tensor) -> Tensor:
        """Scale images of shape (n_samples, 1, 28, 28)."""
        scaled = images.div(127.5).sub_(1)
        return scaled.contiguous(memory_format=torch.channels_last)


def build_cnn(n_channels: int, n_outputs: int) -> nn.Sequential:
    """Return the network of the paper's Table 4."""
    channels = (n_channels, 32, 64, 128)
    modules: list[nn.Module] = [Pixels()]
    for fan_in, fan_out in pairwise(channels):
        # The paper takes ReLU first; they commute, and this way around is faster.
        modules += [
            nn.Conv2d(fan_in, fan_out, 3, padding=1),
            nn.MaxPool2d(2),
            nn.ReLU(),
        ]
    modules += [nn.Flatten(), nn.Linear(1152, 512), nn.ReLU(), nn.Linear(512, 10)]
    return nn.Sequential(*modules)


def runs(n_seeds: int, epochs: int) -> list[Run]:
    """Return all runs, the library's first."""
    ours = (*TARGETS, FEWEST)
    listed = [
        Run("one_pass", target, ONE_PASS_EPOCHS, seed)
        for seed in range(n_seeds)
        for target in ours
    ]
    for seed in range(n_seeds):
        listed += [Run("in_flight, cold", target, epochs, seed) for target in TARGETS]
        listed += [Run("l2", alpha, epochs, seed) for alpha in L2_ALPHAS]
    return listed


def make_estimator(run: Run, device: str) -> SparseNetClassifier:
    """Return the estimator of a run."""
    common = {
        "module": build_cnn,
        "dtype": "float32",
        "device": device,
        "max_iter": run.epochs,
        "weight_decay": 0.0,  # the problem is the paper's
        "random_state": run.seed,
    }
    if run.method == "one_pass":
        return SparseNetClassifier(target_sparsity=run.target, tol=0, **common)
    sgd = {
        "solver": "sgd",
        "learning_rate": "constant",
        "learning_rate_init": 0.1,
        "batch_size": 128,
        "debias": False,
    }
    if run.method == "l2":
        return SparseNetClassifier(
            alpha=run.target, penalty=SquaredL2(), **sgd, **common
        )
    per_layer = isinstance(run.target, tuple)
    return SparseNetClassifier(
        target_sparsity=run.target,
        tol=0.1 if per_layer else 0.001,
        alpha_bounds=(1e-7, 1e-4) if per_layer else (1e-7, 1e-2),
        search=PAPER_SEARCHES[run.method],
        max_outer_iter=MAX_SOLVES,
        **sgd,
        **common,
    )


@lru_cache(maxsize=1)
def load(directory: Path) -> tuple[np.ndarray, ...]:
    """Return images of shape (n_samples, 1, 28, 28), bytes, and labels."""

    def read(name: str, offset: int) -> np.ndarray:
        raw = gzip.decompress((directory / name).read_bytes())
        return np.frombuffer(raw, np.uint8, offset=offset)

    images = [
        read(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)
        for part in ("train", "t10k")
    ]
    labels = [read(f"{part}-labels-idx1-ubyte.gz", 8) for part in ("train", "t10k")]
    return *images, *labels


def measure(run: Run, data: Path, directory: Path, device: str) -> Record:
    """Fit; return the columns of the tables and what the figures need."""
    X_train, X_test, y_train, y_test = load(data)
    estimator = make_estimator(run, device)
    record = fit(run, estimator, X_train, y_train, directory)
    record["train"] = estimator.score(X_train, y_train)
    record["test"] = estimator.score(X_test, y_test)
    record["filters"] = estimator.module_[1].weight.detach().cpu().flatten(1).tolist()
    record["gradients"] = gradients(estimator, X_train, y_train)
    record["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    record["device"] = device
    save(run, estimator, directory)
    return record


def save(run: Run, estimator: SparseNetClassifier, directory: Path) -> None:
    """Keep the network; `sklearn_sparsenet.load(path, module=build_cnn)` reads it."""
    if importlib.util.find_spec("safetensors") is None or run.method == "l2":
        return
    target = "-".join(map(str, np.atleast_1d(run.target)))
    method = run.method.replace(", ", "-")
    name = f"mnist_{method}_{target}_{run.epochs}_{run.seed}.safetensors"
    (directory / "networks").mkdir(exist_ok=True)
    estimator.save(directory / "networks" / name)


def gradients(
    estimator: SparseNetClassifier, X: np.ndarray, y: np.ndarray
) -> list[float]:
    """Return the sorted a_i of the final network over all training images."""
    module = estimator.module_
    weights = [p for p in module.parameters() if p.ndim > 1]
    device = weights[0].device
    total = [torch.zeros_like(weight) for weight in weights]
    for start in range(0, len(X), 500):
        images = torch.tensor(X[start : start + 500], dtype=torch.float32)
        labels = torch.tensor(y[start : start + 500], dtype=torch.long)
        output = module(images.to(device))
        loss = nn.functional.cross_entropy(output, labels.to(device), reduction="sum")
        for sum_, part in zip(total, torch.autograd.grad(loss, weights), strict=True):
            sum_ += part / len(X)
    return sorted_gradients([t.cpu() for t in total])


def describe(record: Record) -> str:
    """Return a line for the user."""
    per_layer = ", ".join(map(str, record["n_nonzero_per_layer"]))
    return (
        f"{record['method']} {record['target']} seed {record['seed']}: "
        f"{record['n_nonzero']} weights ({per_layer}), {record['solves']} solves, "
        f"{record['epochs_in_all']} epochs, test {record['test']:.4f}, "
        f"{record['seconds']:.0f} s, {record['peak_gib']:.1f} GiB {record['warning']}"
    )


def main() -> None:
    """Parse the command line; run what is missing."""
    made = parser(__doc__, "build/paper_mnist.json")
    made.add_argument("--device", default="cpu")
    arguments = made.parse_args()
    epochs = arguments.epochs or (QUICK_EPOCHS if arguments.quick else EPOCHS)
    measured = partial(
        measure,
        data=arguments.data,
        directory=arguments.out.parent,
        device=arguments.device,
    )
    run_experiment(arguments, partial(runs, epochs=epochs), measured, describe)


if __name__ == "__main__":
    main()
