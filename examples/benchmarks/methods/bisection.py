"""What one would do by hand: proximal SGD, cold restarts, bisection of log λ.

The budget is split into 8 trainings; the one whose count is nearest is kept, so that
the count is seldom exact.
"""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.methods.base import (
    Fitted,
    Target,
    build_network,
    fitted,
    soft_threshold,
    train,
    weights_of,
)
from benchmarks.problems import Data, Schedule

__all__ = ["fit"]

TRAININGS = 8
LOG_BOUNDS = (-6.0, -1.0)


def fit(data: Data, target: Target, schedule: Schedule, seed: int) -> Fitted:
    """Bisect until the count is exact or the trainings are spent."""
    low, high = LOG_BOUNDS
    part = schedule.part(1 / TRAININGS)
    best: tuple[int, nn.Sequential, float] | None = None
    trainings = 0
    for _ in range(TRAININGS):
        alpha = 10 ** ((low + high) / 2)
        network = _solve(data, alpha, part, seed)
        trainings += 1
        excess = sum(int(w.count_nonzero()) for w in weights_of(network)) - target
        if best is None or abs(excess) < best[0]:
            best = abs(excess), network, alpha
        if excess == 0:
            break
        low, high = ((low + high) / 2, high) if excess > 0 else (low, (low + high) / 2)
    assert best is not None
    return fitted(best[1], data, trainings * part.epochs, alpha=best[2])


def _solve(data: Data, alpha: float, schedule: Schedule, seed: int) -> nn.Sequential:
    network = build_network(data.sizes, seed, data.bias)
    weights = weights_of(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)

    def prox(step: int) -> None:
        threshold = alpha * optimizer.param_groups[0]["lr"]
        for weight in weights:
            weight.copy_(soft_threshold(weight, threshold))

    train(network, data, schedule, optimizer, seed, prox)
    return network
