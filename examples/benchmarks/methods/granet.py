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

from benchmarks.methods.base import Fitted, Target, cosine, top_k
from benchmarks.methods.masked import Masked, cubic, fit_masked
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
    first, last = round(BEGIN * schedule.steps), round(END * schedule.steps)

    def choose(step: int, masked: Masked) -> None:
        if step != last and (not first <= step < last or (step - first) % every):
            return
        kept = cubic(masked.total, target, (step - first) / (last - first))
        lost = 0 if step == last else round(kept * LOST * cosine(step, last))
        stay = top_k(masked.sizes(), kept - lost)
        gradients = [
            torch.where(mask > 0, -1.0, weight.grad.abs())
            for weight, mask in zip(masked.weights, stay, strict=True)
        ]
        new = top_k(gradients, min(lost, masked.total - (kept - lost)))
        masked.masks = [old + grown for old, grown in zip(stay, new, strict=True)]

    return fit_masked(data, schedule, seed, rate, choose)
