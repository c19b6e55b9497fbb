"""GraNet: gradual pruning with regrowth (Liu et al. 2021).

Every few steps the smallest weights are cut, as many as the cubic schedule asks; then a
part of those that are left, falling as a cosine from one half, is cut as well, and as
many grow at zero where the gradient is largest.

Settings: Adam's steps of 1e-2, falling as a cosine after 70 % of the run as in the
one-pass search; a choice every 20 steps from 10 to 70 % of the run. Steps
of 3e-3 had 1.05 times the error (digits, 2 %, one seed); nothing else was tuned.
"""

from __future__ import annotations

import torch

from benchmarks.methods.base import (
    Fitted,
    Target,
    build_network,
    cosine,
    fitted,
    linear_layers,
    steady,
    top_k,
    train,
)
from benchmarks.problems import Data, Schedule

__all__ = ["fit"]

BEGIN, END, LOST = 0.1, 0.7, 0.5
RATE, EVERY = 1e-2, 20


def fit(
    data: Data,
    target: Target,
    schedule: Schedule,
    seed: int,
    rate: float = RATE,
    every: int = EVERY,
) -> Fitted:
    """Prune and regrow from a tenth of the run on until `END`."""
    network = build_network(data.sizes, seed, data.bias)
    weights = [layer.weight for layer in linear_layers(network)]
    total = sum(data.layer_sizes)
    masks = [torch.ones_like(weight) for weight in weights]
    first, last = round(BEGIN * schedule.steps), round(END * schedule.steps)

    def choose(step: int) -> None:
        done = (step - first) / (last - first)
        kept = round(total - (total - target) * (1 - (1 - done) ** 3))
        sizes = [w.abs() * m for w, m in zip(weights, masks, strict=True)]
        lost = 0 if step == last else round(kept * LOST * cosine(step, last))
        stay = top_k(sizes, kept - lost)
        gradients = [
            torch.where(mask > 0, -1.0, w.grad.abs())
            for w, mask in zip(weights, stay, strict=True)
        ]
        new = top_k(gradients, min(lost, total - (kept - lost)))
        masks[:] = [old + grown for old, grown in zip(stay, new, strict=True)]

    def prune(step: int) -> None:
        if step == last or (first <= step < last and (step - first) % every == 0):
            choose(step)
        for weight, mask in zip(weights, masks, strict=True):
            weight.mul_(mask)

    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    train(network, data, schedule, optimizer, seed, prune, steady)
    return fitted(network, data, schedule.epochs)
