"""Penalties as plain values, so that what holds them can be read without code."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from sklearn_sparsenet.penalties import (
    L0,
    L1,
    MCP,
    FixedSupport,
    GroupL2,
    SparseGroupL2,
)
from sklearn_sparsenet.penalties.base import AdaptedPenalty

__all__ = ["from_plain", "to_plain"]

_KNOWN = {
    kind.__name__: kind for kind in (L1, MCP, L0, FixedSupport, GroupL2, SparseGroupL2)
}
_NAME = "kind"


def to_plain(value: Any) -> Any:
    """Return a penalty of the library as its name and fields, others as they are."""
    if isinstance(value, AdaptedPenalty):
        return value.penalty
    if type(value) not in _KNOWN.values():
        return value
    settings = [f.name for f in fields(value) if f.init]
    held = {name: to_plain(getattr(value, name)) for name in settings}
    return {_NAME: type(value).__name__, **held}


def from_plain(value: Any) -> Any:
    """Return what `to_plain` was given."""
    if not isinstance(value, dict):
        return value
    held = {k: from_plain(part) for k, part in value.items() if k != _NAME}
    return _KNOWN[value[_NAME]](**held)
