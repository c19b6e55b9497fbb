"""Training under masks that change: what methods that cut and regrow have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from benchmarks.methods.base import (
    Fitted,
    build_network,
    fitted,
    linear_layers,
    steady,
    train,
)
from benchmarks.problems import Data, Schedule

__all__ = ["Masked", "cubic", "fit_masked"]


@dataclass
class Masked:
    """A network and which of its weights there are.

    Attributes
    ----------
    network : Sequential
    weights : list of Tensor
        Its weight matrices, with their gradients.
    masks : list of Tensor
        Ones and zeros; to begin with, all are ones.
    """

    network: nn.Sequential
    weights: list[Tensor] = field(init=False)
    masks: list[Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.weights = [layer.weight for layer in linear_layers(self.network)]
        self.free()

    @property
    def total(self) -> int:
        """Number of weights, those that are cut included."""
        return sum(weight.numel() for weight in self.weights)

    def free(self) -> None:
        """Let all weights take part."""
        self.masks = [torch.ones_like(weight) for weight in self.weights]

    def sizes(self) -> list[Tensor]:
        """Return |w|, 0 for what is cut."""
        return [
            weight.detach().abs() * mask
            for weight, mask in zip(self.weights, self.masks, strict=True)
        ]

    def apply(self) -> None:
        """Set to zero what is cut."""
        for weight, mask in zip(self.weights, self.masks, strict=True):
            weight.mul_(mask)


def cubic(total: int, goal: int, done: float) -> int:
    """Return how many weights are left on the way from all to `goal`."""
    return round(goal + (total - goal) * (1 - min(done, 1.0)) ** 3)


def fit_masked(
    data: Data,
    schedule: Schedule,
    seed: int,
    rate: float,
    choose: Callable[[int, Masked], None],
    shape: Callable[[int, int], float] | None = steady,
) -> Fitted:
    """Train with Adam; after every step `choose` may change the masks, which apply."""
    masked = Masked(build_network(data.sizes, seed, data.bias))

    def after_step(step: int) -> None:
        choose(step, masked)
        masked.apply()

    optimizer = torch.optim.Adam(masked.network.parameters(), lr=rate)
    train(masked.network, data, schedule, optimizer, seed, after_step, shape)
    return fitted(masked.network, data, schedule.epochs)
