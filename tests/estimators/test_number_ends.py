"""Numbers at the ends of their types: finite predictions, or a refusal by name."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor
from sklearn_sparsenet.estimators import _scales
from tests.runtimes import by_onnxruntime

X, Y = load_diabetes(return_X_y=True)
X, Y = StandardScaler().fit_transform(X[:200]), Y[:200]
Y = (Y - Y.mean()) / Y.std()
TYPES = [np.float32, np.float64]


def regressor(**params):
    settings = {"target_sparsity": 40, "max_iter": 100, "random_state": 0}
    return SparseNetRegressor((10,), **settings | params)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("scale", [1e150, 1e300, 6e307, 1e-150, 1e-300, 1e-307])
def test_the_scale_of_the_target_does_not_matter(dtype, scale):
    plain = regressor().fit(X.astype(dtype), Y).predict(X.astype(dtype))
    scaled = regressor().fit(X.astype(dtype), Y * scale).predict(X.astype(dtype))
    assert_allclose(scaled / scale, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", TYPES)
def test_a_target_far_from_zero_keeps_its_digits(dtype):
    data = X.astype(dtype)
    plain = regressor().fit(data, Y).predict(data)
    far = regressor().fit(data, 1.7e9 + 60 * Y).predict(data)
    assert_allclose((far - 1.7e9) / 60, plain, atol=1e-3)


def test_y_in_tiny_units():
    X = np.random.default_rng(0).normal(size=(100, 4))
    y = X[:, 0] - X[:, 1]
    net = SparseNetRegressor((5,), alpha=1e-3, max_iter=40, random_state=0)
    wanted = net.fit(X, y).predict(X)
    got = net.fit(X, y * 1e-13).predict(X)
    np.testing.assert_allclose(got * 1e13, wanted, rtol=1e-6)


@pytest.mark.parametrize("n_rows", [1, 9, 20, 40])
def test_a_target_of_rows_that_are_larger_than_a_block_is_standardised(
    n_rows, monkeypatch
):
    monkeypatch.setattr(_scales, "_PIECE_ELEMENTS", 3)
    y = 7 + 2 * np.random.default_rng(0).normal(size=(n_rows, 5))
    found = _scales.Standardization.of(y, np.ones(n_rows))
    assert_allclose(found.mean, y.mean(axis=0))
    assert_allclose(found.scale, y.std(axis=0) if n_rows > 1 else 1.0)


def test_predictions_have_the_type_of_the_fit_where_it_holds_the_target():
    data = X.astype(np.float32)
    assert regressor().fit(data, Y).predict(data).dtype == np.float32


@pytest.mark.parametrize("scale", [1e300, 1e-300, 2.0**-60])
def test_only_ratios_of_weights_count(scale):
    weight = np.random.default_rng(0).random(len(Y))
    plain = regressor().fit(X, Y, weight)
    scaled = regressor().fit(X, Y, weight * scale)
    assert_allclose(scaled.predict(X), plain.predict(X), rtol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn_sparsenet.DataScaleWarning")
@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(np.float32, 1e25), (np.float32, 1e37), (np.float64, 1e200), (np.float64, 1e300)],
)
def test_inputs_beyond_the_type_are_refused(dtype, scale):
    large = X.astype(dtype) * dtype(scale)
    with (
        np.errstate(all="raise"),
        pytest.raises(ValueError, match="X has numbers of up to"),
    ):
        regressor().fit(large, Y)


@pytest.mark.parametrize("search", ["predict", "predict_proba", "predict_log_proba"])
def test_predictions_of_numbers_beyond_the_type_are_refused(search):
    net = SparseNetClassifier((5,), target_sparsity=20, max_iter=100, random_state=0)
    net.fit(X.astype(np.float32), Y > 0)
    with pytest.raises(ValueError, match="X has numbers that are too large"):
        getattr(net, search)(X * 1e300)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("penalty", ["l1", "mcp", "l0"])
@pytest.mark.parametrize("alpha", [1e300, 1e39, 1e-46, 1e-300, 5e-324])
def test_any_alpha_has_finite_residuals(dtype, penalty, alpha):
    net = regressor(alpha=alpha, penalty=penalty).fit(X.astype(dtype), Y)
    assert np.isfinite(net.kkt_residual_)
    assert np.isfinite(net.predict(X.astype(dtype))).all()


@pytest.mark.parametrize("load", [load_breast_cancer, load_iris])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("loss", ["log_loss", "one_bit"])
def test_logarithms_of_probabilities_come_from_the_outputs(load, dtype, loss):
    data, labels = load(return_X_y=True)
    if loss == "one_bit":
        labels = labels > 0
    data = StandardScaler().fit_transform(data).astype(dtype)
    net = SparseNetClassifier((10,), target_sparsity=40, loss=loss, random_state=0)
    net.fit(data, labels)
    logs = net.predict_log_proba(data * 100)
    assert np.isfinite(logs).all()
    assert_allclose(np.exp(logs), net.predict_proba(data * 100), atol=1e-6)


def test_a_divergence_that_is_recovered_from_does_not_end_early_stopping():
    settings = {"solver": "sgd", "learning_rate_init": 50.0, "max_iter": 200}
    net = regressor(**settings, early_stopping=True).fit(X, Y)
    assert net.n_nonzero_ == 40
    assert net.score(X, Y) > 0.3
    assert np.isfinite(net.validation_scores_[-1])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("value", [1e15 / 3, 1e150 / 3, -1.7e308])
def test_a_constant_target_is_predicted_whatever_its_size(dtype, value):
    weight = np.random.default_rng(0).random(len(X))
    net = regressor().fit(X.astype(dtype), np.full(len(X), value), weight)
    assert_allclose(net.predict(X[:5].astype(dtype)), value, rtol=1e-14)


def test_targets_beyond_the_type_are_refused():
    long = Y.astype(np.longdouble) * np.longdouble(2.0) ** 2000
    single = X.astype(np.float32)
    for inputs, target in ((X, long), (single, 1e60 * np.abs(Y))):
        with pytest.raises(ValueError, match="y has numbers beyond"):
            regressor(loss="poisson").fit(inputs, target)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("early_stopping", [True, False])
def test_a_class_of_tiny_weights_is_still_a_class(dtype, early_stopping):
    labels = np.arange(len(X)) % 3
    weight = np.array([1e300, 1e-300, 1.0])
    net = SparseNetClassifier(
        (5,), max_iter=20, early_stopping=early_stopping, random_state=0
    )
    by_row = net.fit(X.astype(dtype), labels, weight[labels]).predict_proba(X)
    assert by_row.shape == (len(X), 3)
    net.set_params(class_weight=dict(enumerate(weight.tolist())))
    assert_allclose(net.fit(X.astype(dtype), labels).predict_proba(X), by_row)


@pytest.mark.parametrize("penalty", ["l1", "mcp", "l0"])
@pytest.mark.parametrize("alpha", [1e300, [1e60, 1e-60]])
def test_any_alpha_goes_with_plain_steps(penalty, alpha):
    net = regressor(alpha=alpha, penalty=penalty, solver="sgd")
    assert np.isfinite(net.fit(X.astype(np.float32), Y).kkt_residual_)


def test_infinite_predictions_are_scored_as_bad_ones():
    net = regressor(loss="poisson", learning_rate_init=1e3, early_stopping=True)
    assert np.isfinite(net.fit(X, np.abs(Y)).predict(X)).all()


@pytest.mark.filterwarnings("ignore::sklearn_sparsenet.DataScaleWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_certified_solutions_of_huge_inputs_are_silent_or_told():
    net = SparseNetRegressor((4,), solver="lbfgs", max_iter=20, target_sparsity=8)
    assert np.isfinite(net.fit(X * 1e150, Y).kkt_residual_)


def test_exports_of_a_target_far_from_zero_keep_its_digits():
    given = X.astype(np.float32)
    net = regressor().fit(given, 1.7e9 + 60 * Y)
    expected = net.predict(given)
    assert expected.std() > 10
    with torch.no_grad():
        found = net.to_module()(torch.from_numpy(given)).numpy()
    assert_allclose(found[:, 0] - 1.7e9, expected - 1.7e9, atol=1e-3)
    (found,) = by_onnxruntime(net, given)
    assert_allclose(found[:, 0] - 1.7e9, expected - 1.7e9, atol=1e-3)
    with pytest.warns(UserWarning, match="lose its digits"):
        net.to_c()
