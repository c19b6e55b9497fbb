"""Neural networks with as many weights as you ask for, as scikit-learn estimators."""

import sys as _sys

from sklearn_sparsenet import losses, optimality
from sklearn_sparsenet._version import __version__
from sklearn_sparsenet.deploy import sparse_storage as _sparse_storage
from sklearn_sparsenet.estimators import (
    SparseNetClassifier,
    SparseNetClassifierCV,
    SparseNetPath,
    SparseNetRegressor,
    SparseNetRegressorCV,
    StabilityResult,
    compact,
    input_report,
    load,
    save,
    sparsenet_path,
    stability_selection,
    to_c,
    to_onnx,
)
from sklearn_sparsenet.penalties import L0, L1, MCP, GroupL2, Penalty, SparseGroupL2
from sklearn_sparsenet.search import BracketSearch, OnePassSearch
from sklearn_sparsenet.solvers import ProximalAdam, ProximalSGD
from sklearn_sparsenet.solvers.parquet_rows import ParquetRows
from sklearn_sparsenet.solvers.streamed import Dataset
from sklearn_sparsenet.solvers.torch_rows import TorchRows
from sklearn_sparsenet.utils import exceptions as _exceptions
from sklearn_sparsenet.utils.exceptions import DataScaleWarning, NonFiniteLossError

__all__ = [
    "L0",
    "L1",
    "MCP",
    "BracketSearch",
    "DataScaleWarning",
    "Dataset",
    "GroupL2",
    "NonFiniteLossError",
    "OnePassSearch",
    "ParquetRows",
    "Penalty",
    "ProximalAdam",
    "ProximalSGD",
    "SparseGroupL2",
    "SparseNetClassifier",
    "SparseNetClassifierCV",
    "SparseNetPath",
    "SparseNetRegressor",
    "SparseNetRegressorCV",
    "StabilityResult",
    "TorchRows",
    "__version__",
    "compact",
    "input_report",
    "load",
    "losses",
    "optimality",
    "save",
    "sparsenet_path",
    "stability_selection",
    "to_c",
    "to_onnx",
]

# Where pickles, and imports, of earlier versions look for these.
_sys.modules[f"{__name__}.packing"] = _sparse_storage
_sys.modules[f"{__name__}.exceptions"] = _exceptions
