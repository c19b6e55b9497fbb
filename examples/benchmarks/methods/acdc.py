"""AC/DC: training that is sparse and dense by turns (Peste et al. 2021).

A dense start; then, turn by turn, the largest weights are kept and trained alone, and
all are trained again; a long sparse part is the end. The mask of a sparse part is that
of its beginning.

Settings: Adam's steps of 1e-2, falling as a cosine after 70 % of the run as in the
one-pass search; turns of 6 % of the run between 10 and 58 %. Steps
of 3e-3 had 2.3 times the error (digits, 2 %, one seed); nothing else was tuned.
"""

from __future__ import annotations

from benchmarks.methods.base import Fitted, Target, top_k
from benchmarks.methods.masked import Masked, fit_masked
from benchmarks.problems import Data, Schedule

__all__ = ["fit"]

BEGIN, TURN, END = 0.1, 0.06, 0.58  # parts of the run: an even number of turns
RATE = 1e-2


def fit(
    data: Data, target: Target, schedule: Schedule, seed: int, rate: float = RATE
) -> Fitted:
    """Train by turns, and on the last support from `END` on."""
    was_sparse = False

    def turn(step: int, masked: Masked) -> None:
        nonlocal was_sparse
        progress = (step + 1) / schedule.steps
        number = int((progress - BEGIN) / TURN)
        is_sparse = progress >= END or (progress >= BEGIN and number % 2 == 0)
        if is_sparse and not was_sparse:
            masked.masks = top_k(masked.sizes(), target)
        elif not is_sparse:
            masked.free()
        was_sparse = is_sparse

    return fit_masked(data, schedule, seed, rate, turn)
