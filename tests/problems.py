"""Problems, and modules to make them of, as many tests need them."""

import numpy as np
import torch
from torch import nn

from sklearn_sparsenet.losses import SquaredError
from sklearn_sparsenet.networks.network import Network, build_mlp, find_layers
from sklearn_sparsenet.solvers.dataset import make_dataset
from sklearn_sparsenet.solvers.problem import Problem

F64 = torch.float64


def rows_of(X, dtype=F64, device="cpu"):
    return make_dataset(np.asarray(X), dtype, torch.device(device))


def network_of(sizes, activation="relu", seed=0, **settings):
    generator = torch.Generator().manual_seed(seed)
    module = build_mlp(sizes[0], sizes[1:-1], sizes[-1], activation, generator)
    return Network(module, find_layers(module), **settings)


def problem_of(network, X, y, loss=None, weight=None, **more):
    """Return a problem in double precision, with weights 1 unless they are given."""
    if isinstance(network, nn.Module):
        network = Network(network, find_layers(network))
    weight = torch.ones(len(X), dtype=F64) if weight is None else weight
    y = torch.as_tensor(y)
    return Problem(network, loss or SquaredError(), rows_of(X), y, weight, **more)


class TwoBranches(nn.Module):
    """A linear model whose inputs belong to two layers: convex, with two λ."""

    def __init__(self, n_left, n_right):
        super().__init__()
        self.n_left = n_left
        self.left, self.right = nn.Linear(n_left, 1), nn.Linear(n_right, 1, bias=False)

    def forward(self, x):
        return self.left(x[:, : self.n_left]) + self.right(x[:, self.n_left :])


def hooked(module):
    """Let a hook change what the first layer returns."""
    module[0].register_forward_hook(lambda module, inputs, output: 2 * output)
    return module


def patched(module):
    """Let the first layer do something else than its class says."""
    module[0].forward = lambda inputs: inputs[:, :1].expand(-1, 5)
    return module


def tied(n_units):
    """Return a network of two layers that are one."""
    layer = nn.Linear(n_units, n_units)
    return nn.Sequential(layer, nn.Tanh(), layer)
