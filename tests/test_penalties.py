"""Proximity operators against brute force; optimality at their fixed points."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from torch import nn

from sklearn_sparsenet import ProximalAdam, ProximalSGD
from sklearn_sparsenet.penalties import (
    L0,
    L1,
    MCP,
    FixedSupport,
    GroupL2,
    SparseGroupL2,
    as_penalty,
    firm_threshold,
    hard_threshold,
    is_identity,
    soft_threshold,
)
from tests.problems import F64

NUMBERS = st.floats(-1e3, 1e3, allow_subnormal=False)
POSITIVE = st.floats(1e-3, 1e2)


@settings(deadline=None)
@given(st.lists(NUMBERS, min_size=2, max_size=2), POSITIVE, POSITIVE)
def test_prox_is_firmly_nonexpansive_and_scales_with_the_step(pair, step, alpha):
    x, y = torch.tensor(pair, dtype=torch.float64)
    p, q = (L1().prox(v, step, alpha) for v in (x, y))
    assert (p - q) ** 2 <= (p - q) * (x - y) + 1e-9
    torch.testing.assert_close(p, L1().prox(x, 1.0, alpha * step))


@settings(deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=5), POSITIVE)
def test_moreau_identity(values, alpha):
    """x = prox of the norm + projection onto the dual ball."""
    x = torch.tensor(values, dtype=torch.float64)
    torch.testing.assert_close(L1().prox(x, 1.0, alpha) + x.clamp(-alpha, alpha), x)


def test_fixed_support_projects_in_any_metric():
    penalty = FixedSupport(torch.tensor([True, False, True, False]))
    weight = torch.tensor([1.0, 2.0, -3.0, float("nan")])
    assert penalty.prox(weight, torch.rand(4) + 1, 7.0).tolist() == [1.0, 0, -3.0, 0]
    gradient = torch.tensor([0.5, -4.0, 0.0, 0.0])
    distance = penalty.subdifferential_distance(weight, gradient, 0.0)
    assert distance.tolist() == [0.5, 0.0, 0.0, 0.0]
    assert penalty.value(weight, 1.0) == 0


def test_unknown_penalties_are_refused():
    with pytest.raises(
        ValueError,
        match=r"'l7' is unknown; accepted are \['group_l2', 'l0', 'l1', 'mcp'\]",
    ):
        as_penalty("l7")
    with pytest.raises(TypeError, match=r"lacks .*'prox'"):
        as_penalty(object())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("factor", [1.0, 1.5, 1e30, float("inf")])
def test_whatever_is_not_above_the_threshold_is_exactly_zero(dtype, factor):
    weight = torch.linspace(-3, 5, 101, dtype=dtype)
    threshold = weight.abs() * factor if factor < float("inf") else factor
    assert soft_threshold(weight, threshold).count_nonzero() == 0
    assert soft_threshold(weight, 5.0 * factor).count_nonzero() == 0
    assert torch.equal(soft_threshold(weight, 0.0), weight)


def test_penalty_objects_are_handed_through():
    support = FixedSupport(torch.ones(2, dtype=torch.bool))
    assert as_penalty(support) is support
    assert as_penalty("l1") == L1()
    assert as_penalty("mcp") == MCP() != MCP(2.5)
    assert as_penalty("l0") == L0()


CONCAVE = [MCP(), MCP(0.5), MCP(1e-3), L0()]
ANY = st.just(L1()) | st.just(L0()) | st.builds(MCP, POSITIVE)


def penalty_by_hand(penalty, u, alpha):
    """Of single weights, in NumPy, from the definitions."""
    if not isinstance(penalty, MCP):
        return alpha * ((u != 0) if isinstance(penalty, L0) else np.abs(u))
    u, gamma = np.abs(u), penalty.gamma
    return np.where(
        u <= gamma * alpha, alpha * u - u**2 / (2 * gamma), gamma * alpha**2 / 2
    )


def assert_minimises(penalty, weight, step, alpha, got):
    """No point of a grid, nor one where pieces meet, is better than `got`."""
    meet = getattr(penalty, "gamma", 0.0) * alpha
    extra = [0.0, weight, got, meet, -meet]
    grid = np.concatenate([np.linspace(-1, 1, 4001) * 1.2 * abs(weight), extra])
    objective = (grid - weight) ** 2 / 2 + step * penalty_by_hand(penalty, grid, alpha)
    mine = objective[len(grid) - 3]
    assert mine <= objective.min() + 1e-12 * (weight**2 + 1e-300)


@pytest.mark.parametrize("penalty", [L1(), *CONCAVE], ids=repr)
@pytest.mark.parametrize("step", [1e-6, 0.1, 0.4999999, 0.5, 1.0, 2.9, 10.0, 1e5])
@pytest.mark.parametrize("alpha", [0.0, 1e-9, 0.3, 2.0, 1e6])
def test_prox_is_the_global_minimiser_by_brute_force(penalty, step, alpha):
    """For every step, also those beyond gamma where the objective is not convex."""
    weight = torch.tensor([-3.0, -0.2, -1e-200, 0.0, 1e-9, 0.7, 50.0, 1e8], dtype=F64)
    got = penalty.prox(weight, step, alpha)
    for w, u in zip(weight.tolist(), got.tolist(), strict=True):
        assert_minimises(penalty, w, step, alpha, u)
    in_metric = penalty.prox(weight, torch.full_like(weight, step), alpha)
    torch.testing.assert_close(in_metric, got, rtol=1e-14, atol=0)


@settings(deadline=None)
@given(
    st.lists(NUMBERS, min_size=1, max_size=6),
    st.lists(POSITIVE, min_size=6, max_size=6),
    st.lists(st.just(0.0) | POSITIVE, min_size=6, max_size=6),
    ANY,
)
def test_prox_in_a_diagonal_metric_is_the_global_minimiser(
    values, step, alpha, penalty
):
    """One step, and one strength, for each weight."""
    weight = torch.tensor(values, dtype=F64)
    step, alpha = (torch.tensor(v, dtype=F64)[: len(weight)] for v in (step, alpha))
    got = penalty.prox(weight, step, alpha)
    for each in zip(weight, step, alpha, got, strict=True):
        assert_minimises(penalty, *(value.item() for value in each))
    assert (got * weight >= 0).all()
    assert (got.abs() <= weight.abs()).all()
    assert torch.equal(penalty.prox(-weight, step, alpha), -got)


@settings(deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=8), POSITIVE, POSITIVE, ANY)
def test_fixed_points_of_prox_steps_are_stationary_26_27(values, step, alpha, penalty):
    moved = torch.tensor(values, dtype=F64)
    weight = penalty.prox(moved, step, alpha)
    gradient = (weight - moved) / step
    distance = penalty.subdifferential_distance(weight, gradient, alpha)
    # Close to step = gamma, rounding of the shrunk part is blown up.
    gamma = getattr(penalty, "gamma", math.inf)
    blown_up = 1 / max(abs(1 - step / gamma), 1e-16)
    scale = moved.abs().max() * (1 / step + 1 / gamma) + alpha
    assert distance.max() <= 1e-14 * scale * (1 + blown_up)


@settings(deadline=None)
@given(
    st.lists(st.integers(-16, 16), min_size=6, max_size=6),
    st.lists(st.integers(-16, 16), min_size=6, max_size=6),
    st.integers(0, 16),
    st.sampled_from([0.25, 0.5, 1.0, 2.0]),
    st.booleans(),
)
def test_distance_is_zero_exactly_at_the_fixed_points(w, g, alpha, step, is_convex):
    """In eighths and powers of two all arithmetic is exact: `iff`, to the bit."""
    w, g = (torch.tensor(v, dtype=F64) / 8 for v in (w, g))
    penalty = L1() if is_convex else MCP(2 * step)  # steps below gamma
    is_fixed = penalty.prox(w - step * g, step, alpha / 8) == w
    distance = penalty.subdifferential_distance(w, g, alpha / 8)
    assert torch.equal(is_fixed, distance == 0)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(
    ("penalty", "step", "alpha", "threshold"),
    [
        (L0(), 2.0, 0.25, 1.0),
        (MCP(1.0), 4.0, 0.5, 1.0),  # beyond gamma: alpha sqrt(gamma step)
        (MCP(1.0), 1.0, 0.5, 0.5),  # at gamma both thresholds agree
        (MCP(8.0), 2.0, 0.5, 1.0),  # below: step alpha, as for l1
    ],
)
def test_ties_are_exact_zeros(penalty, step, alpha, threshold, dtype):
    at = torch.tensor([threshold, -threshold, 0.0, -0.0], dtype=dtype)
    above = torch.nextafter(at, 9 * at.sign())[:2]
    for s in (step, torch.full((4,), step, dtype=dtype)):
        got = penalty.prox(at, s, alpha)
        assert got.dtype == dtype
        assert (got == 0).all()
    assert (penalty.prox(above, step, alpha) != 0).all()


@pytest.mark.parametrize("penalty", [L1(), *CONCAVE], ids=repr)
@pytest.mark.parametrize("step", [0.1, 7.0])
def test_no_strength_no_change(penalty, step):
    weight = torch.tensor([1e-300, -3.0, 0.0, 1e300, 0.1], dtype=F64)
    steps = torch.full_like(weight, step)
    for s in (step, steps):
        assert torch.equal(penalty.prox(weight, s, 0.0), weight)
        assert torch.equal(penalty.prox(weight, s, torch.zeros(5, dtype=F64)), weight)
    gradient = torch.tensor([1.0, -2.0, 3.0, 0.0, 4.0], dtype=F64)
    for alpha in (0.0, torch.zeros(5, dtype=F64)):
        distance = penalty.subdifferential_distance(weight, gradient, alpha)
        assert torch.equal(distance, gradient.abs())
        assert penalty.value(weight, alpha) == 0


def test_only_those_that_promise_it_are_skipped_at_zero_strength():
    for penalty in (L1(), L0(), MCP()):
        assert is_identity(penalty, 0.0)
        assert not is_identity(penalty, 1e-300)
    support = FixedSupport(torch.tensor([True, False]))
    assert not is_identity(support, 0.0)
    for kind in (ProximalSGD, ProximalAdam):
        weight = torch.nn.Parameter(torch.ones(2))
        weight.grad = torch.zeros(2)
        kind([weight], lr=0.1, penalty=support).step()
        assert weight.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("penalty", [L1(), *CONCAVE], ids=repr)
def test_what_is_not_a_number_is_not_hidden(penalty):
    weight = torch.tensor([float("nan"), 1.0])
    assert penalty.prox(weight, 1.0, 1.0)[0].isnan()
    assert penalty.prox(weight, torch.tensor([1.0, 9.0]), 1.0)[0].isnan()


def test_limits_of_mcp_are_l1_and_l0():
    weight = torch.linspace(-5, 5, 102, dtype=F64)
    gradient = weight.flip(0).sin()
    steps = torch.linspace(0.1, 4, 102, dtype=F64)
    mcp, l1 = MCP(1e14), L1()
    close = torch.testing.assert_close
    for step in (0.7, steps):
        close(mcp.prox(weight, step, 0.6), l1.prox(weight, step, 0.6))
    close(
        mcp.subdifferential_distance(weight, gradient, 0.6),
        l1.subdifferential_distance(weight, gradient, 0.6),
    )
    close(mcp.value(weight, 0.6), l1.value(weight, 0.6))
    # With gamma alpha^2 / 2 for the strength of l0 and steps beyond gamma.
    close(MCP(1e-4).prox(weight, 0.5, 100.0), L0().prox(weight, 0.5, 0.5))
    # With gamma about the step: a hard threshold.
    for factor, step in product((1 + 1e-12, 1.0, 1 - 1e-12), (2.0, 2 + 0 * weight)):
        got = MCP(2.0 * factor).prox(weight, step, 0.6)
        close(got, hard_threshold(weight, 1.2))


def test_thresholds_by_hand():
    weight = torch.tensor([-4.0, -2.0, -1.0, 0.5, 1.5, 3.0])
    assert hard_threshold(weight, 1.0).tolist() == [-4, -2, 0, 0, 1.5, 3]
    # zero up to 1, (w - 1) / (1 - 1/2) up to 2, w beyond
    assert firm_threshold(weight, 1.0, 1.0, 2.0).tolist() == [-4, -2, 0, 0, 1, 3]
    each = torch.tensor([0.0, 2.0, 0.5, 0.5, 1.0, 9.0])
    assert soft_threshold(weight, each).tolist() == [-4, 0, -0.5, 0, 0.5, 0]


@settings(deadline=None, max_examples=30)
@given(st.floats(-20, 20), st.floats(0, 5), st.floats(0.1, 10))
def test_mcp_value_is_the_integral_of_its_slope(weight, alpha, gamma):
    end = abs(weight)
    kink = [min(gamma * alpha, end)]
    wanted = quad(lambda x: max(0, alpha - x / gamma), 0, end, points=kink)[0]
    got = MCP(gamma).value(torch.tensor([weight, 0.0, -weight], dtype=F64), alpha)
    assert got.item() == pytest.approx(2 * wanted, rel=1e-9, abs=1e-9)


def test_mcp_distance_on_the_support_is_the_gradient_of_the_sum():
    weight = torch.tensor([0.1, -0.5, 1.4, -1.6, 7.0], dtype=F64, requires_grad=True)
    loss_gradient = torch.tensor([0.3, -0.1, 0.0, 2.0, -1.0], dtype=F64)
    alpha = torch.tensor([0.5, 0.4, 0.5, 0.5, 0.1], dtype=F64)
    total = weight @ loss_gradient + MCP(3.0).value(weight, alpha)
    (wanted,) = torch.autograd.grad(total, weight)
    got = MCP(3.0).subdifferential_distance(weight.detach(), loss_gradient, alpha)
    torch.testing.assert_close(got, wanted.abs())


def test_distances_by_hand():
    weight = torch.tensor([2.0, -1.0, 0.0, 0.0, 9.0])
    gradient = torch.tensor([-0.5, 0.2, 0.3, -0.8, 0.25])
    # slopes 1 - 2/4 and -(1 - 1/4); none beyond gamma alpha = 4
    for penalty, alpha, wanted in (
        (L1(), 0.5, [0.0, 0.3, 0.0, 0.3, 0.75]),
        (MCP(4.0), 1.0, [0.0, 0.55, 0.0, 0.0, 0.25]),
        (L0(), 1.0, [0.5, 0.2, 0.0, 0.0, 0.25]),
    ):
        distance = penalty.subdifferential_distance(weight, gradient, alpha)
        torch.testing.assert_close(distance, torch.tensor(wanted))


def test_values_with_a_strength_for_each_weight():
    weight = torch.tensor([1.0, -2.0, 0.0, -0.0, 1e-300], dtype=F64)
    assert L0().value(weight, 0.5).item() == 1.5
    alpha = torch.tensor([0.5, 0.25, 9.0, 9.0, 1.0], dtype=F64)
    value = L0().value(weight, alpha)
    assert value.item() == 1.75
    assert value.dtype == F64
    assert L1().value(weight, alpha).item() == 1.0


@pytest.mark.parametrize("gamma", [0.0, -1.0, float("inf"), float("nan")])
def test_impossible_gammas_are_refused(gamma):
    with pytest.raises(ValueError, match=r"gamma=.* must be positive and finite"):
        MCP(gamma)


def test_impossible_groups_are_refused():
    for dim in (-1, 1.5, True, "1", None):
        with pytest.raises(ValueError, match=r"dim=.* must be a dimension"):
            GroupL2(dim)
    for ratio in (-0.1, 1.1, float("nan"), "half"):
        with pytest.raises(ValueError, match=r"l1_ratio=.* must be in \[0, 1\]"):
            SparseGroupL2(ratio)
    with pytest.raises(TypeError, match="size_weighted=1 must be True or False"):
        GroupL2(size_weighted=1)
    with pytest.raises(ValueError, match=r"of shape \(2, 2\) have no dimension 2"):
        GroupL2(2).prox(torch.ones(2, 2), 1.0, 1.0)
    assert as_penalty("group_l2") == GroupL2() != GroupL2(np.int64(0))


def test_who_has_single_weights_only_refuses_groups():
    with pytest.raises(TypeError, match=r"GroupL2\(.*\) cannot hold a support"):
        FixedSupport(torch.ones(4, dtype=torch.bool), GroupL2())
    vector = {"params": [nn.Parameter(torch.ones(4))], "n_penalized": 3}
    with pytest.raises(ValueError, match="does not know the groups"):
        ProximalAdam([vector], penalty=GroupL2())
