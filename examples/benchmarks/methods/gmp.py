"""Gradual magnitude pruning: global, cubic schedule, Adam (Zhu and Gupta 2017).

`fit` has the step sizes of this library, `fit_tuned` those of a small search (2 seeds;
digits, Mg, pumadyn; 5, 2, 1 % left): first step size 1e-2 or 3e-3, end of the pruning
at 50, 70 or 85 % of the run. With 5000 steps 1e-2 collapses at 1-2 % (pumadyn .86, Mg
.37 to .66), 3e-3 does not (.063, .29); with 1000 steps 3e-3 is worse (digits 2 %: .064
against .040, pumadyn 2 %: .126 against .094). An end at 85 % is worst, 50 and 70 %
are equal within the spread.
"""

from __future__ import annotations

import torch

from benchmarks.methods.base import (
    Fitted,
    Target,
    build_network,
    fitted,
    top_k,
    train,
    weights_of,
)
from benchmarks.problems import Data, Schedule

__all__ = ["fit", "fit_tuned"]

BEGIN, EVERY = 0.1, 10


def fit(
    data: Data,
    target: Target,
    schedule: Schedule,
    seed: int,
    rate: float = 1e-2,
    end: float = 0.7,
) -> Fitted:
    """Prune from a tenth of the run on until the share `end` of it."""
    network = build_network(data.sizes, seed)
    weights = weights_of(network)
    total = sum(data.layer_sizes)
    masks = [torch.ones_like(weight) for weight in weights]
    last = schedule.steps - 1

    def prune(step: int) -> None:
        done = (step / schedule.steps - BEGIN) / (end - BEGIN)
        now = step % EVERY == 0 and 0 <= done <= 1 + EVERY / (end * schedule.steps)
        if now or step == last:
            share = 1 - (1 - min(1.0, done)) ** 3
            kept = round(total - (total - target) * share)
            scores = [w.abs() * m for w, m in zip(weights, masks, strict=True)]
            masks[:] = top_k(scores, kept)
        for weight, mask in zip(weights, masks, strict=True):
            weight.mul_(mask)

    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    train(network, data, schedule, optimizer, seed, prune)
    return fitted(network, data, schedule.epochs)


def fit_tuned(data: Data, target: Target, schedule: Schedule, seed: int) -> Fitted:
    """The same with the step size that suits the budget."""
    rate = 1e-2 if schedule.steps < 2500 else 3e-3
    return fit(data, target, schedule, seed, rate=rate)
