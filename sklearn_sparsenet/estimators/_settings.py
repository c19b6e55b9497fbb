"""The parameters of an estimator, as one fit reads them, and what "auto" stands for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, prod, sqrt
from typing import Any

from sklearn.base import is_classifier

from sklearn_sparsenet.estimators._validation import check_bounds
from sklearn_sparsenet.search import SearchBudget
from sklearn_sparsenet.solvers import (
    Schedule,
    SolverOptions,
    Validation,
    distinct_samples,
    mean_square,
    unexplained_share,
)
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.utils.arguments import as_number

__all__ = [
    "OF_ONE_TARGET",
    "Settings",
    "WeightDecay",
    "auto_batch_size",
    "auto_learning_rate",
    "build_limits",
    "build_options",
    "build_pass_options",
    "resolve_weight_decay",
]

# What estimators that choose their target are without.
OF_ONE_TARGET = {
    "target_sparsity": None,
    "alpha": None,
    "warm_start": False,
    "checkpoint": None,
}

_FULL_BATCH_ROWS = 256
_STEPS_PER_SOLVE = 1000
_LEARNING_RATES = {"adam": 1e-2, "sgd": 1e-1}
_ITERATIONS_PER_SOLVE = 3000
# Of a network that is trained on, times the first step size: with larger steps rows
# that are like the ones before do harm, with smaller ones a drift is lost (figures in
# docs/design_notes.md).
_PASS_RATE = 0.3
# Weight decay of noiseless data, and what noise adds to it, in terms of 1/n, for up to
# so many samples, and the most there is, for beyond it networks collapse; above so many
# samples, or elements of X, or below so many steps, there is none (figures in
# docs/design_notes.md).
_LEAST_DECAY, _DECAY_OF_NOISE, _FEW_SAMPLES, _MOST_DECAY = 1.0, 20.0, 1500, 0.05
_MANY_SAMPLES, _MANY_ELEMENTS, _FEW_STEPS = 10_000, 2**24, 200
# Until a support is held: the most there is, from which part of the loss on that is
# unexplained it is less, and the least bound in terms of 1/n.
_SEARCH_DECAY, _HARDLY_EXPLAINED, _LEAST_BOUND = 0.005, 0.75, 3.0


@dataclass(frozen=True)
class Settings:
    """Parameters, as attributes: a fit reads them here, and changes no estimator."""

    kind: type  # the class of the estimator
    is_classification: bool
    values: dict[str, Any]  # by the names of the parameters

    @classmethod
    def of(cls, estimator: Any, **changes: Any) -> Settings:
        """Return the parameters of an estimator, but for changes."""
        values = OF_ONE_TARGET | estimator.get_params(deep=False) | changes
        return cls(type(estimator), is_classifier(estimator), values)

    def changed(self, changes: dict[str, Any]) -> Settings:
        """Return the same settings but for changes."""
        return replace(self, values=self.values | changes)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(f"There is no parameter {name!r}.") from None


@dataclass(frozen=True)
class WeightDecay:
    """How strong the weight decay is."""

    final: float  # of the network that is handed over, and of its objective
    searching: float  # while a search has not chosen the support yet


def build_options(
    settings: Settings, n_samples: int, validation: Validation | None
) -> SolverOptions:
    """Resolve the ``"auto"`` settings of the solver for this many samples.

    The budget of a solve is a number of steps; the number of epochs follows from it,
    so that 50 rows and a million get the same.
    """
    if settings.solver == "lbfgs":
        return _full_batch_options(settings, n_samples)
    batch_size = as_number(settings.batch_size)  # None: "auto"
    batch_size = min(batch_size or auto_batch_size(n_samples), n_samples)
    steps_per_epoch = ceil(n_samples / batch_size)
    max_iter = as_number(settings.max_iter) or ceil(_STEPS_PER_SOLVE / steps_per_epoch)
    rate = as_number(settings.learning_rate_init)
    if rate is None:
        rate = auto_learning_rate(settings.solver, max_iter * steps_per_epoch)
    return SolverOptions(
        solver=settings.solver,
        learning_rate=rate,
        schedule=Schedule(settings.learning_rate),
        batch_size=batch_size,
        max_iter=max_iter,
        shuffle=settings.shuffle,
        kkt_tol=as_number(settings.kkt_tol),
        validation=validation,
    )


def build_pass_options(settings: Settings, n_samples: int) -> SolverOptions:
    """Return how a trained network is trained on, in one pass over so many samples.

    With the steps of a refit, all of the same size, and batches of at least 64 where
    there are so many samples.
    """
    options = build_options(settings, n_samples, None)
    batch_size = as_number(settings.batch_size) or _part_of_many(n_samples)
    rate = as_number(settings.learning_rate_init) or _LEARNING_RATES[settings.solver]
    return replace(
        options,
        learning_rate=_PASS_RATE * rate,
        schedule=Schedule.CONSTANT,
        batch_size=min(batch_size, n_samples),
        max_iter=1,
        kkt_tol=0.0,
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


def _full_batch_options(settings: Settings, n_samples: int) -> SolverOptions:
    """Return the settings of ``solver="lbfgs"``, which has neither batches nor steps.

    Those that contradict it are refused.
    """
    if settings.early_stopping:
        raise ValueError(
            "solver='lbfgs' solves to optimality; early_stopping=True needs "
            "solver='adam' or 'sgd'."
        )
    size = as_number(settings.batch_size)
    if size is not None and size < n_samples:
        raise ValueError(
            f"solver='lbfgs' takes all samples at once; batch_size={size} needs "
            "solver='adam' or 'sgd'."
        )
    return SolverOptions(
        solver="lbfgs",
        batch_size=n_samples,
        max_iter=as_number(settings.max_iter) or _ITERATIONS_PER_SOLVE,
        kkt_tol=as_number(settings.kkt_tol),
    )


def auto_batch_size(n_samples: int) -> int:
    """All rows of small data, then 64, from 12800 rows on a two-hundredth, to 512."""
    if n_samples <= _FULL_BATCH_ROWS:
        return n_samples
    return _part_of_many(n_samples)


def _part_of_many(n_samples: int) -> int:
    return min(512, max(64, n_samples // 200))


def resolve_weight_decay(
    settings: Settings, problem: Problem, options: SolverOptions, previous
) -> WeightDecay:
    """Return γ: the one that was given, or one for this much data and noise.

    c (1 + 20 r²) / n, at most .05, times the mean square of the inputs, at most 1, to
    the power 1 / (number of layers). n is the number of different samples, r the part
    of the loss that inputs do not explain (`unexplained_share`), and c is 2 for squared
    errors, ½ for three and more classes, else 1. With more than 1500 samples, 20 r² is
    multiplied by 1500 / n, for a signal that is found late looks like noise. None for
    a given λ, whose problem is the paper's, nor with "lbfgs", whose λ has to give the
    same weights again; and none for many samples, or few steps, which do not need it.

    Weight decay gathers the weights in few units where columns are far more than rows,
    and hides a signal that is found late. So a search begins with γ / c, at most .005,
    and with less where the inputs explain less than a quarter.
    """
    unit = problem.loss.decay_unit
    given = as_number(settings.weight_decay)  # None: "auto"
    if given is not None:
        return WeightDecay(float(given), min(given / unit, _SEARCH_DECAY))
    if previous is not None:  # its network has seen all samples; λ belongs to this γ
        known = previous.weight_decay_
        return WeightDecay(known, min(known / unit, _SEARCH_DECAY))
    n_samples = problem.n_samples
    n_elements = n_samples * prod(problem.rows.sample_shape)
    is_large = n_samples > _MANY_SAMPLES or n_elements > _MANY_ELEMENTS
    is_short = options.n_steps(n_samples) < _FEW_STEPS
    is_certified = settings.solver == "lbfgs"
    if settings.alpha is not None or is_certified or is_large or is_short:
        return WeightDecay(0.0, 0.0)
    pilot = SolverOptions(
        learning_rate=_LEARNING_RATES["adam"],
        schedule=Schedule.CONSTANT,
        batch_size=min(auto_batch_size(n_samples), n_samples),
    )
    n_distinct, number = distinct_samples(problem)
    noise = unexplained_share(problem, number, pilot)
    of_noise = _DECAY_OF_NOISE * noise**2 * min(1.0, _FEW_SAMPLES / n_distinct)
    decay = (_LEAST_DECAY + of_noise) / n_distinct * unit
    # Weights of smaller inputs have to be larger, in a network of several layers those
    # of the others, too: what counts is the product along a path.
    size = min(mean_square(problem), 1.0) ** (1 / len(problem.network.layers))
    decay = min(decay, _MOST_DECAY) * size
    explained = min(1.0, (1 - noise) / (1 - _HARDLY_EXPLAINED))
    least = min(_LEAST_BOUND / n_distinct, _SEARCH_DECAY)
    bound = max(_SEARCH_DECAY * explained, least)
    return WeightDecay(decay, min(decay / unit, bound))


def build_limits(settings: Settings, guess: tuple[float, ...] | None) -> SearchBudget:
    """Return where the search starts and how long it may last."""
    debias = settings.debias
    if debias == "auto":
        # With lbfgs a refit to the last digit fits noise, and the certificate is not
        # its own.
        debias = settings.alpha is None and settings.solver != "lbfgs"
    bounds = check_bounds(settings.alpha_bounds)
    return SearchBudget(bounds, int(as_number(settings.max_outer_iter)), guess, debias)
