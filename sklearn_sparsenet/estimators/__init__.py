"""The estimators: scikit-learn's face of the library."""

from sklearn_sparsenet.estimators._loading import load
from sklearn_sparsenet.estimators._whole_models import (
    compact,
    input_report,
    save,
    to_c,
    to_onnx,
)
from sklearn_sparsenet.estimators.classifier import SparseNetClassifier
from sklearn_sparsenet.estimators.cv import SparseNetClassifierCV, SparseNetRegressorCV
from sklearn_sparsenet.estimators.path import SparseNetPath, sparsenet_path
from sklearn_sparsenet.estimators.regressor import SparseNetRegressor
from sklearn_sparsenet.estimators.stability import StabilityResult, stability_selection

__all__ = [
    "SparseNetClassifier",
    "SparseNetClassifierCV",
    "SparseNetPath",
    "SparseNetRegressor",
    "SparseNetRegressorCV",
    "StabilityResult",
    "compact",
    "input_report",
    "load",
    "save",
    "sparsenet_path",
    "stability_selection",
    "to_c",
    "to_onnx",
]
