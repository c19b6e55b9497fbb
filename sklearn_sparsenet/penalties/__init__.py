"""Penalties as objects that answer every mathematical question about themselves.

A solver only ever asks a penalty for its value, its proximity operator in the
metric of the step, and the distance of a gradient to its subdifferential. A new
penalty therefore needs no change anywhere else: the four abstract members of
`Penalty` are enough, and the others, which have defaults, make it faster.
"""

from __future__ import annotations

from collections.abc import Callable

from sklearn_sparsenet.penalties.base import Penalty, adapted, is_identity
from sklearn_sparsenet.penalties.fixed_support import FixedSupport
from sklearn_sparsenet.penalties.group import GroupL2, SparseGroupL2
from sklearn_sparsenet.penalties.separable import L0, L1, MCP
from sklearn_sparsenet.penalties.thresholds import (
    Strength,
    firm_threshold,
    hard_threshold,
    soft_threshold,
)

__all__ = [
    "L0",
    "L1",
    "MCP",
    "PENALTIES",
    "FixedSupport",
    "GroupL2",
    "Penalty",
    "SparseGroupL2",
    "Strength",
    "as_penalty",
    "firm_threshold",
    "hard_threshold",
    "is_identity",
    "soft_threshold",
]

PENALTIES: dict[str, Callable[[], Penalty]] = {
    "l1": L1,
    "mcp": MCP,
    "l0": L0,
    "group_l2": GroupL2,
}


def as_penalty(penalty: str | object) -> Penalty:
    """Return the penalty of that name, or an object as a penalty; refuse others."""
    if isinstance(penalty, str):
        if penalty not in PENALTIES:
            raise ValueError(
                f"penalty={penalty!r} is unknown; accepted are {sorted(PENALTIES)} "
                "or an object with the members of sklearn_sparsenet.Penalty."
            )
        return PENALTIES[penalty]()
    return adapted(penalty)
