"""A module that does not compute with what is counted is refused before training."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from sklearn_sparsenet import SparseNetRegressor
from tests.estimators.user_modules import (
    HIDDEN,
    QUICK,
    Two,
    X,
    Y,
    chain,
    changed,
    linear,
    two,
)


def by_numpy(s, x):
    return torch.from_numpy(Two.hidden(s, x).detach().numpy())


def with_u_in_training(s, x):
    return torch.tanh(s.a(x) + s.u(x) if s.training else s.a(x))


def closed_over(s):
    first = s.a
    return lambda x: torch.tanh(first(x))


def by_w(s, x):
    return torch.tanh(x @ s.w.t())


def by_cache(s, x):
    if s.w is None:
        s.w = 2 * s.a.weight
    return by_w(s, x)


def replacing(s, x):
    s.a.weight = nn.Parameter(s.a.weight.detach().clone())
    return Two.hidden(s, x)


def moving(s, x):
    s.a.weight.data = s.a.weight.data.clone()
    return Two.hidden(s, x)


def forgetting_gradients(s, x):
    s.zero_grad(set_to_none=True)
    return Two.hidden(s, x)


def by_unit_rows(s, x):
    return torch.tanh(x @ (s.a.weight / s.a.weight.norm(dim=1)[:, None]).t())


class OneMemory(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 1)
        self.c = nn.Linear(6, 6)
        self.c.weight = nn.Parameter(self.a.weight.t())

    def forward(self, x):
        return self.b(torch.tanh(self.c(torch.tanh(self.a(x)))))


class Plus(nn.Module):
    def forward(self, weight):
        return weight + 1


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


REMOVE = "'0.weight'.*remove_parametrizations"
NO_GRADIENT = "'a.weight', but no gradient"
IDLE = "does not compute with 'a.weight'"
pruned = changed(prune.random_unstructured, "weight", 0.3)
REFUSED = {
    "pruned": (pruned, "'0.weight'.*prune.remove"),
    "pruned, used": (used(pruned), "'0.weight'.*prune.remove"),
    "old weight_norm": (changed(nn.utils.weight_norm), "'0.weight.*remove_weight_norm"),
    "weight_norm": (
        changed(parametrizations.weight_norm),
        "'0.*weight.*remove_parametrizations",
    ),
    "orthogonal": (changed(parametrizations.orthogonal), REMOVE),
    "shifted": (
        changed(parametrize.register_parametrization, "weight", Plus()),
        REMOVE,
    ),
    "old spectral_norm": (
        changed(nn.utils.spectral_norm),
        "finite outputs where '0.weight_orig' is zero.*remove_parametrizations",
    ),
    "spectral_norm": (
        changed(parametrizations.spectral_norm),
        "where '0.parametrizations.weight.original' is zero.*remove_parametrizations",
    ),
    "unit rows": (two(by_unit_rows), "finite outputs where 'a.weight' is zero"),
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
    "no_grad": (two(torch.no_grad()(Two.hidden)), f"{NO_GRADIENT}.*requires_grad_"),
    "detached": (two(lambda s, x: Two.hidden(s, x).detach()), NO_GRADIENT),
    "NumPy": (two(by_numpy), NO_GRADIENT),
    "rounded": (two(lambda s, x: Two.hidden(s, x).round()), NO_GRADIENT),
    "whole numbers": (
        two(forward=lambda s, x: Two.forward(s, x).long()),
        "'a.weight', 'c.weight', but no gradient",
    ),
    "hook for zero": (with_hook("register_hook", torch.zeros_like), NO_GRADIENT),
    "hook for none": (
        with_hook("register_post_accumulate_grad_hook", drop_gradient),
        "moves 'a.weight'",
    ),
    "unused": (two(u=linear(6, HIDDEN)), "compute with 'u.weight'.*requires_grad_"),
    "in training only": (
        two(with_u_in_training, u=linear(6, HIDDEN)),
        "'u.weight', but in eval mode",
    ),
    "closure": (two(lambda s, x: s.f(x), f=closed_over), f"{IDLE}.*closure"),
    "shared memory": (two(by_w, w=lambda s: s.a.weight.data), IDLE),
    "cached": (two(by_cache, w=lambda s: None), f"{IDLE}.*cache"),
    "not a leaf": (two(by_w, w=lambda s: 2 * s.a.weight), IDLE),
    "replacing": (two(replacing), "replaces or moves 'a.weight'"),
    "moving": (two(moving), "replaces or moves 'a.weight'"),
    "forgets gradients": (two(forgetting_gradients), "moves .*'a.weight'"),
    "one memory": (OneMemory, "same memory, 'a.weight' and 'c.weight'"),
    "not copied": (
        two(n=lambda s: (k for k in range(3))),
        "cannot be copied.*generator",
    ),
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
