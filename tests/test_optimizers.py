"""The optimisers in loops of users."""

import copy
import io
import math
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_sparsenet import ProximalAdam, ProximalSGD
from sklearn_sparsenet.penalties import (
    L0,
    L1,
    MCP,
    FixedSupport,
    GroupL2,
    SparseGroupL2,
)
from tests.problems import F64


def problem(generator):
    X = torch.randn(40, 5, generator=generator, dtype=F64)
    y = X[:, :1] * 2 - X[:, 1:2] + 0.5
    layer = nn.Linear(5, 1).double()
    return layer, lambda: (layer(X) - y).square().mean()


def test_sgd_step_is_algorithm_3():
    weight = nn.Parameter(torch.tensor([1.0, -0.05, 0.2], dtype=F64))
    weight.grad = torch.tensor([0.5, 0.1, -0.3], dtype=F64)
    bias = nn.Parameter(torch.tensor([1.0], dtype=F64))
    bias.grad = torch.tensor([2.0], dtype=F64)
    groups = [{"params": [weight], "alpha": 0.7}, {"params": [bias]}]
    ProximalSGD(groups, lr=0.1).step()
    # w - lr g = .95, -.06, .23; threshold lr alpha = .07
    torch.testing.assert_close(weight.data, torch.tensor([0.88, 0.0, 0.16], dtype=F64))
    assert weight[1] == 0
    assert bias.item() == pytest.approx(0.8)


def test_adam_without_penalty_is_adam(generator):
    ours, loss = problem(generator)
    theirs, loss_theirs = problem(generator.manual_seed(0))
    theirs.load_state_dict(ours.state_dict())
    first = ProximalAdam(ours.parameters(), lr=0.02)
    second = torch.optim.Adam(theirs.parameters(), lr=0.02)
    for _ in range(50):
        for optimizer, value in ((first, loss), (second, loss_theirs)):
            optimizer.zero_grad()
            value().backward()
            optimizer.step()
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("floor", [0.0, 0.5])
def test_adam_takes_the_prox_in_its_own_metric(floor, generator):
    """Against scalar arithmetic, weight by weight."""
    start = torch.randn(4, generator=generator, dtype=F64)
    gradients = torch.randn(6, 4, generator=generator, dtype=F64)
    weight = nn.Parameter(start.clone())
    optimizer = ProximalAdam([weight], lr=0.1, alpha=0.7, floor=floor)
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimizer.step()
    decays = 0.999 ** torch.arange(6, dtype=F64)
    mean_roots = [
        ((decays[:t].flip(0) @ gradients[:t] ** 2) / decays[:t].sum()).sqrt().mean()
        for t in range(1, 7)
    ]
    for i in range(4):
        w, m, v = start[i].item(), 0.0, 0.0
        for t, g in enumerate(gradients[:, i].tolist(), start=1):
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            lowest = 1e-8 + floor * max(mean_roots[:t]).item()
            step = 0.1 / (math.sqrt(v / (1 - 0.999**t)) + lowest)
            moved = w - step * m / (1 - 0.9**t)
            w = math.copysign(max(abs(moved) - step * 0.7, 0), moved)
        assert weight[i].item() == pytest.approx(w, abs=1e-12)


@pytest.mark.parametrize(("kind", "lr"), [(ProximalSGD, 0.2), (ProximalAdam, 0.02)])
@pytest.mark.parametrize("growth", [0.0, 4.0])
def test_fixed_points_are_stationary_points_26_27(kind, lr, growth, generator):
    """The prox is taken in the metric of the step, whatever that is."""
    layer, loss = problem(generator)
    weights = {"params": [layer.weight], "alpha": 0.8, "growth": growth}
    optimizer = kind([weights, {"params": [layer.bias]}], lr=lr / (1 + growth))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3000)

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    for _ in range(3000):
        optimizer.step(closure)
        schedule.step()
    assert closure() > 0
    weight, gradient = layer.weight.data, layer.weight.grad
    residual = torch.where(
        weight != 0, gradient + 0.8 * weight.sign(), (gradient.abs() - 0.8).clamp(min=0)
    )
    assert residual.abs().max() < 1e-6
    assert layer.bias.grad.abs().max() < 1e-6
    assert 0 < weight.count_nonzero() < 5


SUPPORT = torch.tensor([[True, False, True, True, False]])
PENALTIES = [
    L1(), L0(), MCP(2.5), FixedSupport(SUPPORT), FixedSupport(SUPPORT, MCP(3.0)),
    GroupL2(0, True), SparseGroupL2(0.3),
]  # fmt: skip


@pytest.mark.parametrize("kind", [ProximalAdam, ProximalSGD])
@pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
def test_state_is_loaded_without_trust(kind, penalty, generator):
    """By `torch.load` as it is; on from there to the same bits."""
    layer, loss = problem(generator)
    weights = {"params": [layer.weight], "alpha": 1e-2, "penalty": penalty}
    optimizer = kind([weights, {"params": layer.bias}], lr=np.float64(0.1))

    def go(optimizer):
        for _ in range(3):
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()
        return layer.weight.detach().clone()

    go(optimizer)
    file = io.BytesIO()
    torch.save([layer.state_dict(), optimizer.state_dict()], file)
    wanted = go(optimizer)
    values, state = torch.load(io.BytesIO(file.getvalue()))
    layer.load_state_dict(values)
    again = kind([{"params": [layer.weight]}, {"params": layer.bias}], lr=0.5)
    again.load_state_dict(state)
    assert torch.equal(go(again), wanted)
    assert repr(again.param_groups[0]["penalty"]) == repr(penalty)


def test_moments_never_become_subnormal():
    weight = nn.Parameter(torch.ones(3))
    optimizer = ProximalAdam([weight], lr=1e-3, alpha=1e-3)
    for step in range(1500):
        weight.grad = torch.full((3,), 1.0 if step == 0 else 0.0)
        optimizer.step()
        mean = optimizer.state[weight]["mean"]
        assert ((mean == 0) | (mean.abs() >= torch.finfo(torch.float32).tiny)).all()


@pytest.mark.parametrize("kind", [ProximalSGD, ProximalAdam])
def test_parameters_without_gradient_stay(kind):
    weight = nn.Parameter(torch.ones(2))
    kind([weight], lr=0.1, alpha=1.0).step()
    assert weight.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        *product((ProximalSGD, ProximalAdam), ({"lr": 0.0}, {"lr": 0.1, "alpha": -1})),
        (ProximalAdam, {"betas": (1.0, 0.9)}),
    ],
)
def test_impossible_settings_are_refused(kind, bad):
    with pytest.raises(ValueError, match=f"{list(bad)[-1]}.* must"):
        kind([nn.Parameter(torch.ones(1))], **bad)


@pytest.mark.parametrize("kind", [ProximalSGD, ProximalAdam])
def test_one_step_leaves_exactly_the_stationary_points_alone(kind):
    """(26), (27): -alpha sign(w) on the support, at most alpha in size off it."""
    start = torch.tensor([1.5, -0.25, 0.0, 0.0, 1.5, 0.0], dtype=F64)
    slope = torch.tensor([-0.5, 0.5, 0.5, -0.25, -0.625, 0.75], dtype=F64)
    weight = nn.Parameter(start.clone())
    weight.grad = slope.clone()
    kind([weight], lr=0.125, alpha=0.5).step()
    change = (weight.data - start).abs()
    assert change[:4].max() < 1e-12
    assert weight[2:4].tolist() == [0.0, 0.0]
    assert change[4:].min() > 1e-3


@pytest.mark.parametrize("kind", [ProximalSGD, ProximalAdam])
def test_closures_run_with_gradients_and_their_loss_is_returned(kind, generator):
    layer, loss = problem(generator)
    optimizer = kind(layer.parameters(), lr=0.1)

    def closure():
        assert torch.is_grad_enabled()
        value = loss()
        value.backward()
        return value

    wanted = loss().item()
    assert optimizer.step(closure).item() == wanted
    assert loss().item() != wanted


def test_schedulers_set_the_step_and_with_it_the_threshold():
    weight = nn.Parameter(torch.tensor([8.0], dtype=F64))
    optimizer = ProximalSGD([weight], lr=1.0, alpha=2.0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    seen = []
    for _ in range(3):
        weight.grad = torch.zeros(1, dtype=F64)
        optimizer.step()
        schedule.step()
        seen.append(weight.item())
    assert seen == [6.0, 5.0, 4.5]


@pytest.mark.parametrize("kind", [ProximalSGD, ProximalAdam])
@pytest.mark.parametrize("per_weight", [False, True])
def test_one_flat_update_equals_one_for_each_part(kind, per_weight, generator):
    """Penalised weights first, then free biases, as `n_penalized` says."""
    start = torch.randn(9, generator=generator, dtype=F64)
    alpha = torch.linspace(0.1, 1, 6, dtype=F64) if per_weight else 0.4
    flat = nn.Parameter(start.clone())
    whole = kind([{"params": [flat], "alpha": alpha, "n_penalized": 6}], lr=0.05)
    weight, bias = nn.Parameter(start[:6].clone()), nn.Parameter(start[6:].clone())
    parts = kind([{"params": [weight], "alpha": alpha}, {"params": [bias]}], lr=0.05)
    for _ in range(20):
        flat.grad = torch.randn(9, generator=generator, dtype=F64)
        weight.grad, bias.grad = flat.grad[:6].clone(), flat.grad[6:].clone()
        whole.step()
        parts.step()
    torch.testing.assert_close(flat.data, torch.cat([weight.data, bias.data]))
    assert torch.equal(flat[:6] == 0, weight == 0)


def test_memory_of_the_step_follows_a_parameter_that_moves(generator):
    weight = nn.Parameter(torch.randn(4, generator=generator))
    optimizer = ProximalAdam([weight], lr=0.1, alpha=0.5)
    weight.grad = torch.ones(4)
    optimizer.step()
    before = weight.data
    weight.data = before.clone()
    kept = before.clone()
    optimizer.step()
    assert torch.equal(before, kept)
    assert not torch.equal(weight.data, kept)


def test_a_prox_in_place_of_another_penalty_is_not_inherited():
    class Nothing(L1):
        def prox(self, weight, step, alpha):
            return weight

    weight = nn.Parameter(torch.full((3,), 1e-3))
    weight.grad = torch.zeros(3)
    ProximalAdam([weight], lr=0.1, alpha=1.0, penalty=Nothing()).step()
    assert weight.tolist() == torch.full((3,), 1e-3).tolist()


@pytest.mark.parametrize("penalty", [None, L1()])
@pytest.mark.parametrize("held_from", [0, 7])
@pytest.mark.parametrize(
    ("kind", "more"),
    [(ProximalAdam, {}), (ProximalAdam, {"floor": 0.5}), (ProximalSGD, {})],
)
def test_what_is_held_moves_as_if_nothing_had_been_left_out(
    kind, more, held_from, penalty, generator
):
    """Two free entries follow the weights; of those two of twelve are held.

    With a floor, gradients become smaller, so that the largest mean of all is the
    first one, and that of the support, where they are larger, is another.
    """
    support = torch.zeros(12, dtype=torch.bool)
    support[[3, 8]] = True
    start = torch.randn(14, generator=generator, dtype=F64)
    start[:12] *= support
    group = {"alpha": 0.01, "penalty": FixedSupport(support, penalty), **more}
    weights = [nn.Parameter(start.clone()) for _ in range(2)]
    whole, held = (
        kind([{"params": [w], "n_penalized": 12, **group}], lr=0.05) for w in weights
    )
    sizes = 1 + 9 * torch.cat([support, torch.ones(2, dtype=torch.bool)])
    for step in range(20):
        if step == max(held_from, 5 * len(more)):
            held.hold(support)
        if step == 12:  # as after an interruption
            state = copy.deepcopy(held.state_dict())
            held = kind([weights[1]], lr=1.0)
            held.load_state_dict(state)  # indices stay indices
        gradient = torch.randn(14, generator=generator, dtype=F64)
        if more:
            gradient = gradient.sign() * sizes * 0.5**step
        for weight in weights:
            weight.grad = gradient.clone()
        whole.step()
        held.step()
        torch.testing.assert_close(*weights, rtol=1e-14, atol=0)
    assert (weights[1] != 0).nonzero().flatten().tolist() == [3, 8, 12, 13]
    if kind is ProximalAdam:
        assert len(held.state[weights[1]]["mean"]) == 4


def test_nothing_is_left_out_where_little_is_won(generator):
    weight = nn.Parameter(torch.randn(10, generator=generator))
    optimizer = ProximalAdam([weight])
    optimizer.hold(torch.arange(10) < 9)
    weight.grad = torch.ones(10)
    optimizer.step()
    assert len(optimizer.state[weight]["mean"]) == 10


@pytest.mark.parametrize("penalty", [None, L1()])
@pytest.mark.parametrize(
    ("kind", "more"),
    [(ProximalAdam, {}), (ProximalAdam, {"floor": 0.5}), (ProximalSGD, {})],
)
def test_scaled_steps_are_those_of_scaled_weights(kind, more, penalty, generator):
    """Steps on w, with a scale s, are steps on w / s; a quarter of them is held."""
    scale = 2.0 ** torch.tensor([0, 3, -5, 0, 2, -1, 4, 0], dtype=F64)
    support = torch.arange(8) < 2
    start = torch.randn(8, generator=generator, dtype=F64) * support
    weights = nn.Parameter(start * scale), nn.Parameter(start.clone())
    settings = {"penalty": FixedSupport(support, penalty), **more}
    ours = kind(
        [{"params": [weights[0]], "alpha": 0.01, "scale": scale, **settings}], lr=1e-3
    )
    plain = kind([{"params": [weights[1]], "alpha": 0.01 * scale, **settings}], lr=1e-3)
    for step in range(20):
        if step == 8:
            ours.hold(support)
            plain.hold(support)
        gradient = torch.randn(8, generator=generator, dtype=F64)
        weights[0].grad, weights[1].grad = gradient.clone(), gradient * scale
        ours.step()
        plain.step()
        torch.testing.assert_close(weights[0] / scale, weights[1], rtol=1e-12, atol=0)
    assert bool((weights[0] != 0).any())


def test_a_floor_may_be_that_of_a_single_number():
    weight = nn.Parameter(torch.tensor(1.0, dtype=F64))
    optimizer = ProximalAdam([weight], lr=0.1, floor=0.5)
    weight.grad = torch.tensor(2.0, dtype=F64)
    optimizer.step()
    assert weight.item() == pytest.approx(1 - 0.1 / 1.5)


@pytest.mark.parametrize("kind", [ProximalAdam, ProximalSGD])
def test_steps_that_grow_are_those_of_the_hypentropy(kind, generator):
    """Of a metric that is the second derivative of the mirror map, by differences."""
    weight = torch.randn(6, generator=generator, dtype=F64)
    gradient = torch.randn(6, generator=generator, dtype=F64)
    growth, h = torch.tensor([0.0, 1.0, 4.0, 4.0, 4.0, 20.0], dtype=F64), 1e-4

    def mirror(w):
        return (w * torch.asinh(growth * w) - (w**2 + growth**-2.0).sqrt()) / growth

    curvature = mirror(weight + h) - 2 * mirror(weight) + mirror(weight - h)
    wanted = torch.where(growth > 0, h**2 / curvature, 1.0)
    moves = []
    for setting in (growth, 0.0):
        parameter = nn.Parameter(weight.clone())
        parameter.grad = gradient.clone()
        kind([parameter], lr=1e-3, growth=setting).step()
        moves.append(parameter.detach() - weight)
    torch.testing.assert_close(moves[0] / moves[1], wanted, rtol=1e-5, atol=0)
