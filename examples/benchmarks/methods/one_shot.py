"""One-shot magnitude pruning with fine-tuning, by `torch.nn.utils.prune`."""

from __future__ import annotations

import torch
from torch.nn.utils import prune

from benchmarks.methods.base import (
    Fitted,
    Target,
    build_network,
    fitted,
    linear_layers,
    train,
)
from benchmarks.problems import Data, Schedule
from sklearn_sparsenet.estimators._settings import auto_learning_rate

__all__ = ["fit"]


def fit(data: Data, target: Target, schedule: Schedule, seed: int) -> Fitted:
    """Train for half of the budget, prune, train on with the step size rewound."""
    network = build_network(data.sizes, seed, data.bias)
    half = schedule.part(0.5)
    rest = schedule.part(1 - half.epochs / schedule.epochs)
    _train(network, data, half, seed)
    layers = [(layer, "weight") for layer in linear_layers(network)]
    prune.global_unstructured(
        layers, prune.L1Unstructured, amount=sum(data.layer_sizes) - target
    )
    _train(network, data, rest, seed + 1)
    for layer, name in layers:
        prune.remove(layer, name)
    return fitted(network, data, half.epochs + rest.epochs)


def _train(network, data: Data, schedule: Schedule, seed: int) -> None:
    optimizer = torch.optim.Adam(
        network.parameters(), lr=auto_learning_rate("adam", schedule.steps)
    )
    train(network, data, schedule, optimizer, seed)
