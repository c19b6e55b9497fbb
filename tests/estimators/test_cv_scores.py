"""What cross-validation scores classes by, unless it is told."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.utils.class_weight import compute_sample_weight

from sklearn_sparsenet import SparseNetClassifier, SparseNetClassifierCV
from sklearn_sparsenet.estimators._table_rows import TableRows

QUICK = {"max_iter": 100, "random_state": 0}
FOLDS = StratifiedKFold(2)


def cross_validated(**settings):
    return SparseNetClassifierCV(
        (5,), target_sparsities=[20], **{"cv": FOLDS, **QUICK, **settings}
    )


def by_hand(net, X, y, measure):
    """What the networks of the same folds score by a function of the user's."""

    def minus_loss(net, X, y):
        return -measure(y, net.predict_proba(X))

    return clone(net).set_params(scoring=minus_loss).fit(X, y).test_scores_


@pytest.mark.parametrize("labels", [[0, 1, 2], [0, 1, 1], ["a", "b", "a"]], ids=str)
def test_classes_are_scored_by_their_log_loss(iris, labels):
    X, y = iris[0], np.array(labels)[iris[1]]
    net = cross_validated().fit(X, y)
    assert_allclose(net.test_scores_, by_hand(net, X, y, log_loss), rtol=1e-6)
    told = clone(net).set_params(scoring="neg_log_loss").fit(X, y)
    assert_allclose(net.test_scores_, told.test_scores_, rtol=1e-6)
    assert net.score(X, y) == accuracy_score(y, net.predict(X))


def test_several_labels_are_scored_by_the_mean_of_their_log_losses(iris):
    X, y = iris[0], np.c_[iris[1] == 0, iris[1] == 2].astype(int)

    def mean_loss(y, probability):
        return np.mean(
            [log_loss(y[:, j], probability[:, j], labels=[0, 1]) for j in range(2)]
        )

    splits = list(FOLDS.split(X, y[:, 0]))
    net = cross_validated(cv=splits).fit(X, y)
    assert_allclose(net.test_scores_, by_hand(net, X, y, mean_loss), rtol=1e-6)


@pytest.mark.parametrize("class_weight", ["balanced", {0: 1.0, 1: 5.0}], ids=str)
def test_classes_count_as_in_the_fit(iris, class_weight):
    X, y = iris[0], (iris[1] == 1).astype(int)

    def weighted(y, probability):
        weight = compute_sample_weight(class_weight, y)
        return log_loss(y, probability, sample_weight=weight)

    net = cross_validated(class_weight=class_weight).fit(X, y)
    wanted = by_hand(net, X, y, weighted)
    assert_allclose(net.test_scores_, wanted, rtol=1e-6)


def test_sure_mistakes_are_worse_than_many_small_ones(iris):
    """A class that no row of the training part has: the loss is finite, and large."""
    X, y = iris
    net = cross_validated(cv=KFold(3)).fit(X, y)
    assert np.isfinite(net.test_scores_).all()
    assert (net.test_scores_ < -np.log(3)).all()


def test_rows_without_weight_do_not_count(iris):
    X, y = iris
    weight = (np.arange(len(y)) % 5 > 0).astype(float)
    net, kept = cross_validated(), weight > 0
    alone = clone(net).fit(X[kept], y[kept]).test_scores_
    assert_allclose(net.fit(X, y, weight).test_scores_, alone, rtol=1e-6)


@pytest.mark.parametrize("labels", [[0, 1, 2], [0, 1, 1]], ids=str)
def test_rows_by_number_have_the_probabilities_of_the_rows(iris, labels):
    """Not those of the probabilities, taken for outputs once more."""
    X, y = iris[0], np.array(labels)[iris[1]]
    net = SparseNetClassifier((5,), target_sparsity=20, **QUICK).fit(X, y)
    numbers = np.arange(0, 150, 3)
    found = net.predict_proba(TableRows(X, numbers))
    assert_allclose(found, net.predict_proba(X[numbers]), rtol=1e-9)
