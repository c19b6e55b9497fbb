"""The objective and its gradients."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import sparse

from sklearn_sparsenet.losses import CrossEntropy, SquaredError
from sklearn_sparsenet.networks.network import Network, build_mlp, find_layers
from sklearn_sparsenet.solvers import batches as batching
from sklearn_sparsenet.solvers import problem as module_under_test
from sklearn_sparsenet.solvers import reading_ahead
from sklearn_sparsenet.solvers.dataset import LazyRows, make_dataset
from sklearn_sparsenet.solvers.problem import Problem
from tests.problems import F64, problem_of


@pytest.fixture
def problem(generator):
    X = torch.randn(23, 4, generator=generator, dtype=F64)
    y = torch.randint(0, 3, (23,), generator=generator)
    weight = torch.rand(23, generator=generator, dtype=F64) + 0.1
    net = build_mlp(4, (5,), 3, "tanh", generator)
    return problem_of(net, X, y, CrossEntropy(), weight)


def with_inputs(problem, X, **more):
    """Replace the table; without more, all targets are 0 and all weights 1."""
    if not more:
        target = torch.zeros(X.shape[0], dtype=torch.int64)
        more = {"target": target, "sample_weight": torch.ones(X.shape[0], dtype=F64)}
    rows = make_dataset(X, F64, torch.device("cpu"))
    return dataclasses.replace(problem, rows=rows, **more)


def test_full_gradient_is_the_mean_of_batch_gradients(problem):
    """Batches of 5 from 23 rows: the last one counts by its length."""
    loss, gradient = problem.evaluate()
    total, summed = 0.0, torch.zeros_like(gradient)
    for index in torch.arange(23).split(5):
        total += problem.batch_gradient(index) * len(index) / 23
        summed += problem.network.gradient * len(index) / 23
    torch.testing.assert_close(total, loss)
    torch.testing.assert_close(summed, gradient)


def test_derivatives_of_many_samples_are_no_denormal_numbers():
    """A target of the smallest normal numbers changes no digit of the gradient."""
    net = torch.nn.Linear(1, 1)
    torch.nn.init.zeros_(net.weight)
    torch.nn.init.zeros_(net.bias)
    rows = make_dataset(np.ones((1000, 1)), torch.float32, torch.device("cpu"))
    network, target = Network(net, find_layers(net)), torch.full((1000, 1), 1.2345678)
    small, usual = (
        Problem(network, SquaredError(), rows, target * unit, torch.ones(1000))
        for unit in (2.0**-126, 1.0)
    )
    assert torch.equal(small.evaluate()[1] * 2.0**126, usual.evaluate()[1])


@pytest.mark.parametrize("factor", [1.0, 8.0, 2.0**-20])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_inputs_are_as_large_as_what_is_not_zero(
    problem, factor, is_sparse, convert_at_once
):
    """Those that are alike have the usual size, and far ones less what is alike."""
    convert_at_once(0)
    rng = np.random.default_rng(0)
    X = rng.choice([-1.0, 1.0], size=(400, 6)) * factor
    X[rng.random(X.shape) < 0.9] = 0.0
    X *= [1.0, 2.0, 0.5, 256.0, 1 / 256.0, 0.0]
    X[:, 0] = np.resize([factor, -factor], 400)  # most of what is not zero
    X[:, 5] = 1e-6 * factor  # constant, as a scaled column of a fold may be
    table = sparse.csr_array(X) if is_sparse else X
    found = with_inputs(problem, table)
    alike = 2**1.5
    wanted = [1.0, 1.0, 1.0, 256 / alike, alike / 256, 1.0]
    exponents = np.trunc(np.log2(np.array(wanted) * factor))
    assert found.input_sizes().columns.tolist() == (2.0**exponents).tolist()


def test_columns_of_standard_deviation_1_have_the_size_1(problem):
    rows = problem.rows.slice(0, 23)
    scaled = ((rows - rows.mean(0)) / rows.std(0)).numpy()
    sizes = with_inputs(problem, scaled, target=problem.target).input_sizes()
    assert (sizes.columns.tolist(), sizes.row) == ([1.0] * 4, 1.0)


@pytest.mark.parametrize(
    ("density", "size"), [(1.0, 1.0), (0.3, 0.5), (1 / 100, 1 / 8)]
)
def test_rows_are_as_small_as_they_are_sparse(density, size, problem):
    """About the root of the density: outputs of units then vary alike."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 50)) * (rng.random((400, 50)) < density) * 2.0**-7
    assert with_inputs(problem, X).input_sizes().row == size


def test_the_scale_of_the_weights_does_not_matter(problem):
    scaled = dataclasses.replace(problem, sample_weight=problem.sample_weight * 17)
    torch.testing.assert_close(problem.evaluate(), scaled.evaluate())


def test_chunks_change_nothing(problem, monkeypatch):
    whole = problem.evaluate()
    monkeypatch.setattr(module_under_test, "_CHUNK_ELEMENTS", 1)  # 32 rows at least
    X = np.tile(problem.rows.slice(0, 23).numpy(), (4, 1))
    y, weight = problem.target.repeat(4), problem.sample_weight.repeat(4)
    tiled = with_inputs(problem, X, target=y, sample_weight=weight)
    torch.testing.assert_close(tiled.evaluate(), whole, rtol=1e-12, atol=1e-14)


def test_a_gradient_may_have_another_weight_decay_than_there_is(problem):
    weights = problem.network.weights
    rows, gradients = torch.arange(23), {}
    for decay, felt in ((0.0, None), (0.3, None), (0.3, 0.1)):
        asked = dataclasses.replace(problem, weight_decay=decay)
        asked.batch_gradient(rows, felt)
        gradients[felt or decay] = asked.network.gradient[: len(weights)].clone()
        asked.full_gradient(felt)
        whole = asked.network.gradient[: len(weights)]
        torch.testing.assert_close(whole, gradients[felt or decay])
        # Solutions are judged by the objective.
        judged = asked.evaluate()[1][: len(weights)]
        torch.testing.assert_close(judged - gradients[0.0], decay * weights)
    for felt in (0.1, 0.3):
        torch.testing.assert_close(gradients[felt] - gradients[0.0], felt * weights)


def test_training_starts_at_the_best_constant(problem):
    problem.network.parameters.zero_()
    problem.start_at_best_constant()
    gradient = problem.evaluate()[1]
    assert gradient[problem.network.n_weights :].abs().max() < 1e-12


def test_modules_without_final_linear_layer_start_as_they_are(generator):
    net = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.Tanh()).double()
    before = net[0].bias.item()
    problem_of(net, np.ones((3, 2)), np.ones((3, 1))).start_at_best_constant()
    assert net[0].bias.item() == before


@pytest.mark.parametrize("training", [True, False])
def test_evaluating_leaves_the_mode_and_earlier_gradients_no_trace(problem, training):
    wanted = problem.evaluate()[1]
    problem.network.module.train(training)
    problem.batch_gradient(torch.arange(5))
    assert torch.equal(problem.evaluate()[1], wanted)
    assert problem.network.module.training is training


@pytest.mark.parametrize("size", [6, 8])
@pytest.mark.parametrize("gathers", [True, False])
def test_batches_are_the_rows_of_the_order(problem, size, gathers, monkeypatch):
    if not gathers:
        monkeypatch.setattr(batching, "_GATHER_BYTES", 0)
    order = torch.randperm(23, generator=torch.Generator().manual_seed(3))
    sizes = [len(part) for part in order.split(size)]
    whole = problem.rows.slice(0, 23)
    batches = list(problem.batches(order, sizes))
    for batch, index in zip(batches, order.split(size), strict=True):
        assert torch.equal(batch.inputs, whole[index])
        assert torch.equal(batch.target, problem.target[index])
        assert torch.equal(batch.weight, problem.sample_weight[index] / len(index))
    assert all(batch.inputs.data_ptr() % 64 == 0 for batch in batches)


def test_batches_are_gathered_only_where_they_stay_aligned(problem):
    order = torch.arange(23)
    for size, gathered in ((8, True), (7, False)):
        sizes = [len(part) for part in order.split(size)]
        first, second, *_ = problem.batches(order, sizes)
        same = first.inputs.untyped_storage().data_ptr()
        assert (second.inputs.untyped_storage().data_ptr() == same) is gathered


def test_moments_of_columns_are_weighted_and_of_some_of_many_rows(problem, monkeypatch):
    X = problem.rows.slice(0, 23)
    weight = problem.sample_weight
    mean, square, filled = problem._moments_of_columns()
    torch.testing.assert_close(mean, weight @ X / 23)
    torch.testing.assert_close(square, weight @ X**2 / 23)
    torch.testing.assert_close(filled, torch.ones(4, dtype=F64))
    monkeypatch.setattr(module_under_test, "_SIZED_ELEMENTS", 4 * 8)
    mean = problem._moments_of_columns()[0]
    torch.testing.assert_close(mean, weight[::3] @ X[::3] / weight[::3].sum())


@pytest.mark.parametrize("size", [1, 3, 8])
@pytest.mark.parametrize("is_lazy", [False, True])
def test_batches_have_the_rows_of_the_order(problem, size, is_lazy, monkeypatch):
    """However many of them are gathered, and read, at once."""
    monkeypatch.setattr(batching, "_BATCHES_AT_ONCE", 2)
    monkeypatch.setattr(reading_ahead, "_PIECE_ELEMENTS", 40)
    if is_lazy:
        values = problem.rows.values.numpy()
        rows = LazyRows(values, F64, torch.device("cpu"))
        problem = dataclasses.replace(problem, rows=rows)
    order = torch.randperm(23, generator=torch.Generator().manual_seed(1))
    sizes = [size] * (23 // size)
    found = list(problem.batches(order[: sum(sizes)], sizes))
    assert [len(batch.inputs) for batch in found] == sizes
    for batch, index in zip(found, order.split(size), strict=False):
        torch.testing.assert_close(
            batch.inputs, problem.rows.take(index), rtol=0, atol=0
        )
        assert torch.equal(batch.target, problem.target[index])
        assert torch.equal(batch.weight, problem.sample_weight[index] / size)
