"""The parts of a Newton step for the ℓ1 problem."""

import pytest
import torch
from torch import nn

from sklearn_sparsenet.losses import CrossEntropy, SquaredError
from sklearn_sparsenet.networks.network import Network
from sklearn_sparsenet.networks.stages import take_apart
from sklearn_sparsenet.solvers.curvature import Curvature
from sklearn_sparsenet.solvers.quadratic import convex, minimize_model


def symmetric(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(n, n, generator=generator, dtype=torch.float64)
    return matrix + matrix.t()


def test_a_convex_matrix_stays_as_it_is():
    matrix = symmetric(20)
    matrix = matrix @ matrix.t() + torch.eye(20, dtype=torch.float64)
    torch.testing.assert_close(convex(matrix), matrix, rtol=1e-5, atol=1e-5)


def test_negative_curvature_is_reflected():
    exchange = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(convex(exchange), torch.eye(2, dtype=torch.float64))
    sizes = torch.tensor([3.0, -2.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(convex(sizes.diag()), sizes.abs().diag())


@pytest.mark.parametrize("n", [1, 2, 5, 60, 200])
def test_what_is_added_is_positive_and_small(n):
    matrix = symmetric(n, seed=n)
    values = torch.linalg.eigvalsh(convex(matrix))
    added = torch.linalg.eigvalsh(convex(matrix) - matrix)
    assert values.min() > 0
    assert added.min() > -1e-9 * added.max()
    n_negative = int((torch.linalg.eigvalsh(matrix) < 0).sum())
    assert int((added > 1e-6).sum()) == n_negative


def test_the_minimum_of_a_model_fulfils_its_conditions():
    n = 60
    generator = torch.Generator().manual_seed(1)
    hessian = convex(symmetric(n))
    hessian.diagonal().add_(0.1)
    linear = torch.randn(n, generator=generator, dtype=torch.float64)
    slope = torch.full_like(linear, 0.5)
    slope[:3] = 0.0
    found = minimize_model(hessian, linear, slope, torch.zeros_like(linear))
    pull = hessian @ found + linear
    on = found != 0
    assert 3 < int(on.sum()) < n
    torch.testing.assert_close(pull[on], -(slope * found.sign())[on])
    assert (pull.abs() <= slope + 1e-9)[~on].all()


@pytest.mark.parametrize("activation", [nn.Tanh, nn.Softplus])
@pytest.mark.parametrize("loss", [SquaredError(), CrossEntropy(3)], ids=str)
def test_second_derivatives(activation, loss):
    torch.manual_seed(0)
    widths, n = (4, 5, 3, 3), 30
    chain = [nn.Linear(4, 5), activation(), nn.Linear(5, 3), nn.Linear(3, 3)]
    module = nn.Sequential(*chain).double()
    names = ["0.weight", "2.weight", "3.weight"]
    network = Network(module, names)
    inputs = torch.randn(n, widths[0], dtype=torch.float64)
    classes = torch.arange(n) % 3
    is_squared = isinstance(loss, SquaredError)
    target = nn.functional.one_hot(classes).double() if is_squared else classes
    weight = torch.full((n,), 1 / n, dtype=torch.float64)

    def value(flat):
        state = {}
        for name, parameter in module.named_parameters():
            start = parameter.storage_offset()
            state[name] = flat[start : start + parameter.numel()].view(parameter.shape)
        output = torch.func.functional_call(module, state, (inputs,))
        return loss.per_sample(output, target) @ weight

    where = torch.arange(0, len(network.parameters), 2)
    wanted = torch.autograd.functional.hessian(value, network.parameters.clone())
    curvature = Curvature(take_apart(module).stages, loss, inputs, target, weight)
    found = curvature.hessian(where)
    torch.testing.assert_close(found, wanted[where][:, where])
