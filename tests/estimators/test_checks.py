"""scikit-learn's own checks, on default constructors, none expected to fail."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_sparsenet import (
    SparseNetClassifier,
    SparseNetClassifierCV,
    SparseNetRegressor,
    SparseNetRegressorCV,
)

# By default they make 55 networks in a fit. (With them the checks pass as well; they
# take a quarter of an hour each.)
SHORT = {"target_sparsities": [0.9, 0.95], "cv": 2}


# The checks fit on noise and count one weight off as off target (tol=0.01): that
# warning is right, and not what they test.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn_sparsenet.DataScaleWarning")
@parametrize_with_checks(
    [
        SparseNetClassifier(),
        SparseNetRegressor(),
        SparseNetClassifierCV(**SHORT),
        SparseNetRegressorCV(**SHORT),
    ]
)
def test_check(estimator, check):
    check(estimator)
