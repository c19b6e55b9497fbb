"""From parameters to samples, a problem, a search and a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import partial
from math import inf
from numbers import Integral

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_sparsenet._version import __version__
from sklearn_sparsenet.estimators._coding import Coding
from sklearn_sparsenet.estimators._holdout import hold_out
from sklearn_sparsenet.estimators._identity import identify
from sklearn_sparsenet.estimators._settings import Settings
from sklearn_sparsenet.estimators._unit_targets import has_unit_targets
from sklearn_sparsenet.estimators._validation import SEARCHES
from sklearn_sparsenet.estimators._warnings import warn_user
from sklearn_sparsenet.estimators._weights import as_ratios, weight_tensor
from sklearn_sparsenet.losses import Loss
from sklearn_sparsenet.networks.network import Network, find_layers
from sklearn_sparsenet.penalties import Penalty, as_penalty
from sklearn_sparsenet.search import FixedAlpha, Search, as_search
from sklearn_sparsenet.search.targets import (
    Target,
    has_entries,
    match_layers,
    resolve_target,
)
from sklearn_sparsenet.solvers import Validation
from sklearn_sparsenet.solvers.checkpoint import Checkpoint, fingerprint
from sklearn_sparsenet.solvers.dataset import DatasetSubset
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.solvers.rows import Rows
from sklearn_sparsenet.solvers.shared_checkpoint import SharedCheckpoint
from sklearn_sparsenet.utils.arguments import as_number
from sklearn_sparsenet.utils.owned_directories import usable_directory
from sklearn_sparsenet.utils.processes import current_processes

__all__ = [
    "Samples",
    "Seeds",
    "build_checkpoint",
    "build_problem",
    "build_samples",
    "build_search",
    "check_loss",
    "is_ours",
    "try_loss",
]

_NOT_OF_A_FIT = ("checkpoint", "n_jobs", "verbose")  # parameters that change nothing
_TRIED_ROWS = 8  # for a loss
_TRIED_ALPHA, _TRIED_STEP = 1e-3, 1e-2  # for a penalty
_ERRORS_OF_USERS = (RuntimeError, TypeError, ValueError, IndexError, AttributeError)
_TARGETS = {
    "real": "real numbers",
    "indicators": "0.0 and 1.0 in shape (n_samples, n_outputs)",
    "classes": "class indices in shape (n_samples,)",
}


@dataclass(frozen=True)
class Samples:
    """Training data as the core takes them."""

    rows: Rows
    target: Tensor  # as the loss takes it
    weight: Tensor  # of shape (n_samples,)
    validation: Validation | None = None


@dataclass(frozen=True)
class Seeds:
    """One seed for each random thing, all drawn from `random_state`."""

    network: int
    split: int
    shuffle: int

    @classmethod
    def draw(cls, random_state: np.random.RandomState) -> Seeds:
        """Draw them in a fixed order."""
        return cls(*(int(seed) for seed in random_state.randint(2**31 - 1, size=3)))

    def after(self, n_epochs: int) -> Seeds:
        """Return those of a fit that goes on after so many epochs."""
        return Seeds(*(seed + n_epochs for seed in astuple(self)))


def build_samples(
    settings: Settings,
    coding: Coding,
    rows: Rows,
    weight: np.ndarray,
    seeds: Seeds,
    n_outputs: int,
) -> Samples:
    """Put rows, target and weights together; hold some out for early stopping."""
    some = rows.slice(0, 1)
    dtype, device = some.dtype, some.device
    target = coding.tensor(n_outputs, dtype).to(device)
    if not settings.early_stopping:
        return Samples(rows, target, weight_tensor(weight, dtype, device))
    fraction = as_number(settings.validation_fraction)
    kept, held = hold_out(coding.strata, fraction, seeds.split)

    def score(output: Tensor) -> float:
        return coding.score(output, held, as_ratios(weight[held]))

    index = torch.from_numpy(kept).to(device)
    held_rows = DatasetSubset(rows, torch.from_numpy(held).to(device))
    patience = int(as_number(settings.n_iter_no_change))
    validation = Validation(held_rows, score, patience)
    weights = weight_tensor(as_ratios(weight[kept]), dtype, device)
    return Samples(DatasetSubset(rows, index), target[index], weights, validation)


def is_ours(value: object) -> bool:
    """Tell whether a parameter has no code of the user's in it."""
    home = type(value).__module__.split(".")[0]
    return value is None or isinstance(value, str) or home == "sklearn_sparsenet"


def check_loss(loss: Loss, target: Tensor, is_regression: bool) -> None:
    """Refuse, with a ValueError, a loss that says that it is for other targets."""
    given = "classes"
    if target.is_floating_point():
        given = "real" if is_regression else "indicators"
    if given not in loss.targets:
        wanted = " or ".join(_TARGETS[kind] for kind in loss.targets)
        raise ValueError(
            f"loss={loss!r} is for targets that are {wanted}; here they are "
            f"{_TARGETS[given]}."
        )


def try_loss(loss: Loss, n_outputs: int, samples: Samples) -> None:
    """Try a user's loss on outputs far and near, before any training.

    One that cannot be computed, or does not depend on the outputs, is a ValueError.
    """
    rows = torch.arange(_TRIED_ROWS, device=samples.target.device)
    target = samples.target[rows % len(samples.target)]
    spread = torch.linspace(-10, 10, _TRIED_ROWS * n_outputs).to(samples.weight)
    output = spread.view(_TRIED_ROWS, n_outputs).requires_grad_()
    shapes = f"outputs {tuple(output.shape)} and targets {tuple(target.shape)}"
    try:
        with torch.enable_grad():
            values = loss.per_sample(output, target).sum()
            predicted = loss.predict(output.detach())
    except _ERRORS_OF_USERS as error:
        raise ValueError(
            f"loss={loss!r} cannot be computed for {shapes} of type {target.dtype}: "
            f"{error}"
        ) from error
    if not isinstance(predicted, Tensor) or predicted.shape != output.shape:
        raise ValueError(
            f"loss={loss!r} must predict a tensor of the shape of the outputs; for "
            f"{shapes} it predicts {predicted!r}."
        )
    slopes = None
    if values.requires_grad:
        (slopes,) = torch.autograd.grad(values, output, allow_unused=True)
    if slopes is None or not bool(slopes.any()):
        raise ValueError(
            f"loss={loss!r} does not depend on the outputs of the network; a softmax "
            f"of a single one is constant. Tried with {shapes}."
        )


def build_search(
    settings: Settings, module: nn.Module
) -> tuple[Search, Target | None, tuple[str, ...]]:
    """Return the search, its target, and the layers that are penalised.

    Impossible targets and λ are refused, with the names of the layers and their sizes.
    """
    sizes = {name: p.numel() for name, p in find_layers(module).items()}
    if not sizes:
        raise ValueError(
            "module= has no weights to count: it has no trainable parameter of two or "
            "more dimensions. Frozen parameters are left as they are; call "
            "requires_grad_(True) on those that are to be trained."
        )
    if settings.alpha is not None:
        alphas = _resolve_alpha(settings.alpha, sizes)
        return FixedAlpha(tuple(alphas.values())), None, tuple(alphas)
    with_units = has_unit_targets(settings)
    if settings.target_sparsity is None and not with_units:
        raise ValueError(
            "alpha, target_sparsity, target_inputs and target_units are None: give one "
            "of them."
        )
    target = resolve_target(
        settings.target_sparsity,
        sizes,
        tol=as_number(settings.tol),
        min_layers=as_number(settings.min_layers_on_target),
        with_units=with_units,
    )
    search = settings.search
    if isinstance(search, str):
        # The default works with proximal steps; certified solutions have their own.
        is_certified = settings.solver == "lbfgs" and search == "one_pass"
        search = SEARCHES["continuation" if is_certified else search]()
    search = as_search(search)
    if settings.solver not in search.solvers:
        raise ValueError(
            f"search={settings.search!r} goes with solver="
            f"{' or '.join(map(repr, search.solvers))}, not with {settings.solver!r}."
        )
    if with_units and not search.takes_units:
        raise ValueError(
            "target_inputs and target_units go with search='one_pass', not with "
            f"{settings.search!r}."
        )
    return search, target, target.layer_names


def _resolve_alpha(alpha: object, sizes: dict[str, int]) -> dict[str, float]:
    entries = alpha if has_entries(alpha) else [alpha] * len(sizes)
    matched = match_layers(entries, sizes, "alpha")
    values = {name: as_number(value) for name, value in matched.items()}
    possible = (value is not None and 0 <= value < inf for value in values.values())
    if not values or not all(possible):
        raise ValueError(
            f"alpha={alpha!r}: every λ must be a number, finite and not negative."
        )
    return {name: float(value) for name, value in values.items()}


def build_problem(
    settings: Settings,
    module: nn.Module,
    layers: Sequence[str],
    loss: Loss,
    samples: Samples,
) -> Problem:
    """Put data, loss, network and penalty together."""
    network = Network(module, layers, penalize_bias=settings.penalize_bias)
    penalty = as_penalty(settings.penalty)
    if not isinstance(settings.penalty, str):
        _try_penalty(penalty, network)
    return Problem(network, loss, samples.rows, samples.target, samples.weight, penalty)


def _try_penalty(penalty: Penalty, network: Network) -> None:
    """Refuse a user's penalty that cannot be computed, before any training."""
    strengths = [_TRIED_ALPHA] * len(network.layers)
    for where, shape, alpha in network.blocks(strengths, penalty.separable):
        weight = network.parameters[where].view(shape).clone()
        try:
            moved = penalty.prox(weight, _TRIED_STEP, alpha)
            distance = penalty.subdifferential_distance(moved, weight, alpha)
            value = penalty.value(moved, alpha)
            fits = moved.shape == distance.shape == weight.shape and value.ndim == 0
        except _ERRORS_OF_USERS as error:
            raise ValueError(
                f"penalty={penalty!r} cannot be computed for weights of shape "
                f"{tuple(shape)}: {error}"
            ) from error
        if not fits:
            raise ValueError(
                f"penalty={penalty!r} must give one number of all weights as its value,"
                " and one of each as its prox and its distance."
            )


def build_checkpoint(
    settings: Settings, problem: Problem, *more: object
) -> Checkpoint | None:
    """Return where the state of this fit is kept, if anywhere.

    The processes of a fit share it. It is known by its settings, by its problem, whose
    network stands at the initial point, and by `more` that it depends on. A directory
    that cannot be used is refused, and a `random_state` that is no number: another fit
    would be another one.
    """
    if settings.checkpoint is None:
        return None
    if not isinstance(settings.random_state, Integral):
        raise ValueError(
            f"checkpoint= needs an int as random_state, got {settings.random_state!r}:"
            " a fit that draws other numbers cannot go on where this one stopped."
        )
    try:
        directory = usable_directory(settings.checkpoint)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"checkpoint={settings.checkpoint!r} must be a directory in which files "
            f"can be made, or one that can be made itself: {error}."
        ) from error
    values = {k: v for k, v in settings.values.items() if k not in _NOT_OF_A_FIT}
    network = repr(problem.network.module)
    who = f"{__version__} {settings.kind.__name__}"  # states change with versions
    text = f"{who} {identify(values)} {network} {identify(more)}"
    where = directory / fingerprint(problem, text)
    warn = partial(warn_user, category=UserWarning)
    return current_processes().joint(
        Checkpoint(where, warn),
        lambda _, processes: SharedCheckpoint(where, warn, processes),
    )
