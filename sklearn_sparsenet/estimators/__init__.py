"""The estimators: scikit-learn's face of the library."""

from sklearn_sparsenet.estimators._files import load
from sklearn_sparsenet.estimators.classifier import SparseNetClassifier
from sklearn_sparsenet.estimators.regressor import SparseNetRegressor

__all__ = ["SparseNetClassifier", "SparseNetRegressor", "load"]
