"""Steps and first weights by the size of the inputs."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor, sparsenet_path
from sklearn_sparsenet.plots import SearchDisplay
from sklearn_sparsenet.search import OnePassSearch
from tests.comparisons import assert_same_arrays


def data(n_samples=120):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, 6))
    return X, np.sin(X[:, 0]) + X[:, 1] * X[:, 2]


@pytest.mark.parametrize("n_samples", [120, 300])  # full batches, and others
@pytest.mark.parametrize("factor", [2.0**-9, 8.0])
def test_a_factor_of_X_is_one_of_the_first_weights(n_samples, factor):
    """To the last bit: sizes are powers of two, rounded towards 1."""
    X, y = data(n_samples)
    X *= 1.2 if factor > 1 else 0.8
    net = SparseNetRegressor(
        (20,), target_sparsity=40, weight_decay=0.0, max_iter=60, random_state=0
    )
    first, second = net.fit(X, y).coefs_
    other = net.fit(X * factor, y)
    np.testing.assert_array_equal(other.coefs_[0] * factor, first)
    np.testing.assert_array_equal(other.coefs_[1], second)


@pytest.mark.filterwarnings("ignore::sklearn_sparsenet.DataScaleWarning")
def test_a_table_without_a_scaler_is_learnt():
    """Columns of wine are .1 to 1000; unscaled steps left a log loss of .5."""
    X, y = load_wine(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, stratify=y, random_state=0)
    net = SparseNetClassifier(random_state=0).fit(X, y)
    assert log_loss(y_test, net.predict_proba(X_test)) < 0.25


def test_a_warm_start_goes_on_where_the_fit_ended():
    """The weights are those of these inputs already, and are not scaled again."""
    X, y = data()
    X *= 2.0**-6
    net = SparseNetRegressor((20,), target_sparsity=0.5, random_state=0, tol=0.1)
    net.set_params(weight_decay=0.0)
    error = np.mean((net.fit(X, y).predict(X) - y) ** 2)
    net.set_params(warm_start=True, alpha=1e-9, max_iter=1)
    again = np.mean((net.fit(X, y).predict(X) - y) ** 2)
    assert again < 1.5 * error + 0.02


def test_a_path_has_the_same_factor():
    X, y = data()
    X *= 0.8
    net = SparseNetRegressor((20,), weight_decay=0.0, max_iter=60, random_state=0)

    def predictions(X):
        path = sparsenet_path(net, X, y, target_sparsities=[60, 30])
        return [found.predict(X) for found in path.estimators]

    assert_same_arrays(predictions(X), predictions(X / 256))


def test_steps_grow_unless_inputs_are_mostly_zero(watch_searches):
    grown = watch_searches("problem.network.steps_grow")
    rng = np.random.default_rng(0)
    X = rng.choice([-1.0, 1.0], size=(256, 40))
    y = X[:, :3].sum(1)
    net = SparseNetRegressor((4,), target_sparsity=0.5, random_state=0).fit(X, y)
    slow = clone(net).set_params(search=OnePassSearch(growth=0.0)).fit(X, y)
    assert any((a != b).any() for a, b in zip(net.coefs_, slow.coefs_, strict=True))
    X[rng.random(X.shape) > 0.05] = 0.0
    net.fit(X, y)
    slow.fit(X, y)
    assert all((a == b).all() for a, b in zip(net.coefs_, slow.coefs_, strict=True))
    assert grown == [True, True, False, False]


def topics(n_samples, seed):
    """Return rows with few words of many, three of them telling which of 8 topics."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 8, n_samples)
    X = rng.random((n_samples, 400)) < 0.03
    for topic in range(8):
        words = slice(3 * topic, 3 * topic + 3)
        X[:, words] |= (rng.random((n_samples, 3)) < 0.4) & (y == topic)[:, None]
    return sparse.csr_matrix(X.astype(float)), y


def test_of_words_most_weights_are_at_the_inputs():
    """Scores alone would leave more of them to the units."""
    net = SparseNetClassifier((30,), target_sparsity=60, random_state=0)
    net.fit(*topics(400, 0))
    assert net.n_nonzero_per_layer_.tolist() == [44, 16]
    assert net.narrowing_history_["n_nonzero"][-1].tolist() == [44, 16]
    assert np.ndim(net.alpha_) == 0  # one λ, as asked
    assert SearchDisplay.from_estimator(net).targets == 60
    X, y = topics(400, 0)
    X = X.toarray() - 0.5  # as informative, and nowhere zero
    dense = clone(net).fit(X, y)
    assert dense.n_nonzero_per_layer_[1] > 16


@pytest.mark.parametrize("target", [909, 0.715])
def test_of_words_all_weights_are_live(target):
    """Two units, which the usual part comes to, have no place for them."""
    X, y = topics(300, 0)
    net = SparseNetClassifier((8,), target_sparsity=target, random_state=0)
    net.fit(X, y > 3)
    assert net.n_live_ == net.n_nonzero_ == (914 if target < 1 else 909)


@pytest.mark.parametrize("seed", range(3))
def test_words_that_have_to_be_combined_are(seed):
    """Either of two kinds of words, and not both; two units have .83 of it right."""

    def rows(n_samples, seed):
        X = np.random.default_rng(seed).random((n_samples, 300)) < 0.05
        y = X[:, :10].any(axis=1) != X[:, 10:20].any(axis=1)
        return sparse.csr_matrix(X.astype(float)), y

    net = SparseNetClassifier(
        (20,), target_sparsity=100, max_iter=100, random_state=seed
    )
    net.fit(*rows(1000, 0))
    assert net.score(*rows(2000, 1)) > 0.87
