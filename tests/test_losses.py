"""Losses: gradients by finite differences, hand formulas, best constants, domains."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import special, stats

from sklearn_sparsenet import losses as lib
from sklearn_sparsenet.networks.network import build_mlp
from tests.problems import F64, problem_of


def real(shape, generator):
    return torch.randn(shape, generator=generator, dtype=F64)


def counts(shape, generator):
    return torch.randint(0, 5, shape, generator=generator).to(F64)


def bits(shape, generator):
    return torch.randint(0, 2, shape, generator=generator).to(F64)


def classes(shape, generator):
    return torch.randint(0, shape[1], shape[:1], generator=generator)


CASES = [
    pytest.param(lib.SquaredError(), real, id="squared"),
    pytest.param(lib.AbsoluteError(), real, id="absolute"),
    pytest.param(lib.Huber(), real, id="huber"),
    pytest.param(lib.Huber(0.3), real, id="huber-small"),
    pytest.param(lib.Poisson(), counts, id="poisson"),
    pytest.param(lib.PoissonEmission(2.5), counts, id="emission"),
    pytest.param(lib.PoissonEmission((0.0, 1.0, 4.0)), counts, id="emission-vector"),
    pytest.param(lib.PoissonEmission(0.0, floor=2.0), counts, id="emission-floor"),
    pytest.param(lib.LogLoss(), bits, id="log"),
    pytest.param(lib.OneBit(0.0), bits, id="one-bit-0"),
    pytest.param(lib.OneBit(0.1), bits, id="one-bit-0.1"),
    pytest.param(lib.OneBit(0.45), bits, id="one-bit-0.45"),
    pytest.param(lib.CrossEntropy(), classes, id="cross-entropy"),
    pytest.param(
        lib.CustomLoss(torch.nn.SmoothL1Loss(reduction="none")), real, id="custom"
    ),
]


@pytest.mark.parametrize(("loss", "target"), CASES)
def test_gradient_by_finite_differences(loss, target, generator):
    y = target((6, 3), generator)
    output = real((6, 3), generator).requires_grad_(True)
    values = loss.per_sample(output, y)
    assert values.shape == (6,)
    (gradient,) = torch.autograd.grad(values.sum(), output)
    for shift in 1e-6 * torch.eye(18, dtype=F64).view(18, 6, 3):
        up, down = (loss.per_sample(output + s, y).sum() for s in (shift, -shift))
        slope = gradient[shift != 0].item()
        assert (up - down).item() / 2e-6 == pytest.approx(slope, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("loss", "target"), CASES)
def test_weights_are_repetitions(loss, target, generator):
    """The gradient over weighted rows is that over repeated rows."""
    X, y = real((7, 4), generator), target((7, 3), generator)
    weight = torch.tensor([1, 3, 2, 1, 4, 1, 2])
    rows = torch.arange(7).repeat_interleave(weight)

    def evaluate(X, y, weight):
        module = build_mlp(4, (5,), 3, "tanh", torch.Generator().manual_seed(1))
        return problem_of(module, X, y, loss, weight.to(F64)).evaluate()

    ones = torch.ones(len(rows))
    torch.testing.assert_close(
        evaluate(X, y, weight), evaluate(X[rows], y[rows], ones), rtol=1e-12, atol=1e-13
    )


# For Huber's loss and inside the continuation of the emission loss fit_intercept_only
# gives a starting point only; a custom loss has none, and means beyond the flip rate
# have theirs at infinity.
INEXACT = ("huber", "huber-small", "emission-floor", "custom", "one-bit-0.45")
EXACT = [case for case in CASES if case.id not in INEXACT]


@pytest.mark.parametrize(("loss", "target"), EXACT)
def test_no_output_is_better_than_the_best_constant(loss, target, generator):
    y = target((40, 3), generator)
    weight = torch.rand(40, generator=generator, dtype=F64) + 0.1

    def objective(constant):
        return loss.per_sample(constant.expand(40, 3), y) @ weight

    best = loss.fit_intercept_only(y, weight)
    lowest = objective(best)
    for delta in (-0.3, -1e-2, 1e-2, 0.3):
        for k in range(3):
            moved = best.clone()
            moved[k] += delta
            assert objective(moved) >= lowest - 1e-9


def test_values_by_hand():
    output, y = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, 1.0]])
    assert lib.SquaredError().per_sample(output, y).item() == 10.0
    assert lib.AbsoluteError().per_sample(output, y).item() == 4.0
    assert lib.Huber(2.0).per_sample(output, y).item() == 1.0 + 2 * (2 * 3 - 2)


def test_poisson_losses_are_likelihoods_up_to_a_constant():
    y = np.array([0.0, 2.0, 5.0])
    outputs = np.array([[0.3], [1.1], [2.0]])

    def differences(values):
        return values - values[0]

    for loss, mean in (
        (lib.Poisson(), np.exp),
        (lib.PoissonEmission(1.5), lambda output: output + 1.5),
    ):
        for target in y:
            t = torch.full((3, 1), target, dtype=F64)
            got = loss.per_sample(torch.from_numpy(outputs), t).numpy()
            wanted = -stats.poisson.logpmf(target, mean(outputs[:, 0]))
            np.testing.assert_allclose(
                differences(got), differences(wanted), atol=1e-12
            )


def test_emission_stays_finite_outside_its_domain_and_pushes_back():
    loss = lib.PoissonEmission(0.0)
    output = torch.tensor([[-5.0], [-5.0]], requires_grad=True)
    values = loss.per_sample(output, torch.tensor([[0.0], [3.0]]))
    values.sum().backward()
    assert values.isfinite().all()
    assert (output.grad < 0).all()  # descending moves outputs up again
    assert (loss.predict(output) == 0).all()


def test_one_bit_is_a_two_point_likelihood():
    output = torch.linspace(-1e3, 1e3, 51, dtype=F64)[:, None]
    for rate in (0.0, 0.2):
        loss = lib.OneBit(rate)
        one = torch.exp(-loss.per_sample(output, torch.ones_like(output)))
        zero = torch.exp(-loss.per_sample(output, torch.zeros_like(output)))
        torch.testing.assert_close(one + zero, torch.ones(51, dtype=F64))
        torch.testing.assert_close(one, loss.predict(output)[:, 0])
        assert min(zero.min(), one.min()) >= rate - 1e-12  # however far away


@pytest.mark.parametrize(
    "loss", [lib.LogLoss(), lib.OneBit(0.1), lib.OneBit(0.0), lib.CrossEntropy()]
)
def test_extreme_logits_stay_finite(loss):
    output = torch.tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True)
    y = torch.tensor([1, 0]) if isinstance(loss, lib.CrossEntropy) else output > 0
    values = loss.per_sample(output, y if y.ndim == 1 else 1.0 - y.float())
    values.sum().backward()
    assert values.isfinite().all()
    assert output.grad.isfinite().all()
    if loss in (lib.LogLoss(), lib.OneBit(0.0)):
        assert values.tolist() == [2e4, 2e4]


@pytest.mark.parametrize(
    ("loss", "y"),
    [
        (lib.Poisson(), [[-1.0]]),
        (lib.PoissonEmission(), [[-1.0]]),
        (lib.LogLoss(), [[2.0]]),
    ],
)
def test_targets_outside_the_domain_are_refused(loss, y):
    with pytest.raises(ValueError, match="need"):
        loss.check_target(torch.tensor(y))


def test_impossible_losses_are_refused_and_none_changes():
    with pytest.raises(dataclasses.FrozenInstanceError):
        lib.OneBit(0.1).flip_rate = 0.2
    with pytest.raises(ValueError, match="flip_rate"):
        lib.OneBit(0.5)
    with pytest.raises(ValueError, match="background"):
        lib.PoissonEmission(-1.0)
    with pytest.raises(ValueError, match="reduction='none'"):
        lib.CustomLoss(torch.nn.MSELoss()).per_sample(
            torch.ones(3, 1), torch.ones(3, 1)
        )


def test_a_loss_of_all_samples_against_all_is_refused():
    """By broadcasting: it would be fitted, and mean nothing."""
    loss = lib.CustomLoss(lambda output, target: (output[:, 0] - target) ** 2)
    with pytest.raises(ValueError, match=r"got shape \(4, 4\)"):
        loss.per_sample(torch.zeros(4, 1), torch.zeros(4, 1))


def test_values_against_scipy(generator):
    z = 3 * real((8, 3), generator)
    y, k = bits((8, 3), generator), classes((8, 3), generator)
    for rate, loss in ((0, lib.LogLoss()), (0, lib.OneBit(0)), (0.2, lib.OneBit(0.2))):
        one = rate + (1 - 2 * rate) * special.expit(z.numpy())
        wanted = -stats.bernoulli.logpmf(y.numpy().astype(int), one).sum(1)
        np.testing.assert_allclose(loss.per_sample(z, y), wanted, rtol=1e-10)
    wanted = -special.log_softmax(z.numpy(), axis=1)[np.arange(8), k]
    np.testing.assert_allclose(lib.CrossEntropy().per_sample(z, k), wanted, rtol=1e-12)
    wanted = 2 * special.huber(0.7, z.numpy()).sum(1)
    got = lib.Huber(0.7).per_sample(z, torch.zeros_like(z))
    np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_emission_is_the_fidelity_of_the_paper_in_its_domain(generator):
    """<mean, 1> - <log mean, y>, the mean being f(x) + background."""
    background = torch.tensor([0.5, 0.0, 2.0], dtype=F64)
    output, y = real((6, 3), generator).abs() + 0.1, counts((6, 3), generator)
    mean = output + background
    wanted = mean.sum(1) - (mean.log() * y).sum(1)
    loss = lib.PoissonEmission(tuple(background.tolist()))
    torch.testing.assert_close(loss.per_sample(output, y), wanted)


@pytest.mark.parametrize("count", [0.0, 1.0, 40.0])
def test_emission_is_convex_and_smooth_across_its_floor(count):
    loss = lib.PoissonEmission(0.0, floor=0.05)
    z = torch.linspace(-2, 3, 5001, dtype=F64)[:, None].requires_grad_(True)
    values = loss.per_sample(z, torch.full_like(z, count))
    (slope,) = torch.autograd.grad(values.sum(), z)
    rise = slope[:, 0].diff()
    assert rise.min() >= -1e-9
    # The curvature is at most (count + floor) / floor²: slopes cannot jump.
    assert rise.max() <= (count + 0.05) / 0.05**2 * 1e-3 * 1.001


@pytest.mark.parametrize(
    ("loss", "target"), [case for case in EXACT if case.id != "absolute"]
)
def test_the_best_constant_predicts_the_weighted_mean(loss, target, generator):
    y = target((40, 3), generator)
    weight = torch.rand(40, generator=generator, dtype=F64) + 0.1
    got = loss.predict(loss.fit_intercept_only(y, weight)[None])[0]
    shares = torch.nn.functional.one_hot(y).to(F64) if y.ndim == 1 else y
    wanted = (shares * weight[:, None]).sum(0) / weight.sum()
    torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("count", [0.0, 3.0])
def test_emission_below_its_floor_is_the_taylor_polynomial_and_a_parabola(count):
    floor = 0.2
    mean = torch.linspace(-1, floor, 13, dtype=F64)[:, None]
    t = (mean - floor) / floor
    logarithm = np.log(floor) + t - t.square() / 2
    wanted = mean - count * logarithm + floor * t.square() / 2
    loss = lib.PoissonEmission(0.5, floor)
    got = loss.per_sample(mean - 0.5, torch.full_like(mean, count))
    torch.testing.assert_close(got, wanted[:, 0])
