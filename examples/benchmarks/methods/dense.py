"""The dense network in plain PyTorch: the reference for error and cost."""

from __future__ import annotations

import torch

from benchmarks.methods.base import Fitted, Target, build_network, fitted, train
from benchmarks.problems import Data, Schedule
from sklearn_sparsenet.estimators._settings import auto_learning_rate

__all__ = ["fit"]


def fit(data: Data, target: Target, schedule: Schedule, seed: int) -> Fitted:
    """Train all weights; the target is ignored. Adam's defaults but for the rate."""
    network = build_network(data.sizes, seed, data.bias)
    optimizer = torch.optim.Adam(
        network.parameters(), lr=auto_learning_rate("adam", schedule.steps)
    )
    train(network, data, schedule, optimizer, seed)
    return fitted(network, data, schedule.epochs)
