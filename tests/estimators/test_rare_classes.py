"""Classes with few rows: held-out parts and folds that lack them."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning, UndefinedMetricWarning
from sklearn.metrics import make_scorer, top_k_accuracy_score
from sklearn.model_selection import GroupKFold, KFold, LeaveOneOut, StratifiedKFold

from sklearn_sparsenet import SparseNetClassifier, SparseNetClassifierCV
from sklearn_sparsenet.estimators._holdout import hold_out
from sklearn_sparsenet.estimators.selection import SELECTIONS, mean_scores

QUICK = {"hidden_layer_sizes": (5,), "max_iter": 30, "random_state": 0}


def chosen(**settings):
    return SparseNetClassifierCV(**QUICK, target_sparsities=[20, 10], **settings)


@pytest.fixture(scope="module")
def data():
    """40 rows of three classes, with names; the last one has a single row."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 4))
    y = np.where(X[:, 0] > 0, "b", "a").astype(object)
    y[7], X[7] = "c", 4.0
    return X, y


@pytest.fixture(autouse=True)
def _no_convergence():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.5, 0.9])
@pytest.mark.parametrize(
    "strata",
    [
        [0] * 20 + [1] * 19 + [2], [0] * 10 + [1, 2, 3], [0] * 30 + [1, 1, 2, 2],
        [0, 1] * 4, [0] * 12, list(range(8)) * 3, [0] * 9 + [5] * 9 + [7],
    ],
)  # fmt: skip
def test_every_class_keeps_a_row_to_train_with(strata, fraction):
    strata = np.array(strata)
    if not 2 <= np.ceil(fraction * len(strata)) < len(strata):
        with pytest.raises(ValueError, match=r"early_stopping|validation_fraction"):
            hold_out(strata, fraction, 0)
        return
    for seed in range(10):
        kept, held = hold_out(strata, fraction, seed)
        assert sorted([*kept, *held]) == list(range(len(strata)))
        assert set(strata[kept]) == set(strata)
        assert 2 <= len(held) <= np.ceil(fraction * len(strata))


def test_nothing_to_score_is_refused():
    for strata in ([0, 1, 2, 3], [0, 0, 1, 2], [0], [0, 1]):
        with pytest.raises(ValueError, match="early_stopping"):
            hold_out(np.array(strata), 0.5, 0)


def test_a_class_of_one_row_is_learnt_in_spite_of_early_stopping(data):
    X, y = data
    net = SparseNetClassifier(**QUICK, target_sparsity=20, early_stopping=True)
    weight = np.linspace(0, 2, 40)
    for fit in (net.fit(X, y), net.fit(X, y, weight)):
        assert list(fit.classes_) == ["a", "b", "c"]
        assert len(fit.validation_scores_) > 0
    labels = np.c_[y == "a", y == "b", y == "c"].astype(int)
    assert net.fit(X, labels).predict_proba(X).shape == (40, 3)


CVS = {
    "kfold": (KFold(3), None),
    "stratified": (StratifiedKFold(3), None),
    "groups": (GroupKFold(4), np.arange(40) // 10),
    "given": (
        [(np.arange(20), np.arange(20, 40)), (np.arange(20, 40), range(20))],
        None,
    ),
}
SCORINGS = {
    "default": None, "log loss": "neg_log_loss", "brier": "neg_brier_score",
    "balanced": "balanced_accuracy", "auc": "roc_auc_ovr", "f1": "f1_weighted",
    "top": make_scorer(
        top_k_accuracy_score, response_method="predict_proba", k=2
    ),
    "function": lambda net, X, y: -np.abs(net.predict_proba(X).sum(1) - 1).max(),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.filterwarnings("ignore:The least populated class:UserWarning")
@pytest.mark.filterwarnings("ignore:y_pred contains classes:UserWarning")
@pytest.mark.parametrize("scoring", SCORINGS.values(), ids=SCORINGS)
@pytest.mark.parametrize(("cv", "groups"), CVS.values(), ids=CVS)
def test_folds_that_lack_a_class_are_scored(data, cv, groups, scoring):
    X, y = data
    net = chosen(cv=cv, scoring=scoring)
    net.fit(X, y, groups=groups)
    # A curve is undefined where the test part has no rows of a class.
    assert np.isfinite(net.test_scores_).all() or scoring == "roc_auc_ovr"
    assert np.isfinite(net.best_score_)
    assert list(net.classes_) == ["a", "b", "c"]


def test_a_missing_class_gets_little_probability(data):
    X, y = data
    seen = []

    def look(net, X, y):
        seen.append(net.predict_proba(X))
        return 0.0

    cv = [(np.delete(np.arange(40), 7), [7, 8])]
    chosen(cv=cv, scoring=look).fit(X, y)
    assert all(found.shape[1] == 3 and found[:, 2].max() < 0.01 for found in seen)


@pytest.mark.parametrize("scoring", [None, "neg_log_loss"])
def test_one_class_in_the_training_part_or_one_row_in_the_test_part(data, scoring):
    X, y = data
    order = np.argsort(y == "b", kind="stable")
    X, y = X[order], (y == "b")[order]
    net = SparseNetClassifierCV(**QUICK, target_sparsities=[10], scoring=scoring)
    for cv, rows in ((KFold(2), slice(None)), (LeaveOneOut(), slice(18, 26))):
        net.set_params(cv=cv).fit(X[rows], y[rows])
        assert np.isfinite(net.test_scores_).all()


@pytest.mark.parametrize("by", ["sample_weight", "class_weight"])
@pytest.mark.parametrize("cv", [KFold(3), [(np.arange(20), np.arange(20, 40))]])
def test_classes_without_weight_are_in_no_fold(data, by, cv):
    X, y = data
    weight, of_classes = None, None
    if by == "sample_weight":
        weight = (y != "c").astype(float)
    else:
        of_classes = {"c": 0.0, "a": 2.0}
    net = chosen(cv=cv, scoring="neg_log_loss", class_weight=of_classes)
    net.fit(X, y, weight)
    assert list(net.classes_) == ["a", "b"]
    assert np.isfinite(net.test_scores_).all()


@pytest.mark.filterwarnings("ignore:The least populated class:UserWarning")
def test_weights_of_classes_that_a_fold_lacks(data):
    net = chosen(cv=3, class_weight={"c": 5.0}).fit(*data)
    assert np.isfinite(net.test_scores_).all()


def test_folds_without_a_score_do_not_count():
    scores = np.array([[0.8, np.nan, 0.6], [0.7, np.nan, 0.9], [0.9, np.nan, np.nan]])
    assert SELECTIONS["min"](scores) == 1
    assert SELECTIONS["1se"](scores) == 1
    np.testing.assert_allclose(mean_scores(scores), [0.7, 0.8, -np.inf])


def test_a_curve_that_some_folds_lack(data):
    X, y = data
    y = y == "b"
    cv = [
        (np.arange(20), np.arange(20, 40)),
        (np.arange(20, 40), np.flatnonzero(y)[:3]),
    ]
    net = chosen(cv=cv, scoring="roc_auc")
    with pytest.warns(UndefinedMetricWarning):
        net.fit(X, y)
    assert np.isfinite(net.best_score_)
    assert np.isnan(net.test_scores_[:, 1]).all()


@pytest.mark.filterwarnings("ignore:The least populated class:UserWarning")
def test_rows_of_one_class_are_scored_afterwards(data):
    X, y = data
    net = chosen(cv=3, scoring="neg_log_loss").fit(X, y)
    expected = net.predict_log_proba(X[y == "b"])[:, 1].mean()
    np.testing.assert_allclose(net.score(X[y == "b"], y[y == "b"]), expected)
