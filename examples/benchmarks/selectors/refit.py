"""A path's own network: cut to the inputs chosen, and trained on without penalty."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.methods.base import fitted, linear_layers, train
from benchmarks.problems import Data, Schedule

__all__ = ["error_of_refit"]

RATE = 3e-3


def error_of_refit(
    network: nn.Sequential, data: Data, chosen: np.ndarray, steps: int, seed: int
) -> float:
    """Return the test error after so many steps of Adam with the chosen inputs alone.

    Parameters
    ----------
    network : Sequential of Linear and ReLU
        Is changed.
    chosen : ndarray of int
    steps : int
        Their size falls from `RATE` as a cosine.
    """
    weight = linear_layers(network)[0].weight
    mask = torch.zeros(weight.shape[1])
    mask[torch.from_numpy(chosen)] = 1

    def hold(step: int = 0) -> Tensor:
        return weight.mul_(mask)

    with torch.no_grad():
        hold()
    schedule = Schedule.for_rows(len(data.X_train), steps)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    train(network, data, schedule, optimizer, seed, hold)
    return data.error(fitted(network, data, schedule.epochs).predict(data.X_test))
