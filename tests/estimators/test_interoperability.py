"""With the rest of scikit-learn, as a user would."""

import pickle

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_wine
from sklearn.ensemble import VotingClassifier
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor

pytestmark = pytest.mark.filterwarnings(
    # A fold may be a weight off its target; that is not what is tested here.
    "ignore::sklearn.exceptions.ConvergenceWarning"
)


@pytest.fixture(scope="module")
def wine():
    X, y = load_wine(return_X_y=True, as_frame=True)
    return X, y


def classifier(**settings):
    return SparseNetClassifier(
        **{
            "hidden_layer_sizes": (20,),
            "target_sparsity": 60,
            "tol": 0.05,
            "max_iter": 300,
            "random_state": 0,
            **settings,
        }
    )


def regressor():
    return SparseNetRegressor((20,), target_sparsity=40, tol=0.05, random_state=0)


def test_pipeline_and_cross_validation(wine):
    pipeline = make_pipeline(StandardScaler(), classifier())
    assert cross_val_score(pipeline, *wine, cv=3).mean() > 0.9


@pytest.mark.parametrize(
    "grid",
    [
        {"net__tol": [0.02, 0.2]},
        {"net__target_sparsity": [0.9, 40, [30, 20], {"*": 0.8}]},
    ],
)
def test_grid_search_in_two_processes(wine, grid):
    pipeline = Pipeline([("scale", StandardScaler()), ("net", classifier())])
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(*wine)
    assert search.best_score_ > 0.9
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_["net"].n_nonzero_ < 400


@pytest.mark.parametrize("how", ["pickle", "joblib", "clone"])
def test_round_trips(wine, how, tmp_path):
    X, y = StandardScaler().fit_transform(wine[0]), wine[1]
    net = classifier().fit(X, y)
    if how == "pickle":
        again = pickle.loads(pickle.dumps(net))
    elif how == "joblib":
        joblib.dump(net, tmp_path / "net.joblib")
        again = joblib.load(tmp_path / "net.joblib")
    else:
        again = clone(net)
        assert not hasattr(again, "module_")
        again.fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), net.predict_proba(X))
    assert again.n_nonzero_ == net.n_nonzero_


def test_pickles_hold_each_weight_once(diabetes):
    net = SparseNetRegressor((200,), alpha=1e-3, max_iter=5, random_state=0)
    net.fit(*diabetes)
    weights = sum(coef.nbytes for coef in net.coefs_)
    assert len(pickle.dumps(net)) < 2 * weights + 40_000  # final and penalised


def test_transformed_target(diabetes):
    X, y = diabetes
    net = TransformedTargetRegressor(regressor(), func=np.log, inverse_func=np.exp)
    assert net.fit(X, y).score(X, y) > 0.4


def test_multi_output_meta_estimators(wine, diabetes):
    X, y = diabetes
    weight = np.linspace(0.5, 2, len(y))
    both = MultiOutputRegressor(regressor()).fit(X, np.column_stack([y, -y]), weight)
    assert both.predict(X).shape == (len(y), 2)
    X, y = StandardScaler().fit_transform(wine[0]), wine[1].to_numpy()
    two = MultiOutputClassifier(classifier()).fit(X, np.column_stack([y, y == 1]))
    assert two.score(X, np.column_stack([y, y == 1])) > 0.9


def test_calibration_and_voting(wine):
    X, y = StandardScaler().fit_transform(wine[0]), wine[1]
    calibrated = CalibratedClassifierCV(classifier(), cv=2).fit(X, y)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1)
    members = [("net", classifier()), ("linear", LogisticRegression())]
    assert VotingClassifier(members, voting="soft").fit(X, y).score(X, y) > 0.95


def test_selecting_inputs(wine):
    """SelectFromModel keeps exactly the inputs with a path to an output."""
    X = wine[0].copy()
    X["noise"] = np.random.default_rng(0).normal(size=len(X))
    scaler = StandardScaler().set_output(transform="pandas")
    net = classifier(target_sparsity={"0.weight": 8, "*": 0.3}, tol=0.25)
    selector = make_pipeline(scaler, SelectFromModel(net)).fit(X, wine[1])
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


def test_sample_weights_are_routed(wine):
    X, y = wine
    weight = np.where(y == 0, 2.0, 1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        net = classifier().set_fit_request(sample_weight=True)
        net = net.set_score_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = Pipeline([("scale", scaler), ("net", net)])
        grid = {"net__target_sparsity": [30, 60]}
        search = GridSearchCV(pipeline, grid, cv=2).fit(X, y, sample_weight=weight)
    scaled = StandardScaler().fit_transform(X)
    wanted = classifier(
        **{"target_sparsity": search.best_params_["net__target_sparsity"]}
    )
    wanted.fit(scaled, y, weight)
    np.testing.assert_array_equal(
        search.best_estimator_.predict_proba(X), wanted.predict_proba(scaled)
    )


def test_scores_take_weights(diabetes):
    X, y = diabetes
    net = regressor().fit(X, y)
    weight = (np.arange(len(y)) < 50) * 1.0
    assert net.score(X, y, weight) == pytest.approx(net.score(X[:50], y[:50]))


def test_representations(wine):
    net = classifier()
    assert "target_sparsity=60" in repr(net)
    assert "SparseNetClassifier" in net._repr_html_()
