"""With the rest of scikit-learn: tags, requests, displays, searches, pipelines."""

import inspect
import io
import pickle

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_wine
from sklearn.ensemble import (
    BaggingRegressor,
    StackingClassifier,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import SelectFromModel
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import (
    GridSearchCV,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import (
    ClassifierChain,
    MultiOutputClassifier,
    MultiOutputRegressor,
)
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor
from tests.comparisons import assert_same_arrays

QUICK = {"alpha": 1e-3, "max_iter": 100, "random_state": 0}
BOTH = [
    pytest.param(SparseNetClassifier, MLPClassifier, id="classifier"),
    pytest.param(SparseNetRegressor, MLPRegressor, id="regressor"),
]


@pytest.fixture(scope="module")
def frame():
    return load_wine(return_X_y=True, as_frame=True)


def classifier(**settings):
    return SparseNetClassifier((10,), **{**QUICK, **settings})


def regressor(**settings):
    return SparseNetRegressor((10,), **{**QUICK, **settings})


def on_target(kind=SparseNetClassifier, **settings):
    defaults = {"target_sparsity": 60, "tol": 0.05, "max_iter": 300, "random_state": 0}
    return kind((20,), **{**defaults, **settings})


# A fold may be a weight off its target; that is not what is tested here.
quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize(("ours", "theirs"), BOTH)
def test_tags_leave_out_no_check_that_mlps_undergo(ours, theirs):
    def names(estimator):
        checks = estimator_checks_generator(estimator)
        return {getattr(check, "func", check).__name__ for _, check in checks}

    assert names(theirs()) <= names(ours())


# On noise a count may be a weight off; early steps of MLPs do not converge either.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("ours", "theirs"), BOTH)
def test_no_check_is_skipped_that_mlps_undergo(ours, theirs):
    def skipped(estimator):
        logs = check_estimator(estimator, on_skip=None, on_fail=None)
        assert {log["status"] for log in logs} <= {"passed", "skipped"}
        return {log["check_name"] for log in logs if log["status"] == "skipped"}

    assert skipped(ours()) <= skipped(theirs())


def test_tags():
    tags = get_tags(SparseNetClassifier())
    assert tags.estimator_type == "classifier"
    assert tags.classifier_tags.multi_class
    assert tags.classifier_tags.multi_label
    assert tags.input_tags.sparse
    assert not tags.input_tags.allow_nan
    assert tags.target_tags.required
    tags = get_tags(SparseNetRegressor())
    assert tags.estimator_type == "regressor"
    assert tags.target_tags.multi_output
    assert tags.input_tags.sparse
    assert is_classifier(SparseNetClassifier())
    assert is_regressor(SparseNetRegressor())


@pytest.mark.parametrize(("ours", "theirs"), BOTH)
def test_signatures(ours, theirs):
    """Two positional parameters, as MLPs; the rest by keyword; defaults as agreed."""
    parameters = inspect.signature(ours).parameters
    positional = [
        name for name, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    assert positional == ["hidden_layer_sizes", "activation"]
    shared = {"hidden_layer_sizes", "activation", "batch_size", "shuffle", "solver"}
    shared |= {"early_stopping", "validation_fraction", "n_iter_no_change"}
    shared |= {"warm_start", "random_state"}
    of_theirs = inspect.signature(theirs).parameters
    for name in shared:
        assert parameters[name].default == of_theirs[name].default
    agreed = {
        "module": None, "target_sparsity": 0.9, "tol": 0.01, "max_outer_iter": 20,
        "min_layers_on_target": None, "alpha": None, "alpha_bounds": (1e-7, 1e-2),
        "penalty": "l1", "penalize_bias": False, "weight_decay": "auto",
        "debias": "auto", "learning_rate_init": "auto", "learning_rate": "cosine",
        "max_iter": "auto", "kkt_tol": 1e-3, "dtype": "auto", "device": "cpu",
        "verbose": 0,
    }  # fmt: skip
    assert {name: parameters[name].default for name in agreed} == agreed


@pytest.mark.parametrize("one", [SparseNetClassifier, SparseNetRegressor])
def test_every_parameter_and_attribute_is_documented(one, wine):
    documentation = inspect.getdoc(one)
    before, _, attributes = documentation.partition("Attributes\n----------")
    overview = before.partition("Parameters\n----------")[0]
    for name in inspect.signature(one).parameters:
        assert f"`{name}`" in overview, name
        assert f"{name} : " in before or f"{name}, " in before, name
    net = one((5,), alpha=1e-3, max_iter=2, random_state=0).fit(*wine)
    public = [name for name in vars(net) if name.endswith("_") and name[0] != "_"]
    for name in public:
        assert name in attributes, name


def test_representations_name_what_is_not_default(wine):
    net = SparseNetClassifier((10,), target_sparsity=0.98, random_state=0)
    assert " ".join(repr(net).split()) == (
        "SparseNetClassifier(hidden_layer_sizes=(10,), random_state=0, "
        "target_sparsity=0.98)"
    )
    for stage in (net, net.set_params(**QUICK).fit(*wine)):
        html = stage._repr_html_()
        assert "SparseNetClassifier" in html
        assert "target_sparsity" in html


def test_cloning_takes_the_parameters_and_nothing_else(wine):
    net = classifier(class_weight="balanced").fit(*wine)
    copy = clone(net)
    assert copy.get_params() == net.get_params()
    assert not [name for name in vars(copy) if name.endswith("_")]


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_pickles_go_on_training(wine, protocol):
    """Everything that predict, score and a warm start need is in the pickle."""
    X, y = wine
    net = classifier(warm_start=True).fit(X, y)
    again = pickle.loads(pickle.dumps(net, protocol))
    np.testing.assert_array_equal(again.predict_proba(X), net.predict_proba(X))
    assert_same_arrays(again.coefs_, net.coefs_)
    again.fit(X, y)
    net.fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), net.predict_proba(X))


def test_scores_are_those_of_the_mixins(wine, diabetes):
    X, y = wine
    weight = np.linspace(0, 1, len(y))
    net = classifier().fit(X, y)
    wanted = accuracy_score(y, net.predict(X), sample_weight=weight)
    assert net.score(X, y, weight) == wanted
    X, y = diabetes
    weight = np.linspace(0, 1, len(y))
    net = regressor().fit(X, y)
    wanted = r2_score(y, net.predict(X), sample_weight=weight)
    assert net.score(X, y, weight) == wanted


@pytest.mark.parametrize("by", ["class_weight", "tol", "solver", "activation", "loss"])
def test_grids_over_names_and_numbers(wine, by):
    values = {
        "class_weight": [None, "balanced", {0: 2.0}],
        "tol": [0.1, 0.3],
        "solver": ["adam", "sgd"],
        "activation": ["relu", "tanh"],
        "loss": ["log_loss"],
    }[by]
    net = classifier(alpha=None, target_sparsity=40, tol=0.2)
    search = GridSearchCV(net, {by: values}, cv=2, error_score="raise").fit(*wine)
    assert search.best_params_[by] in values
    assert search.best_score_ > 0.85


def test_columns_and_their_names_through_a_pipeline(frame):
    """set_output reaches the network: it is fitted on named columns."""
    X, y = frame
    pipeline = make_pipeline(StandardScaler(), FunctionTransformer(), classifier())
    pipeline.set_output(transform="pandas").fit(X, y)
    assert pipeline[-1].feature_names_in_.tolist() == X.columns.tolist()
    assert pipeline.score(X, y) > 0.95
    assert pipeline.n_features_in_ == X.shape[1]


def test_weights_reach_fit_and_score_through_requests(diabetes):
    X, y = diabetes
    weight = np.linspace(0.1, 2, len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        net = regressor()
        with pytest.raises(ValueError, match=r"sample_weight.*not explicitly set"):
            cross_validate(net, X, y, params={"sample_weight": weight}, cv=2)
        net.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        scores = cross_validate(net, X, y, params={"sample_weight": weight}, cv=2)
        unweighted = regressor().set_fit_request(sample_weight=False)
        unweighted.set_score_request(sample_weight=False)
        plain = cross_validate(unweighted, X, y, cv=2)
    half = len(y) // 2
    wanted = regressor().fit(X[half:], y[half:], weight[half:])
    assert scores["test_score"][0] == wanted.score(X[:half], y[:half], weight[:half])
    wanted = regressor().fit(X[half:], y[half:])
    assert plain["test_score"][0] == wanted.score(X[:half], y[:half])


def test_meta_classifiers(wine):
    X, y = wine
    stack = StackingClassifier([("a", classifier()), ("b", LogisticRegression())], cv=2)
    assert stack.fit(X, y).score(X, y) > 0.9
    each = OneVsRestClassifier(classifier()).fit(X, y)
    assert each.score(X, y) > 0.9
    assert len(each.estimators_) == 3
    chain = ClassifierChain(classifier()).fit(X, np.column_stack([y == 0, y == 1]))
    assert chain.predict(X).shape == (len(y), 2)
    weight = np.linspace(0.5, 1.5, len(y))
    calibrated = CalibratedClassifierCV(classifier(), cv=2, method="isotonic")
    assert calibrated.fit(X, y, sample_weight=weight).score(X, y) > 0.9


def test_meta_regressors(diabetes):
    X, y = diabetes
    bag = BaggingRegressor(regressor(), n_estimators=3, random_state=0)
    assert bag.fit(X, y).score(X, y) > 0.4
    votes = VotingRegressor([("net", regressor()), ("ridge", Ridge())])
    assert votes.fit(X, y).score(X, y) > 0.4
    logs = TransformedTargetRegressor(regressor(), transformer=StandardScaler())
    plain = clone(logs).set_params(regressor__normalize_y=False)
    found, wanted = (net.fit(X, y).predict(X) for net in (logs, plain))
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_inspection(diabetes):
    X, y = diabetes
    net = regressor(target_sparsity={"0.weight": 8, "*": 0.5}, alpha=None, tol=0.2)
    net.fit(X, y)
    found = permutation_importance(net, X, y, n_repeats=2, random_state=0)
    dead = ~net.support_
    assert dead.any()
    np.testing.assert_array_equal(found.importances_mean[dead], 0)
    sizes, train, test = learning_curve(regressor(), X, y, cv=2, train_sizes=[50, 100])
    assert np.isfinite([train, test]).all()
    assert sizes.tolist() == [50, 100]


@quiet
def test_pipeline_and_cross_validation(frame):
    pipeline = make_pipeline(StandardScaler(), on_target())
    assert cross_val_score(pipeline, *frame, cv=3).mean() > 0.9


@quiet
@pytest.mark.parametrize(
    "grid",
    [
        {"net__tol": [0.02, 0.2]},
        {"net__target_sparsity": [0.9, 40, [30, 20], {"*": 0.8}]},
    ],
)
def test_grid_search_in_two_processes(frame, grid):
    pipeline = Pipeline([("scale", StandardScaler()), ("net", on_target())])
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(*frame)
    assert search.best_score_ > 0.9
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_["net"].n_nonzero_ < 400


@quiet
def test_joblib_and_clones(wine):
    net = on_target().fit(*wine)
    joblib.dump(net, file := io.BytesIO(), compress=3)
    file.seek(0)
    copy = clone(net)
    assert not hasattr(copy, "module_")
    for again in (joblib.load(file), copy.fit(*wine)):
        found = again.predict_proba(wine[0])
        np.testing.assert_array_equal(found, net.predict_proba(wine[0]))
        assert again.n_nonzero_ == net.n_nonzero_


def test_pickles_hold_each_weight_once(diabetes):
    net = SparseNetRegressor((200,), alpha=1e-3, max_iter=5, random_state=0)
    net.fit(*diabetes)
    weights = sum(coef.nbytes for coef in net.coefs_)
    assert len(pickle.dumps(net)) < 2 * weights + 40_000  # final and penalised


@quiet
def test_transformed_target(diabetes):
    X, y = diabetes
    net = on_target(SparseNetRegressor, target_sparsity=40)
    net = TransformedTargetRegressor(net, func=np.log, inverse_func=np.exp)
    assert net.fit(X, y).score(X, y) > 0.4


@quiet
def test_multi_output_meta_estimators(wine, diabetes):
    X, y = diabetes
    weight = np.linspace(0.5, 2, len(y))
    net = on_target(SparseNetRegressor, target_sparsity=40)
    both = MultiOutputRegressor(net).fit(X, np.column_stack([y, -y]), weight)
    assert both.predict(X).shape == (len(y), 2)
    X, y = wine
    two = MultiOutputClassifier(on_target()).fit(X, np.column_stack([y, y == 1]))
    assert two.score(X, np.column_stack([y, y == 1])) > 0.9


@quiet
def test_calibration_and_voting(wine):
    X, y = wine
    calibrated = CalibratedClassifierCV(on_target(), cv=2).fit(X, y)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1)
    members = [("net", on_target()), ("linear", LogisticRegression())]
    assert VotingClassifier(members, voting="soft").fit(X, y).score(X, y) > 0.95


@quiet
def test_selecting_inputs(frame):
    """SelectFromModel keeps exactly the inputs with a path to an output."""
    X = frame[0].copy()
    X["noise"] = np.random.default_rng(0).normal(size=len(X))
    scaler = StandardScaler().set_output(transform="pandas")
    net = on_target(target_sparsity={"0.weight": 8, "*": 0.3}, tol=0.25)
    selector = make_pipeline(scaler, SelectFromModel(net)).fit(X, frame[1])
    fitted = selector[-1].estimator_
    support = selector[-1].get_support()
    np.testing.assert_array_equal(support, fitted.support_)
    assert 0 < support.sum() < X.shape[1]
    names = selector.get_feature_names_out()
    assert names.tolist() == X.columns[support].tolist()
    np.testing.assert_array_equal(fitted.feature_importances_ > 0, fitted.support_)
    assert fitted.feature_importances_.max() == 1
    dead = np.abs(fitted.coefs_[0]).sum(axis=1) == 0
    assert not fitted.support_[dead].any()


@quiet
def test_sample_weights_are_routed(frame):
    X, y = frame
    weight = np.where(y == 0, 2.0, 1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        net = on_target().set_fit_request(sample_weight=True)
        net = net.set_score_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = Pipeline([("scale", scaler), ("net", net)])
        grid = {"net__target_sparsity": [30, 60]}
        search = GridSearchCV(pipeline, grid, cv=2).fit(X, y, sample_weight=weight)
    scaled = StandardScaler().fit_transform(X)
    best = search.best_params_["net__target_sparsity"]
    wanted = on_target(target_sparsity=best).fit(scaled, y, weight)
    np.testing.assert_array_equal(
        search.best_estimator_.predict_proba(X), wanted.predict_proba(scaled)
    )
