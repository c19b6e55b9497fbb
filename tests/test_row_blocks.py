"""Gradients of large batches of modules, as the sum of those of blocks of rows."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_sparsenet import SparseNetClassifier
from sklearn_sparsenet.losses import CustomLoss
from sklearn_sparsenet.networks import row_blocks
from sklearn_sparsenet.networks.row_blocks import RowBlocks
from sklearn_sparsenet.solvers import stopping
from sklearn_sparsenet.utils.workers import sharing_work
from tests.problems import problem_of, rows_of

N, SHAPE = 37, (2, 6, 6)


def convolutional():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.Tanh()),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 3),
    )


def with_step(step):
    return lambda: nn.Sequential(step, nn.Flatten(), nn.Linear(72, 3))


def hooked(name):
    def make():
        module = convolutional()
        getattr(module[-1], name)(lambda *values: None)
        return module

    return make


def with_hooked_weight():
    module = convolutional()
    module[-1].weight.register_hook(lambda gradient: 2 * gradient)
    return module


class OfTheUsers(nn.Module):
    """Of whom it cannot be told what they do to other rows, or keep."""

    def forward(self, x):
        return x - x.mean(0)


UNDIVIDED = {
    "batch norm": with_step(nn.BatchNorm2d(2)),
    "dropout": with_step(nn.Dropout(0.5)),
    "random slopes": with_step(nn.RReLU()),
    "of the user's": with_step(OfTheUsers()),
    "rows and columns": lambda: nn.Sequential(nn.Flatten(0, 1), nn.Linear(6, 3)),
    "softmax of rows": with_step(nn.Softmax(0)),
    "forward hook": hooked("register_forward_hook"),
    "backward hook": hooked("register_full_backward_hook"),
    "hook of a weight": with_hooked_weight,
}


def images(dtype=np.float64):
    rng = np.random.default_rng(0)
    return rng.standard_normal((N, *SHAPE)).astype(dtype), rng.integers(0, 3, N)


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(row_blocks, "_WORTH_A_BLOCK", 2**15)
    monkeypatch.setattr(row_blocks, "_FOR_AN_ENTRY", 1)


def problem_with(module, loss=None):
    X, y = images()
    weight = torch.arange(1.0, N + 1).double()
    return problem_of(module.double(), X, np.eye(3)[y], loss, weight)


@pytest.mark.parametrize("training", [True, False])
def test_the_gradient_is_that_of_the_whole_batch(training, small_blocks, monkeypatch):
    problem = problem_with(convolutional())
    problem.network.module.train(training)
    by_blocks = problem.full_gradient(), problem.network.gradient.clone()
    blocks = RowBlocks.of(problem.network, problem.loss, torch.Size(SHAPE))
    sizes = blocks.sizes(N)
    assert len(sizes) == 8
    assert sum(sizes) == N
    monkeypatch.setattr(row_blocks, "_WORTH_A_BLOCK", 2**40)
    torch.testing.assert_close(by_blocks[0], problem.full_gradient())
    torch.testing.assert_close(by_blocks[1], problem.network.gradient)


@pytest.mark.parametrize("name", UNDIVIDED)
def test_rows_that_may_know_of_each_other_or_of_chance_are_not_divided(name):
    problem = problem_with(UNDIVIDED[name]())
    shape = torch.Size(SHAPE)
    assert RowBlocks.of(problem.network, problem.loss, shape) is None
    alike = problem_with(with_step(nn.Identity())())
    assert RowBlocks.of(alike.network, alike.loss, shape) is not None


def test_multiplications_are_counted(small_blocks):
    problem = problem_with(convolutional())
    blocks = RowBlocks.of(problem.network, problem.loss, torch.Size(SHAPE))
    per_row = 36 * 4 * 9 * (2 + 4) + 3 * 36
    for n_blocks in (2, 4, 8):
        enough = -(-n_blocks * 2**15 // per_row)
        assert len(blocks.sizes(enough - 1)) == n_blocks // 2
        assert len(blocks.sizes(enough)) == n_blocks
    assert blocks.sizes(1) == [1]


def test_a_normalisation_that_refuses_one_row_is_never_given_one(small_blocks):
    module = nn.Sequential(nn.Flatten(), nn.Linear(72, 4), nn.GroupNorm(4, 4))
    problem = problem_with(nn.Sequential(module, nn.Linear(4, 3)))
    blocks = RowBlocks.of(problem.network, problem.loss, torch.Size(SHAPE))
    assert min(blocks.sizes(N)) >= 2
    problem.full_gradient()


def test_a_fit_has_the_same_bits_with_any_number_of_threads(small_blocks):
    (X, y), module = images(np.float32), convolutional()
    fits = [
        SparseNetClassifier(
            module=module, target_sparsity=100, max_iter=3, n_jobs=n, random_state=0
        ).fit(X, y)
        for n in (1, 2, 3)
    ]
    first, *others = [
        torch.cat([p.detach().flatten() for p in net.module_.parameters()])
        for net in fits
    ]
    assert fits[0].n_nonzero_ == 100
    assert all(torch.equal(first, other) for other in others)


def test_blocks_are_computed_at_the_same_time(small_blocks):
    """Two threads have begun before either has ended."""
    problem = problem_with(convolutional())
    both, met = threading.Barrier(2), []
    compute = problem.loss.per_sample

    class Meeting(type(problem.loss)):
        def per_sample(self, output, target):
            met.append(both.wait(timeout=60))
            return compute(output, target)

    blocks = RowBlocks(problem.network, Meeting(), 1)
    rows = problem.rows.slice(0, 2)
    with sharing_work(2):
        blocks.add_gradient(rows, problem.target[:2], problem.sample_weight[:2], [1, 1])
    assert sorted(met) == [0, 1]


def test_a_loss_of_the_users_sees_the_whole_batch(small_blocks):
    seen = []

    def loss(output, target):
        seen.append(len(output))
        return (output - target).square() / output.std(0)

    problem_with(convolutional(), CustomLoss(loss)).full_gradient()
    assert seen == [N]


@pytest.mark.parametrize("step", [nn.Dropout(0.5), OfTheUsers()])
def test_predictions_are_shared_unless_the_module_is_of_the_users(step, monkeypatch):
    monkeypatch.setattr(stopping, "_CHUNK_ROWS", 5)
    X, _ = images(np.float32)
    module, threads, second = with_step(step)().eval(), set(), threading.Event()
    shares = isinstance(step, nn.Dropout)
    rows = rows_of(X, torch.float32)
    alone = stopping.forward(module, rows)
    outputs_of = stopping.outputs_of

    def spy(module, chunk):
        threads.add(threading.get_ident())
        if shares and len(threads) < 2:
            second.wait(timeout=60)  # thread comes before the first one goes on
        elif shares:
            second.set()
        return outputs_of(module, chunk)

    monkeypatch.setattr(stopping, "outputs_of", spy)
    with sharing_work(2):
        assert torch.equal(stopping.forward(module, rows), alone)
    assert len(threads) == 1 + shares
