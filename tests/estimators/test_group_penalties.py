"""Penalties of groups in the estimators: oracles, certificates, searches, files."""

import io
import warnings

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.datasets import load_diabetes, load_digits, load_linnerud
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import MultiTaskLasso
from sklearn.preprocessing import scale
from torch import nn

from sklearn_sparsenet import (
    GroupL2,
    SparseGroupL2,
    SparseNetClassifier,
    SparseNetRegressor,
    load,
    optimality,
)

CONVEX = {
    "hidden_layer_sizes": (),
    "batch_size": 10**6,
    "max_iter": 8000,
    "kkt_tol": 1e-9,
    "normalize_y": False,
    "debias": False,
    "random_state": 0,
}
SOLVERS = {"adam": 0.1, "sgd": 0.1}
CONSTANT = {"solver": "sgd", "learning_rate": "constant", "learning_rate_init": 0.1}


@pytest.fixture(scope="module")
def outputs():
    """Several outputs: measurements of patients, from the other ones."""
    X, y = load_diabetes(return_X_y=True)
    return scale(X[:, :7]), scale(np.column_stack([y, X[:, 7:]]))


def gradient_of(net, X, Y):
    """The gradient of the mean squared error in the weights, in NumPy."""
    residual = X @ net.coefs_[0] + net.intercepts_[0] - Y
    return 2 * X.T @ residual / len(X)


def alpha_max(X, Y, penalty):
    gradient = -2 * X.T @ (Y - Y.mean(axis=0)) / len(X)
    return optimality.alpha_max(torch.tensor(gradient.T), penalty)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("fraction", [0.02, 0.2, 0.6])
def test_without_hidden_layer_it_is_the_multi_task_lasso(outputs, solver, fraction):
    """Whose loss has ½ / n: λ is twice as large here."""
    X, Y = outputs
    alpha = fraction * alpha_max(X, Y, GroupL2())
    net = SparseNetRegressor(
        alpha=alpha,
        penalty="group_l2",
        solver=solver,
        learning_rate_init=SOLVERS[solver],
        **CONVEX,
    ).fit(X, Y)
    oracle = MultiTaskLasso(alpha / 2, tol=1e-14, max_iter=10**6).fit(X, Y)
    np.testing.assert_allclose(net.coefs_[0], oracle.coef_.T, rtol=0, atol=1e-7)
    np.testing.assert_allclose(net.intercepts_[0], oracle.intercept_, atol=1e-7)
    selected = oracle.coef_.any(axis=0)
    assert 0 < selected.sum() < 8
    np.testing.assert_array_equal(net.support_, selected)
    assert net.n_nonzero_ == 4 * selected.sum()
    assert net.kkt_residual_ <= 1e-9


@pytest.mark.parametrize(
    "penalty", [GroupL2(), GroupL2(size_weighted=True), SparseGroupL2(0.4)], ids=repr
)
@pytest.mark.parametrize("load_data", ["outputs", "linnerud"])
def test_all_is_zero_exactly_from_alpha_max_on(outputs, load_data, penalty):
    X, Y = outputs
    if load_data == "linnerud":
        X, Y = map(scale, load_linnerud(return_X_y=True))
    largest = alpha_max(X, Y, penalty)
    counts = []
    for factor in (1 + 1e-6, 1 - 1e-3):
        settings = {**CONVEX, **CONSTANT, "kkt_tol": 1e-5}
        net = SparseNetRegressor(alpha=factor * largest, penalty=penalty, **settings)
        counts.append(net.fit(X, Y).coefs_[0].any(axis=1).sum())
    assert counts == [0, 1]


class Branches(nn.Module):
    """A linear model with a layer, of one unit, for each group of columns."""

    def __init__(self, sizes):
        super().__init__()
        self.sizes = sizes
        self.parts = nn.ModuleList(nn.Linear(size, 1, bias=False) for size in sizes)
        self.intercept = nn.Parameter(torch.zeros(1))
        for part in self.parts:
            nn.init.zeros_(part.weight)

    def forward(self, x):
        parts = zip(self.parts, x.split(self.sizes, dim=1), strict=True)
        return sum(part(columns) for part, columns in parts) + self.intercept


def sparse_group_lasso(X, y, sizes, alpha, ratio):
    """Minimise ‖y - Xb‖² / n + penalty with √size, by proximal gradients in NumPy."""
    X, y = X - X.mean(axis=0), y - y.mean()
    step = len(X) / (2 * np.linalg.norm(X, 2) ** 2)
    coef = momentum = np.zeros(X.shape[1])
    last = 1.0
    for _ in range(20_000):
        moved = momentum - step * 2 * X.T @ (X @ momentum - y) / len(X)
        moved -= np.clip(moved, -step * alpha * ratio, step * alpha * ratio)
        blocks = []
        for block in np.split(moved, np.cumsum(sizes)[:-1]):
            limit = step * alpha * (1 - ratio) * np.sqrt(len(block))
            norm = np.linalg.norm(block)
            blocks.append(block * max(0.0, 1 - limit / norm) if norm else block)
        new, this = np.concatenate(blocks), (1 + np.sqrt(1 + 4 * last**2)) / 2
        momentum, coef, last = new + (last - 1) / this * (new - coef), new, this
    return coef


@pytest.mark.parametrize("ratio", [0.0, 0.5])
def test_a_layer_for_each_group_of_columns_is_the_group_lasso(ratio):
    """With the root of the size of each, as is customary."""
    X, y = load_diabetes(return_X_y=True)
    X, y, sizes = scale(X), scale(y), [2, 1, 3, 4]
    penalty = SparseGroupL2(ratio, 0, True) if ratio else GroupL2(0, True)
    settings = {**CONVEX, **CONSTANT}
    del settings["hidden_layer_sizes"]
    net = SparseNetRegressor(
        module=Branches(sizes).double(),
        alpha=0.25,
        penalty=penalty,
        **settings,
    ).fit(X, y)
    coef = torch.cat([part.weight[0] for part in net.module_.parts]).detach().numpy()
    wanted = sparse_group_lasso(X, y, sizes, 0.25, ratio)
    np.testing.assert_allclose(coef, wanted, rtol=0, atol=1e-7)
    zeros = [not block.any() for block in np.split(coef, np.cumsum(sizes)[:-1])]
    assert 0 < sum(zeros) < 4


def residual_by_hand(penalty, coef, gradient, alpha):
    """The definitions, in NumPy; coef is (fan_in, fan_out), groups are its rows."""
    single = getattr(penalty, "l1_ratio", 0.0) * alpha
    grouped = alpha - single
    if penalty.size_weighted:
        grouped *= np.sqrt(coef.shape[1])
    residual = np.empty_like(coef)
    for i, (w, g) in enumerate(zip(coef, gradient, strict=True)):
        thin = np.sign(g) * np.maximum(np.abs(g) - single, 0)
        if w.any():
            slope = np.where(w != 0, g + single * np.sign(w), thin)
            residual[i] = slope + grouped * w / np.linalg.norm(w)
        else:
            norm = np.linalg.norm(thin)
            residual[i] = thin * max(0, 1 - grouped / norm) if norm else 0
    return np.abs(residual)


def recomputed(net, X, slope_of_loss):
    """Loss, counts and residual of the penalised solution of a tanh network."""
    (first, second), (bias, last) = net.penalized_coefs_, net.penalized_intercepts_
    hidden = np.tanh(X @ first + bias)
    loss, slope = slope_of_loss(hidden @ second + last)
    back = (slope @ second.T) * (1 - hidden**2)
    biases = np.abs(np.r_[slope.sum(axis=0), back.sum(axis=0)]).max()
    residuals = [
        residual_by_hand(net.penalty, coef, gradient, net.alpha_).max()
        for coef, gradient in ((first, X.T @ back), (second, hidden.T @ slope))
    ]
    counts = [np.count_nonzero(coef) for coef in (first, second)]
    return loss, counts, max(biases, *residuals) / net.alpha_


def assert_certified(net, X, slope_of_loss):
    loss, counts, residual = recomputed(net, X, slope_of_loss)
    assert net.loss_ == pytest.approx(loss, rel=1e-9)
    # Of rounding: what is one part in 1e12 of a gradient.
    assert net.kkt_residual_ == pytest.approx(residual, rel=1e-6, abs=1e-9)
    assert net.n_nonzero_per_layer_.tolist() == counts


OF_NETWORKS = [GroupL2(), GroupL2(size_weighted=True), SparseGroupL2(0.3)]


@pytest.mark.parametrize("debias", [False, True])
@pytest.mark.parametrize("penalty", OF_NETWORKS, ids=repr)
def test_diabetes_is_certified(diabetes, penalty, debias):
    X, y = diabetes
    y = scale(y)[:, None]
    net = SparseNetRegressor(
        (12,),
        activation="tanh",
        penalty=penalty,
        alpha=0.03 if penalty.size_weighted else 0.06,
        batch_size=len(X),
        max_iter=600,
        normalize_y=False,
        debias=debias,
        random_state=0,
    ).fit(X, y[:, 0])

    def squared(output):
        return np.square(output - y).mean(), 2 * (output - y) / len(y)

    assert_certified(net, X, squared)
    assert net.kkt_residual_ < 1
    assert 0 < net.support_.sum() < 10
    np.testing.assert_array_equal(net.support_, net.penalized_coefs_[0].any(axis=1))
    assert net.score(X, y[:, 0]) > 0.4


@pytest.mark.parametrize("penalty", OF_NETWORKS, ids=repr)
def test_digits_are_certified(penalty):
    X, y = load_digits(return_X_y=True)
    X = X / 16
    net = SparseNetClassifier(
        (20,),
        activation="tanh",
        penalty=penalty,
        alpha=1e-3 if penalty.size_weighted else 5e-3,
        max_iter=20,
        random_state=0,
    ).fit(X, y)

    def cross_entropy(output):
        chance = softmax(output, axis=1)
        slope = chance - np.eye(10)[y]
        return -np.log(chance[np.arange(len(y)), y]).mean(), slope / len(y)

    assert_certified(net, X, cross_entropy)
    assert net.score(X, y) > 0.85
    assert 10 < net.support_.sum() < 60


def test_theorem_5_on_the_groups_of_a_convex_fit(outputs):
    X, Y = outputs
    for penalty in (GroupL2(), SparseGroupL2(0.4)):
        alpha = 0.3 * alpha_max(X, Y, penalty)
        settings = {**CONVEX, **CONSTANT}
        net = SparseNetRegressor(alpha=alpha, penalty=penalty, **settings).fit(X, Y)
        gradient = torch.tensor(gradient_of(net, X, Y).T)
        level = int(net.coefs_[0].any(axis=1).sum())
        assert 0 < level < 7
        low, high = optimality.alpha_interval(gradient, level, penalty)
        assert low < alpha
        assert high == pytest.approx(alpha, rel=1e-7)
        bound = optimality.sparsity_bound(gradient, alpha, rtol=1e-7, penalty=penalty)
        assert bound == level
        for other in (level - 1, level, level + 1):
            held = optimality.is_sufficient(
                gradient, alpha, other, rtol=1e-7, penalty=penalty
            )
            assert held == (other == level)


def test_one_pass_is_for_single_weights(diabetes):
    for penalty in ("group_l2", SparseGroupL2()):
        net = SparseNetRegressor((5,), penalty=penalty, target_sparsity=20)
        with pytest.raises(ValueError, match=r"GroupL2\(.* use search='bracket'"):
            net.fit(*diabetes)
    with pytest.raises(ValueError, match="'l1' only, not GroupL2"):
        SparseNetRegressor((), penalty=GroupL2(), solver="lbfgs").fit(*diabetes)


@pytest.mark.parametrize("penalty", [GroupL2(), SparseGroupL2(0.3)], ids=repr)
def test_bracket_counts_weights_as_usual(diabetes, penalty):
    """With groups that are whole, counts are those of whole inputs and units."""
    X, y = diabetes
    net = SparseNetRegressor(
        (8,),
        activation="tanh",
        penalty=penalty,
        target_sparsity=40,
        tol=0.15,
        search="bracket",
        random_state=0,
    ).fit(X, y)
    assert net.converged_
    assert abs(net.n_nonzero_ - 40) <= 6
    first, second = net.coefs_
    assert net.n_nonzero_ == np.count_nonzero(first) + np.count_nonzero(second)
    assert not (net.coefs_[0][net.penalized_coefs_[0] == 0]).any()  # the refit holds it
    assert net.score(X, y) > 0.4


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_bracket_has_a_strength_for_each_layer(diabetes):
    net = SparseNetRegressor(
        (8,),
        activation="tanh",
        penalty="group_l2",
        target_sparsity=[32, 4],
        tol=0.2,
        search="bracket",
        max_iter=50,
        max_outer_iter=6,
        random_state=0,
    ).fit(*diabetes)
    assert len(np.unique(net.alpha_)) == 2
    counts = [np.count_nonzero(coef) for coef in net.coefs_]
    assert net.n_nonzero_per_layer_.tolist() == counts
    assert 16 <= counts[0] <= 64
    assert 1 <= counts[1] <= 8


def test_what_no_group_can_have_is_told(diabetes):
    """With three outputs, counts are multiples of three."""
    X, y = diabetes
    net = SparseNetRegressor(
        (),
        penalty=GroupL2(),
        search="bracket",
        target_sparsity=7,
        max_outer_iter=4,
        max_iter=50,
        random_state=0,
    )
    with pytest.warns(ConvergenceWarning, match="budget of max_outer_iter=4"):
        net.fit(X, np.column_stack([y, y**2, np.sqrt(y)]))
    assert not net.converged_
    assert net.n_nonzero_ % 3 == 0


def test_penalised_biases_are_groups_of_their_own(diabetes):
    X, y = diabetes
    net = SparseNetRegressor(
        (6,), penalty=GroupL2(), alpha=0.1, penalize_bias=True, random_state=0
    ).fit(X, y)
    assert 0 < np.count_nonzero(net.intercepts_[0]) < 6
    assert net.kkt_residual_ < 1


@pytest.mark.parametrize("dim", [0, 1])
def test_channels_of_convolutions(dim):
    """Filters with dim=0, with dim=1 what reads a channel."""
    X, y = load_digits(return_X_y=True)
    X = (X[:400] / 16).reshape(-1, 1, 8, 8)
    module = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.Tanh(), nn.Conv2d(6, 4, 3), nn.Tanh(), nn.Flatten(),
        nn.Linear(64, 10),
    )  # fmt: skip
    net = SparseNetClassifier(
        module=module,
        penalty=GroupL2(dim),
        alpha={"0.*": 0.0, "2.*": 0.2, "*": 0.0},
        max_iter=15,
        random_state=0,
    ).fit(X, y[:400])
    weight = net.module_[2].weight.detach()
    sizes = weight.movedim(dim, 0).flatten(1).count_nonzero(dim=1)
    assert set(sizes.tolist()) == {0, weight.numel() // weight.shape[dim]}


@pytest.mark.parametrize("penalty", [GroupL2(0, True), SparseGroupL2(0.25, 1)])
def test_files_keep_the_penalty(diabetes, penalty):
    X, y = diabetes
    net = SparseNetRegressor((4,), penalty=penalty, alpha=0.05, max_iter=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.fit(X, y)
    file = io.BytesIO()
    net.save(file)
    file.seek(0)
    loaded = load(file)
    assert loaded.penalty == penalty
    np.testing.assert_array_equal(loaded.predict(X), net.predict(X))
