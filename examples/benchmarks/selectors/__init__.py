"""One file per method; each returns exactly k inputs, for every k asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.problems import Data
from benchmarks.selectors import (
    chance,
    elimination,
    filters,
    group_lasso,
    lassonet,
    linear,
    ours,
    stochastic_gates,
)
from benchmarks.selectors.base import Ranking, Selection

__all__ = ["SELECTORS", "Selection", "Selector"]


def _nothing() -> str:
    return ""


@dataclass(frozen=True)
class Selector:
    """A method that chooses inputs.

    Attributes
    ----------
    name : str
        For the page.
    select : callable(data, counts, seed) -> list of Selection
        One for each count.
    missing : callable() -> str
        Why it cannot be run here; empty if it can.
    """

    name: str
    select: Callable[[Data, Sequence[int], int], list[Selection]]
    missing: Callable[[], str] = _nothing


# In the order of their times, so that an early look has most of them.
SELECTORS = {
    "ours": Selector("ours", ours.select, ours.missing),
    "ours_weights": Selector(
        f"ours, {ours.N_WEIGHTS} weights", ours.select_with_weights, ours.missing
    ),
    "random": Selector("random", Ranking(chance.score)),
    "anova": Selector("ANOVA F", Ranking(filters.score_anova)),
    "ridge": Selector("RFE, ridge", elimination.select_by_ridge),
    "trees": Selector("RFE, trees", elimination.select_by_trees),
    "l1": Selector("ℓ1, linear", linear.select),
    "information": Selector(
        "mutual information", Ranking(filters.score_mutual_information)
    ),
    "group_lasso": Selector("group-lasso network", group_lasso.select),
    "gates": Selector("STG", stochastic_gates.select),
    "lassonet": Selector("LassoNet", lassonet.select, lassonet.missing),
}
