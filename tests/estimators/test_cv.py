"""The estimators that choose their target by cross-validation."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from sklearn_sparsenet import (
    SparseNetClassifierCV,
    SparseNetRegressor,
    SparseNetRegressorCV,
    sparsenet_path,
)
from sklearn_sparsenet.estimators.selection import SELECTIONS, paired_errors
from tests.comparisons import pickled, reloaded

SMALL = {"max_iter": 60, "random_state": 0, "cv": 3, "tol": 0}


@pytest.fixture(scope="module")
def fitted(diabetes):
    net = SparseNetRegressorCV((10,), target_sparsities=[60, 0.9, 30], **SMALL)
    return net.fit(*diabetes)


def test_shapes_and_order(fitted):
    assert fitted.target_sparsities_ == [60, 30, 0.9]
    assert fitted.n_nonzeros_.tolist() == [60, 30, 11]
    assert fitted.test_scores_.shape == fitted.train_scores_.shape == (3, 3)
    assert fitted.alphas_.shape == (3, 3)
    assert len(fitted.cv_results_["mean_test_score"]) == 3


def test_scores_are_those_of_the_paths_of_the_folds(fitted, diabetes):
    X, y = diabetes
    net = SparseNetRegressor((10,), max_iter=60, random_state=0, tol=0)
    for number, (train, test) in enumerate(KFold(3).split(X)):
        held_out = {"X_test": X[test], "y_test": y[test]}
        path = sparsenet_path(
            net, X[train], y[train], target_sparsities=[60, 30, 11], **held_out
        )
        assert_array_equal(path.test_scores, fitted.test_scores_[:, number])


def test_the_result_is_a_fit_of_the_chosen_target_to_all_data(fitted, diabetes):
    assert fitted.best_index_ == fitted.test_scores_.mean(axis=1).argmax()
    single = SparseNetRegressor((10,), max_iter=60, random_state=0, tol=0)
    single.set_params(target_sparsity=fitted.target_sparsity_).fit(*diabetes)
    assert_array_equal(fitted.predict(diabetes[0]), single.predict(diabetes[0]))
    assert fitted.n_nonzero_ == single.n_nonzero_
    assert fitted.score(*diabetes) == single.score(*diabetes)


def test_selection():
    """By hand: 0.01 and -0.006 worse than the best are 0.002 ± 0.008."""
    scores = np.array([[0.8, 0.9], [0.88, 0.9], [0.88, 0.9], [0.87, 0.906], [0, 0]])
    assert SELECTIONS["min"](scores) == 2  # of equals the sparsest
    assert SELECTIONS["1se"](scores) == 3
    assert_allclose(paired_errors(scores, 2), [0.04, 0, 0, 0.008, 0.01], atol=1e-12)
    assert SELECTIONS["1se"](scores[:, :1]) == 2


def test_what_all_targets_have_in_common_is_no_noise():
    """Folds differ by far more than the targets, of which one is always better."""
    fold = np.array([-0.9, -0.2, -0.5, -0.7, -0.3])
    worse = np.array([0.03, 0.02, 0.04, 0.03, 0.02])
    mixed = np.array([0.01, -0.02, 0.0, 0.0, 0.0])
    scores = np.stack([fold - worse, fold, fold + mixed, fold - worse])
    assert SELECTIONS["1se"](scores) == 2
    assert SELECTIONS["1se"](scores + 100 * fold) == 2


def test_a_selection_of_ones_own(diabetes):
    net = SparseNetRegressorCV(
        (10,), target_sparsities=[60, 30], selection=lambda results: 1, **SMALL
    )
    assert net.fit(*diabetes).target_sparsity_ == 30


def test_weights_and_scoring_and_labels():
    X, y = load_breast_cancer(return_X_y=True)
    X, names = StandardScaler().fit_transform(X), np.array(["bad", "good"])[y]
    weight = np.ones(len(y))
    weight[:50] = 0
    net = SparseNetClassifierCV(
        (5,), target_sparsities=3, scoring="neg_log_loss", **SMALL
    )
    net.fit(X, names, sample_weight=weight)
    assert (net.test_scores_ < 0).all()
    assert set(net.predict(X)) == {"bad", "good"}
    assert net.predict_proba(X).shape == (len(X), 2)


def test_per_layer_targets_and_alphas(diabetes):
    net = SparseNetRegressorCV((10,), target_sparsities=[(30, 5), (20, 4)], **SMALL)
    net.fit(*diabetes)
    assert net.alphas_.shape == (2, 3, 2)
    assert tuple(net.n_nonzero_per_layer_) == net.target_sparsity_


def test_in_a_pipeline_and_nested(diabetes):
    net = SparseNetRegressorCV((5,), target_sparsities=[20, 10], **SMALL)
    scores = cross_val_score(make_pipeline(StandardScaler(), net), *diabetes, cv=2)
    assert len(scores) == 2


def test_pickle_and_files(fitted, diabetes):
    X, _ = diabetes
    for again in (pickled(fitted), reloaded(fitted)):
        assert type(again) is SparseNetRegressorCV
        assert_array_equal(again.predict(X), fitted.predict(X))
        assert_array_equal(again.test_scores_, fitted.test_scores_)
        assert again.target_sparsity_ == fitted.target_sparsity_


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_folds_and_refit_are_tasks(n_jobs, diabetes, capsys):
    X, y = diabetes
    net = SparseNetRegressorCV((5,), target_sparsities=[20, 10], n_jobs=n_jobs, **SMALL)
    alone = SparseNetRegressorCV((5,), target_sparsities=[20, 10], **SMALL).fit(X, y)
    net.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, y)
    printed = capsys.readouterr().out
    assert "folds #0" in printed
    assert "- refit | SparseNetRegressor - fit" in printed
    assert "train #0" in printed
    assert all("100%" in line for line in printed.strip().splitlines())
    assert_array_equal(net.test_scores_, alone.test_scores_)
    assert_array_equal(net.predict(X), alone.predict(X))


# What classes are scored by, unless it is told.

FOLDS = StratifiedKFold(2)


def cross_validated(**settings):
    settings = {"cv": FOLDS, "max_iter": 100, "random_state": 0, **settings}
    return SparseNetClassifierCV((5,), target_sparsities=[20], **settings)


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
