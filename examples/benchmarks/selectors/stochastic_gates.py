"""Stochastic gates (STG; Yamada, Lindenbaum, Negahban and Kluger 2020), a short form.

Input j is multiplied by a gate min(1, max(0, μⱼ + σ ε)), ε standard normal, drawn anew
for each row; the penalty is λ times the expected number of open gates, λ Σⱼ Φ(μⱼ / σ)
(their equations 5 to 7). Without noise the gate is min(1, max(0, μⱼ)). As in the paper
σ = .5 and μⱼ begins at .5. One training for each λ of `ALPHAS`, of `STEPS` steps of
Adam that fall as a cosine. For k inputs: the λ that leaves the fewest open gates of
those that leave k or more, the k with the largest μ, and a refit.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.methods.base import build_network, linear_layers, train
from benchmarks.problems import Data, Schedule
from benchmarks.selectors.base import Selection, select_from_path
from benchmarks.selectors.refit import error_of_refit

__all__ = ["Gates", "select"]

ALPHAS = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2)
STEPS, RATE, GATE_RATE = 1000, 3e-3, 1e-2
SIGMA = 0.5
REFIT_STEPS = 500


class Gates(nn.Module):
    """Factors on the inputs, noisy in training.

    Attributes
    ----------
    mu : Parameter of shape (n_inputs,)
        Its gradient contains that of the penalty.
    """

    def __init__(self, n_inputs: int, alpha: float, generator: torch.Generator) -> None:
        super().__init__()
        self.mu = nn.Parameter(torch.full((n_inputs,), 0.5))
        self.generator = generator
        self.mu.register_hook(
            lambda gradient: gradient + alpha * self.density_of_opening()
        )

    def density_of_opening(self) -> Tensor:
        """Return the derivative of P(gate > 0) by μ."""
        scaled = self.mu.detach() / SIGMA
        return torch.exp(-(scaled**2) / 2) / (SIGMA * math.sqrt(2 * math.pi))

    def values(self) -> Tensor:
        """Return the gates without noise."""
        return self.mu.detach().clamp(0, 1)

    def forward(self, X: Tensor) -> Tensor:
        """Return the inputs times gates that are drawn for each of them."""
        noise = torch.randn(X.shape, generator=self.generator)
        return X * (self.mu + SIGMA * noise).clamp(0, 1)


def select(data: Data, counts: Sequence[int], seed: int) -> list[Selection]:
    """Train for every λ; the time of a choice is that of all trainings."""
    started = time.process_time()
    trained = [_train_at(data, alpha, seed) for alpha in ALPHAS]
    seconds = time.process_time() - started
    path = [np.where(mu > 0, mu, 0) for mu, _ in trained]

    def error(at: int, chosen: np.ndarray) -> float:
        network = copy.deepcopy(trained[at][1])
        return error_of_refit(network, data, chosen, REFIT_STEPS, seed)

    return select_from_path(path, [seconds] * len(path), counts, error)


def _train_at(data: Data, alpha: float, seed: int) -> tuple[np.ndarray, nn.Sequential]:
    """Return μ, and the network with the gates multiplied into its first layer."""
    network = build_network(data.sizes, seed, data.bias)
    gates = Gates(data.sizes[0], alpha, torch.Generator().manual_seed(seed))
    schedule = Schedule.for_rows(len(data.X_train), STEPS)
    groups = [
        {"params": network.parameters(), "lr": RATE},
        {"params": gates.parameters(), "lr": GATE_RATE},
    ]
    optimizer = torch.optim.Adam(groups)
    train(nn.Sequential(gates, *network), data, schedule, optimizer, seed)
    with torch.no_grad():
        linear_layers(network)[0].weight.mul_(gates.values())
    return gates.mu.detach().numpy().copy(), network
