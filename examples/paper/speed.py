"""Seconds of the one-pass search for 50000 weights, and of the authors' loop.

Their loop: PyTorch's data loader, batches of 128, eager, one epoch; a solve of theirs
takes 200 of them, a search several solves. In the folder `examples`::

    python -m paper.speed --data mnist --device cuda
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from paper import mnist
from paper.experiment import Run

RATE, BATCH, ALPHA = 0.1, 128, 1e-4


def authors_epoch(
    X: np.ndarray, y: np.ndarray, device: str, loader_seed: int = 0
) -> float:
    """Return the seconds of an epoch of Algorithm 3, data loader included."""
    module = mnist.build_cnn(1, 10).to(device)
    images = torch.tensor(X, dtype=torch.float32)
    labels = torch.tensor(y, dtype=torch.long)
    loader = DataLoader(
        TensorDataset(images, labels),
        batch_size=BATCH,
        shuffle=True,
        generator=torch.Generator().manual_seed(loader_seed),
    )
    started = time.perf_counter()
    for inputs, target in loader:
        module.zero_grad()
        output = module(inputs.to(device))
        nn.functional.cross_entropy(output, target.to(device)).backward()
        with torch.no_grad():
            for parameter in module.parameters():
                parameter -= RATE * parameter.grad
                if parameter.ndim > 1:
                    shrunk = (parameter.abs() - RATE * ALPHA).clamp(min=0)
                    parameter.copy_(parameter.sign() * shrunk)
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def main() -> None:
    """Parse the command line; time and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--epochs", type=int, default=mnist.ONE_PASS_EPOCHS)
    arguments = parser.parse_args()
    X, X_test, y, y_test = mnist.load(arguments.data)
    run = Run("one_pass", mnist.TARGETS[0], arguments.epochs, 0)
    estimator = mnist.make_estimator(run, arguments.device)
    started = time.perf_counter()
    estimator.fit(X, y)
    seconds = time.perf_counter() - started
    print(
        f"one pass, {run.epochs} epochs: {seconds:.1f} s, {estimator.n_nonzero_} "
        f"weights, test accuracy {estimator.score(X_test, y_test):.4f}"
    )
    epoch = authors_epoch(X, y, arguments.device)
    print(
        f"the authors' loop: {epoch:.1f} s an epoch, {epoch * mnist.EPOCHS:.0f} s a "
        f"solve of {mnist.EPOCHS}"
    )


if __name__ == "__main__":
    main()
