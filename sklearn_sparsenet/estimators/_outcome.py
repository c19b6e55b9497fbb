"""What a fit found, as fitted attributes and words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np
import torch
from torch import nn

from sklearn_sparsenet.estimators._validation import CALLBACK_ATTRIBUTES
from sklearn_sparsenet.networks.network import find_nonsmooth
from sklearn_sparsenet.optimality import Certificate
from sklearn_sparsenet.search import Trial
from sklearn_sparsenet.search.targets import Target
from sklearn_sparsenet.solvers import Solution
from sklearn_sparsenet.solvers.problem import Problem

__all__ = [
    "describe",
    "history",
    "interruption",
    "is_constant",
    "kept_on_errors",
    "linear_layers",
    "narrowing",
    "unless_per_layer",
]

_ASKED, _SAME = 256, 1e-6  # samples, and by how much their outputs differ
_ASKED_ELEMENTS = 2**22  # of fewer samples, where they have many inputs


def describe(certificate: Certificate, kkt_tol: float, module: nn.Module) -> str:
    """Say how far from a minimiser the penalised solution is, and whose fault it is."""
    text = (
        f"the optimality conditions do not hold to kkt_tol={kkt_tol:g}: the residual "
        f"is at most {certificate.largest:.2g} times λ, its root mean square "
        f"{certificate.root_mean_square:.2g}, and {certificate.violations:.2%} of the "
        "weights exceed 0.01"
    )
    kinks = find_nonsmooth(module)
    if kinks:
        return (
            f"{text}. {', '.join(kinks)} is not smooth: minimisers lie on kinks, where "
            "these conditions need not hold. A smooth activation ('tanh', 'silu') can "
            "be certified"
        )
    return f"{text}. Raise max_iter or kkt_tol"


def interruption(estimator: Any) -> str:
    """Say what an interrupted fit has kept."""
    goal = estimator.target_n_nonzero_
    asked = "" if goal is None else f" (asked for {goal})"
    text = (
        f"{type(estimator).__name__} was interrupted; it keeps the network that it had,"
        f" with {estimator.n_nonzero_} weights{asked}, and converged_ is False."
    )
    if estimator.checkpoint is None:
        return text
    return f"{text} The same fit goes on from its checkpoint."


def linear_layers(module: nn.Module) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return copies of the weights (fan_in, fan_out) and biases of linear layers."""
    linear = [child for child in module.modules() if isinstance(child, nn.Linear)]
    coefs = [layer.weight.detach().cpu().numpy().T.copy() for layer in linear]
    biases = [layer.bias for layer in linear if layer.bias is not None]
    return coefs, [bias.detach().cpu().numpy().copy() for bias in biases]


def unless_per_layer(target: Target | None) -> int | np.ndarray | None:
    """Return the numbers of weights asked for: one, one for each layer, or None."""
    if target is None:
        return None
    return np.array(target.n_nonzero) if target.per_layer else target.n_nonzero[0]


def history(trials: Sequence[Trial]) -> dict[str, np.ndarray]:
    """Turn the trials of a search into a dict of arrays, one entry per solve."""
    alphas = np.array([trial.alpha for trial in trials])
    solutions = [trial.solution for trial in trials]
    per_layer = np.array([solution.counts for solution in solutions])
    return {
        "alpha": alphas[:, 0] if alphas.shape[1] == 1 else alphas,
        "n_nonzero": per_layer.sum(axis=1),
        "n_nonzero_per_layer": per_layer,
        "loss": np.array([solution.loss for solution in solutions]),
        "kkt_residual": np.array([solution.kkt_residual for solution in solutions]),
        "epochs": np.array([solution.epochs for solution in solutions]),
        "seconds": np.array([solution.seconds for solution in solutions]),
        "status": np.array([solution.status.name.lower() for solution in solutions]),
    }


def narrowing(trained: Solution | None) -> dict[str, np.ndarray] | None:
    """Turn the order statistics of a one-pass search into a dict of arrays."""
    if trained is None or not trained.trace:
        return None
    progress, counts, alphas = zip(*trained.trace, strict=True)
    return {
        "epoch": np.array(progress) * trained.epochs,
        "n_nonzero": np.array(counts),
        "alpha": np.array(alphas),
    }


@torch.no_grad()
def is_constant(problem: Problem) -> bool:
    """Tell whether a network says the same for samples and targets that differ.

    As one does in which all units of a layer are dead, or nearly so. Asked are some
    samples, from all over the data.
    """
    n_samples, n_inputs = problem.n_samples, max(1, prod(problem.rows.sample_shape))
    n_asked = min(n_samples, _ASKED, max(2, _ASKED_ELEMENTS // n_inputs))
    index = torch.linspace(0, n_samples - 1, n_asked).long()
    index = index.to(problem.target.device)
    inputs, target = problem.rows.take(index), problem.target[index]
    if not bool((inputs != inputs[:1]).any() & (target != target[:1]).any()):
        return False
    outputs = problem.network(inputs)
    spread = (outputs - outputs[:1]).abs().max()
    return bool(spread <= _SAME * (1 + outputs.abs().max()))


@contextmanager
def kept_on_errors(estimator: Any) -> Iterator[None]:
    """Leave an estimator as it was if a fit comes to nothing."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        new = vars(estimator).keys() - before.keys()
        for name in new.difference(CALLBACK_ATTRIBUTES):
            delattr(estimator, name)
        fitted = before.keys() - estimator.get_params(deep=False).keys()
        for name in fitted.difference(CALLBACK_ATTRIBUTES):
            setattr(estimator, name, before[name])
        raise
