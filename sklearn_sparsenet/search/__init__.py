"""Searches for the λ that leave a prescribed number of weights."""

from sklearn_sparsenet.search.base import (
    FixedAlpha,
    Limits,
    Search,
    SearchResult,
    Trainer,
    Trial,
)
from sklearn_sparsenet.search.bracket import BracketSearch

__all__ = [
    "BracketSearch",
    "FixedAlpha",
    "Limits",
    "Search",
    "SearchResult",
    "Trainer",
    "Trial",
]
