"""partial_fit of networks that a scaler was folded into, from datasets, and so on."""

import copy

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from sklearn_sparsenet import compact, load, save
from tests.estimators.test_partial_fit import N_FEATURES, parameters, regressor, rows
from tests.streams import Listed


@pytest.mark.parametrize("is_compact", [False, True])
def test_a_network_with_its_scaler_folded_in_trains_on_as_behind_it(is_compact):
    X, y = rows(0)
    units, ends = 10.0 ** np.arange(N_FEATURES), np.arange(N_FEATURES) * 1e3
    model = make_pipeline(StandardScaler(), regressor(target_sparsity=20))
    model.fit(units * X + ends, y)
    folded, (scaler, net) = compact(model), (step for _, step in model.steps)
    if is_compact:
        folded.compact()
    before = folded.feature_importances_
    assert_allclose(before, net.feature_importances_, rtol=1e-6)
    for seed in range(1, 4):
        X, y = rows(seed)
        folded.partial_fit(units * X + ends, y)
        net.partial_fit(scaler.transform(units * X + ends), y)
        given = folded.predict(units * X + ends)
        assert_allclose(given, model.predict(units * X + ends), atol=1e-7)
    after = folded.feature_importances_
    assert_allclose(after, net.feature_importances_, rtol=1e-6)
    assert not np.array_equal(before, after)


def test_a_folded_network_trains_on_from_a_file_and_in_csr(tmp_path):
    X, y = rows(0)
    model = make_pipeline(MaxAbsScaler(), regressor()).fit(100 * X, y)
    save(model, tmp_path / "net.safetensors")
    folded = load(tmp_path / "net.safetensors")
    other = load(tmp_path / "net.safetensors").partial_fit(100 * X, y)
    folded.partial_fit(sparse.csr_array(100 * X), y)
    model[-1].partial_fit(model[0].transform(100 * X), y)
    assert_allclose(other.predict(100 * X), model.predict(100 * X), atol=1e-9)
    assert_allclose(folded.predict(100 * X), model.predict(100 * X), atol=1e-9)


@pytest.mark.parametrize(
    "changes", [{"hidden_layer_sizes": (50, 50)}, {"activation": "tanh"}], ids=str
)
def test_another_network_than_the_fitted_one_is_refused(changes):
    net = regressor().fit(*rows(0))
    with pytest.raises(ValueError, match="changed since the fit"):
        net.set_params(**changes).partial_fit(*rows(1))
    net.set_params(hidden_layer_sizes=[12], activation="relu").partial_fit(*rows(1))


def test_a_dataset_may_come_again():
    net, names = regressor(), list("abcdefgh")
    for seed in range(2):
        X, y = rows(seed)
        net.partial_fit(Listed(X, feature_names=names), y)
    assert list(net.feature_names_in_) == names
    X, y = rows(2)
    with pytest.raises(ValueError, match="expecting 8 features"):
        net.partial_fit(Listed(X[:, :5]), y)


def test_the_weight_decay_that_is_told_is_that_of_the_penalised_solution():
    net = regressor(max_iter=60).fit(*rows(0))
    decay = net.weight_decay_
    assert decay > 0
    twin = copy.deepcopy(net).set_params(weight_decay=0.0).partial_fit(*rows(1))
    assert twin.weight_decay_ == decay
    assert not np.array_equal(parameters(twin), parameters(net.partial_fit(*rows(1))))


def test_integers_are_scaled_as_numbers():
    X, y = rows(0)
    X = np.where(X > 0, 200, 0)
    model = make_pipeline(StandardScaler(), regressor()).fit(X, y)
    folded, (scaler, net) = compact(model), (step for _, step in model.steps)
    for _ in range(3):
        folded.partial_fit(X, y)
        net.partial_fit(scaler.transform(X), y)
    assert_allclose(folded.predict(X), model.predict(X), atol=1e-9)


def test_steps_for_a_given_alpha_are_refused():
    """Weights of columns that the pipeline leaves out could come back."""
    X, y = rows(0)
    net = regressor(target_sparsity=0.9, alpha=1e-3, debias=False)
    folded = compact(make_pipeline(StandardScaler(), net).fit(X, y))
    with pytest.raises(ValueError, match="with a given alpha"):
        folded.partial_fit(X, y)
