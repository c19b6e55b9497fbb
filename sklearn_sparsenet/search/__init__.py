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
from sklearn_sparsenet.search.continuation import ContinuationSearch

__all__ = [
    "BracketSearch",
    "ContinuationSearch",
    "FixedAlpha",
    "Limits",
    "Search",
    "SearchResult",
    "Trainer",
    "Trial",
]
