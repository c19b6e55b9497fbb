"""Estimators with cross-validation on awkward data, folds, scores and settings."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context, get_config
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.linear_model import LinearRegression
from sklearn.metrics import make_scorer, r2_score
from sklearn.model_selection import GroupKFold, KFold, LeaveOneOut, cross_validate
from torch import nn

from sklearn_sparsenet import (
    DataScaleWarning,
    SparseNetClassifier,
    SparseNetClassifierCV,
    SparseNetRegressor,
    SparseNetRegressorCV,
)
from sklearn_sparsenet.solvers.run import Run
from tests.faults import interrupted

OF_KIND = (TypeError, ValueError)


def chosen(kind=SparseNetClassifierCV, **settings):
    settings = {"target_sparsities": [20, 10], "max_iter": 10, **settings}
    return kind((5,), random_state=0, **settings)


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return (X / X.std(axis=0))[:90], y[:90]


@pytest.fixture
def net():
    return chosen(SparseNetRegressorCV, target_sparsities=[30, 20], cv=KFold(3))


@pytest.mark.parametrize(
    "kind",
    [sparse.csr_matrix, sparse.csc_array, np.ndarray.tolist, pd.DataFrame, np.asarray],
)
def test_any_container_gives_the_same(net, diabetes, kind):
    X, y = diabetes
    net.fit(X, y)
    other = clone(net).fit(kind(X), y.tolist() if kind is np.ndarray.tolist else y)
    assert_allclose(other.test_scores_, net.test_scores_)


def test_labels_of_several_kinds():
    X, y = load_iris(return_X_y=True)
    labels = np.c_[y == 0, y == 2].astype(int)
    net = chosen(cv=3)
    dense = net.fit(X, labels).test_scores_
    assert_array_equal(clone(net).fit(X, sparse.csr_matrix(labels)).test_scores_, dense)


def test_images(net):
    X, y = np.random.RandomState(0).rand(60, 1, 6, 6), np.arange(60) % 3
    convolution = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)
    )
    net = SparseNetClassifierCV(
        module=convolution, target_sparsities=[40, 20], cv=2, max_iter=2, random_state=0
    )
    before = [p.clone() for p in convolution.parameters()]
    net.fit(X, y)
    assert net.n_nonzero_ == net.target_sparsity_
    for own, old in zip(convolution.parameters(), before, strict=True):
        assert (own == old).all()


@pytest.mark.parametrize("rows", [slice(0, 30), slice(30, 90)])
def test_folds_without_weight_are_refused_before_any_fit(net, diabetes, rows):
    weight = np.ones(90)
    weight[rows] = 0
    net.set_params(cv=list(KFold(3).split(weight)))
    with pytest.raises(ValueError, match=r"The (train|test) part .* positive weight"):
        net.fit(*diabetes, sample_weight=weight)


@pytest.mark.parametrize("cv", [3, "rows"])
def test_rows_without_weight_are_in_no_fold(net, diabetes, cv):
    X, y = diabetes
    weight = np.ones(90)
    weight[:30] = weight[40:50] = 0
    kept = weight > 0
    alone = clone(net).fit(X[kept], y[kept])
    if cv == "rows":
        rows, others = np.flatnonzero(kept), np.flatnonzero(~kept)
        splits = KFold(3).split(rows)
        net.set_params(cv=[(np.r_[rows[a], others], rows[b]) for a, b in splits])
    assert_array_equal(
        net.fit(X, y, sample_weight=weight).test_scores_, alone.test_scores_
    )


def test_classes_without_weight_are_absent(wine):
    X, y = wine
    net = chosen(cv=2, max_iter=20, scoring="neg_log_loss")
    kept = y < 2
    net.fit(X, y, sample_weight=kept.astype(float))
    alone = clone(net).fit(X[kept], y[kept])
    assert_array_equal(net.test_scores_, alone.test_scores_)


def test_the_score_is_by_scoring(net, diabetes):
    net.set_params(scoring="neg_mean_absolute_error").fit(*diabetes)
    error = np.abs(net.predict(diabetes[0]) - diabetes[1]).mean()
    assert net.score(*diabetes) == pytest.approx(-error)
    assert net.set_params(scoring=None).score(*diabetes) == pytest.approx(
        r2_score(diabetes[1], net.predict(diabetes[0]))
    )


@pytest.mark.parametrize("wants", [True, False])
def test_a_scorer_gets_the_weights_that_it_asks_for(net, diabetes, wants):
    weight = np.random.default_rng(0).uniform(0.1, 5, 90)
    with config_context(enable_metadata_routing=True):
        scorer = make_scorer(r2_score).set_score_request(sample_weight=wants)
        net.set_params(scoring=scorer, cv=2).fit(*diabetes, sample_weight=weight)
        other = clone(net).set_params(scoring=None)
        other.fit(*diabetes, sample_weight=weight)
    assert np.array_equal(net.test_scores_, other.test_scores_) == wants


def test_groups_are_routed(net, diabetes):
    groups = np.arange(90) // 10
    with pytest.raises(ValueError, match="groups"):
        net.set_params(cv=GroupKFold(3)).fit(*diabetes)
    splits = list(GroupKFold(3).split(*diabetes, groups))
    wanted = clone(net).set_params(cv=splits).fit(*diabetes).test_scores_
    assert_array_equal(clone(net).fit(*diabetes, groups=groups).test_scores_, wanted)
    with config_context(enable_metadata_routing=True):
        asking = clone(net).set_fit_request(groups=True)
        params = {"groups": groups}
        scores = cross_validate(asking, *diabetes, cv=GroupKFold(2), params=params)
    assert np.isfinite(scores["test_score"]).all()


def test_a_number_as_weight_is_as_none(net, diabetes):
    net.fit(*diabetes)
    other = clone(net).fit(*diabetes, sample_weight=2.0)
    assert_allclose(other.test_scores_, net.test_scores_)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.parametrize("selection", ["min", "1se"])
def test_scores_that_are_undefined_are_told(net, diabetes, selection):
    X, y = diabetes[0][:8], diabetes[1][:8]
    net.set_params(cv=LeaveOneOut(), selection=selection)
    with pytest.raises(ValueError, match="No target has a score in every fold"):
        net.fit(X, y)
    net.set_params(scoring="neg_mean_squared_error").fit(X, y)
    assert net.test_scores_.shape == (2, 8)


def test_a_target_without_a_score_is_not_chosen(net, diabetes):
    def scorer(point, X, y):
        return np.nan if point.n_nonzero_ == 20 else -1.0

    net.set_params(scoring=scorer).fit(*diabetes)
    assert net.target_sparsity_ == 30
    assert net.cv_results_["rank_test_score"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("target_sparsities", [], ValueError, "empty"),
        ("target_sparsities", [10**6], ValueError, "out of range"),
        ("target_sparsities", "auto", OF_KIND, "target_sparsities"),
        ("target_sparsities", 0.9, OF_KIND, "target_sparsities"),
        ("target_sparsities", {"0.weight": 20}, OF_KIND, "target_sparsities"),
        ("target_sparsities", np.array(3.0), OF_KIND, "target_sparsities"),
        ("selection", "max", ValueError, "selection"),
        ("cv", LinearRegression(), ValueError, "cv"),
        ("cv", [], ValueError, "gives no folds"),
    ],
)
def test_refusals_come_before_any_fit(
    net, diabetes, name, value, error, message, monkeypatch
):
    monkeypatch.setattr(Run, "_epoch", lambda *args: pytest.fail("training began"))
    with pytest.raises(error, match=message):
        net.set_params(**{name: value}).fit(*diabetes)


@pytest.mark.parametrize(
    ("index", "error"), [(7, IndexError), (-1, IndexError), (0.5, TypeError)]
)
def test_a_selection_returns_an_index(net, diabetes, index, error):
    with pytest.raises(error, match="selection="):
        net.set_params(selection=lambda results: index).fit(*diabetes)


@pytest.mark.parametrize("epoch", [2, 12, 15])
def test_an_interruption_of_the_folds_interrupts(net, diabetes, epoch, monkeypatch):
    monkeypatch.setattr(Run, "_epoch", interrupted(Run._epoch, epoch))
    with pytest.raises(KeyboardInterrupt):
        net.fit(*diabetes)


def test_names_of_an_earlier_fit_are_forgotten(net, diabetes):
    X, y = diabetes
    net.fit(pd.DataFrame(X, columns=[f"column {j}" for j in range(10)]), y)
    assert len(net.feature_names_in_) == 10
    net.fit(X, y)
    assert not hasattr(net, "feature_names_in_")
    net.predict(X)  # would warn


@pytest.mark.parametrize(
    ("category", "change"),
    [
        (DataConversionWarning, lambda X, y: (X, y[:, None])),
        (DataScaleWarning, lambda X, y: (X * np.geomspace(1, 1e6, 10), y)),
    ],
)
def test_warnings_of_the_data_come_once(net, diabetes, category, change):
    net.set_params(max_iter=100)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net.fit(*change(*diabetes))
    assert [warning.category for warning in caught] == [category]


def test_targets_that_folds_miss_are_told_once(net, diabetes):
    net.set_params(target_sparsities=[30, 1], selection=lambda results: 0, max_iter=100)
    with pytest.warns(ConvergenceWarning) as caught:
        net.fit(*diabetes)
    (warning,) = caught
    assert "SparseNetRegressorCV: 3 of the 6 networks" in str(warning.message)
    assert "No weight lies on a path" in str(warning.message)


def test_other_warnings_of_the_folds_are_passed_on(net, diabetes):
    def fussy(output, target):
        warnings.warn("fussy", FutureWarning, stacklevel=2)
        return ((output - target) ** 2).sum(dim=1)

    with pytest.warns(FutureWarning, match="fussy"):
        net.set_params(loss=fussy, max_iter=2, normalize_y=False).fit(*diabetes)


def test_settings_of_scikit_learn_reach_the_folds(net, diabetes):
    def scorer(point, X, y):
        return float(get_config()["enable_metadata_routing"])

    with config_context(enable_metadata_routing=True):
        net.set_params(n_jobs=2, scoring=scorer).fit(*diabetes)
    assert (net.test_scores_ == 1).all()


def test_callbacks_get_the_weights(net, diabetes):
    X, y = diabetes
    weight = np.linspace(0, 1, 90)
    monitor = ScoringMonitor(scoring="r2")
    net.set_callbacks(monitor).fit(X, y, sample_weight=weight)
    (root,) = monitor.get_logs().data
    assert root["r2"] == pytest.approx(
        r2_score(y, net.predict(X), sample_weight=weight)
    )


@pytest.mark.parametrize("seed", [3, np.random.RandomState(3)])
def test_folds_do_not_depend_on_the_number_of_jobs(net, diabetes, seed):
    net.set_params(random_state=seed).fit(*diabetes)
    other = clone(net).set_params(n_jobs=2).fit(*diabetes)
    assert_array_equal(other.test_scores_, net.test_scores_)


@pytest.mark.parametrize("kind", [SparseNetRegressorCV, SparseNetClassifierCV])
def test_parameters_are_those_of_the_single_fit(kind):
    single = SparseNetRegressor
    if kind is SparseNetClassifierCV:
        single = SparseNetClassifier
    without = {"target_sparsity", "alpha", "warm_start", "checkpoint"}
    own = {"target_sparsities", "selection", "cv", "scoring", "n_jobs"}
    params = kind().get_params()
    assert params.keys() == (single().get_params().keys() - without) | own
    shared = params.keys() - own
    assert {k: params[k] for k in shared} == {
        k: single().get_params()[k] for k in shared
    }
