"""The training loop: Algorithm 3 to the letter, how solves end, what is kept."""

import dataclasses
from typing import ClassVar

import pytest
import torch
from torch.testing import assert_close

from sklearn_sparsenet.losses import CustomLoss
from sklearn_sparsenet.networks.network import Network, find_layers
from sklearn_sparsenet.penalties import L0, MCP, soft_threshold
from sklearn_sparsenet.solvers import (
    EarlyStopping,
    Schedule,
    SolverOptions,
    Validation,
    solve,
)
from sklearn_sparsenet.solvers.solution import Status
from sklearn_sparsenet.utils.exceptions import NonFiniteLossError
from tests.problems import F64, TwoBranches, network_of, problem_of

SGD = SolverOptions(
    solver="sgd", learning_rate=0.05, schedule=Schedule.CONSTANT, batch_size=8,
    max_iter=3,
)  # fmt: skip


def make(generator, hidden=(4,), loss=None, n=21, **more):
    X = torch.randn(n, 3, generator=generator, dtype=F64)
    y = X[:, :1] - 0.5 * X[:, 1:2].square()
    network = network_of((3, *hidden, 1), "tanh", seed=1)
    return problem_of(network, X, y, loss, **more)


def to_the_end(problem, alpha, generator, kkt_tol=1e-8):
    """Solve by full batches of 60 samples."""
    options = dataclasses.replace(SGD, batch_size=60, max_iter=5000, kkt_tol=kkt_tol)
    found = solve(problem, alpha, options, generator)
    assert found.status is Status.STATIONARY
    return found


def counting(found):
    """Return a squared error that notes how many rows it is asked of."""

    def loss(output, target):
        found.append(len(output))
        return (output - target).square()

    return CustomLoss(loss)


def interrupting(call, scale=1.0):
    """Return a squared error that is interrupted at some call."""
    calls = []

    def loss(output, target):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return scale * (output - target).square()

    return CustomLoss(loss)


def test_sgd_is_algorithm_3_to_the_letter(generator):
    """Against the plain loop: shuffle, batches (the last one smaller), prox step."""
    problem, reference = make(generator), make(generator.manual_seed(0))
    alphas = [0.02, 0.05]
    solve(problem, alphas, SGD, torch.Generator().manual_seed(5))
    module = reference.network.module
    X, y = reference.rows.slice(0, 21), reference.target
    shuffler = torch.Generator().manual_seed(5)
    for _ in range(3):
        for index in torch.randperm(21, generator=shuffler).split(8):
            module.zero_grad(set_to_none=False)
            (module(X[index]) - y[index]).square().sum(1).mean().backward()
            with torch.no_grad():
                for layer, alpha in ((module[0], 0.02), (module[2], 0.05)):
                    layer.bias -= 0.05 * layer.bias.grad
                    moved = layer.weight - 0.05 * layer.weight.grad
                    layer.weight.copy_(soft_threshold(moved, 0.05 * alpha))
    assert_close(
        problem.network.parameters, reference.network.parameters, rtol=1e-12, atol=1e-13
    )


def test_a_single_last_row_joins_the_batch_before(generator):
    sizes = []
    options = dataclasses.replace(SGD, batch_size=4, max_iter=1)
    solve(make(generator, loss=counting(sizes)), [0, 0], options, generator)
    assert sizes[:-1] == [4, 4, 4, 4, 5]


def test_in_flight_ends_at_the_first_step_on_target(generator):
    problem = make(generator)
    seen = []

    def accepts(weights):
        seen.append(int(weights.count_nonzero()))
        return seen[-1] <= 9

    options = dataclasses.replace(SGD, max_iter=500)
    found = solve(
        problem, [0.3, 0.3], options, generator, is_on_target=accepts, test_from=0.0
    )
    assert found.status is Status.ON_TARGET
    assert sum(found.counts) == seen[-1] <= 9
    assert min(seen[:-1]) > 9


def test_full_batches_end_at_stationary_points(generator):
    problem = make(generator, hidden=())
    options = dataclasses.replace(SGD, batch_size=21, max_iter=10**4, kkt_tol=1e-6)
    found = solve(problem, [0.1], options, generator)
    assert found.status is Status.STATIONARY
    assert found.kkt_residual <= 1e-6
    assert found.epochs < 10**4
    assert len(found.loss_curve) == found.epochs


@pytest.mark.parametrize(
    ("solver", "width", "share"),
    [("adam", 600, 1 / 50), ("adam", 400, 1.0), ("sgd", 600, 1.0)],
)
def test_the_first_steps_of_adam_are_small_where_units_read_much(
    solver, width, share, generator
):
    problem = make(generator, hidden=(width, 2))
    before = problem.network.parameters.clone()
    gradient = problem.evaluate()[1]
    options = dataclasses.replace(
        SGD, solver=solver, learning_rate=0.01, batch_size=21, max_iter=1
    )
    solve(problem, [0.0] * 3, options, generator)
    moved = (problem.network.parameters - before).abs().max()
    longest = 0.01 if solver == "adam" else 0.01 * gradient.abs().max()
    assert float(moved) == pytest.approx(share * float(longest), rel=1e-3)


def test_a_step_that_blows_up_is_made_smaller(generator):
    options = dataclasses.replace(SGD, learning_rate=30.0, batch_size=21, max_iter=300)
    found = solve(make(generator, hidden=()), [0.01], options, generator)
    first = make(generator.manual_seed(0), hidden=()).evaluate()[0]
    assert found.loss < first
    assert found.state[0].isfinite().all()


def test_hopeless_losses_are_an_error_with_advice(generator):
    loss = CustomLoss(lambda output, target: output * float("nan"))
    with pytest.raises(NonFiniteLossError, match="StandardScaler"):
        solve(make(generator, loss=loss), [0.0, 0.0], SGD, generator)


def test_interruption_keeps_a_finite_state(generator):
    problem = make(generator, loss=interrupting(5))
    found = solve(problem, [0.0, 0.0], SGD, generator)
    assert found.status is Status.INTERRUPTED
    assert found.state[0].isfinite().all()


class _Scripted:
    """Validation with scores from a list."""

    patience = 2

    def __init__(self, scores):
        self.scores = iter(scores)

    def evaluate(self, network):
        return next(self.scores)


class _Network:
    weights = 0

    def snapshot(self):
        return self.weights, {}


def run_script(script):
    """Feed (score, on target) pairs; return the kept epoch and the last one."""
    early = EarlyStopping(
        _Scripted([s for s, _ in script]), lambda weights: weights > 0
    )
    network = _Network()
    for epoch, (_, on_target) in enumerate(script, start=1):
        network.weights = epoch if on_target else -epoch
        if early.update(network, epoch):
            break
    return early.best_state and early.best_state[0], epoch


def test_early_stopping_keeps_the_best_state_on_target():
    """A dense network scores best, but only states on target compete."""
    script = [(0.99, False), (0.98, False), (0.8, True), (0.9, True), (0.7, True)]
    assert run_script(script) == (4, 5)
    assert run_script([*script, (0.6, True), (1.0, True)]) == (4, 6)


def test_leaving_the_target_forgets_what_was_kept():
    script = [(0.9, True), (0.5, False), (0.4, True)]
    assert run_script(script) == (3, 3)
    assert run_script(script[:2]) == (None, 2)


def test_backing_off_rewinds_early_stopping():
    early = EarlyStopping(None, lambda weights: True)
    early.scores = [0.1, 0.2, 0.9]
    early.best_epoch, early.best_score, early.best_state = 3, 0.9, "state"
    early.rewind(2)
    assert early.scores == [0.1, 0.2]
    assert early.best_state is None
    early.best_epoch, early.best_state = 1, "state"
    early.rewind(2)
    assert early.best_state == "state"


def test_early_stopping_restores_the_best_state(generator):
    problem = make(generator)
    validation = Validation(
        problem.rows, lambda out: -float((out - problem.target).square().mean()), 3
    )
    options = dataclasses.replace(
        SGD, learning_rate=0.5, max_iter=60, validation=validation
    )
    found = solve(problem, [0.0, 0.0], options, generator)
    assert -found.loss == pytest.approx(max(found.validation_scores))


class Users:
    """A user's penalty: like one of the library, and notes what steps it is given."""

    def __init__(self, like):
        self.like, self.separable, self.steps = like, like.separable, []

    def value(self, weight, alpha):
        return self.like.value(weight, alpha)

    def prox(self, weight, step, alpha):
        self.steps.append(step)
        return self.like.prox(weight, step, alpha)

    def subdifferential_distance(self, weight, gradient, alpha):
        return self.like.subdifferential_distance(weight, gradient, alpha)


class Groups:
    """A user's penalty: the norms of the columns (inputs) of a layer."""

    separable: ClassVar[bool] = False

    def value(self, weight, alpha):
        return alpha * torch.linalg.vector_norm(weight, dim=0).sum()

    def prox(self, weight, step, alpha):
        norm = torch.linalg.vector_norm(weight, dim=0, keepdim=True)
        return weight * (1 - step * alpha / norm.clamp(min=1e-30)).clamp(min=0)

    def subdifferential_distance(self, weight, gradient, alpha):
        norm = torch.linalg.vector_norm(weight, dim=0, keepdim=True)
        size = torch.linalg.vector_norm(gradient, dim=0, keepdim=True)
        inside = gradient * (1 - alpha / size.clamp(min=1e-30)).clamp(min=0)
        on = gradient + alpha * weight / norm.clamp(min=1e-30)
        return torch.where(norm > 0, on, inside).abs()


@pytest.mark.parametrize("penalty", [Users(MCP(4.0)), Groups()])
def test_users_penalties_join_in(penalty, generator):
    """Solved to their own optimality conditions; whole groups vanish."""
    problem = make(generator, hidden=(), penalty=penalty, n=60)
    found = to_the_end(problem, [0.8], generator)
    assert found.counts == (1,)
    assert problem.network.weights[0] != 0


class WholeLayer(Groups):
    """A user's penalty: the norm of all weights of a layer."""

    def value(self, weight, alpha):
        return super().value(weight.reshape(-1, 1), alpha)

    def prox(self, weight, step, alpha):
        return super().prox(weight.reshape(-1, 1), step, alpha).view(weight.shape)

    def subdifferential_distance(self, weight, gradient, alpha):
        column = weight.reshape(-1, 1), gradient.reshape(-1, 1)
        return super().subdifferential_distance(*column, alpha).view(weight.shape)


def test_hard_thresholding_ends_at_least_squares_on_its_support(generator):
    problem = make(generator, hidden=(), penalty=Users(L0()), n=60)
    problem.network.weights.fill_(1.0)  # from zero nothing would ever enter
    to_the_end(problem, [0.2], generator)
    support = problem.network.weights != 0
    assert 0 < support.sum() < 3
    X = problem.rows.slice(0, 60)[:, support]
    design = torch.cat([X, torch.ones(60, 1, dtype=F64)], 1)
    wanted = torch.linalg.lstsq(design, problem.target).solution[:-1, 0]
    assert_close(problem.network.weights[support], wanted, rtol=1e-6, atol=1e-8)
    # A fixed point of the prox: what survives is above its threshold.
    assert wanted.abs().min() > (2 * SGD.learning_rate * 0.2) ** 0.5


def test_a_group_penalty_removes_a_layer_as_a_whole(generator):
    base = make(generator, n=60)
    base.target.copy_(base.rows.slice(0, 60)[:, :1] * 2 + 1)
    module = TwoBranches(2, 1).double()
    network = Network(module, find_layers(module))
    problem = dataclasses.replace(base, network=network, penalty=WholeLayer())
    found = to_the_end(problem, [0.6, 0.6], generator)
    assert found.counts == (2, 0)  # the weight of the second input is not removed
    left, gradient = module.left.weight, problem.evaluate()[1][:2]
    assert_close(-gradient, 0.6 * (left / left.norm()).detach()[0], rtol=0, atol=1e-7)


def test_firm_thresholding_does_not_shrink_large_weights(generator):
    """MCP is flat beyond gamma alpha: least squares on the support."""
    base = make(generator, hidden=(), n=60, penalty=Users(MCP(4.0)))
    base.target.copy_(base.rows.slice(0, 60)[:, :1] * 3)
    found = to_the_end(base, [0.4], generator, kkt_tol=1e-9)
    assert found.counts == (1,)
    assert base.network.weights[0].item() == pytest.approx(3.0, abs=1e-6)


def test_an_interruption_undoes_a_step_that_was_not_finite(generator):
    options = dataclasses.replace(SGD, learning_rate=1e300, batch_size=21)
    problem = make(generator, hidden=(), loss=interrupting(2, scale=1e10))
    start = problem.network.parameters.clone()
    found = solve(problem, [0.0], options, generator)
    assert found.status is Status.INTERRUPTED
    assert torch.equal(found.state[0], start)


@pytest.mark.parametrize("is_met", [False, True])
def test_settled_is_asked_from_its_part_of_the_epochs_on(is_met, generator):
    steps, asked_at = [], []

    def asked(weights):
        asked_at.append(len(steps))
        return is_met

    options = dataclasses.replace(SGD, batch_size=7, max_iter=10)
    problem = make(generator, loss=counting(steps))
    found = solve(
        problem, [0, 0], options, generator, is_on_target=asked, test_from=0.8
    )
    # 3 steps an epoch, 8 epochs before
    assert asked_at == (list(range(25, 31)) if not is_met else [25])
    assert found.status is (Status.ON_TARGET if is_met else Status.BUDGET)
    assert len(found.loss_curve) == found.epochs == (9 if is_met else 10)


def test_the_step_size_falls_after_the_steady_part(generator):
    """Half a cosine of what is left of the run, from the first step size."""
    penalty = Users(L0())
    options = dataclasses.replace(
        SGD, schedule=Schedule.COSINE, plateau_fraction=0.6, batch_size=21, max_iter=10
    )
    solve(make(generator, penalty=penalty), [0.01, 0.01], options, generator)
    steps = torch.tensor(penalty.steps)
    falling = 0.5 * (1 + torch.cos(torch.pi * torch.arange(4) / 4))
    expected = 0.05 * torch.cat([torch.ones(6), falling])
    assert_close(steps, expected)
