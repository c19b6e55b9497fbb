"""Searches by several trainings: the paper's bracket, and this library's.

The budget is split evenly into 8 trainings; `fit_unlimited` gives each of them the
whole budget, as the paper does.
"""

from __future__ import annotations

from typing import Any

from benchmarks.methods import ours
from benchmarks.methods.base import Fitted, Target
from benchmarks.problems import Data, Schedule
from sklearn_sparsenet.search import BracketSearch

__all__ = ["LIBRARY", "PAPER", "fit", "fit_unlimited"]

SOLVES = 8
PAPER: dict[str, Any] = {
    "search": BracketSearch(
        rule="median", stop="in_flight", restart="cold", midpoint="arithmetic"
    ),
    "solver": "sgd",
    "learning_rate": "constant",
    "learning_rate_init": 0.1,
    "alpha_bounds": (1e-7, 1e-3),
    "debias": False,
    "kkt_tol": 0.0,
}
LIBRARY: dict[str, Any] = {"search": BracketSearch(), "debias": False}


def fit(
    data: Data, target: Target, schedule: Schedule, seed: int, **settings: Any
) -> Fitted:
    """Search with the budget split into `SOLVES` trainings."""
    part = schedule.part(1 / SOLVES)
    settings = {"max_outer_iter": SOLVES, **settings}
    return ours.fit(data, target, part, seed, **settings)


def fit_unlimited(
    data: Data, target: Target, schedule: Schedule, seed: int, **settings: Any
) -> Fitted:
    """Search with up to 40 trainings of the whole budget, counted when converged."""
    search = BracketSearch(**{**vars(settings["search"]), "stop": "converged"})
    settings = {**settings, "search": search, "max_outer_iter": 40, "tol": 0.01}
    return ours.fit(data, target, schedule, seed, **settings)
