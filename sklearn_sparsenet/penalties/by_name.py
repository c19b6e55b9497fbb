"""Penalties by their names."""

from __future__ import annotations

from collections.abc import Callable

from sklearn_sparsenet.penalties.base import Penalty, adapted
from sklearn_sparsenet.penalties.group import GroupL2
from sklearn_sparsenet.penalties.separable import L0, L1, MCP

__all__ = ["PENALTIES", "as_penalty"]

PENALTIES: dict[str, Callable[[], Penalty]] = {
    "l1": L1,
    "mcp": MCP,
    "l0": L0,
    "group_l2": GroupL2,
}


def as_penalty(penalty: str | object) -> Penalty:
    """Return the penalty of that name, or an object as a penalty.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If an object lacks a member of `Penalty`, or is a class.
    """
    if isinstance(penalty, str):
        if penalty not in PENALTIES:
            raise ValueError(
                f"penalty={penalty!r} is unknown; accepted are {sorted(PENALTIES)} "
                "or an object with the members of sklearn_sparsenet.Penalty."
            )
        return PENALTIES[penalty]()
    return adapted(penalty)
