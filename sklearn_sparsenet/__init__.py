"""Neural networks with as many weights as you ask for, as scikit-learn estimators."""

from sklearn_sparsenet import losses, optimality
from sklearn_sparsenet._version import __version__
from sklearn_sparsenet.estimators import (
    SparseNetClassifier,
    SparseNetClassifierCV,
    SparseNetPath,
    SparseNetRegressor,
    SparseNetRegressorCV,
    load,
    sparsenet_path,
)
from sklearn_sparsenet.exceptions import DataScaleWarning, NonFiniteLossError
from sklearn_sparsenet.penalties import L0, L1, MCP, Penalty
from sklearn_sparsenet.search import BracketSearch, OnePassSearch
from sklearn_sparsenet.solvers import ProximalAdam, ProximalSGD

__all__ = [
    "L0",
    "L1",
    "MCP",
    "BracketSearch",
    "DataScaleWarning",
    "NonFiniteLossError",
    "OnePassSearch",
    "Penalty",
    "ProximalAdam",
    "ProximalSGD",
    "SparseNetClassifier",
    "SparseNetClassifierCV",
    "SparseNetPath",
    "SparseNetRegressor",
    "SparseNetRegressorCV",
    "__version__",
    "load",
    "losses",
    "optimality",
    "sparsenet_path",
]
