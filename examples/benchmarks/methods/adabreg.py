"""AdaBreg with the adaptive λ of arXiv 2605.07892, starting 99 % sparse.

Adam's steps go to the dual variable v; the weights are its soft threshold. After
every step λ is raised or lowered by the factor 1 + 0.25 |sparsity - target|. That
seldom ends on the exact count: the last λ is the order statistic of \\|v\\| that does,
and `extra` has the count before.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.methods.base import (
    Fitted,
    Target,
    build_network,
    fitted,
    soft_threshold,
    top_k,
    train,
    weights_of,
)
from benchmarks.problems import Data, Schedule
from sklearn_sparsenet.estimators._settings import auto_learning_rate

__all__ = ["fit"]

GAIN = 0.25
FIRST_ALPHA = 0.1
FIRST_DENSITY = 0.01


class AdaBreg(torch.optim.Adam):
    """Adam on the dual variables of some weights, and as usual on the biases."""

    def __init__(self, parameters, weights: list[Tensor], lr: float, target: int):
        super().__init__(parameters, lr=lr)
        self.weights = weights
        self.total = sum(weight.numel() for weight in weights)
        self.target = target
        self.alpha = FIRST_ALPHA
        self.duals = [w + self.alpha * w.sign() for w in weights]

    @torch.no_grad()
    def step(self, closure=None):
        """Step in v, threshold, adapt λ."""
        for weight, dual in zip(self.weights, self.duals, strict=True):
            weight.copy_(dual)
        super().step(closure)
        for weight, dual in zip(self.weights, self.duals, strict=True):
            dual.copy_(weight)
        self.threshold()
        excess = (self.count() - self.target) / self.total
        factor = 1 + GAIN * abs(excess)
        self.alpha *= factor if excess > 0 else 1 / factor

    def threshold(self) -> None:
        """Set the weights from their duals."""
        for weight, dual in zip(self.weights, self.duals, strict=True):
            weight.copy_(soft_threshold(dual, self.alpha))

    def count(self) -> int:
        """Return the number of nonzero weights."""
        return sum(int(weight.count_nonzero()) for weight in self.weights)

    def finish(self) -> None:
        """Set λ such that the count is the target."""
        if self.count() == self.target:
            return
        sizes = torch.cat([dual.abs().reshape(-1) for dual in self.duals])
        kept = top_k([dual.abs() for dual in self.duals], self.target)
        mask = torch.cat([part.reshape(-1) for part in kept])
        self.alpha = float((sizes * (1 - mask)).max())
        self.threshold()


def fit(
    data: Data,
    target: Target,
    schedule: Schedule,
    seed: int,
) -> Fitted:
    """Train once; the count follows its target."""
    assert isinstance(target, int)
    network = build_network(data.sizes, seed, data.bias)
    weights = weights_of(network)
    generator = torch.Generator().manual_seed(seed)
    for weight in weights:
        drawn = torch.rand(weight.shape, generator=generator) < FIRST_DENSITY
        weight.mul_(drawn * FIRST_DENSITY**-0.5)
    optimizer = AdaBreg(
        network.parameters(),
        weights,
        auto_learning_rate("adam", schedule.steps),
        target,
    )
    train(network, data, schedule, optimizer, seed)
    count = optimizer.count()
    optimizer.finish()
    extra = {"alpha": optimizer.alpha, "count_before": count}
    return fitted(network, data, schedule.epochs, **extra)
