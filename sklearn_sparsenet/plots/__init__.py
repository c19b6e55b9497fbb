"""Plots of fitted networks, by scikit-learn's conventions for displays.

They need matplotlib: ``pip install sklearn-sparsenet[plots]``. It is imported when
something is plotted, not before.
"""

from sklearn_sparsenet.plots.filters import FiltersDisplay
from sklearn_sparsenet.plots.layers import LayersDisplay
from sklearn_sparsenet.plots.network import NetworkDisplay
from sklearn_sparsenet.plots.optimality import OptimalityDisplay
from sklearn_sparsenet.plots.search import SearchDisplay
from sklearn_sparsenet.plots.sparsity_curve import SparsityCurveDisplay
from sklearn_sparsenet.plots.stability import StabilityDisplay

__all__ = [
    "FiltersDisplay",
    "LayersDisplay",
    "NetworkDisplay",
    "OptimalityDisplay",
    "SearchDisplay",
    "SparsityCurveDisplay",
    "StabilityDisplay",
]
