"""Penalties as objects that answer every mathematical question about themselves.

A solver only ever asks a penalty for its value, its proximity operator in the
metric of the step, and the distance of a gradient to its subdifferential. A new
penalty therefore needs no change anywhere else: the four abstract members of
`Penalty` are enough, and the others, which have defaults, make it faster.
"""

from sklearn_sparsenet.penalties.base import Penalty, is_identity
from sklearn_sparsenet.penalties.by_name import PENALTIES, as_penalty
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
