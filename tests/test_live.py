"""Training on the units that have weights is training on the whole network."""

import dataclasses

import pytest
import torch
from torch import nn

from sklearn_sparsenet.losses import CrossEntropy, SquaredError
from sklearn_sparsenet.networks.network import Network, build_mlp, find_layers
from sklearn_sparsenet.networks.synflow import SynapticFlow
from sklearn_sparsenet.penalties import L1, FixedSupport, Penalty, soft_threshold
from sklearn_sparsenet.search.fading import Noise
from sklearn_sparsenet.search.gradual_pruning import GradualPruning
from sklearn_sparsenet.search.pruning_schedule import PruningSchedule
from sklearn_sparsenet.solvers import SolverOptions, solve, stepper
from sklearn_sparsenet.solvers.live_part import live_part
from sklearn_sparsenet.solvers.pruning import Pruning
from sklearn_sparsenet.solvers.solution import Status
from tests.problems import F64, problem_of

N, INPUTS, OUTPUTS = 40, 5, 3


def make(hidden=(9, 7), activation="tanh", loss=None, **settings):
    generator = torch.Generator().manual_seed(0)
    module = build_mlp(INPUTS, hidden, OUTPUTS, activation, generator)
    X = torch.randn(N, INPUTS, generator=generator, dtype=F64)
    y = torch.stack([X[:, 0].sin(), X[:, 1] * X[:, 2], X[:, 3]], dim=1)
    if isinstance(loss, CrossEntropy):
        y = y.argmax(1)
    weight = torch.rand(N, generator=generator, dtype=F64) + 0.1
    network = Network(module, find_layers(module), **settings)
    return problem_of(network, X, y, loss, weight)


def with_module(problem, module, names=None):
    network = Network(module, names or find_layers(module))
    return dataclasses.replace(problem, network=network)


def on_support(problem, density, penalty=None):
    """Leave that part of the weights, the same ones each time, and hold them."""
    weights = problem.network.weights
    generator = torch.Generator().manual_seed(3)
    support = torch.rand(len(weights), generator=generator) < density
    weights *= support
    held = FixedSupport(support, penalty)
    return dataclasses.replace(problem, penalty=held), support


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "gelu"])
@pytest.mark.parametrize("loss", [SquaredError(), CrossEntropy()])
@pytest.mark.parametrize("density", [0.0, 0.05, 0.15])
def test_the_part_computes_the_same(activation, loss, density):
    problem, support = on_support(make(activation=activation, loss=loss), density)
    part = live_part(problem, problem.penalty)
    n_live = len(part.where)
    assert n_live < len(problem.network.parameters)
    index = torch.tensor([3, 0, 11, 7, 7])
    whole = problem.batch_gradient(index)
    batch = next(problem.batches(index, [len(index)]))
    for own in (index, part.batch(batch)):
        torch.testing.assert_close(part.problem.batch_gradient(own), whole)
    read = part.read
    assert (read is None) == (part.problem.rows is problem.rows)
    assert density or len(read) == 0  # of few columns a copy is made
    wanted = problem.network.gradient[part.where]
    torch.testing.assert_close(part.problem.network.gradient, wanted)
    # No weight of the support is left out, and what is written back arrives.
    assert int(support.sum()) == int((part.problem.network.weights != 0).sum())
    part.problem.network.parameters.fill_(7.0)
    before = problem.network.parameters.clone()
    part.write_back(problem.network)
    after = problem.network.parameters
    assert int((after == 7).sum()) == n_live == int((after != before).sum())


def test_the_penalty_of_the_part_is_that_of_its_weights():
    problem, _ = on_support(make(), 0.1, L1())
    part = live_part(problem, problem.penalty)
    n_weights = part.problem.network.n_weights
    step = torch.rand(problem.network.n_weights, dtype=F64)
    where = part.where[:n_weights]
    values = torch.randn(problem.network.n_weights, dtype=F64)
    whole = problem.penalty.prox(values, step, 0.3)
    smaller = part.problem.penalty.prox(values[where], step[where], 0.3)
    assert torch.equal(smaller, whole[where])
    assert int((smaller != 0).sum()) == int((whole != 0).sum())


class Adaptive(Penalty):
    """ℓ1 with a factor for each weight."""

    value = subdifferential_distance = None  # of no account here

    separable = True

    def __init__(self, factors):
        self.factors = factors

    def prox(self, weight, step, alpha):
        return soft_threshold(weight, step * alpha * self.factors)


class OddL1(L1):
    """What L1 promises does not hold here."""

    def prox(self, weight, step, alpha):
        return super().prox(weight, step, alpha * torch.linspace(1, 2, len(weight)))


def no_chain():
    module = nn.Sequential(nn.Sequential(nn.Linear(INPUTS, 6)), nn.Linear(6, OUTPUTS))
    return with_module(make(), module)


def with_parameters_of_its_own():
    problem = make()
    module = problem.network.module
    module.register_parameter("extra", nn.Parameter(torch.ones(2, 2, dtype=F64)))
    return with_module(problem, module)


@pytest.mark.parametrize(
    "make_problem",
    [
        lambda: on_support(make(), 1.0),  # nothing to leave out
        lambda: on_support(make(penalize_bias=True), 0.05),
        lambda: on_support(make(hidden=()), 0.2),
        lambda: on_support(make(), 0.05, Adaptive(torch.ones(129, dtype=F64))),
        lambda: on_support(make(), 0.05, OddL1()),
        lambda: on_support(no_chain(), 0.05),
        lambda: on_support(with_parameters_of_its_own(), 0.05),
        make,  # L1 holds no support
    ],
)
def test_there_is_no_part_where_nothing_can_be_left_out(make_problem):
    problem = make_problem()
    problem = problem[0] if isinstance(problem, tuple) else problem
    assert live_part(problem, problem.penalty) is None


def test_layers_that_are_not_penalised_stay_whole():
    problem = make()
    some = with_module(problem, problem.network.module, ["0.weight", "2.weight"])
    problem, _ = on_support(some, 0.05)
    part = live_part(problem, problem.penalty)
    shapes = [tuple(p.shape) for p in part.problem.network.module.parameters()]
    assert shapes[-2:] == [(OUTPUTS, 7), (OUTPUTS,)]
    assert shapes[0][0] < 9


def test_an_activation_may_be_used_repeatedly():
    problem = make((9, 7), "tanh")
    module, tanh = problem.network.module, nn.Tanh()
    shared = nn.Sequential(module[0], tanh, module[2], tanh, module[4])
    problem, _ = on_support(with_module(problem, shared), 0.1)
    part = live_part(problem, problem.penalty)
    X = torch.ones(2, INPUTS, dtype=F64)
    torch.testing.assert_close(part.problem.network(X), problem.network(X))


def test_a_layer_may_have_no_unit_left():
    problem = make((9, 7))
    support = torch.zeros(problem.network.n_weights, dtype=torch.bool)
    support[:4] = True  # the first layer alone
    problem.network.weights.mul_(support)
    problem = dataclasses.replace(problem, penalty=FixedSupport(support))
    part = live_part(problem, problem.penalty)
    assert [len(p) for p in part.problem.network.module.parameters()][2:4] == [0, 0]
    wanted = problem.network.parameters[part.where]
    assert torch.equal(part.problem.network.parameters, wanted)
    X = torch.ones(2, INPUTS, dtype=F64)
    torch.testing.assert_close(part.problem.network(X), problem.network(X))


def test_nothing_is_drawn_from_the_global_generator():
    problem, _ = on_support(make(), 0.05)
    before = torch.get_rng_state()
    live_part(problem, problem.penalty)
    assert torch.equal(torch.get_rng_state(), before)


ADAM = SolverOptions(
    solver="adam", learning_rate=0.02, batch_size=8, max_iter=30, kkt_tol=0.0
)


def train(problem, options=ADAM, **rules):
    """Narrow to 20 weights, whose penalty fades; return solution and pruning."""
    network = problem.network
    groups = [slice(0, network.n_weights)]
    narrowing = GradualPruning(
        groups,
        (20,),
        SynapticFlow.of(network, (INPUTS,)),
        noise=Noise(lambda: network.gradient[: network.n_weights].abs(), N),
        schedule=PruningSchedule(0.05, 0.4, 0.5),
    )
    generator = torch.Generator().manual_seed(0)
    none = [0.0] * len(network.layers)
    rules["pruning"] = narrowing
    return solve(problem, none, options, generator, **rules), narrowing


@pytest.fixture
def parts(monkeypatch):
    """What the steps of a run were taken on."""
    found = []

    def spy(problem, penalty):
        found.append(live_part(problem, penalty))
        return found[-1]

    monkeypatch.setattr(stepper, "live_part", spy)
    return found


def leave_out_nothing(monkeypatch):
    monkeypatch.setattr(stepper, "live_part", lambda problem, penalty: None)


@pytest.mark.parametrize(
    "settings",
    [
        {"solver": "adam"},
        {"solver": "sgd"},
        {"batch_size": N, "max_iter": 150},
        {"batch_size": N, "max_iter": 150, "damping": 1.5},
    ],
)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_training_on_the_part_is_training_on_the_whole(
    settings, activation, parts, monkeypatch
):
    options = dataclasses.replace(ADAM, **settings)
    found, _ = train(make((20, 15), activation), options)
    (part,) = parts
    assert part is not None
    leave_out_nothing(monkeypatch)
    wanted, _ = train(make((20, 15), activation), options)
    assert found.counts == wanted.counts
    assert sum(found.counts) == 20
    torch.testing.assert_close(found.weights, wanted.weights, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(found.loss, wanted.loss)
    torch.testing.assert_close(found.kkt_residual, wanted.kkt_residual)


def both_ways(options, parts, monkeypatch, **tolerance):
    """Solve on a support, on the part and on the whole; return both solutions."""
    options, found = dataclasses.replace(ADAM, **options), []
    for _ in range(2):
        problem, support = on_support(make(), 0.15, L1())
        generator = torch.Generator().manual_seed(0)
        found.append(solve(problem, [0.05] * 3, options, generator, keep_support=True))
        assert parts[0] is not None
        leave_out_nothing(monkeypatch)
    torch.testing.assert_close(*(one.weights for one in found), **tolerance, atol=1e-9)
    return *found, int(support.sum())


def test_a_solve_on_a_support_takes_back_steps_that_lose_a_weight(parts, monkeypatch):
    options = {"learning_rate": 0.5}
    *found, count = both_ways(options, parts, monkeypatch, rtol=1e-7)
    assert [sum(one.counts) for one in found] == [count, count]


@pytest.mark.parametrize("epoch", [16, 20, 29])
def test_an_interruption_leaves_what_the_part_has_learned(epoch, parts):
    class Impatient:
        def begin_epoch(self, number):
            pass

        def end_epoch(self, number, course):
            return number == epoch

    found, narrowing = train(make((20, 15)), monitor=Impatient())
    (part,) = parts
    assert found.status is Status.STOPPED
    assert sum(found.counts) == 20
    values = part.problem.network.parameters
    assert torch.equal(found.state[0][part.where], values)
    assert torch.equal(found.weights != 0, narrowing.support)


@pytest.mark.parametrize("call", range(86, 96))
def test_an_interruption_within_an_epoch_loses_no_more_than_a_step(call, monkeypatch):
    """With five steps an epoch, and the support held from step 75 on."""
    step, found = stepper.Stepper.step, []
    for is_interrupted in (True, False):
        steps = []

        def until_then(self, steps=steps, is_interrupted=is_interrupted):
            steps.append(None)
            if len(steps) == call and is_interrupted:
                raise KeyboardInterrupt
            if len(steps) < call:
                step(self)

        monkeypatch.setattr(stepper.Stepper, "step", until_then)
        found.append(train(make((20, 15)))[0])
    assert found[0].status is Status.INTERRUPTED
    assert torch.equal(found[0].weights, found[1].weights)


@torch.no_grad()
def test_weights_off_a_support_that_is_held_become_zero(parts):
    problem, support = on_support(make(), 0.05)
    problem.network.weights.add_(1.0)  # as where a run has gone back to
    steps = stepper.Stepper(problem, [0.0] * 3, ADAM, Pruning())
    index = torch.arange(8)
    batch = next(problem.batches(index, [8]))
    for _ in range(2):
        steps.take_gradient(batch)
        steps.set_rate(0.01, 0.0)
        steps.advance(0, 2)
        steps.step()
    steps.write_back()
    assert parts[0] is not None
    assert torch.equal(problem.network.weights != 0, support)


def test_a_solve_on_the_part_ends_where_the_whole_is_stationary(parts, monkeypatch):
    """The gradient off the support is looked at as well, as often as without a part."""
    options = {"batch_size": N, "max_iter": 4000, "learning_rate": 3e-3, "kkt_tol": 1.9}
    found, wanted, _ = both_ways(options, parts, monkeypatch, rtol=1e-6)
    assert found.status is wanted.status is Status.STATIONARY
    assert found.epochs == wanted.epochs


@pytest.mark.parametrize(
    ("settings", "call"),
    [({}, 110), ({"batch_size": N, "max_iter": 400, "damping": 1.0}, 300)],
    ids=["batches", "full batches"],
)
def test_a_run_that_goes_back_begins_with_the_whole_again(
    settings, call, parts, monkeypatch
):
    """A gradient that is not finite, once, in the middle of the held part."""
    take, calls = stepper.Stepper.take_gradient, []

    def broken(self, batch):
        calls.append(None)
        loss = take(self, batch)
        return loss * float("nan") if len(calls) == call else loss

    monkeypatch.setattr(stepper.Stepper, "take_gradient", broken)
    found, narrowing = train(make((20, 15)), dataclasses.replace(ADAM, **settings))
    assert len(parts) == 2
    assert sum(found.counts) == 20
    assert torch.equal(found.weights != 0, narrowing.support)
    assert found.status is Status.BUDGET
    if settings:  # an epoch is a step: they go on, with new moments
        assert len(calls) > 401
        assert found.loss < found.loss_curve[280]
