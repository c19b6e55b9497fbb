"""What a training step costs: ours, a plain PyTorch loop, scikit-learn's MLP.

The whole `fit` at a fixed λ, divided by the number of steps, in microseconds of process
time on one thread; every competitor has the same data, network, batch size, number of
epochs and dtype. The three take turns, and the ratios are medians over the turns: they
mean something on a busy machine, the microseconds less so.

Usage::

    OMP_NUM_THREADS=1 python examples/benchmarks/step_cost.py
    OMP_NUM_THREADS=1 python examples/benchmarks/step_cost.py --dtype float64
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from statistics import median

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from torch import nn

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor
from sklearn_sparsenet.networks.network import build_mlp

ALPHA = 1e-4
RATE = 1e-3


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    n_samples: int
    sizes: tuple[int, ...]
    batch_size: int

    @property
    def hidden(self) -> tuple[int, ...]:
        """Sizes of the hidden layers."""
        return self.sizes[1:-1]

    @property
    def classifies(self) -> bool:
        """Whether the target is a class."""
        return self.sizes[-1] > 1

    def epochs(self, steps: int) -> int:
        """Return the number of epochs that make at least so many steps."""
        return ceil(steps / ceil(self.n_samples / self.batch_size))

    def data(self, dtype: str) -> tuple[np.ndarray, np.ndarray]:
        """Draw inputs and a target; a step costs the same whatever they are."""
        rng = np.random.default_rng(0)
        X = rng.standard_normal((self.n_samples, self.sizes[0])).astype(dtype)
        signal = X @ rng.standard_normal((self.sizes[0], self.sizes[-1])).astype(dtype)
        return X, signal.argmax(1) if self.classifies else np.tanh(signal[:, 0])


CASES = [
    Case(1797, (64, 100, 10), 64),
    Case(1797, (64, 100, 10), 200),
    Case(1000, (6, 128, 128, 64, 1), 64),
    Case(1000, (6, 128, 128, 64, 1), 200),
    Case(4000, (784, 300, 100, 10), 200),
]


def fit_ours(case: Case, X: np.ndarray, y: np.ndarray, epochs: int) -> None:
    """Fit our estimator at a fixed λ."""
    kind = SparseNetClassifier if case.classifies else SparseNetRegressor
    kind(
        case.hidden,
        alpha=ALPHA,
        batch_size=case.batch_size,
        max_iter=epochs,
        learning_rate_init=RATE,
        random_state=0,
    ).fit(X, y)


def fit_sklearn(case: Case, X: np.ndarray, y: np.ndarray, epochs: int) -> None:
    """Fit scikit-learn's multilayer perceptron, without any stopping rule."""
    kind = MLPClassifier if case.classifies else MLPRegressor
    kind(
        hidden_layer_sizes=case.hidden,
        batch_size=case.batch_size,
        max_iter=epochs,
        learning_rate_init=RATE,
        tol=0.0,
        n_iter_no_change=10**9,
        random_state=0,
    ).fit(X, y)


def fit_torch(case: Case, X: np.ndarray, y: np.ndarray, epochs: int) -> None:
    """Run the loop that people write themselves."""
    inputs, target = torch.tensor(X), torch.tensor(y)
    generator = torch.Generator().manual_seed(0)
    net = build_mlp(case.sizes[0], case.hidden, case.sizes[-1], "relu", generator).to(
        inputs.dtype
    )
    loss: nn.Module = nn.CrossEntropyLoss()
    if not case.classifies:
        loss, target = nn.MSELoss(), target[:, None].to(inputs.dtype)
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    for _ in range(epochs):
        order = torch.randperm(len(inputs), generator=generator)
        for index in order.split(case.batch_size):
            optimizer.zero_grad()
            loss(net(inputs[index]), target[index]).backward()
            optimizer.step()


COMPETITORS: dict[str, Callable] = {
    "ours": fit_ours,
    "torch": fit_torch,
    "sklearn": fit_sklearn,
}


def measure(case: Case, dtype: str, steps: int, turns: int) -> dict[str, list[float]]:
    """Return microseconds per step of every competitor, one number per turn."""
    X, y = case.data(dtype)
    epochs = case.epochs(steps)
    done = epochs * ceil(case.n_samples / case.batch_size)
    found: dict[str, list[float]] = {name: [] for name in COMPETITORS}
    for fit in COMPETITORS.values():
        fit(case, X, y, 1)  # imports and first calls are not part of a step
    for _ in range(turns):
        for name, fit in COMPETITORS.items():
            started = time.process_time()
            fit(case, X, y, epochs)
            found[name].append((time.process_time() - started) / done * 1e6)
    return found


def main() -> None:
    """Print one row per network and batch size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(f"{arguments.dtype}, microseconds per step, medians of {arguments.turns}")
    print("network | batch | ours | torch | sklearn | ours/sklearn | ours/torch")
    print("---|---|---|---|---|---|---")
    for case in CASES:
        found = measure(case, arguments.dtype, arguments.steps, arguments.turns)
        cells = ["-".join(map(str, case.sizes)), str(case.batch_size)]
        cells += [f"{median(found[name]):.0f}" for name in COMPETITORS]
        for other in ("sklearn", "torch"):
            pairs = zip(found["ours"], found[other], strict=True)
            cells.append(f"{median(a / b for a, b in pairs):.2f}")
        print(" | ".join(cells), flush=True)


if __name__ == "__main__":
    main()
