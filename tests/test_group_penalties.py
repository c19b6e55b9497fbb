"""Penalties of groups against brute force; optimality at their fixed points."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import nn

from sklearn_sparsenet import ProximalAdam, ProximalSGD
from sklearn_sparsenet.penalties import (
    L1,
    GroupL2,
    SparseGroupL2,
    is_identity,
)
from tests.problems import F64

COLUMNS = [
    GroupL2(),
    GroupL2(size_weighted=True),
    SparseGroupL2(),
    SparseGroupL2(0.2, size_weighted=True),
    SparseGroupL2(0.9),
]
SEEDS = st.integers(0, 2**31)


def draw(seed, shape=(4, 6), decades=1.0):
    """Return weights, steps and gradients; steps are that many decades apart."""
    generator = torch.Generator().manual_seed(seed)
    kwargs = {"generator": generator, "dtype": F64}
    step = 10 ** (decades * (torch.rand(shape, **kwargs) - 0.5))
    return torch.randn(shape, **kwargs), step, torch.randn(shape, **kwargs)


def parts_of(penalty, size):
    """Return the factors of ℓ1 and of the norm of a group, from the definitions."""
    share = getattr(penalty, "l1_ratio", 0.0)
    return share, (1 - share) * (math.sqrt(size) if penalty.size_weighted else 1.0)


def assert_minimises(penalty, weight, step, alpha, got):
    """No point is better for a group: not what a solver finds, nor those around."""
    w, s, u = (x.numpy()[:, 0] for x in (weight, step, got))
    single, grouped = parts_of(penalty, len(w))

    def objective(positive, negative):
        # Of u = p - q, p and q not negative, which is smooth but where u is zero.
        apart = positive - negative
        metric = ((apart - w) ** 2 / (2 * s)).sum(axis=-1)
        sizes = single * (positive + negative).sum(axis=-1)
        return metric + alpha * (sizes + grouped * np.sqrt((apart**2).sum(axis=-1)))

    def gradient(both):
        apart = both[:3] - both[3:]
        norm = np.sqrt((apart**2).sum()) or 1.0
        slope = (apart - w) / s + alpha * grouped * apart / norm
        return np.concatenate([slope, -slope]) + alpha * single

    def at(points):
        return objective(np.maximum(points, 0), np.maximum(-points, 0))

    found = minimize(
        lambda both: objective(both[:3], both[3:]),
        np.concatenate([np.maximum(w, 0), np.maximum(-w, 0)]),
        jac=gradient,
        bounds=[(0, None)] * 6,
        options={"ftol": 1e-16, "gtol": 1e-12, "maxiter": 10**4},
    )
    mine, theirs = at(u), found.x[:3] - found.x[3:]
    assert mine <= at(theirs) + 1e-12
    # The objective is strongly convex: what is as good is the same point.
    assert ((theirs - u) ** 2 / (2 * s)).sum() <= at(theirs) - mine + 1e-12
    noise = np.random.default_rng(0).normal(size=(200, 3))
    for scale in (1e-6, 1e-3, 1.0):
        assert mine <= at(u + scale * noise).min() + 1e-12
    return np.abs(theirs - u).max()


@pytest.mark.parametrize("penalty", COLUMNS, ids=repr)
@pytest.mark.parametrize("decades", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("alpha", [0.1, 0.7, 2.0])
def test_prox_in_a_diagonal_metric_is_the_minimiser_by_brute_force(
    penalty, decades, alpha
):
    for seed in range(3):
        weight, step, _ = draw(seed, (3, 1), decades)
        got = penalty.prox(weight, step, alpha)
        apart = assert_minimises(penalty, weight, step, alpha, got)
        assert apart < 1e-6 or not got.any()  # no solver arrives where it has a kink


@settings(deadline=None)
@given(SEEDS, st.floats(0, 12), st.floats(1e-3, 1e2), st.sampled_from(COLUMNS))
def test_fixed_points_of_prox_steps_are_stationary(seed, decades, alpha, penalty):
    """Fermat's rule in the metric: (w - u) / step is a subgradient at u."""
    moved, step, _ = draw(seed, decades=decades)
    weight = penalty.prox(moved, step, alpha)
    gradient = (weight - moved) / step
    distance = penalty.subdifferential_distance(weight, gradient, alpha)
    # What rounding a weight is, in units of the gradient.
    assert (distance <= 1e-14 * (moved.abs() / step + 3 * alpha)).all()
    assert (weight * moved >= 0).all()
    assert (weight.abs() <= moved.abs()).all()
    assert torch.equal(penalty.prox(-moved, step, alpha), -weight)


@pytest.mark.parametrize(("dtype", "decades"), [(F64, 200.0), (torch.float32, 24.0)])
@pytest.mark.parametrize("size", [2, 10, 300])
@pytest.mark.parametrize("alpha", [1e-3, 0.3, 1.0, 5.0])
def test_prox_is_exact_to_rounding_however_wide_the_metric(dtype, decades, size, alpha):
    """With u = w r / (r + t) and r its norm: what the root has to satisfy."""
    for spread in (0.0, 0.1, 2.0, decades):
        weight, step, _ = draw(size, (size, 50), spread)
        weight, step = weight.to(dtype), step.to(dtype)
        got = GroupL2().prox(weight, step, alpha)
        ratio = weight.double() / (step * alpha).double()
        kept = (got != 0).any(dim=0)
        assert torch.equal(kept, ratio.square().sum(dim=0) > 1)
        u, w, t = (x[:, kept].double() for x in (got, weight, step * alpha))
        rest = u - w + t * u / torch.linalg.vector_norm(u, dim=0)
        assert (rest.abs() <= 20 * torch.finfo(dtype).eps * w.abs()).all()


def test_a_group_just_above_its_threshold():
    """Newton's method alone would take one and a half times the root at each step."""
    for small in (1e-8, 1e-40, 1e-150):
        weight = torch.tensor([[small], [1.0]], dtype=F64)
        step = torch.tensor([[small / 100], [1 + small / 10]], dtype=F64)
        got = GroupL2().prox(weight, step, 1.0)
        rest = got - weight + step * got / torch.linalg.vector_norm(got)
        assert (rest.abs() <= 1e-15 * weight).all()
        # Of small² / r² + 1 - 2 r = 1.
        assert got[1].item() == pytest.approx((small**2 / 2) ** (1 / 3), rel=0.1)


@settings(deadline=None)
@given(SEEDS, SEEDS, st.floats(0, 6), st.floats(1e-2, 10), st.sampled_from(COLUMNS))
def test_prox_is_firmly_nonexpansive_in_its_metric(
    seed, other, decades, alpha, penalty
):
    x, step, _ = draw(seed, decades=decades)
    y = draw(other)[0]
    p, q = (penalty.prox(v, step, alpha) for v in (x, y))
    moved = ((p - q) ** 2 / step).sum()
    assert moved <= ((p - q) * (x - y) / step).sum() * (1 + 1e-9)


@settings(deadline=None)
@given(SEEDS, st.floats(1e-3, 10), st.sampled_from(COLUMNS))
def test_moreau_identity(seed, alpha, penalty):
    """x = prox of the norm + a point of the dual ball, which is where it is nearest."""
    x = draw(seed)[0]
    kept = penalty.prox(x, 1.0, alpha)
    ball = x - kept
    assert (penalty.dual_norms(ball) <= alpha * (1 + 1e-9)).all()
    value = penalty.value(kept, alpha)
    torch.testing.assert_close((ball * kept).sum(), value, rtol=1e-9, atol=1e-12)


def test_groups_of_one_weight_are_l1():
    row, step, gradient = draw(0, (1, 40), 3.0)
    for penalty in (*COLUMNS, GroupL2(dim=0)):
        for values in (row, row[0]):
            if penalty == GroupL2(dim=0) and values.ndim == 2:
                continue
            s = step.view(values.shape)
            same = torch.testing.assert_close
            same(penalty.prox(values, s, 0.6), L1().prox(values, s, 0.6))
            same(penalty.prox(values, 0.4, 0.6), L1().prox(values, 0.4, 0.6))
            same(penalty.value(values, 0.6), L1().value(values, 0.6))
            same(
                penalty.subdifferential_distance(values, gradient.view_as(values), 0.6),
                L1().subdifferential_distance(values, gradient.view_as(values), 0.6),
            )
            same(penalty.dual_norms(values), values.abs().reshape(-1))


def test_ends_of_the_ratio_are_l1_and_groups():
    weight, step, gradient = draw(1)
    weight[:, 2], weight[0] = 0.0, 0.0
    same = torch.testing.assert_close
    for end, wanted in ((0.0, GroupL2()), (1.0, L1())):
        penalty = SparseGroupL2(end)
        same(penalty.prox(weight, step, 0.6), wanted.prox(weight, step, 0.6))
        same(penalty.value(weight, 0.6), wanted.value(weight, 0.6))
        distances = (
            p.subdifferential_distance(weight, gradient, 0.6) for p in (penalty, wanted)
        )
        same(*distances)
    same(SparseGroupL2(0.0).dual_norms(gradient), GroupL2().dual_norms(gradient))
    same(SparseGroupL2(1.0).dual_norms(gradient), gradient.abs().amax(dim=0))


@pytest.mark.parametrize("like", [GroupL2, lambda **k: SparseGroupL2(0.3, **k)])
def test_groups_are_slices_along_the_dimension(like):
    """Of linear layers and convolutions alike, whatever the layout in memory."""
    weight, step, gradient = draw(2, (3, 5, 2, 4))
    for dim in (0, 1, 2):
        penalty = like(dim=dim, size_weighted=True)
        flat, s, g = (
            x.movedim(dim, 0).reshape(x.shape[dim], -1).T
            for x in (weight, step, gradient)
        )
        columns = like(size_weighted=True)

        def back(rows, dim=dim):
            return rows.T.reshape(weight.movedim(dim, 0).shape).movedim(0, dim)

        same = torch.testing.assert_close
        moved = penalty.prox(weight, step, 0.5)
        assert moved.is_contiguous()
        assert 0 < moved.count_nonzero()
        same(moved, back(columns.prox(flat, s, 0.5)))
        same(
            penalty.value(moved, 0.5),
            columns.value(flat * 0 + columns.prox(flat, s, 0.5), 0.5),
        )
        same(
            penalty.subdifferential_distance(moved, gradient, 0.5),
            back(columns.subdifferential_distance(columns.prox(flat, s, 0.5), g, 0.5)),
        )
        same(penalty.dual_norms(gradient), columns.dual_norms(g))


@pytest.mark.parametrize("penalty", COLUMNS, ids=repr)
@pytest.mark.parametrize("alpha", [0.0, 0.4, 2.0])
def test_distance_at_zero_groups_is_that_to_the_subdifferential(penalty, alpha):
    """Of all gradients of dual norm at most λ, none is nearer."""
    zero = torch.zeros(3, 8, dtype=F64)
    gradient = draw(3, (3, 8))[2]
    distance = penalty.subdifferential_distance(zero, gradient, alpha)
    nearest = gradient - distance * gradient.sign()
    assert (penalty.dual_norms(nearest) <= alpha * (1 + 1e-12)).all()
    size = torch.linalg.vector_norm(distance, dim=0)
    generator = torch.Generator().manual_seed(0)
    for scale in (1e-3, 1.0):
        shape = (500, *gradient.shape)
        there = nearest + scale * torch.randn(shape, generator=generator, dtype=F64)
        for each in there:
            inside = penalty.dual_norms(each) <= alpha
            apart = torch.linalg.vector_norm(each - gradient, dim=0)
            assert (apart[inside] >= size[inside] - 1e-12).all()
    if isinstance(penalty, GroupL2):
        factor = math.sqrt(3) if penalty.size_weighted else 1.0
        excess = torch.linalg.vector_norm(gradient, dim=0) - alpha * factor
        torch.testing.assert_close(size, excess.clamp(min=0))


@pytest.mark.parametrize("penalty", COLUMNS, ids=repr)
def test_distance_on_the_support_is_the_gradient_of_the_sum(penalty):
    weight, _, gradient = draw(4)
    weight.requires_grad_()
    total = (weight * gradient).sum() + penalty.value(weight, 0.7)
    (wanted,) = torch.autograd.grad(total, weight)
    got = penalty.subdifferential_distance(weight.detach(), gradient, 0.7)
    torch.testing.assert_close(got, wanted.abs())


@settings(deadline=None)
@given(SEEDS, st.floats(0, 1), st.integers(1, 30), st.booleans())
def test_dual_norms_are_the_strengths_at_which_groups_appear(
    seed, ratio, size, size_weighted
):
    gradient = draw(seed, (size, 5))[0]
    gradient[1:3] = gradient[:1]  # some are equal
    for penalty in (GroupL2(1, size_weighted), SparseGroupL2(ratio, 1, size_weighted)):
        a = penalty.dual_norms(gradient)
        above = penalty.prox(gradient, 1.0, a.view(1, -1) * (1 + 1e-9))
        assert not above.any()
        below = penalty.prox(gradient, 1.0, a.view(1, -1) * (1 - 1e-9))
        assert below.any(dim=0).all()
        # Of a norm: no w has a larger product with the gradient, for its size.
        for other in (draw(seed + 1, (size, 5))[0], below):
            values = torch.stack([penalty.value(w[:, None], 1.0) for w in other.T])
            products = (gradient * other).sum(dim=0)
            assert (products <= a * values * (1 + 1e-9) + 1e-300).all()


@pytest.mark.parametrize("penalty", COLUMNS, ids=repr)
@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_no_number_is_too_small_or_too_large(penalty, scale):
    """Norms do not overflow; the prox scales with weights and steps."""
    weight, step, gradient = draw(5)
    got = penalty.prox(weight * scale, step * scale, 0.5)
    torch.testing.assert_close(got / scale, penalty.prox(weight, step, 0.5))
    a = penalty.dual_norms(gradient * scale)
    torch.testing.assert_close(a / scale, penalty.dual_norms(gradient))


def test_steps_of_zero_and_of_any_size():
    weight = torch.tensor([[3.0, 0.5, 0.0], [4.0, 0.1, 0.0]], dtype=F64)
    step = torch.tensor([[0.0, 1e300, 0.0], [1.0, 1e-300, 1.0]], dtype=F64)
    got = GroupL2().prox(weight, step, 1.0)
    # 16 / (r + 1)² + 9 / r² = 1 with r² = 9 + u²; the second weight shrinks alone
    assert got[0, 0] == 3.0
    u = got[1, 0].item()
    assert u - 4 + u / math.hypot(3, u) == pytest.approx(0, abs=1e-15)
    # A weight that moves at no cost is zero; one that cannot move stays.
    assert got[0, 1].abs() < 1e-290
    assert got[1, 1].item() == 0.1
    assert not got[:, 2].any()
    endless = torch.tensor([[math.inf], [1.0]], dtype=F64)
    got = GroupL2().prox(weight[:, :1], endless, 1.0)
    torch.testing.assert_close(got, torch.tensor([[0.0], [3.0]], dtype=F64))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("penalty", COLUMNS, ids=repr)
def test_no_strength_no_change(penalty, dtype):
    weight, step, gradient = (x.to(dtype) for x in draw(6))
    weight[:, 1], weight[0, 0] = 0.0, 1e-30
    nothing = torch.zeros(1, 6, dtype=dtype)
    for alpha in (0.0, torch.zeros((), dtype=dtype), nothing):
        for s in (0.3, step, torch.tensor(0.3, dtype=dtype)):
            got = penalty.prox(weight, s, alpha)
            assert got.dtype == dtype
            assert torch.equal(got, weight)
        distance = penalty.subdifferential_distance(weight, gradient, alpha)
        assert torch.equal(distance, gradient.abs())
        assert penalty.value(weight, alpha) == 0
    assert is_identity(penalty, 0.0)


@pytest.mark.parametrize("penalty", COLUMNS, ids=repr)
def test_one_step_for_all_is_the_block_soft_threshold(penalty):
    weight, _, _ = draw(7)
    one = penalty.prox(weight, 0.3, 0.8)
    for step in (torch.tensor(0.3, dtype=F64), torch.full_like(weight, 0.3)):
        torch.testing.assert_close(penalty.prox(weight, step, 0.8), one)
    if penalty == GroupL2():
        norm = torch.linalg.vector_norm(weight, dim=0)
        torch.testing.assert_close(one, weight * (1 - 0.24 / norm).clamp(min=0))
    # At the threshold itself, and for strengths beyond any number.
    assert not GroupL2().prox(torch.tensor([[3.0], [4.0]]), 1.0, 5.0).any()
    for huge in (1e300, math.inf):
        assert not penalty.prox(weight.float(), 1.0, huge).any()


@pytest.mark.parametrize("penalty", COLUMNS, ids=repr)
def test_a_strength_for_each_group(penalty):
    weight, step, gradient = draw(8)
    alpha = torch.linspace(0.1, 1.5, 6, dtype=F64)
    for strengths in (alpha, alpha.view(1, 6)):
        got = penalty.prox(weight, step, strengths)
        distance = penalty.subdifferential_distance(got, gradient, strengths)
        for k, strength in enumerate(alpha.tolist()):
            one = weight[:, k : k + 1], step[:, k : k + 1]
            moved = penalty.prox(*one, strength)
            torch.testing.assert_close(got[:, k : k + 1], moved)
            wanted = penalty.subdifferential_distance(
                moved, gradient[:, k : k + 1], strength
            )
            torch.testing.assert_close(distance[:, k : k + 1], wanted)
    for wrong in (torch.ones(4, 6), torch.ones(4, 1)):
        with pytest.raises(ValueError, match="is not one for each group"):
            penalty.prox(weight, step, wrong)


@pytest.mark.parametrize("penalty", COLUMNS, ids=repr)
def test_what_is_not_a_number_is_not_hidden(penalty):
    weight = torch.tensor([[float("nan"), 1.0], [1.0, 2.0]])
    for step in (0.1, torch.tensor([[0.1, 0.2], [0.2, 0.1]])):
        got = penalty.prox(weight, step, 0.1)
        assert got[0, 0].isnan()
        assert got[:, 1].isfinite().all()


@pytest.mark.parametrize("penalty", [GroupL2(), SparseGroupL2(0.2)], ids=repr)
@pytest.mark.parametrize(("kind", "lr"), [(ProximalSGD, 0.1), (ProximalAdam, 0.02)])
def test_fixed_points_of_the_optimisers_are_stationary(kind, lr, penalty, generator):
    """A regression of three outputs: inputs vanish for all of them at once."""
    X = torch.randn(60, 6, generator=generator, dtype=F64)
    truth = torch.zeros(3, 6, dtype=F64)
    truth[:, [0, 4]] = torch.randn(3, 2, generator=generator, dtype=F64)
    y = X @ truth.T + 0.1 * torch.randn(60, 3, generator=generator, dtype=F64)
    layer = nn.Linear(6, 3).double()
    weights = {"params": [layer.weight], "alpha": 0.5, "penalty": penalty}
    optimizer = kind([weights, {"params": [layer.bias]}], lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1500)
    for _ in range(1500):
        optimizer.zero_grad()
        (layer(X) - y).square().sum(dim=1).mean().backward()
        optimizer.step()
        schedule.step()
    weight, gradient = layer.weight.detach(), layer.weight.grad
    assert penalty.subdifferential_distance(weight, gradient, 0.5).max() < 1e-6
    assert weight.any(dim=0).tolist() == truth.any(dim=0).tolist()
