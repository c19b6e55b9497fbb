"""From a problem and a target to a sparse network: search, refit, fixed λ."""

import dataclasses

import pytest
import torch

from sklearn_sparsenet.losses import CustomLoss
from sklearn_sparsenet.networks.network import Network, build_mlp, find_layers
from sklearn_sparsenet.search import BracketSearch, FixedAlpha, SearchBudget
from sklearn_sparsenet.search.session import Session
from sklearn_sparsenet.search.targets import resolve_target
from sklearn_sparsenet.search.training import make_trainer, train
from sklearn_sparsenet.solvers import Schedule, SolverOptions, solve
from sklearn_sparsenet.solvers.solution import Status
from tests.problems import F64, problem_of

LIMITS = {"alpha_bounds": (1e-4, 3.0), "max_outer_iter": 20}
REFITTED = SearchBudget(debias=True, **LIMITS)
PENALISED = SearchBudget(debias=False, **LIMITS)
OPTIONS = SolverOptions(
    solver="sgd", learning_rate=0.1, schedule=Schedule.CONSTANT, batch_size=60,
    max_iter=400, kkt_tol=1e-8,
)  # fmt: skip


def trainer_of(target=None, *, hidden=(), options=OPTIONS, loss=None, **more):
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(60, 8, generator=generator, dtype=F64)
    truth = torch.tensor([[2.0, -1.5, 1.0, 0.7, 0, 0, 0, 0]], dtype=F64).T
    y = X @ truth + 0.5 + 0.1 * torch.randn(60, 1, generator=generator, dtype=F64)
    module = build_mlp(8, hidden, 1, "tanh", generator)
    network = Network(module, find_layers(module), **more)
    sizes = {layer.name: layer.size for layer in network.layers}
    problem = problem_of(network, X, y, loss)
    asked = None if target is None else resolve_target(target, sizes)
    return make_trainer(Session(problem, options, 3), asked)


def least_squares_loss(trainer, support):
    """The least loss that an affine function of the supported inputs can have."""
    X, y = trainer.problem.rows.slice(0, 60), trainer.problem.target
    design = torch.cat([X[:, support], torch.ones(60, 1, dtype=F64)], 1)
    fit = design @ torch.linalg.lstsq(design, y).solution
    return float((fit - y).square().mean())


def test_refit_is_least_squares_on_the_support_that_was_found():
    trainer = trainer_of(3)
    result = train(trainer, BracketSearch(), REFITTED)
    found, refitted = result.penalized.state[0][:8], result.final.state[0][:8]
    assert result.search.met
    assert int(torch.count_nonzero(found)) == 3
    assert torch.equal(refitted != 0, found != 0)
    best = least_squares_loss(trainer, found != 0)
    assert result.final.loss == pytest.approx(best, rel=1e-6)
    assert result.penalized.loss > best * 1.01
    assert torch.equal(trainer.problem.network.parameters, result.final.state[0])


def test_without_debias_the_penalised_solution_is_final():
    trainer = trainer_of(3)
    result = train(trainer, BracketSearch(), PENALISED)
    assert result.final is result.penalized is result.search.best.solution
    assert torch.equal(trainer.problem.network.parameters, result.final.state[0])


@pytest.mark.parametrize("batch_size", [60, 16])
def test_refit_keeps_the_support_of_every_layer_and_of_penalised_biases(batch_size):
    options = dataclasses.replace(OPTIONS, batch_size=batch_size, max_iter=60)
    trainer = trainer_of(None, hidden=(6,), options=options, penalize_bias=True)
    result = train(trainer, FixedAlpha((0.1, 0.05)), REFITTED)
    penalised = trainer.problem.network.n_penalized
    before = result.penalized.state[0][:penalised]
    after = result.final.state[0][:penalised]
    assert 0 < torch.count_nonzero(before) < penalised
    assert torch.equal(after != 0, before != 0)
    assert result.final.counts == result.penalized.counts
    assert result.final.loss < result.penalized.loss


def test_a_fixed_strength_is_one_solve_from_the_initial_network():
    trainer, other = (trainer_of(None, hidden=(4,)) for _ in range(2))
    result = train(trainer, FixedAlpha((0.02, 0.03)), PENALISED)
    alone = solve(
        other.problem, (0.02, 0.03), OPTIONS, torch.Generator().manual_seed(3)
    )
    assert result.search.met
    assert len(result.search.history) == 1
    assert result.final.alpha == (0.02, 0.03)
    assert torch.equal(result.final.state[0], alone.state[0])


def test_the_history_tells_every_solve_and_keeps_one_state():
    trainer = trainer_of(3)
    result = train(trainer, BracketSearch(), REFITTED)
    history = result.search.history
    assert 2 <= len(history) <= REFITTED.max_outer_iter
    assert [trial.met for trial in history] == [False] * (len(history) - 1) + [True]
    assert history[0].alpha == (REFITTED.alpha_bounds[1],)
    assert history[-1].alpha == result.search.best.alpha
    assert all(len(trial.solution.state[0]) == 0 for trial in history)
    assert len(result.search.best.solution.state[0]) == 9


def test_cold_starts_do_not_depend_on_what_was_solved_before():
    options = dataclasses.replace(OPTIONS, batch_size=16, max_iter=5)
    trainer = trainer_of(5, hidden=(4,), options=options)
    first = trainer.solve((0.05,))
    trainer.solve((3.0,))
    again = trainer.solve((0.05,))
    assert torch.equal(first.solution.state[0], again.solution.state[0])
    warm = trainer.solve((0.05,), start=first.solution)
    assert not torch.equal(first.solution.state[0], warm.solution.state[0])


def test_one_target_is_one_group_and_targets_per_layer_are_as_many():
    single = trainer_of(10, hidden=(4,))
    trial = single.solve((0.01,))
    assert single.group_sizes == (36,)
    assert trial.solution.alpha == (0.01, 0.01)
    assert trial.n_nonzero == (sum(trial.solution.counts),)
    assert [len(g) for g in trial.gradients] == [36]

    several = trainer_of([8, 2], hidden=(4,))
    trial = several.solve((0.01, 0.02))
    assert several.group_sizes == (32, 4)
    assert trial.solution.alpha == (0.01, 0.02)
    assert trial.n_nonzero == trial.solution.counts
    assert [len(g) for g in trial.gradients] == [32, 4]
    assert torch.equal(torch.cat(trial.gradients), trial.solution.gradient)


def test_targets_per_layer_are_met_in_each_layer():
    options = dataclasses.replace(OPTIONS, max_iter=300)
    trainer = trainer_of([6, 3], hidden=(4,), options=options)
    result = train(trainer, BracketSearch(), REFITTED)
    assert result.search.met
    assert result.penalized.counts == result.final.counts == (6, 3)


def test_an_interrupted_search_is_not_refitted():
    calls = []

    def loss(output, target):
        calls.append(1)
        if len(calls) == 30:
            raise KeyboardInterrupt
        return (output - target).square()

    trainer = trainer_of(3, loss=CustomLoss(loss))
    result = train(trainer, BracketSearch(), REFITTED)
    assert result.search.best.interrupted
    assert result.final is result.penalized
    assert result.final.status is Status.INTERRUPTED
    assert bool(result.final.state[0].isfinite().all())
    assert len(result.search.history) == 1
