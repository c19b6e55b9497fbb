"""A fitted network that is trained on, with rows that have come since."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from sklearn_sparsenet.estimators._agreement import agreed
from sklearn_sparsenet.estimators._build import Samples, build_problem
from sklearn_sparsenet.estimators._coding import Coding, weigh
from sklearn_sparsenet.estimators._fitted import (
    TrainingState,
    network_attributes,
    path_attributes,
    set_fitted,
)
from sklearn_sparsenet.estimators._modules import (
    architecture_of,
    count_outputs,
    linear_layers,
    rows_to_give,
)
from sklearn_sparsenet.estimators._scales import check_range
from sklearn_sparsenet.estimators._settings import (
    Settings,
    build_limits,
    build_pass_options,
    resolve_weight_decay,
)
from sklearn_sparsenet.estimators._specification import check_rows, ready_to_train
from sklearn_sparsenet.estimators._table import Table
from sklearn_sparsenet.estimators._validation import check_same_columns
from sklearn_sparsenet.estimators._weights import as_ratios, weight_tensor
from sklearn_sparsenet.networks.column_maps import change_inputs
from sklearn_sparsenet.networks.compaction import SelectInputs
from sklearn_sparsenet.networks.module_copies import copy_of
from sklearn_sparsenet.networks.paths import find_paths
from sklearn_sparsenet.networks.sparsity import count_per_layer
from sklearn_sparsenet.penalties import FixedSupport
from sklearn_sparsenet.solvers import Moments, Solution, Status, go_on
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.solvers.streamed import StreamedTable
from sklearn_sparsenet.utils.processes import current_processes

__all__ = ["train_on"]


def train_on(fitted: Any, X: Any, y: Any, sample_weight: Any) -> None:
    """Train a fitted network on, in one pass over further rows.

    Its support is held, and there is no penalty, as in a refit. Only where λ was given
    and the network is the penalised solution, steps are proximal ones for that λ. If
    the call fails, or is interrupted, the estimator stays as it was.
    """
    settings = Settings.of(fitted)
    check = partial(_check, settings, fitted, X, y, sample_weight)
    table = agreed(current_processes(), settings, fitted, check)
    known = getattr(fitted, "classes_", None)
    weight = as_ratios(weigh(settings, table.y, table.weight, known))
    table = replace(table, weight=weight).of_positive_weight()
    with ready_to_train(settings, fitted.n_iter_) as (seeds, device):
        problem = _problem(settings, fitted, table, device)
        is_refit = _is_refit(settings, fitted)
        n_layers = len(problem.network.layers)
        alpha = [0.0] * n_layers if is_refit else _alpha(fitted, n_layers)
        if is_refit:
            problem = replace(problem, penalty=FixedSupport(_support(problem)))
        options = build_pass_options(settings, problem.n_samples)
        decay = resolve_weight_decay(settings, problem, options, fitted).final
        problem = replace(problem, weight_decay=decay)
        loss, moments = go_on(
            problem,
            alpha,
            options,
            torch.Generator().manual_seed(seeds.shuffle),
            keep_support=is_refit,
            moments=_unpack(fitted, problem),
        )
        attributes = _attributes(fitted, problem) | {
            "n_iter_": fitted.n_iter_ + 1,
            "loss_curve_": [*fitted.loss_curve_, loss],
            "_moments": _packed(moments, problem),
        }
        if not is_refit:
            attributes |= _judged(problem, alpha) | {"weight_decay_": decay}
    set_fitted(fitted, attributes)


def _is_refit(settings: Settings, fitted: Any) -> bool:
    """Tell whether the support is held; otherwise steps are for a given λ."""
    was_searched = fitted.target_n_nonzero_ is not None
    return was_searched or build_limits(settings, None).debias


def _check(
    settings: Settings, fitted: Any, X: Any, y: Any, sample_weight: Any
) -> Table:
    table = check_rows(settings, X, y, sample_weight)
    check_same_columns(fitted, X)
    _check_architecture(settings, fitted)
    return table


def _check_architecture(settings: Settings, fitted: Any) -> None:
    """Refuse parameters that ask for another network than the fitted one."""
    known = TrainingState.of(fitted).architecture
    if known not in (None, architecture_of(settings)):
        raise ValueError(
            "partial_fit trains the fitted network on, and hidden_layer_sizes, "
            "activation or module were changed since the fit. Call fit for another "
            "network."
        )


def _problem(
    settings: Settings, fitted: Any, table: Table, device: torch.device
) -> Problem:
    """Return the problem of these rows, its network standing where the fit ended."""
    module = copy_of(fitted.module_).to(device)
    units = TrainingState.of(fitted).units
    table = _in_units_of_fit(units, module, table, _is_refit(settings, fitted))
    dtype = next(p.dtype for p in module.parameters() if p.is_floating_point())
    check_range(table.X, dtype)
    rows = table.rows(dtype, device)
    coding = Coding.as_before(settings, fitted, table.y)
    n_outputs = count_outputs(module, rows)
    loss = coding.make_loss(n_outputs)
    target = coding.tensor(n_outputs, dtype).to(device)
    loss.check_target(target)
    if settings.module is not None:
        rows = rows_to_give(module, rows)
    samples = Samples(rows, target, weight_tensor(table.weight, dtype, device))
    problem = build_problem(settings, module, fitted.layer_names_, loss, samples)
    sizes = _sizes_of_inputs(fitted, module)
    if sizes is not None:
        problem.network.fit_steps(sizes, 1.0)
    return problem


def _in_units_of_fit(
    units: Any, module: nn.Module, table: Table, is_refit: bool
) -> Table:
    """Undo, for the training, that a scaler was folded into the network.

    Raw columns may be far from zero, and of very different sizes.
    """
    if units is None:
        return table
    if not is_refit:
        raise ValueError(
            "partial_fit with a given alpha moves weights that are zero, and does not "
            "know the scale of columns that a folded scaler has left out. Train the "
            "last step of the pipeline on, and fold it again."
        )
    if isinstance(table.X, StreamedTable):
        raise TypeError(
            "partial_fit takes arrays, and no dataset, where a scaler was folded into "
            "the network."
        )
    scale, shift = units["scale"], units["shift"]
    change_inputs(module, scale, shift)
    if sparse.issparse(table.X) and not shift.any():
        return replace(table, X=(table.X @ sparse.diags_array(1 / scale)).tocsr())
    X = table.X.toarray() if sparse.issparse(table.X) else table.X
    is_real = np.issubdtype(table.dtype, np.floating)
    dtype = table.dtype if is_real else np.dtype(np.float64)
    return replace(table, X=((X - shift) / scale).astype(dtype), dtype=dtype)


def _sizes_of_inputs(fitted: Any, module: nn.Module) -> Tensor | None:
    """Return how large the inputs of the first layer were in the fit; None: 1."""
    found = TrainingState.of(fitted).input_sizes
    if found is None:
        return None
    sizes = torch.from_numpy(found).to(next(module.parameters()).device)
    for child in module.children():
        if isinstance(child, SelectInputs):  # the network is a compact one
            sizes = sizes[child.index]
    return sizes


def _alpha(fitted: Any, n_layers: int) -> list[float]:
    """Return λ of each layer."""
    return np.broadcast_to(fitted.alpha_, n_layers).tolist()


def _support(problem: Problem) -> Tensor:
    """Return which penalised parameters are nonzero weights, or biases."""
    network = problem.network
    support = network.parameters[: network.n_penalized] != 0
    support[network.n_weights :] = True
    return support


def _moving(problem: Problem) -> Tensor:
    """Return which parameters steps may move, shape (n_parameters,)."""
    moving = torch.ones_like(problem.network.parameters, dtype=torch.bool)
    support = problem.penalty.support_held()
    if support is not None:
        moving[: len(support)] = support
    return moving


def _packed(moments: Moments | None, problem: Problem) -> dict[str, np.ndarray] | None:
    """Return the moments of the parameters that move, as arrays."""
    if moments is None:
        return None
    moving = _moving(problem)
    return {
        "n_steps": np.array(moments.n_steps),
        "mean": moments.mean[moving].cpu().numpy(),
        "square": moments.square[moving].cpu().numpy(),
    }


def _unpack(fitted: Any, problem: Problem) -> Moments | None:
    """Return what `_packed` was given; None if other parameters moved then."""
    found = TrainingState.of(fitted).moments
    moving = _moving(problem)
    if found is None or len(found["mean"]) != int(moving.sum()):
        return None
    flat = {}
    for name in ("mean", "square"):
        flat[name] = torch.zeros_like(problem.network.parameters)
        flat[name][moving] = torch.from_numpy(found[name]).to(flat[name])
    return Moments(int(found["n_steps"]), **flat)


def _attributes(fitted: Any, problem: Problem) -> dict[str, Any]:
    """Return what an estimator gets of the network as it stands."""
    network, names = problem.network, list(fitted.layer_names_)
    module = network.copy_module()
    counts = count_per_layer(network.split(network.weights))
    sizes = network.n_weights, fitted.n_features_in_
    paths = find_paths(module, names, problem.rows.sample_shape)
    units = TrainingState.of(fitted).units
    if units is not None:
        scale, shift = units["scale"], units["shift"]
        change_inputs(module, 1 / scale, -shift / scale)
    found = network_attributes(module, names, counts, *sizes) | path_attributes(paths)
    if hasattr(fitted, "feature_names_in_"):
        found["feature_names_in_"] = fitted.feature_names_in_
    return found | {"_loss_": problem.loss}


def _judged(problem: Problem, alpha: list[float]) -> dict[str, Any]:
    """Return what is known of the network as the penalised solution for λ."""
    facts = {"epochs": 1.0, "seconds": 0.0, "status": Status.BUDGET}
    found = Solution.at(problem, alpha, **facts)
    coefs, intercepts = linear_layers(problem.network.module)
    return {
        "certificate_": found.certificate,
        "penalized_coefs_": coefs,
        "penalized_intercepts_": intercepts,
        "kkt_residual_": found.kkt_residual,
        "loss_": found.loss,
    }
