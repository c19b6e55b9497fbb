"""The active-set solver, and its Newton steps: known minimisers, exact zeros."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import Lasso, LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_sparsenet.losses import CrossEntropy, LogLoss, SquaredError
from sklearn_sparsenet.networks.network import Network, find_layers
from sklearn_sparsenet.networks.stages import take_apart
from sklearn_sparsenet.optimality import certify
from sklearn_sparsenet.penalties import L0, FixedSupport
from sklearn_sparsenet.solvers import (
    ActiveSetOptions,
    SolverOptions,
    Status,
    check_supported,
    solve,
    solve_active_set,
)
from sklearn_sparsenet.solvers import active_set as active_set_module
from sklearn_sparsenet.solvers.curvature import Curvature
from sklearn_sparsenet.solvers.newton import Face, newton
from sklearn_sparsenet.solvers.objective import WholeNetwork, make_objective
from sklearn_sparsenet.solvers.quadratic import convex, minimize_model
from sklearn_sparsenet.utils.exceptions import NonFiniteLossError
from tests.problems import network_of, problem_of

EXACT = ActiveSetOptions(max_iter=5000, kkt_tol=1e-8)


def make_problem(X, y, hidden=(), *, loss=None, module=None, penalty="l1", **kw):
    if module is None:
        network = network_of((X.shape[1], *hidden, 1), "tanh", **kw)
    else:
        network = Network(module, find_layers(module), **kw)
    y = np.asarray(y, float)[:, None]
    return problem_of(network, X, y, loss, penalty=penalty)


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(X), (y - y.mean()) / y.std()


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.mark.parametrize("alpha", [0.5, 0.05, 0.001])
def test_agrees_with_lasso(diabetes, alpha):
    X, y = diabetes
    problem = make_problem(X, y)
    found = solve_active_set(problem, [alpha], EXACT)
    lasso = Lasso(alpha=alpha / 2, tol=1e-12, max_iter=100_000).fit(X, y)
    assert_allclose(problem.network.weights, lasso.coef_, atol=1e-6)
    assert found.counts == (np.count_nonzero(lasso.coef_),)
    assert found.status is Status.STATIONARY


def logistic_residual(X, y, weights, bias, alpha):
    """Largest violation of the optimality conditions, in NumPy alone."""
    gradient = X.T @ (1 / (1 + np.exp(-(X @ weights + bias))) - y) / len(y)
    at_bias = np.mean(1 / (1 + np.exp(-(X @ weights + bias))) - y)
    moving = weights != 0
    on = np.abs(gradient[moving] + alpha * np.sign(weights[moving]))
    off = np.maximum(np.abs(gradient[~moving]) - alpha, 0)
    return max(on.max(initial=0), off.max(initial=0), abs(at_bias))


def test_agrees_with_logistic_regression_on_near_duplicates(cancer):
    X, y = cancer
    problem = make_problem(X, y, loss=LogLoss())
    solve_active_set(problem, [1 / (0.1 * len(y))], EXACT)
    saga = LogisticRegression(
        C=0.1, l1_ratio=1.0, solver="saga", tol=1e-10, max_iter=20_000, random_state=0
    ).fit(X, y)
    assert_allclose(problem.network.weights, saga.coef_[0], atol=1e-6)
    assert_allclose(problem.network.parameters[-1], saga.intercept_[0], atol=1e-6)


@pytest.mark.parametrize("C", [1.0, 100.0])
def test_is_exact_where_saga_does_not_converge(cancer, C):
    """After 20000 epochs saga's residual is 0.003 and 4 times alpha here."""
    X, y = cancer
    problem = make_problem(X, y, loss=LogLoss())
    alpha = 1 / (C * len(y))
    solve_active_set(problem, [alpha], EXACT)
    *weights, bias = problem.network.parameters.tolist()
    weights = np.array(weights)
    assert logistic_residual(X, y, weights, bias, alpha) <= 1e-6 * alpha


def test_networks_fulfil_26_and_27_by_numpy(diabetes):
    """Back-propagation by hand: (26), (27) and a vanishing gradient of the biases."""
    X, y = diabetes
    problem = make_problem(X, y, (8,))
    alpha = 0.01
    found = solve_active_set(problem, [alpha] * 2, ActiveSetOptions(kkt_tol=1e-5))
    W, b, V, c = (p.detach().numpy() for p in problem.network.module.parameters())
    hidden = np.tanh(X @ W.T + b)
    error = 2 * (hidden @ V.T + c - y[:, None]) / len(y)
    back = (error @ V) * (1 - hidden**2)
    gradients = [back.T @ X, error.T @ hidden]
    for weight, gradient in zip((W, V), gradients, strict=True):
        on = np.abs(gradient + alpha * np.sign(weight))[weight != 0]
        off = np.abs(gradient)[weight == 0]
        assert on.max() <= 1e-5 * alpha
        assert off.max() <= alpha * (1 + 1e-5)
    assert np.abs(back.sum(0)).max() <= 1e-5 * alpha
    assert np.abs(error.sum(0)).max() <= 1e-5 * alpha
    assert found.kkt_residual <= 1e-5
    assert sum(found.counts) == np.count_nonzero(W) + np.count_nonzero(V) < 88


def test_zeros_are_exact_and_dead_weights_go(diabetes):
    problem = make_problem(*diabetes, (8,))
    solve_active_set(problem, [0.02] * 2, ActiveSetOptions())
    into, out = problem.network.split(problem.network.weights)
    assert not into[out[0] == 0].any()
    assert not torch.signbit(
        problem.network.weights[problem.network.weights == 0]
    ).any()


def test_lambda_of_each_layer(diabetes):
    problem, alphas = make_problem(*diabetes, (8,)), [0.02, 0.002]
    found = solve_active_set(problem, alphas, ActiveSetOptions(kkt_tol=1e-5))
    _, gradient = problem.evaluate()
    certificate = certify(problem.network, problem.penalty, gradient, alphas)
    assert certificate.largest <= 1e-5
    assert found.alpha == (0.02, 0.002)


def test_penalized_bias_and_no_penalty(diabetes):
    X, y = diabetes
    problem = make_problem(X, y + 1, penalize_bias=True)
    solve_active_set(problem, [0.1], EXACT)
    assert float(problem.network.parameters[-1]) == pytest.approx(0.95, abs=1e-6)
    problem = make_problem(X, y)
    solve_active_set(problem, [0.0], EXACT)
    exact = np.linalg.lstsq(X, y, rcond=None)[0]
    assert_allclose(problem.network.weights, exact, atol=1e-5)


def test_a_network_that_cannot_learn_anything_ends_at_zero():
    """Inputs are constant and the target is centred: there is nothing to move."""
    X, y = np.ones((4, 2)), np.array([1.0, -1.0, 2.0, -2.0])
    problem = make_problem(X, y, hidden=(3,), penalize_bias=True)
    last = problem.network.layers[-1].slice
    problem.network.parameters[last] = 0.0
    problem.network.parameters[problem.network.n_weights :] = 0.0
    found = solve_active_set(problem, [0.1, 0.1], EXACT)
    assert found.status is Status.STATIONARY
    assert not problem.network.parameters.any()


def test_fixed_support_is_least_squares(diabetes):
    X, y = diabetes
    support = torch.zeros(10, dtype=torch.bool)
    support[[2, 8]] = True
    problem = make_problem(X, y, penalty=FixedSupport(support))
    found = solve_active_set(problem, [0.0], EXACT)
    exact = np.linalg.lstsq(X[:, [2, 8]], y, rcond=None)[0]
    assert_allclose(problem.network.weights[support], exact, atol=1e-7)
    assert found.counts == (2,)


def test_compact_chain_agrees_with_the_whole_network(diabetes, generator):
    problem = make_problem(*diabetes, (8, 5))
    keep = torch.rand(problem.network.n_weights, generator=generator) < 0.2
    active = torch.ones(len(problem.network.parameters), dtype=torch.bool)
    active[: len(keep)] = keep
    problem.network.parameters[~active] = 0.0
    compact = make_objective(problem, active)
    whole = WholeNetwork(problem, active)
    x = problem.network.parameters[whole.index].numpy().copy()
    order = {int(index): place for place, index in enumerate(whole.index)}
    places = [order[int(index)] for index in compact.index]
    assert len(places) < len(x)
    loss, gradient = compact.evaluate(x[places])
    expected, full = whole.evaluate(x)
    assert loss == pytest.approx(expected, rel=1e-12)
    assert_allclose(gradient, full[places], atol=1e-12)
    outside = np.setdiff1d(np.arange(len(x)), places)
    assert not full[outside].any()


def test_hessian_agrees_with_differences(diabetes):
    problem = make_problem(*diabetes, (3,))
    active = torch.ones(len(problem.network.parameters), dtype=torch.bool)
    objective = make_objective(problem, active)
    x = problem.network.parameters[objective.index].numpy().copy()
    hessian = objective.hessian(x)
    step = 1e-5
    for column in (0, 17, len(x) - 1):
        shift = np.eye(len(x))[column] * step
        upper, lower = (objective.evaluate(x + sign * shift)[1] for sign in (1, -1))
        assert_allclose(hessian[:, column], (upper - lower) / (2 * step), atol=1e-8)


def test_newton_leaves_a_saddle():
    class Saddle:
        index = torch.arange(2)

        def evaluate(self, x):
            value = x[0] ** 4 / 4 - x[0] ** 2 / 2 + x[1] ** 2
            return value, np.array([x[0] ** 3 - x[0], 2 * x[1]])

        def hessian(self, x):
            return np.diag([3 * x[0] ** 2 - 1, 2.0])

    face = Face(Saddle(), np.zeros(2), np.zeros(2), np.zeros(2))
    x, _, converged = newton(face, np.array([1e-3, 1.0]), 50, np.full(2, 1e-10))
    assert converged
    assert_allclose(x, [1.0, 0.0], atol=1e-9)


def test_other_modules_are_solved_whole(diabetes):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Linear(10, 4, dtype=torch.float64)
            self.outer = torch.nn.Linear(4, 1, dtype=torch.float64)

        def forward(self, x):
            return self.outer(torch.tanh(self.inner(x)))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = Net()
    problem = make_problem(*diabetes, module=module)
    found = solve_active_set(problem, [0.05] * 2, ActiveSetOptions(max_iter=20_000))
    assert found.kkt_residual <= 1e-3


def test_solving_again_is_the_same_to_the_bit(diabetes):
    states = []
    for _ in range(2):
        problem = make_problem(*diabetes, (8,))
        solve_active_set(problem, [0.01] * 2, ActiveSetOptions())
        states.append(problem.network.parameters.clone())
    assert torch.equal(*states)


def test_budget_and_interruption(diabetes, monkeypatch):
    problem = make_problem(*diabetes, (8,))
    found = solve_active_set(problem, [1e-3] * 2, ActiveSetOptions(max_iter=7))
    assert found.status is Status.BUDGET
    assert found.epochs <= 8
    assert found.kkt_residual > 1e-3

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(active_set_module, "newton", interrupt)
    found = solve_active_set(problem, [1e-3] * 2, ActiveSetOptions())
    assert found.status is Status.INTERRUPTED
    assert torch.isfinite(found.state[0]).all()
    assert np.isfinite(found.loss)


def test_non_finite_start(diabetes):
    X, y = diabetes
    problem = make_problem(X, np.full_like(y, 1e300))
    with pytest.raises(NonFiniteLossError, match="starting point"):
        solve_active_set(problem, [0.1], ActiveSetOptions())


def test_refusals(diabetes):
    with pytest.raises(ValueError, match="penalty='l1' only"):
        check_supported(make_problem(*diabetes, penalty=L0()))
    module = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Linear(10, 1))
    with pytest.raises(ValueError, match="Dropout"):
        check_supported(make_problem(*diabetes, module=module.double()))


def test_goes_further_than_adam(diabetes):
    """From where Adam ends, to a sparser network with a tiny residual."""
    problem = make_problem(*diabetes, (20,))
    adam = SolverOptions(batch_size=1000, max_iter=300)
    before = solve(problem, [0.01] * 2, adam, torch.Generator())
    after = solve_active_set(problem, [0.01] * 2, ActiveSetOptions())
    assert before.kkt_residual > 0.1 > 1e-3 >= after.kkt_residual
    assert sum(after.counts) <= sum(before.counts)


def symmetric(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(n, n, generator=generator, dtype=torch.float64)
    return matrix + matrix.t()


def test_a_convex_matrix_stays_as_it_is():
    matrix = symmetric(20)
    matrix = matrix @ matrix.t() + torch.eye(20, dtype=torch.float64)
    torch.testing.assert_close(convex(matrix), matrix, rtol=1e-5, atol=1e-5)


def test_negative_curvature_is_reflected():
    exchange = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(convex(exchange), torch.eye(2, dtype=torch.float64))
    sizes = torch.tensor([3.0, -2.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(convex(sizes.diag()), sizes.abs().diag())


@pytest.mark.parametrize("n", [1, 2, 5, 60, 200])
def test_what_is_added_is_positive_and_small(n):
    matrix = symmetric(n, seed=n)
    values = torch.linalg.eigvalsh(convex(matrix))
    added = torch.linalg.eigvalsh(convex(matrix) - matrix)
    assert values.min() > 0
    assert added.min() > -1e-9 * added.max()
    n_negative = int((torch.linalg.eigvalsh(matrix) < 0).sum())
    assert int((added > 1e-6).sum()) == n_negative


def test_the_minimum_of_a_model_fulfils_its_conditions():
    n = 60
    generator = torch.Generator().manual_seed(1)
    hessian = convex(symmetric(n))
    hessian.diagonal().add_(0.1)
    linear = torch.randn(n, generator=generator, dtype=torch.float64)
    slope = torch.full_like(linear, 0.5)
    slope[:3] = 0.0
    found = minimize_model(hessian, linear, slope, torch.zeros_like(linear))
    pull = hessian @ found + linear
    on = found != 0
    assert 3 < int(on.sum()) < n
    torch.testing.assert_close(pull[on], -(slope * found.sign())[on])
    assert (pull.abs() <= slope + 1e-9)[~on].all()


@pytest.mark.parametrize("activation", [nn.Tanh, nn.Softplus])
@pytest.mark.parametrize("loss", [SquaredError(), CrossEntropy(3)], ids=str)
def test_second_derivatives(activation, loss):
    torch.manual_seed(0)
    widths, n = (4, 5, 3, 3), 30
    chain = [nn.Linear(4, 5), activation(), nn.Linear(5, 3), nn.Linear(3, 3)]
    module = nn.Sequential(*chain).double()
    names = ["0.weight", "2.weight", "3.weight"]
    network = Network(module, names)
    inputs = torch.randn(n, widths[0], dtype=torch.float64)
    classes = torch.arange(n) % 3
    is_squared = isinstance(loss, SquaredError)
    target = nn.functional.one_hot(classes).double() if is_squared else classes
    weight = torch.full((n,), 1 / n, dtype=torch.float64)

    def value(flat):
        state = {}
        for name, parameter in module.named_parameters():
            start = parameter.storage_offset()
            state[name] = flat[start : start + parameter.numel()].view(parameter.shape)
        output = torch.func.functional_call(module, state, (inputs,))
        return loss.per_sample(output, target) @ weight

    where = torch.arange(0, len(network.parameters), 2)
    wanted = torch.autograd.functional.hessian(value, network.parameters.clone())
    curvature = Curvature(take_apart(module).stages, loss, inputs, target, weight)
    found = curvature.hessian(where)
    torch.testing.assert_close(found, wanted[where][:, where])
