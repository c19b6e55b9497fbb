"""scikit-learn's own checks, none expected to fail."""

import pytest
from sklearn.utils.estimator_checks import (
    check_sample_weight_equivalence_on_dense_data,
    parametrize_with_checks,
)

from sklearn_sparsenet import (
    SparseNetClassifier,
    SparseNetClassifierCV,
    SparseNetRegressor,
    SparseNetRegressorCV,
)

# By default they make 55 networks in a fit, of 1000 steps each: below.
SHORT = {"target_sparsities": [0.8, 0.9], "cv": 2, "max_iter": 150}


# The checks fit on noise and count one weight off as off target (tol=0.01): that
# warning is right, and not what they test.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn_sparsenet.DataScaleWarning")
@parametrize_with_checks([SparseNetClassifier(), SparseNetRegressor()])
def test_check(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn_sparsenet.DataScaleWarning")
@parametrize_with_checks(
    [
        SparseNetClassifierCV(**SHORT),
        SparseNetRegressorCV(**SHORT),
        SparseNetRegressorCV(target_inputs=[0.0, 0.5], cv=2, max_iter=150),
    ]
)
def test_check_with_two_targets(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn_sparsenet.DataScaleWarning")
@parametrize_with_checks([SparseNetClassifierCV(), SparseNetRegressorCV()])
def test_check_with_every_target(estimator, check):
    check(estimator)


# The checks fit far too briefly for a small residual, too.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn_sparsenet.DataScaleWarning")
@parametrize_with_checks(
    [
        kind(penalty="group_l2", alpha=1e-3)
        for kind in (SparseNetClassifier, SparseNetRegressor)
    ]
)
def test_check_with_groups(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore::sklearn_sparsenet.DataScaleWarning")
@pytest.mark.parametrize("kind", [SparseNetClassifier, SparseNetRegressor])
@pytest.mark.parametrize("density", [0.5, 0.02])
def test_weights_are_repetitions_for_interpolating_networks(kind, density):
    """Differences of rounding must not grow over a thousand steps."""
    net = kind(target_sparsity=1 - density)
    check_sample_weight_equivalence_on_dense_data(kind.__name__, net)


@pytest.mark.filterwarnings("ignore::sklearn_sparsenet.DataScaleWarning")
def test_rounding_does_not_tell_equal_scores_apart():
    """Weight decay balances the two weights of a unit that has no others."""
    net = SparseNetClassifier(weight_decay=0.02)
    check_sample_weight_equivalence_on_dense_data("SparseNetClassifier", net)
