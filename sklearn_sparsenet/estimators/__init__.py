"""The estimators: scikit-learn's face of the library."""

from sklearn_sparsenet.estimators._loading import load
from sklearn_sparsenet.estimators._reports import input_report
from sklearn_sparsenet.estimators.classifier import SparseNetClassifier
from sklearn_sparsenet.estimators.cv import SparseNetClassifierCV, SparseNetRegressorCV
from sklearn_sparsenet.estimators.path import SparseNetPath, sparsenet_path
from sklearn_sparsenet.estimators.regressor import SparseNetRegressor

__all__ = [
    "SparseNetClassifier",
    "SparseNetClassifierCV",
    "SparseNetPath",
    "SparseNetRegressor",
    "SparseNetRegressorCV",
    "input_report",
    "load",
    "sparsenet_path",
]
