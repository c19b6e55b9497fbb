"""From an estimator's parameters to a problem, a trainer and a search."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from numbers import Integral

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_sparsenet._version import __version__
from sklearn_sparsenet.checkpoints import Checkpoint, fingerprint
from sklearn_sparsenet.data import Rows
from sklearn_sparsenet.estimators._identity import identify
from sklearn_sparsenet.estimators._validation import check_bounds, check_hidden_layers
from sklearn_sparsenet.estimators._warnings import warn_user
from sklearn_sparsenet.losses import Loss
from sklearn_sparsenet.networks import Network, build_mlp, find_layers
from sklearn_sparsenet.owned_directories import usable_directory
from sklearn_sparsenet.penalties import as_penalty
from sklearn_sparsenet.problem import Problem
from sklearn_sparsenet.search import (
    BracketSearch,
    ContinuationSearch,
    FixedAlpha,
    Limits,
    OnePassSearch,
    Search,
)
from sklearn_sparsenet.solvers import Schedule, SolverOptions, Validation
from sklearn_sparsenet.targets import Target, match_layers, resolve_target

__all__ = ["Samples", "Seeds", "build_module", "build_problem", "build_search"]

_FULL_BATCH_ROWS = 256
_STEPS_PER_SOLVE = 1000
_LEARNING_RATES = {"adam": 1e-2, "sgd": 1e-1}
_ITERATIONS_PER_SOLVE = 3000
_NOT_OF_A_FIT = ("checkpoint", "verbose")  # parameters that change nothing
_TRIED_ROWS = 8  # for a loss
DEFAULT_SEARCH = "one_pass"  # of the estimators
SEARCHES = {
    "one_pass": OnePassSearch,
    "bracket": BracketSearch,
    "continuation": ContinuationSearch,
}


@dataclass(frozen=True)
class Samples:
    """Training data as the core takes them.

    Attributes
    ----------
    rows : Rows
    target : Tensor
        As the loss takes it.
    weight : Tensor of shape (n_samples,)
    validation : Validation or None
    """

    rows: Rows
    target: Tensor
    weight: Tensor
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


def is_ours(value: object) -> bool:
    """Tell whether a parameter has no code of the user's in it."""
    home = type(value).__module__.split(".")[0]
    return value is None or isinstance(value, str) or home == "sklearn_sparsenet"


def build_module(
    estimator, rows: Rows, n_outputs: int, seed: int, dtype: torch.dtype, device
) -> nn.Module:
    """Return a new module, or a copy of the user's, on its device, not yet trained."""
    if estimator.module is None:
        if len(rows.sample_shape) != 1:
            raise ValueError(
                f"X has samples of shape {rows.sample_shape}; the network of "
                "hidden_layer_sizes takes 1-dimensional ones. Pass a module=."
            )
        module: nn.Module = build_mlp(
            rows.sample_shape[0],
            check_hidden_layers(estimator.hidden_layer_sizes),
            n_outputs,
            estimator.activation,
            torch.Generator().manual_seed(seed),
        )
    else:
        module = adopt_module(estimator.module, rows.sample_shape[0], n_outputs)
    return module.to(device=device, dtype=dtype)


def adopt_module(module: object, n_features: int, n_outputs: int) -> nn.Module:
    """Return a copy of the user's module, or what the user's callable makes.

    Raises
    ------
    TypeError
        If that is no module.
    """
    if isinstance(module, nn.Module):
        return copy.deepcopy(module)
    made = module(n_features, n_outputs)
    if not isinstance(made, nn.Module):
        raise TypeError(
            "module=callable(n_features, n_outputs) must return an nn.Module; got "
            f"{type(made).__name__}."
        )
    return made


@torch.no_grad()
def count_outputs(module: nn.Module, rows: Rows) -> int:
    """Run a module on two samples and return its number of outputs.

    Raises
    ------
    ValueError
        If it cannot take the samples or gives no (n_samples, n_outputs).
    """
    inputs = rows.slice(0, min(2, rows.n_samples))
    was_training = module.training
    try:
        output = module.eval()(inputs)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"module= cannot take samples of shape {rows.sample_shape}: {error}"
        ) from error
    module.train(was_training)
    if (
        not isinstance(output, Tensor)
        or output.shape[0] != len(inputs)
        or (output.ndim > 2)
    ):
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output)
        raise ValueError(
            f"module= must return outputs of shape (n_samples, n_outputs); for "
            f"{len(inputs)} samples it returned {shape}."
        )
    return 1 if output.ndim == 1 else int(output.shape[1])


def try_loss(loss: Loss, n_outputs: int, samples: Samples) -> None:
    """Try a user's loss on outputs far and near, before any training.

    Raises
    ------
    ValueError
        If it cannot be computed, or does not depend on the outputs.
    """
    rows = torch.arange(_TRIED_ROWS, device=samples.target.device)
    target = samples.target[rows % len(samples.target)]
    spread = torch.linspace(-10, 10, _TRIED_ROWS * n_outputs).to(samples.weight)
    output = spread.view(_TRIED_ROWS, n_outputs).requires_grad_()
    shapes = f"outputs {tuple(output.shape)} and targets {tuple(target.shape)}"
    try:
        with torch.enable_grad():
            values = loss.per_sample(output, target).sum()
    except (RuntimeError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(
            f"loss={loss!r} cannot be computed for {shapes} of type {target.dtype}: "
            f"{error}"
        ) from error
    slopes = None
    if values.requires_grad:
        (slopes,) = torch.autograd.grad(values, output, allow_unused=True)
    if slopes is None or not bool(slopes.any()):
        raise ValueError(
            f"loss={loss!r} does not depend on the outputs of the network; a softmax "
            f"of a single one is constant. Tried with {shapes}."
        )


def build_search(
    estimator, module: nn.Module
) -> tuple[Search, Target | None, tuple[str, ...]]:
    """Return the search, its target, and the layers that are penalised.

    Raises
    ------
    ValueError, TypeError
        For impossible targets or λ, naming the layers and their sizes.
    """
    sizes = {name: p.numel() for name, p in find_layers(module).items()}
    if not sizes:
        raise ValueError(
            "module= has no trainable parameter of two or more dimensions."
        )
    if estimator.alpha is not None:
        alphas = _resolve_alpha(estimator.alpha, sizes)
        return FixedAlpha(tuple(alphas.values())), None, tuple(alphas)
    if estimator.target_sparsity is None:
        raise ValueError("Both alpha and target_sparsity are None: give one of them.")
    target = resolve_target(
        estimator.target_sparsity,
        sizes,
        tol=estimator.tol,
        min_layers=estimator.min_layers_on_target,
    )
    search = estimator.search
    if isinstance(search, str):
        search = SEARCHES[default_search(search, estimator.solver)]()
    return search, target, target.layer_names


def default_search(search: str, solver: str) -> str:
    """Return which search a name stands for, given the solver.

    The default search works with proximal steps; certified solutions have their own.
    """
    return "continuation" if solver == "lbfgs" and search == DEFAULT_SEARCH else search


def _resolve_alpha(alpha: object, sizes: dict[str, int]) -> dict[str, float]:
    if np.ndim(alpha) == 0 and not isinstance(alpha, dict):
        alpha = [alpha] * len(sizes)
    matched = match_layers(alpha, sizes, "alpha")
    values = {name: float(value) for name, value in matched.items()}
    if not values or not all(0 <= value < np.inf for value in values.values()):
        raise ValueError(f"alpha={alpha!r}: every λ must be finite and not negative.")
    return values


def build_problem(
    estimator, module: nn.Module, layers: Sequence[str], loss: Loss, samples: Samples
) -> Problem:
    """Put data, loss, network and penalty together."""
    network = Network(module, layers, penalize_bias=estimator.penalize_bias)
    return Problem(
        network,
        loss,
        samples.rows,
        samples.target,
        samples.weight,
        as_penalty(estimator.penalty),
    )


def build_checkpoint(estimator, problem: Problem, *more: object) -> Checkpoint | None:
    """Return where the state of this fit is kept, if anywhere.

    Parameters
    ----------
    estimator : SparseNet
    problem : Problem
        Its network stands at the initial point.
    *more : object
        What the fit depends on besides.

    Raises
    ------
    ValueError
        If the directory cannot be used, or `random_state` is no number: another fit
        would not be the same one.
    """
    if estimator.checkpoint is None:
        return None
    if not isinstance(estimator.random_state, Integral):
        raise ValueError(
            f"checkpoint= needs an int as random_state, got {estimator.random_state!r}:"
            " a fit that draws other numbers cannot go on where this one stopped."
        )
    try:
        directory = usable_directory(estimator.checkpoint)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"checkpoint={estimator.checkpoint!r} must be a directory in which files "
            f"can be made, or one that can be made itself: {error}."
        ) from error
    params = estimator.get_params(deep=False)
    settings = {k: v for k, v in params.items() if k not in _NOT_OF_A_FIT}
    network = repr(problem.network.module)
    who = f"{__version__} {type(estimator).__name__}"  # states change with versions
    text = f"{who} {identify(settings)} {network} {identify(more)}"
    return Checkpoint(
        directory / fingerprint(problem, text),
        lambda message: warn_user(message, UserWarning),
    )


def build_options(estimator, samples: Samples) -> SolverOptions:
    """Resolve the ``"auto"`` settings of the solver for this many samples.

    The budget of a solve is a number of steps; the number of epochs follows from it,
    so that 50 rows and a million get the same.
    """
    n_samples = samples.rows.n_samples
    batch_size = estimator.batch_size
    if batch_size == "auto":
        batch_size = _auto_batch_size(n_samples)
    batch_size = min(batch_size, n_samples)
    max_iter = estimator.max_iter
    if estimator.solver == "lbfgs":
        return _full_batch_options(estimator, n_samples)
    if max_iter == "auto":
        max_iter = ceil(_STEPS_PER_SOLVE / ceil(n_samples / batch_size))
    steps = max_iter * ceil(n_samples / batch_size)
    rate = estimator.learning_rate_init
    if rate == "auto":
        rate = auto_learning_rate(estimator.solver, steps)
    return SolverOptions(
        solver=estimator.solver,
        learning_rate=rate,
        schedule=Schedule(estimator.learning_rate),
        batch_size=batch_size,
        max_iter=max_iter,
        shuffle=estimator.shuffle,
        kkt_tol=estimator.kkt_tol,
        validation=samples.validation,
    )


def auto_learning_rate(solver: str, steps: int) -> float:
    """Return the first step size for a budget of steps.

    Adam's falls with the root of the budget beyond the default one: long runs with
    large steps fit noise (Mg, 5000 steps, 2 % left: test error .32 with 1e-2, .27
    with 5e-3).
    """
    rate = _LEARNING_RATES[solver]
    if solver == "adam" and steps > _STEPS_PER_SOLVE:
        rate *= sqrt(_STEPS_PER_SOLVE / steps)
    return rate


def _full_batch_options(estimator, n_samples: int) -> SolverOptions:
    """Return the settings of ``solver="lbfgs"``, which has neither batches nor steps.

    Raises
    ------
    ValueError
        For settings that contradict it.
    """
    if estimator.early_stopping:
        raise ValueError(
            "solver='lbfgs' solves to optimality; early_stopping=True needs "
            "solver='adam' or 'sgd'."
        )
    size = estimator.batch_size
    if size != "auto" and size < n_samples:
        raise ValueError(
            f"solver='lbfgs' takes all samples at once; batch_size={size} needs "
            "solver='adam' or 'sgd'."
        )
    auto = estimator.max_iter == "auto"
    return SolverOptions(
        solver="lbfgs",
        batch_size=n_samples,
        max_iter=_ITERATIONS_PER_SOLVE if auto else estimator.max_iter,
        kkt_tol=estimator.kkt_tol,
    )


def _auto_batch_size(n_samples: int) -> int:
    """All rows of small data, then 64, from 12800 rows on a two-hundredth, to 512."""
    if n_samples <= _FULL_BATCH_ROWS:
        return n_samples
    return min(512, max(64, n_samples // 200))


def build_limits(estimator, guess: tuple[float, ...] | None) -> Limits:
    """Return where the search starts and how long it may last."""
    debias = estimator.debias
    if debias == "auto":
        # With lbfgs a refit to the last digit fits noise, and the certificate is not
        # its own.
        debias = estimator.alpha is None and estimator.solver != "lbfgs"
    bounds = check_bounds(estimator.alpha_bounds)
    return Limits(bounds, estimator.max_outer_iter, guess, debias)
