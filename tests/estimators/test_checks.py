"""scikit-learn's own checks, none expected to fail.

On default constructors, but for cross-validation, whose settings are told below.
"""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_sparsenet import (
    SparseNetClassifier,
    SparseNetClassifierCV,
    SparseNetRegressor,
    SparseNetRegressorCV,
)

# By default they make 55 networks in a fit. They are also denser there, and by default
# SparseNetClassifierCV fails the two checks of sample weights against repeated rows:
# a dense network that interpolates the 15 rows of the check lets differences of
# rounding grow, alone as well (SparseNetRegressor(target_sparsity=0.5): 1e-2).
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
