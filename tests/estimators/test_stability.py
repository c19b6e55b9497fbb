"""Stability selection: halves, frequencies, any estimator, the bound in simulations."""

from collections import Counter
from functools import partial

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import RFE, SelectFromModel, SelectKBest, f_regression
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    Lasso,
    LinearRegression,
    LogisticRegression,
    MultiTaskLasso,
)
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.utils.validation import check_is_fitted

from sklearn_sparsenet import (
    SparseNetClassifier,
    SparseNetRegressor,
    StabilityResult,
    stability_selection,
)

TRUE = [0, 3]


@pytest.fixture(scope="module")
def linear():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(81, 12))
    return X, X[:, TRUE].sum(axis=1) + 0.5 * rng.normal(size=81)


@pytest.fixture(scope="module")
def classes():
    """Three classes of 11, 20 and 30 rows."""
    rng = np.random.default_rng(0)
    y = np.repeat(["a", "b", "c"], [11, 20, 30])
    X = rng.normal(size=(61, 8))
    X[:, 2] += 3 * (y == "a")
    X[:, 5] += 3 * (y == "c")
    order = rng.permutation(61)
    return X[order], y[order]


class Recorder(BaseEstimator):
    """Keeps what it was fitted to, and says that it uses everything."""

    seen = []  # noqa: RUF012 - of all clones together

    def __init__(self, random_state=7, kind="regressor"):
        self.random_state = random_state
        self.kind = kind

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.estimator_type = self.kind
        return tags

    def fit(self, X, y, sample_weight=None):
        self.seen.append((X, y, sample_weight, self.random_state))
        self.coef_ = np.ones(X.shape[1])
        return self


@pytest.fixture
def recorder(monkeypatch):
    monkeypatch.setattr(Recorder, "seen", [])
    return Recorder()


def numbered(n_rows):
    """Return X whose first column has the numbers of the rows."""
    return np.column_stack([np.arange(n_rows), np.zeros((n_rows, 2))])


def rows_of(fit):
    return fit[0][:, 0].astype(int).tolist()


@pytest.mark.parametrize("n_rows", [20, 21])
def test_pairs_are_disjoint_halves(recorder, n_rows):
    stability_selection(recorder, numbered(n_rows), np.arange(n_rows), n_pairs=30)
    rows = [rows_of(fit) for fit in recorder.seen]
    assert len(rows) == 60
    assert all(half == sorted(set(half)) for half in rows)
    assert {len(half) for half in rows} == {10}
    pairs = list(zip(rows[::2], rows[1::2], strict=True))
    assert all(not set(one) & set(other) for one, other in pairs)
    left_out = {row for pair in pairs for row in {*range(n_rows)}.difference(*pair)}
    assert len(left_out) == (0 if n_rows == 20 else pytest.approx(13, abs=8))
    drawn = Counter(row for half in rows for row in half)
    assert 15 <= min(drawn.values()) <= max(drawn.values()) <= 30
    targets = [np.asarray(y).tolist() for _, y, *_ in recorder.seen]
    assert targets == rows


@pytest.mark.parametrize(
    "form", [np.asarray, list, pd.Series, pd.DataFrame, lambda y: np.array(y)[:, None]]
)
def test_every_class_is_halved(recorder, form):
    y = form(np.repeat(["a", "b", "c"], [2, 7, 12]))
    stability_selection(recorder.set_params(kind="classifier"), numbered(21), y)
    for _, labels, *_ in recorder.seen:
        assert Counter(np.ravel(labels).tolist()) == {"a": 1, "b": 3, "c": 6}


def test_other_labels_are_halved_as_well_and_none_if_none_are_wanted(recorder):
    sites = np.repeat([0, 1], [6, 14])
    stability_selection(recorder, numbered(20), np.arange(20.0), stratify=sites)
    assert {sum(row < 6 for row in rows_of(fit)) for fit in recorder.seen} == {3}
    recorder.seen.clear()
    recorder.set_params(kind="classifier")
    stability_selection(recorder, numbered(20), sites, stratify=None)
    assert len({sum(row < 6 for row in rows_of(fit)) for fit in recorder.seen}) > 1
    recorder.seen.clear()
    several = np.column_stack([sites, sites])
    stability_selection(recorder, numbered(20), several)
    assert len({sum(row < 6 for row in rows_of(fit)) for fit in recorder.seen}) > 1


def test_rows_without_weight_are_in_no_half(recorder):
    weight = np.arange(20.0) % 5
    y = np.repeat([0, 1], 10)
    X = numbered(20)
    recorder.set_params(kind="classifier")
    stability_selection(recorder, X, y, sample_weight=weight, n_pairs=5)
    for fit in recorder.seen:
        assert len(fit[0]) == 8
        assert_array_equal(fit[2], weight[rows_of(fit)])
        assert fit[2].all()


def test_fits_have_seeds_of_their_own(recorder):
    """With the one of the estimator, halves of a pair would not be independent."""
    stability_selection(recorder, numbered(8), np.arange(8), random_state=0)
    seeds = [seed for *_, seed in recorder.seen]
    assert len(set(seeds)) == 100
    assert recorder.random_state == 7
    recorder.seen.clear()
    model = make_pipeline(StandardScaler(), recorder)
    stability_selection(model, numbered(8), np.arange(8), n_pairs=2, random_state=0)
    assert len({seed for *_, seed in recorder.seen} - {7}) == 4


def test_frequencies_are_those_of_a_loop(linear):
    X, y = linear
    found = []

    def keep(model):
        found.append(model)
        return model.coef_ != 0

    model = Lasso(alpha=0.15)
    result = stability_selection(model, X, y, selected=keep, n_pairs=7, random_state=3)
    assert len(found) == 14
    again = stability_selection(model, X, y, n_pairs=7, random_state=3)
    counts = np.zeros(12)
    for fitted in found:
        counts += fitted.coef_ != 0
    assert_array_equal(result.frequencies, counts / 14)
    assert_array_equal(again.frequencies, counts / 14)
    assert result.n_selected_mean == pytest.approx(counts.sum() / 14)
    assert result.selected[TRUE].all()
    assert isinstance(result, StabilityResult)
    assert result.feature_names.tolist() == [f"x{i}" for i in range(12)]
    with pytest.raises(NotFittedError):
        check_is_fitted(model)


def test_a_random_state_is_used_up_and_a_seed_is_not(linear):
    select = partial(stability_selection, Lasso(alpha=0.15), *linear, n_pairs=4)
    state = np.random.RandomState(0)
    one, two = (select(random_state=state).frequencies for _ in range(2))
    assert (one != two).any()
    assert_array_equal(one, select(random_state=0).frequencies)


@pytest.mark.parametrize("kind", ["ℓ1", "forest", "network"])
def test_the_result_does_not_depend_on_the_jobs(classes, kind):
    X, y = classes
    model = {
        "ℓ1": LogisticRegression(l1_ratio=1, solver="liblinear", C=0.3),
        "forest": RandomForestClassifier(3, max_depth=1),
        "network": SparseNetClassifier((5,), target_sparsity=8, max_iter=20),
    }[kind]
    if kind == "ℓ1":
        y = (y == "c").astype(int)
    select = partial(stability_selection, model, X, y, n_pairs=2, random_state=0)
    one = select().frequencies
    assert_array_equal(select(n_jobs=2).frequencies, one)
    with joblib.parallel_config("threading", n_jobs=2):
        assert_array_equal(select().frequencies, one)


def test_columns_may_come_in_any_order(linear):
    X, y = linear
    order = np.random.default_rng(0).permutation(12)
    select = partial(stability_selection, Lasso(alpha=0.15), n_pairs=10, random_state=0)
    result, moved = select(X, y), select(X[:, order], y)
    assert_array_equal(moved.frequencies, result.frequencies[order])


def test_equal_weights_are_none(linear, classes):
    X, y = linear
    select = partial(stability_selection, n_pairs=5, random_state=0)
    for weight in (1.0, 3.0):
        weighted = select(Lasso(alpha=0.15), X, y, sample_weight=np.full(81, weight))
        plain = select(Lasso(alpha=0.15), X, y)
        assert_array_equal(weighted.frequencies, plain.frequencies)


def test_weights_find_the_last_step_of_a_pipeline(recorder):
    weight = np.arange(1.0, 9.0)
    model = make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), recorder))
    data = (numbered(8), np.arange(8))
    stability_selection(model, *data, sample_weight=weight, n_pairs=1)
    assert sorted(np.concatenate([fit[2] for fit in recorder.seen])) == weight.tolist()
    recorder.seen.clear()
    with config_context(enable_metadata_routing=True):
        recorder.set_fit_request(sample_weight=True)
        model = make_pipeline(
            StandardScaler().set_fit_request(sample_weight=False), recorder
        )
        stability_selection(model, *data, sample_weight=weight, n_pairs=1)
    assert sorted(np.concatenate([fit[2] for fit in recorder.seen])) == weight.tolist()


def as_frame(X):
    return pd.DataFrame(X, columns=[f"column {i}" for i in range(X.shape[1])])


def test_frames_keep_names_and_sparse_rows_their_format(recorder, linear):
    X, y = linear
    result = stability_selection(recorder, as_frame(X), pd.Series(y), n_pairs=2)
    assert result.feature_names[3] == "column 3"
    assert all(isinstance(rows, pd.DataFrame) for rows, *_ in recorder.seen)
    recorder.seen.clear()
    stability_selection(recorder, sparse.csr_array(X), y, n_pairs=2)
    assert {rows.format for rows, *_ in recorder.seen} == {"csr"}
    names = ["x0", "x1"]
    listed = stability_selection(Lasso(alpha=0.1), X[:, :2].tolist(), y.tolist())
    assert listed.feature_names.tolist() == names


def test_rows_of_more_dimensions_are_one_flat_row():
    def build(n_features, n_outputs):
        from torch import nn

        return nn.Sequential(nn.Flatten(), nn.Linear(6, n_outputs))

    X = np.random.default_rng(0).normal(size=(120, 2, 3))
    net = SparseNetRegressor(module=build, target_sparsity=2, max_iter=100)
    result = stability_selection(net, X, X[:, 1, 0] + X[:, 0, 2], n_pairs=2)
    assert_array_equal(np.flatnonzero(result.selected), [2, 3])


def test_missing_values_are_for_the_estimator(linear):
    X, y = linear
    X = X.copy()
    X[::5, 3] = np.nan
    model = make_pipeline(SimpleImputer(), Lasso(alpha=0.15))
    assert stability_selection(model, X, y, n_pairs=5).selected[TRUE].all()
    with pytest.raises(ValueError, match=r"NaN(.|\n)*first half of pair 0 \(of 5"):
        stability_selection(Lasso(), X, y, n_pairs=5)


KINDS = {
    "coefficients": Lasso(alpha=0.2),
    "transformed one by one": make_pipeline(
        FunctionTransformer(feature_names_out="one-to-one"), Lasso(alpha=0.2)
    ),
    "selector": SelectKBest(f_regression, k=2),
    "model in a selector": SelectFromModel(LinearRegression(), max_features=2),
    "mask of a selector": RFE(LinearRegression(), n_features_to_select=2),
    "network": SparseNetRegressor((), target_sparsity=2, max_iter=40),
    "scaled": make_pipeline(StandardScaler(), Lasso(alpha=0.2)),
    "selected first": make_pipeline(
        StandardScaler(), SelectKBest(f_regression, k=2), LinearRegression()
    ),
    "moved": make_pipeline(
        make_column_transformer(
            (StandardScaler(), [3, 7]),
            remainder="passthrough",
            verbose_feature_names_out=False,
        ),
        Lasso(alpha=0.2),
    ),
    "searched": GridSearchCV(Lasso(), {"alpha": [0.2, 0.25]}, cv=2),
    "in a pipeline, searched": GridSearchCV(
        make_pipeline(StandardScaler(), Lasso()), {"lasso__alpha": [0.2]}, cv=2
    ),
}


@pytest.mark.parametrize("names", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_tells_its_inputs_can_be_selected_with(kind, names, linear):
    X, y = linear
    given = as_frame(X) if names and kind != "moved" else X
    result = stability_selection(KINDS[kind], given, y, n_pairs=4, random_state=0)
    assert_array_equal(np.flatnonzero(result.select(0.9)), TRUE)


def test_several_outputs_classes_and_forests(classes, linear):
    X, y = linear
    both = np.column_stack([X[:, 1], y])
    result = stability_selection(MultiTaskLasso(alpha=0.3), X, both, n_pairs=4)
    assert result.select(0.9)[[0, 1, 3]].all()
    X, y = classes
    for model in (
        LogisticRegression(l1_ratio=1, solver="saga", C=0.2, max_iter=1000, tol=1e-2),
        RandomForestClassifier(20, max_depth=1),
        SparseNetClassifier((5,), target_sparsity=10, max_iter=60),
    ):
        frequencies = stability_selection(model, X, y, n_pairs=4).frequencies
        assert set(np.argsort(-frequencies, kind="stable")[:2]) == {2, 5}
    sparsified = LogisticRegression(l1_ratio=1, solver="liblinear", C=0.3)
    result = stability_selection(
        sparsified,
        X,
        y == "c",
        selected=lambda model: np.asarray(model.sparsify().coef_.todense() != 0)[0],
        n_pairs=4,
    )
    assert result.selected[5]


def test_numbers_of_support_vectors_are_no_inputs(classes):
    X, y = classes
    assert stability_selection(SVC(kernel="linear"), X, y, n_pairs=1).selected.all()
    with pytest.raises(TypeError, match="SVC does not tell which inputs it uses"):
        stability_selection(SVC(), X, y, n_pairs=1)


@pytest.mark.parametrize(
    ("before", "says"),
    [
        (PCA(), r"'pca0' is none of the inputs"),
        (FunctionTransformer(), "Which inputs the Pipeline uses is not known"),
        (
            make_column_transformer((StandardScaler(), [0]), remainder="passthrough"),
            "verbose_feature_names_out=False",
        ),
    ],
)
def test_new_columns_of_a_pipeline_are_not_taken_for_inputs(before, says, linear):
    model = make_pipeline(before, Lasso(alpha=0.01))
    with pytest.raises(ValueError, match=says):
        stability_selection(model, *linear, n_pairs=1)
    result = stability_selection(
        model, *linear, n_pairs=1, selected=lambda model: np.arange(12) < 3
    )
    assert result.selected.sum() == 3


@pytest.mark.parametrize(
    "mask", [np.ones(11, bool), np.ones(12), [0, 3], np.ones((2, 12), bool)]
)
def test_masks_that_are_none_are_refused(mask, linear):
    with pytest.raises(ValueError, match="one bool for each of the 12 inputs"):
        stability_selection(Lasso(), *linear, n_pairs=1, selected=lambda model: mask)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_fit_that_fails_says_to_which_half(linear, n_jobs):
    X, y = linear
    y = np.where(np.arange(81) == 40, np.nan, y)
    with pytest.raises(ValueError, match=r"(first|second) half of pair \d") as caught:
        stability_selection(Lasso(), X, y, n_pairs=3, n_jobs=n_jobs)
    assert "NaN" in str(caught.value)
