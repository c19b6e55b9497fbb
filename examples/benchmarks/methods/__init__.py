"""One file per method; all have the signature of `Fit`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks.methods import (
    acdc,
    adabreg,
    bisection,
    bracket,
    chita,
    dense,
    factorised,
    gmp,
    granet,
    linear,
    one_shot,
    ours,
    sklearn_mlp,
)
from benchmarks.methods.base import Fitted, Target
from benchmarks.problems import Data, Schedule

__all__ = ["METHODS", "Fit", "Fitted", "Method", "Target"]

NETWORK = "network"
LINEAR = ("linear regression", "linear classification")
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
    kinds : tuple of str
        Kinds of problems that it is for.
    per_layer : bool
        Whether it takes a target for every layer.
    package : str or None
        A package that it needs and that may be absent.
    """

    fit: Fit
    has_count: bool = True
    has_budget: bool = True
    kinds: tuple[str, ...] = (NETWORK, *LINEAR)
    per_layer: bool = False
    package: str | None = None

    @property
    def is_missing(self) -> bool:
        """Whether its package is not installed."""
        return bool(self.package) and importlib.util.find_spec(self.package) is None


METHODS = {
    "l1": Method(partial(ours.fit, penalty="l1"), per_layer=True),
    "mcp": Method(partial(ours.fit, penalty="mcp"), per_layer=True),
    "l0": Method(partial(ours.fit, penalty="l0"), per_layer=True),
    "l1_bracket": Method(partial(bracket.fit, **bracket.LIBRARY), kinds=(NETWORK,)),
    "gmp": Method(gmp.fit),
    "gmp_steady": Method(gmp.fit_steady, kinds=(NETWORK,)),
    "gmp_tuned": Method(gmp.fit_tuned, kinds=(NETWORK,)),
    "acdc": Method(acdc.fit, kinds=(NETWORK,)),
    "granet": Method(granet.fit, kinds=(NETWORK,)),
    "factors_2": Method(partial(factorised.fit, depth=2), kinds=(NETWORK,)),
    "factors_2_mild": Method(
        partial(factorised.fit, depth=2, decay=factorised.MILD_DECAY), kinds=(NETWORK,)
    ),
    "factors_3": Method(partial(factorised.fit, depth=3), kinds=(NETWORK,)),
    "chita": Method(chita.fit, kinds=(NETWORK,)),
    "one_shot": Method(one_shot.fit, kinds=(NETWORK,)),
    "bisection": Method(bisection.fit, kinds=(NETWORK,)),
    "paper": Method(partial(bracket.fit, **bracket.PAPER), kinds=(NETWORK,)),
    "adabreg": Method(adabreg.fit, kinds=(NETWORK,)),
    "lars": Method(linear.fit_lars, has_budget=False, kinds=LINEAR[:1]),
    "lars_refit": Method(linear.fit_lars_refit, has_budget=False, kinds=LINEAR[:1]),
    "lasso": Method(linear.fit_lasso, has_budget=False, kinds=LINEAR),
    "abess": Method(linear.fit_abess, has_budget=False, kinds=LINEAR, package="abess"),
    "dense": Method(dense.fit, has_count=False, kinds=(NETWORK,)),
    "sklearn": Method(sklearn_mlp.fit, has_count=False, kinds=(NETWORK,)),
}
