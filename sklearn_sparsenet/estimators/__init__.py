"""The estimators: scikit-learn's face of the library."""

from sklearn_sparsenet.estimators.classifier import SparseNetClassifier
from sklearn_sparsenet.estimators.regressor import SparseNetRegressor

__all__ = ["SparseNetClassifier", "SparseNetRegressor"]
