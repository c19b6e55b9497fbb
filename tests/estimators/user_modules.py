"""Modules of users on one small table, for tests of what is trained and what is not."""

from functools import partial

import numpy as np
import torch
from torch import nn

QUICK = {"target_sparsity": 12, "tol": 0, "max_iter": 30, "random_state": 0}
HIDDEN = 8
X = np.random.default_rng(0).normal(size=(41, 6))
Y = X[:, 0] - 2 * X[:, 1] + 0.3 * X[:, 2] ** 2


class Two(nn.Module):
    """Two linear layers; subclasses call them in other ways."""

    def __init__(self):
        super().__init__()
        self.a, self.c = nn.Linear(6, HIDDEN), nn.Linear(HIDDEN, 1)

    def hidden(self, x):
        return torch.tanh(self.a(x))

    def forward(self, x):
        return self.c(self.hidden(x))


class Instead(Two):
    """Has functions of itself and of inputs in place of its methods, and more parts."""

    def __init__(self, hidden, forward, parts):
        super().__init__()
        self._hidden, self._forward = hidden, forward
        for name, make in parts.items():
            setattr(self, name, make(self))

    def hidden(self, x):
        return self._hidden(self, x)

    def forward(self, x):
        return self._forward(self, x)


def two(hidden=Two.hidden, forward=Two.forward, **parts):
    """Return what makes a module of two layers; parts are functions of the module."""
    return partial(Instead, hidden, forward, parts)


def linear(fan_in, fan_out):
    """Return a part: one more layer."""
    return lambda module: nn.Linear(fan_in, fan_out)


def chain(*after_first):
    return nn.Sequential(nn.Linear(6, HIDDEN), *after_first, nn.Linear(HIDDEN, 1))


def changed(change, *arguments):
    """Return what makes a chain and changes its first layer."""

    def make():
        module = chain(nn.Tanh())
        change(module[0], *arguments)
        return module

    return make
