"""What a fit found, as fitted attributes and words."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import nn

from sklearn_sparsenet.estimators._fitted import (
    TrainingState,
    network_attributes,
    path_attributes,
)
from sklearn_sparsenet.estimators._modules import architecture_of, linear_layers
from sklearn_sparsenet.estimators._specification import Specification
from sklearn_sparsenet.estimators._unit_targets import has_unit_targets
from sklearn_sparsenet.networks.network import find_nonsmooth
from sklearn_sparsenet.networks.paths import find_paths
from sklearn_sparsenet.optimality import Certificate
from sklearn_sparsenet.search import Trial
from sklearn_sparsenet.search.targets import Target
from sklearn_sparsenet.search.trainer import Trainer
from sklearn_sparsenet.search.training import TrainingResult
from sklearn_sparsenet.solvers import Solution
from sklearn_sparsenet.solvers.problem import Problem

__all__ = [
    "attributes_for_predictions",
    "fitted_attributes",
    "interruption",
    "message_of",
]

_ASKED, _SAME = 256, 1e-6  # samples, and by how much their outputs differ
_ASKED_ELEMENTS = 2**22  # of fewer samples, where they have many inputs


def attributes_for_predictions(
    spec: Specification, module: nn.Module, counts: Sequence[int]
) -> dict[str, Any]:
    """Return the attributes with which an estimator predicts as a network does.

    The module is a copy of the network; counts are the nonzero weights of each layer.
    """
    network, problem = spec.problem.network, spec.problem
    names = [layer.name for layer in network.layers]
    sizes = network.n_weights, spec.features["n_features_in_"]
    return {
        **spec.features,
        **spec.coding.attributes,
        **network_attributes(module, names, counts, *sizes),
        "_loss_": problem.loss,
        "_sample_shape": problem.rows.sample_shape,
        "_is_sparse": False,
        "_fill": None,  # in place of missing inputs, of estimators with an imputer
    }


def fitted_attributes(
    spec: Specification, trainer: Trainer, result: TrainingResult
) -> dict[str, Any]:
    """Return what an estimator gets; leave the network at the final solution."""
    network = spec.problem.network
    penalized, final, search = result.penalized, result.final, result.search
    network.restore(penalized.state)
    coefs, intercepts = linear_layers(network.module)
    network.restore(final.state)
    sizes = network.input_sizes
    module = network.copy_module()
    if spec.settings.module is None and trainer.flow is not None:
        paths = trainer.flow.paths()
    else:  # a user's module may have changed by more than its weights
        names = [layer.name for layer in network.layers]
        paths = find_paths(module, names, spec.problem.rows.sample_shape)
    scores = [value for part in result.stages for value in part.validation_scores]
    return {
        **attributes_for_predictions(spec, module, final.counts),
        **path_attributes(paths),
        "_n_outputs_asked": spec.coding.n_outputs,
        **TrainingState(
            input_sizes=None if sizes is None else sizes.cpu().numpy(),
            architecture=architecture_of(spec.settings),
        ).attributes(),
        "certificate_": penalized.certificate,
        "penalized_coefs_": coefs,
        "penalized_intercepts_": intercepts,
        "target_n_nonzero_": _asked(result.target, final.counts),
        "alpha_": _alpha(spec, result),
        "weight_decay_": float(spec.problem.weight_decay),
        "kkt_residual_": penalized.kkt_residual,
        "loss_": penalized.loss,
        "loss_curve_": [value for part in result.stages for value in part.loss_curve],
        "validation_scores_": scores if spec.settings.early_stopping else None,
        "search_history_": _history(search.history),
        "narrowing_history_": _narrowing(search.refitted),
        "n_outer_iter_": len(search.history),
        "n_iter_": result.n_epochs,
        "converged_": result.converged,
    }


def _alpha(spec: Specification, result: TrainingResult) -> float | np.ndarray:
    """Return λ: one for each layer if targets are, or if λ was given so."""
    found, given = np.array(result.search.best.alpha), spec.settings.alpha
    per_layer = isinstance(given, dict) or np.ndim(given) > 0
    if result.target is not None:
        per_layer = result.target.per_layer
    return found if per_layer else float(found[0])


def message_of(
    spec: Specification, result: TrainingResult, attributes: dict[str, Any]
) -> str | None:
    """Return what to warn of: a target that was missed, a dead network.

    The attributes are those of `fitted_attributes`; the network still stands there.
    """
    settings, n_live = spec.settings, attributes["n_live_"]
    searched = result.target is not None
    is_missed = not (result.met and result.search.met)
    parts = []
    if is_missed and result.was_stopped:
        parts.append("A callback stopped the training, and the best state is kept")
    elif is_missed:
        reason = result.search.reason or "the refit made weights exactly zero"
        advice = "Raise tol, max_outer_iter or max_iter"
        if "alpha_bounds" not in spec.search.ignored(spec.limits, spec.problem.penalty):
            advice += ", or widen alpha_bounds"
        if has_unit_targets(settings):
            advice = "Ask for more weights, or for all with target_sparsity=None"
        parts.append(f"Reason: {reason}. {advice}")
    if searched and n_live != 0 and _is_constant(spec.problem):
        parts.append(
            "The output is constant, though there are paths to it, because the units "
            "of a layer are dead. A smaller learning_rate_init may help"
        )
    certificate, kkt_tol = attributes["certificate_"], settings.kkt_tol
    if settings.solver == "lbfgs" and attributes["kkt_residual_"] > kkt_tol:
        parts.append(_describe(certificate, kkt_tol, attributes["module_"]))
    if searched and n_live == 0:
        parts.append(
            "No weight lies on a path from an input to an output, so that the "
            f"output is constant. A path through the {len(attributes['layer_names_'])} "
            "layers takes one weight in each: ask for more"
        )
    if not parts:
        return None
    if searched:
        goal = attributes["target_n_nonzero_"]
        per_layer = "_per_layer" if np.ndim(goal) else ""
        kept = attributes[f"n_nonzero{per_layer}_"]
        parts.insert(0, f"asked for {goal} weights (tol={settings.tol}), kept {kept}")
    return f"{settings.kind.__name__}: {'. '.join(parts)}."


def _describe(certificate: Certificate, kkt_tol: float, module: nn.Module) -> str:
    """Say how far from a minimiser the penalised solution is, and whose fault it is."""
    text = (
        f"The optimality conditions do not hold to kkt_tol={kkt_tol:g}: the residual "
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


def _asked(target: Target | None, counts: Sequence[int]) -> int | np.ndarray | None:
    """Return the numbers of weights asked for: one, one for each layer, or None."""
    if target is None:
        return None
    reached = target.reached(counts)
    return np.array(reached) if target.per_layer else reached[0]


def _history(trials: Sequence[Trial]) -> dict[str, np.ndarray]:
    """Turn the trials of a search into a dict of arrays, one entry per solve."""
    alphas = np.array([trial.alpha for trial in trials])
    solutions = [trial.solution for trial in trials]
    per_layer = np.array([solution.counts for solution in solutions])
    numbers = ("loss", "kkt_residual", "epochs", "seconds")
    return {
        "alpha": alphas[:, 0] if alphas.shape[1] == 1 else alphas,
        "n_nonzero": per_layer.sum(axis=1),
        "n_nonzero_per_layer": per_layer,
        **{name: np.array([getattr(s, name) for s in solutions]) for name in numbers},
        "status": np.array([solution.status.name.lower() for solution in solutions]),
    }


def _narrowing(trained: Solution | None) -> dict[str, np.ndarray] | None:
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
def _is_constant(problem: Problem) -> bool:
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
