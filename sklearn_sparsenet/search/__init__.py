"""Searches for the λ that leave a prescribed number of weights."""

from sklearn_sparsenet.search.base import (
    FixedAlpha,
    Search,
    SearchBudget,
    SearchResult,
    as_search,
)
from sklearn_sparsenet.search.bracket import BracketSearch
from sklearn_sparsenet.search.continuation import ContinuationSearch
from sklearn_sparsenet.search.one_pass import OnePassSearch
from sklearn_sparsenet.search.pruning_schedule import PruningSchedule
from sklearn_sparsenet.search.session import Trial
from sklearn_sparsenet.search.trainer import Trainer

__all__ = [
    "BracketSearch",
    "ContinuationSearch",
    "FixedAlpha",
    "OnePassSearch",
    "PruningSchedule",
    "Search",
    "SearchBudget",
    "SearchResult",
    "Trainer",
    "Trial",
    "as_search",
]
