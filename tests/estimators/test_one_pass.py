"""The one-pass search through the estimators: counts, live weights, λ, limits."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.datasets import load_digits, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor
from sklearn_sparsenet.search import one_pass
from sklearn_sparsenet.search.proximal_trainer import ProximalTrainer
from tests.trust.recount import count_live, live_is_possible


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    X = StandardScaler().fit_transform(X)[:600]
    return X.astype(np.float32), y[:600]


def fit(data, target, *, hidden=(40, 30), kind=SparseNetClassifier, **settings):
    settings = {"random_state": 0, "tol": 0, **settings}
    return kind(hidden, target_sparsity=target, **settings).fit(*data)


@pytest.mark.parametrize(
    "target", [0.5, 0.9, 0.99, 37, [200, 100, 50], {"0.*": 30, "*": 0.9}]
)
@pytest.mark.parametrize("penalty", ["l1", "mcp", "l0"])
def test_the_count_is_exact_and_every_weight_is_live(digits, target, penalty):
    net = fit(digits, target, penalty=penalty, max_iter=25)
    reached = net.n_nonzero_per_layer_ if np.ndim(net.alpha_) else net.n_nonzero_
    np.testing.assert_array_equal(reached, net.target_n_nonzero_)
    assert net.n_live_ == net.n_nonzero_
    assert net.converged_
    assert net.n_outer_iter_ == 1
    assert (np.atleast_1d(net.alpha_) > 0).all()
    for final, penalized in zip(net.coefs_, net.penalized_coefs_, strict=True):
        np.testing.assert_array_equal(final != 0, penalized != 0)


@pytest.mark.parametrize(
    "settings",
    [{"max_iter": 1, "batch_size": 600}, {"max_iter": 1}, {"max_iter": 2}, {}],
)
def test_any_budget_will_do(digits, settings):
    net = fit(digits, 0.95, **settings)
    assert net.n_nonzero_ == net.target_n_nonzero_
    assert net.n_iter_ == settings.get("max_iter", net.n_iter_)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("debias", [True, False])
def test_regression(diabetes, solver, debias):
    net = fit(
        diabetes, 30, hidden=(20,), kind=SparseNetRegressor, solver=solver,
        debias=debias,
    )  # fmt: skip
    assert net.n_nonzero_ == 30
    assert net.score(*diabetes) > 0.4
    same = all(map(np.array_equal, net.coefs_, net.penalized_coefs_))
    assert same != debias


def test_alpha_is_in_the_interval_of_theorem_5(diabetes):
    """As the high end: the gradient of each weight of the ℓ1 solution is λ."""
    net = fit(diabetes, 3, hidden=(), kind=SparseNetRegressor, batch_size=10**6)
    X, y = diabetes
    coef, intercept = net.penalized_coefs_[0], net.penalized_intercepts_[0]
    residual = X @ coef + intercept - ((y - y.mean()) / y.std())[:, None]
    gradient = 2 * X.T @ residual / len(X) + net.weight_decay_ * coef
    sizes = np.sort(np.abs(gradient)[:, 0])
    assert sizes[-4] <= net.alpha_
    np.testing.assert_allclose(sizes[-3:], net.alpha_, rtol=1e-3)


def test_linear_support_is_that_of_the_truth():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 200))
    truth = np.zeros(200)
    truth[:10] = rng.choice([-1, 1], 10) * rng.uniform(0.5, 1, 10)
    y = X @ truth + 0.5 * rng.normal(size=400)
    net = fit((X, y), 10, hidden=(), kind=SparseNetRegressor)
    np.testing.assert_array_equal(net.support_, truth != 0)


def test_few_rows_and_many_columns():
    X, y = make_classification(
        60, 3000, n_informative=20, n_redundant=0, random_state=0, class_sep=2.0
    )
    for target in (60, 12, 2):
        net = fit((X, y), target, hidden=(20,))
        assert net.n_nonzero_ == net.n_live_ == target
        assert len(np.unique(net.predict(X))) == 2


def test_a_target_without_a_path_is_exact_and_told(digits):
    with pytest.warns(ConvergenceWarning, match="path from an input to an output"):
        net = fit(digits, 2, max_iter=5)
    assert net.n_nonzero_ == 2


def test_convolutions_keep_live_weights(digits):
    X, y = digits
    module = nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6),
        nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(96, 10),
    )  # fmt: skip
    net = SparseNetClassifier(
        module=module, target_sparsity=60, tol=0, max_iter=20, random_state=0
    ).fit(X, y)
    assert net.n_nonzero_ == net.n_live_ == 60
    assert net.score(X, y) > 0.5


def test_columns_that_are_always_zero_take_no_weights():
    rng = np.random.default_rng(0)
    X = np.hstack([rng.normal(size=(100, 4)), np.zeros((100, 6))])
    y = X[:, 0] - X[:, 1]
    net = fit((X, y), 30, hidden=(8,), kind=SparseNetRegressor)
    assert net.n_nonzero_ == 30
    assert not net.support_[4:].any()


def test_early_stopping_keeps_the_count(digits):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = fit(digits, 300, early_stopping=True, n_iter_no_change=5)
    assert net.n_nonzero_ == 300
    assert len(net.validation_scores_) == len(net.loss_curve_)


@pytest.mark.parametrize(
    "target", [[1000, 500, 270], [300, 300, 250], [100, 1100, 290]]
)
@pytest.mark.parametrize("rate", ["auto", 0.05])
def test_layers_that_need_many_units_get_them(digits, target, rate):
    """Large steps kill units of ReLU; the last layer then had too few to read."""
    net = fit(digits, target, learning_rate_init=rate)
    np.testing.assert_array_equal(net.n_nonzero_per_layer_, target)
    assert net.n_live_ >= 0.9 * net.n_nonzero_


def test_a_layer_is_filled_though_nothing_is_left_of_its_units(digits):
    """Ten weights cannot feed the units that the last layer has to read."""
    net = fit(digits, [10, 10, 300], learning_rate_init=0.05)
    np.testing.assert_array_equal(net.n_nonzero_per_layer_, [10, 10, 300])
    assert net.n_live_ < 320


def test_the_history_of_the_cuts_ends_on_the_target(digits):
    digits_net = fit(digits, 0.95, max_iter=25)
    history = digits_net.narrowing_history_
    counts, epochs = history["n_nonzero"][:, 0], history["epoch"]
    assert (np.diff(counts) <= 0).all()
    assert counts[-1] == digits_net.n_nonzero_
    assert (np.diff(epochs) > 0).all()
    assert 0 < epochs[0] < epochs[-1] < digits_net.n_iter_
    assert history["alpha"].shape == (len(epochs), 1)
    assert (history["alpha"] >= 0).all()


def draw(seed):
    """Draw a fit of few steps, of all kinds."""
    rng = np.random.default_rng(seed)
    n, p = rng.integers(20, 50), rng.integers(1, 8)
    hidden = tuple(map(int, rng.integers(1, 8, rng.integers(0, 4))))
    X = rng.normal(size=(n, p)) * (rng.random(p) < 0.8)
    kind = (SparseNetRegressor, SparseNetClassifier)[rng.integers(2)]
    is_real = kind is SparseNetRegressor
    y = X @ rng.normal(size=p) if is_real else rng.integers(3, size=n)
    y[:3] = 0, 1, 2
    sizes = [int(p), *hidden, 1 if is_real else 3]
    n_weights = [a * b for a, b in pairwise(sizes)]
    if rng.random() < 0.6:
        low = min(len(n_weights) + rng.integers(8), sum(n_weights))
        target = int(rng.integers(low, max(low + 1, sum(n_weights) // 2)))
    else:
        units = [rng.integers(1, size + 1) for size in sizes]  # what a path may use
        pairs = list(pairwise(units))
        target = [int(rng.integers(max(u, v), u * v + 1)) for u, v in pairs]
    settings = {
        "max_iter": int(rng.choice([1, 2, 3, 8])),
        "early_stopping": bool(rng.random() < 0.4),
        "n_iter_no_change": 1,
        "debias": ["auto", False][rng.integers(2)],
        "penalty": str(rng.choice(["l1", "mcp", "l0"])),
        "penalize_bias": bool(rng.random() < 0.2),
        "batch_size": ["auto", 4][rng.integers(2)],
        "dtype": str(rng.choice(["float32", "float64"])),
    }
    net = kind(hidden, target_sparsity=target, random_state=seed, **settings)
    return net, csr_matrix(X) if rng.random() < 0.3 else X, y, sizes


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_no_weight_is_dead_where_the_target_allows_it(first):
    for seed in range(first, first + 20):
        net, X, y, sizes = draw(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net.fit(X, y)
        target = net.target_sparsity
        counts = [np.count_nonzero(coef) for coef in net.coefs_]
        possible = target if isinstance(target, int) else sum(target)
        while isinstance(target, int) and not live_is_possible(sizes, possible):
            possible -= 1
        assert (counts if np.ndim(target) else sum(counts)) == target, seed
        assert count_live(net.coefs_) == net.n_live_ == possible, seed


@pytest.mark.filterwarnings("ignore:.*100 steps:UserWarning")
def test_short_runs_over_much_data_have_no_solve(digits, monkeypatch):
    """The penalised solution is the network, for which λ is."""
    solves = []
    spy = ProximalTrainer.solve_on_support
    monkeypatch.setattr(
        ProximalTrainer,
        "solve_on_support",
        lambda *args, **facts: solves.append(1) or spy(*args, **facts),
    )
    fit(digits, 300, max_iter=4)
    assert len(solves) == 1
    monkeypatch.setattr(one_pass, "_MUCH_DATA", 2**20)
    net = fit(digits, 300, max_iter=4)
    assert len(solves) == 1
    assert net.n_nonzero_ == 300
    for penalized, coef in zip(net.penalized_coefs_, net.coefs_, strict=True):
        np.testing.assert_array_equal(penalized, coef)
    fit(digits, 300, max_iter=5)
    assert len(solves) == 2
