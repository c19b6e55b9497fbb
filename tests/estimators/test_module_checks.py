"""A module that does not compute with what is counted is refused before training."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from sklearn_sparsenet import SparseNetRegressor

QUICK = {"target_sparsity": 12, "tol": 0, "max_iter": 30, "random_state": 0}
rng = np.random.default_rng(0)
X = rng.normal(size=(41, 6))
Y = X[:, 0] - 2 * X[:, 1] + 0.3 * X[:, 2] ** 2
HIDDEN = 8


class Two(nn.Module):
    """Two linear layers; subclasses call them in other ways."""

    def __init__(self):
        super().__init__()
        self.a, self.c = nn.Linear(6, HIDDEN), nn.Linear(HIDDEN, 1)

    def hidden(self, x):
        return torch.tanh(self.a(x))

    def forward(self, x):
        return self.c(self.hidden(x))


class NoGrad(Two):
    def hidden(self, x):
        with torch.no_grad():
            return super().hidden(x)


class Detached(Two):
    def hidden(self, x):
        return super().hidden(x).detach()


class ByNumpy(Two):
    def hidden(self, x):
        return torch.from_numpy(super().hidden(x).detach().numpy())


class Rounded(Two):
    def hidden(self, x):
        return super().hidden(x).round()


class Whole(Two):
    def forward(self, x):
        return super().forward(x).long()


class Unused(Two):
    def __init__(self):
        super().__init__()
        self.u = nn.Linear(6, HIDDEN)


class InTrainingOnly(Unused):
    def hidden(self, x):
        return torch.tanh(self.a(x) + self.u(x) if self.training else self.a(x))


class Closure(Two):
    def __init__(self):
        super().__init__()
        first = self.a
        self.function = lambda x: torch.tanh(first(x))

    def hidden(self, x):
        return self.function(x)


class SharedMemory(Two):
    def __init__(self):
        super().__init__()
        self.w = self.a.weight.data

    def hidden(self, x):
        return torch.tanh(x @ self.w.t())


class Cached(Two):
    weight = None

    def hidden(self, x):
        if self.weight is None:
            self.weight = 2 * self.a.weight
        return torch.tanh(x @ self.weight.t())


class NonLeaf(Two):
    def __init__(self):
        super().__init__()
        self.w = 2 * self.a.weight

    def hidden(self, x):
        return torch.tanh(x @ self.w.t())


class Replacing(Two):
    def hidden(self, x):
        self.a.weight = nn.Parameter(self.a.weight.detach().clone())
        return super().hidden(x)


class Moving(Two):
    def hidden(self, x):
        self.a.weight.data = self.a.weight.data.clone()
        return super().hidden(x)


class ForgetsGradients(Two):
    def hidden(self, x):
        self.zero_grad(set_to_none=True)
        return super().hidden(x)


class OneMemory(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 1)
        self.c = nn.Linear(6, 6)
        self.c.weight = nn.Parameter(self.a.weight.t())

    def forward(self, x):
        return self.b(torch.tanh(self.c(torch.tanh(self.a(x)))))


class UnitRows(Two):
    def hidden(self, x):
        return torch.tanh(x @ (self.a.weight / self.a.weight.norm(dim=1)[:, None]).t())


class NotCopied(Two):
    def __init__(self):
        super().__init__()
        self.numbers = (k for k in range(3))


class Plus(nn.Module):
    def forward(self, weight):
        return weight + 1


def chain(*after_first):
    return nn.Sequential(nn.Linear(6, HIDDEN), *after_first, nn.Linear(HIDDEN, 1))


def changed(change, *arguments):
    def make():
        module = chain(nn.Tanh())
        change(module[0], *arguments)
        return module

    return make


def used(make):
    """Return a module that has been called: what it computes is no leaf then."""

    def make_and_use():
        module = make()
        with torch.no_grad():
            module(torch.zeros(2, 6))
        return module

    return make_and_use


def with_hook(register, hook):
    def make():
        module = Two()
        getattr(module.a.weight, register)(hook)
        return module

    return make


def spoiled():
    module = Two()
    with torch.no_grad():
        module.a.weight[0, 0] = torch.nan
    return module


def drop_gradient(parameter):
    parameter.grad = None


pruned = changed(prune.random_unstructured, "weight", 0.3)
REFUSED = {
    "pruned": (pruned, "'0.weight'.*prune.remove"),
    "pruned, used": (used(pruned), "'0.weight'.*prune.remove"),
    "old weight_norm": (changed(nn.utils.weight_norm), "'0.weight.*remove_weight_norm"),
    "weight_norm": (
        changed(parametrizations.weight_norm),
        "'0.*weight.*remove_parametrizations",
    ),
    "orthogonal": (
        changed(parametrizations.orthogonal),
        "'0.weight'.*remove_parametrizations",
    ),
    "shifted": (
        changed(parametrize.register_parametrization, "weight", Plus()),
        "'0.weight'.*remove_parametrizations",
    ),
    "old spectral_norm": (
        changed(nn.utils.spectral_norm),
        "finite outputs where '0.weight_orig' is zero.*remove_parametrizations",
    ),
    "spectral_norm": (
        changed(parametrizations.spectral_norm),
        "where '0.parametrizations.weight.original' is zero.*remove_parametrizations",
    ),
    "unit rows": (UnitRows, "finite outputs where 'a.weight' is zero"),
    "scripted": (lambda: torch.jit.script(Two()), "torch.jit .all of it.*Pass the nn"),
    "traced": (
        lambda: torch.jit.trace(chain(), torch.zeros(2, 6)),
        "torch.jit .all of it.*Pass the nn.Module",
    ),
    "scripted part": (
        lambda: nn.Sequential(torch.jit.script(nn.Linear(6, 8)), nn.Linear(8, 1)),
        r"torch.jit \(0\).*Pass the nn.Module",
    ),
    "frozen": (lambda: Two().requires_grad_(False), "requires_grad_"),
    "no_grad": (NoGrad, "'a.weight', but no gradient.*requires_grad_"),
    "detached": (Detached, "'a.weight', but no gradient"),
    "NumPy": (ByNumpy, "'a.weight', but no gradient"),
    "rounded": (Rounded, "'a.weight', but no gradient"),
    "whole numbers": (Whole, "'a.weight', 'c.weight', but no gradient"),
    "hook for zero": (
        with_hook("register_hook", torch.zeros_like),
        "'a.weight', but no gradient",
    ),
    "hook for none": (
        with_hook("register_post_accumulate_grad_hook", drop_gradient),
        "moves 'a.weight'",
    ),
    "unused": (Unused, "does not compute with 'u.weight'.*requires_grad_"),
    "in training only": (InTrainingOnly, "'u.weight', but in eval mode"),
    "closure": (Closure, "does not compute with 'a.weight'.*closure"),
    "shared memory": (SharedMemory, "does not compute with 'a.weight'"),
    "cached": (Cached, "does not compute with 'a.weight'.*cache"),
    "not a leaf": (NonLeaf, "does not compute with 'a.weight'"),
    "replacing": (Replacing, "replaces or moves 'a.weight'"),
    "moving": (Moving, "replaces or moves 'a.weight'"),
    "forgets gradients": (ForgetsGradients, "moves .*'a.weight'"),
    "one memory": (OneMemory, "same memory, 'a.weight' and 'c.weight'"),
    "not copied": (NotCopied, "cannot be copied.*generator"),
    "complex": (
        lambda: nn.Sequential(nn.Linear(6, 1, dtype=torch.complex64)),
        "'0.weight' of torch.complex64",
    ),
    "without values": (lambda: Two().to("meta"), "'a.weight'.*on meta.*to_empty"),
    "not finite": (spoiled, "not finite: 'a.weight'"),
    "one sample": (
        lambda: chain(nn.BatchNorm1d(HIDDEN, track_running_stats=False)),
        "single sample in eval mode.*more than 1 value",
    ),
}


@pytest.mark.filterwarnings("ignore:.*torch.(jit|nn.utils.weight_norm):Warning")
@pytest.mark.parametrize("as_callable", [False, True])
@pytest.mark.parametrize("name", REFUSED)
def test_what_would_not_be_trained_is_refused(monkeypatch, name, as_callable):
    make, message = REFUSED[name]
    monkeypatch.setattr("sklearn_sparsenet.search.path.train", None)
    torch.manual_seed(0)
    module = (lambda p, k: make()) if as_callable else make()
    net = SparseNetRegressor(module=module, **QUICK)
    with pytest.raises((TypeError, ValueError), match=f"module=.*{message}"):
        net.fit(X.astype(np.float32), Y)
