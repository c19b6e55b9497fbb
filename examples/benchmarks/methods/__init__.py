"""One file per method; all have the signature of `Fit`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks.methods import dense, gmp, ours
from benchmarks.methods.base import Fitted, Target
from benchmarks.problems import Data, Problem, Schedule

__all__ = ["METHODS", "Fit", "Fitted", "Method", "Target"]

Fit = Callable[[Data, Target, Schedule, int], Fitted]


@dataclass(frozen=True)
class Method:
    """A method and what it is for.

    Attributes
    ----------
    fit : callable(data, target, schedule, seed) -> Fitted
    has_count : bool
        Whether it leaves a number of weights; False: a dense reference.
    has_budget : bool
        Whether it depends on the number of steps.
    for_networks, for_linear : bool
        Whether it takes problems with, without hidden layers.
    per_layer : bool
        Whether it takes a target for every layer.
    package : str or None
        A package that it needs and that may be absent.
    """

    fit: Fit
    has_count: bool = True
    has_budget: bool = True
    for_networks: bool = True
    for_linear: bool = True
    per_layer: bool = False
    package: str | None = None

    def takes(self, problem: Problem) -> bool:
        """Tell whether the method is run on a problem."""
        return self.for_linear if problem.is_linear else self.for_networks

    @property
    def is_missing(self) -> bool:
        """Whether its package is not installed."""
        return bool(self.package) and importlib.util.find_spec(self.package) is None


METHODS = {
    "l1": Method(partial(ours.fit, penalty="l1"), per_layer=True),
    "mcp": Method(partial(ours.fit, penalty="mcp"), per_layer=True),
    "l0": Method(partial(ours.fit, penalty="l0"), per_layer=True),
    "gmp": Method(gmp.fit),
    "gmp_tuned": Method(gmp.fit_tuned),
    "dense": Method(dense.fit, has_count=False, for_linear=False),
}
