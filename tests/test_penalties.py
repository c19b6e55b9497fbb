"""Proximity operators against brute force; optimality at their fixed points."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_sparsenet.penalties import L1, FixedSupport, as_penalty, soft_threshold

NUMBERS = st.floats(-1e3, 1e3, allow_subnormal=False)
POSITIVE = st.floats(1e-3, 1e2)


@pytest.mark.parametrize("weight", [-3.0, -0.2, 0.0, 1e-9, 0.7, 50.0])
@pytest.mark.parametrize("step", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 2.0])
def test_prox_minimises_its_objective(weight, step, alpha):
    grid = np.linspace(-60, 60, 240_001)
    objective = (grid - weight) ** 2 / (2 * step) + alpha * np.abs(grid)
    got = L1().prox(torch.tensor([weight], dtype=torch.float64), step, alpha).item()
    value = (got - weight) ** 2 / (2 * step) + alpha * abs(got)
    assert value <= objective.min() + 1e-12
    assert abs(got - grid[objective.argmin()]) < 1e-3


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


@settings(deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=8), POSITIVE, POSITIVE)
def test_fixed_points_of_the_prox_step_are_stationary(values, step, alpha):
    """w = prox(w - step g) holds exactly where the residual of (26), (27) is zero."""
    moved = torch.tensor(values, dtype=torch.float64)
    weight = L1().prox(moved, step, alpha)
    gradient = (weight - moved) / step
    distance = L1().subdifferential_distance(weight, gradient, alpha)
    assert distance.max() <= 1e-9 * max(1.0, moved.abs().max() / step)


def test_subdifferential_distance_by_hand():
    weight = torch.tensor([2.0, -1.0, 0.0, 0.0])
    gradient = torch.tensor([-0.5, 0.2, 0.3, -0.8])
    distance = L1().subdifferential_distance(weight, gradient, 0.5)
    torch.testing.assert_close(distance, torch.tensor([0.0, 0.3, 0.0, 0.3]))


def test_threshold_per_entry_makes_exact_zeros():
    weight = torch.tensor([0.1, -0.1, 5.0, -5.0])
    got = soft_threshold(weight, torch.tensor([0.1, 0.2, 1.0, 0.0]))
    assert got.tolist() == [0.0, 0.0, 4.0, -5.0]
    assert soft_threshold(weight, 0.1)[:2].count_nonzero() == 0


def test_l1_value_with_one_strength_per_weight():
    weight, alpha = torch.tensor([1.0, -2.0, 0.0]), torch.tensor([0.5, 0.25, 9.0])
    assert L1().value(weight, alpha).item() == 1.0


def test_fixed_support_projects_in_any_metric():
    penalty = FixedSupport(torch.tensor([True, False, True]))
    weight = torch.tensor([1.0, 2.0, -3.0])
    assert penalty.prox(weight, torch.rand(3) + 1, 7.0).tolist() == [1.0, 0.0, -3.0]
    gradient = torch.tensor([0.5, -4.0, 0.0])
    distance = penalty.subdifferential_distance(weight, gradient, 0.0)
    assert distance.tolist() == [0.5, 0.0, 0.0]
    assert penalty.value(weight, 1.0) == 0


def test_unknown_penalties_are_refused():
    with pytest.raises(ValueError, match=r"'l7' is unknown; accepted are \['l1'\]"):
        as_penalty("l7")
    with pytest.raises(TypeError, match=r"lacks .*'prox'"):
        as_penalty(object())


@pytest.mark.parametrize("alpha", [0.0, 1e-9, 0.4, 1e6])
@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_prox_in_a_diagonal_metric_by_brute_force(alpha, factor):
    """One step, and one strength, for each entry."""
    weight = torch.linspace(-3.9, 3.9, 9, dtype=torch.float64)
    step = torch.linspace(0.1, 2.0, 9, dtype=torch.float64).flip(0)
    strength = alpha * torch.linspace(1, factor, 9, dtype=torch.float64)
    grid = torch.linspace(-4, 4, 40_001, dtype=torch.float64)[:, None]
    objective = (grid - weight).square() / (2 * step) + strength * grid.abs()
    wanted = grid[objective.argmin(0), 0]
    got = L1().prox(weight, step, strength)
    torch.testing.assert_close(got, wanted, rtol=0, atol=2.1e-4)


EIGHTHS = st.lists(st.integers(-16, 16), min_size=6, max_size=6)


@settings(deadline=None)
@given(EIGHTHS, EIGHTHS, st.integers(0, 16), st.sampled_from([0.25, 0.5, 1.0, 2.0]))
def test_distance_is_zero_exactly_at_the_fixed_points(w, g, alpha, step):
    """In eighths and powers of two all arithmetic is exact: `iff`, to the bit."""
    w, g = (torch.tensor(v, dtype=torch.float64) / 8 for v in (w, g))
    is_fixed = L1().prox(w - step * g, step, alpha / 8) == w
    distance = L1().subdifferential_distance(w, g, alpha / 8)
    assert torch.equal(is_fixed, distance == 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("factor", [1.0, 1.5, 1e30, float("inf")])
def test_whatever_is_not_above_the_threshold_is_exactly_zero(dtype, factor):
    weight = torch.linspace(-3, 5, 101, dtype=dtype)
    threshold = weight.abs() * factor if factor < float("inf") else factor
    assert soft_threshold(weight, threshold).count_nonzero() == 0
    assert soft_threshold(weight, 5.0 * factor).count_nonzero() == 0
    assert torch.equal(soft_threshold(weight, 0.0), weight)


def test_fixed_support_drops_even_what_is_not_finite():
    penalty = FixedSupport(torch.tensor([True, False]))
    weight = torch.tensor([1.0, float("nan")])
    assert penalty.prox(weight, 1.0, 1.0).tolist() == [1.0, 0.0]


def test_penalty_objects_are_handed_through():
    support = FixedSupport(torch.ones(2, dtype=torch.bool))
    assert as_penalty(support) is support
    assert as_penalty("l1") == L1()
