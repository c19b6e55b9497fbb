"""What a fit is to do: made of parameters and data, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import check_random_state

from sklearn_sparsenet.estimators import _build as build
from sklearn_sparsenet.estimators import _modules as modules
from sklearn_sparsenet.estimators._agreement import agreed, check_module
from sklearn_sparsenet.estimators._coding import Coding, weigh
from sklearn_sparsenet.estimators._jobs import count_threads
from sklearn_sparsenet.estimators._probing import check_network
from sklearn_sparsenet.estimators._scales import check_range, warn_about_scales
from sklearn_sparsenet.estimators._settings import (
    Settings,
    build_limits,
    build_options,
    resolve_weight_decay,
)
from sklearn_sparsenet.estimators._surprises import (
    warn_of_idle_parameters,
    warn_of_surprises,
)
from sklearn_sparsenet.estimators._table import Table
from sklearn_sparsenet.estimators._unit_targets import with_unit_targets
from sklearn_sparsenet.estimators._validation import (
    check_data,
    resolve_dtype,
)
from sklearn_sparsenet.estimators._warnings import to_be_told, warn_user
from sklearn_sparsenet.estimators._weights import as_ratios, check_weights
from sklearn_sparsenet.search import Search, SearchBudget
from sklearn_sparsenet.search.session import Session
from sklearn_sparsenet.search.targets import Target
from sklearn_sparsenet.search.trainer import Trainer
from sklearn_sparsenet.search.training import make_trainer
from sklearn_sparsenet.solvers import SolverOptions
from sklearn_sparsenet.solvers.checkpoint import Checkpoint
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.utils.arguments import as_number
from sklearn_sparsenet.utils.processes import Processes, current_processes
from sklearn_sparsenet.utils.runtime import (
    forked_random_state,
    resolve_device,
    single_threaded,
)
from sklearn_sparsenet.utils.workers import sharing_work

__all__ = [
    "Specification",
    "check_rows",
    "check_table",
    "ready_to_train",
    "specified",
]


@dataclass(frozen=True, kw_only=True)
class Specification:
    """What a fit is to do."""

    settings: Settings
    features: dict[str, Any]  # as `Table` has them
    coding: Coding
    problem: Problem  # its network stands at the initial point
    search: Search
    target: Target | None  # None with a fixed λ
    options: SolverOptions
    limits: SearchBudget
    search_decay: float  # weight decay until a support is held
    seed: int  # for shuffling
    checkpoint: Checkpoint | None
    processes: Processes  # that share the fit

    @contextmanager
    def training(self, part: str | None = None) -> Iterator[Trainer]:
        """Yield what searches train with.

        `part` is what distinguishes this run from others that begin alike.
        """
        checkpoint = self.checkpoint
        if checkpoint is not None and part is not None:
            checkpoint = checkpoint.of_part(part)
        session = Session(
            self.problem,
            self.options,
            self.seed,
            search_decay=self.search_decay,
            checkpoint=checkpoint,
        )
        with closing(session):
            yield make_trainer(session, self.target)


def check_table(settings: Settings, X, y, sample_weight, previous: Any = None) -> Table:
    """Return data, checked; those that cannot be fitted are refused.

    Where processes share the fit, they agree on them, and on `previous`, the fit that
    this one goes on from. Columns whose scales are wildly different are told.
    """

    def check() -> Table:
        table = check_rows(settings, X, y, sample_weight)
        warn_about_scales(table.X)
        return table

    table = agreed(current_processes(), settings, previous, check)
    return replace(table, weight=as_ratios(table.weight))


def check_rows(settings: Settings, X, y, sample_weight) -> Table:
    """Return data, checked, of which there may be few."""
    X, y, features = check_data(settings, X, y)
    if y.ndim == 2 and y.shape[1] == 1:
        warn_user(
            "A column-vector y was passed when a 1d array was expected; it is "
            "taken as one.",
            DataConversionWarning,
        )
        y = y[:, 0]
    return Table(X, y, check_weights(sample_weight, X), features, X.dtype)


@contextmanager
def specified(
    settings: Settings,
    table: Table,
    *,
    numbers: np.ndarray | None = None,
    known: np.ndarray | None = None,
    previous: Any = None,
) -> Iterator[Specification]:
    """Specify a fit; yield that, in a process that is ready for its training.

    Parameters that do not suit the data or each other are refused.

    Parameters
    ----------
    settings : Settings
    table : Table
    numbers : ndarray of int, optional
        Of the rows to train with; None: all.
    known : ndarray of shape (n_classes,), optional
        Classes there are, whether or not these rows have them.
    previous : SparseNet, optional
        The fit that this one goes on from.
    """
    part = table if numbers is None else table.part(numbers)
    weight = as_ratios(weigh(settings, part.y, part.weight, known))
    part = replace(part, weight=weight).of_positive_weight()
    with ready_to_train(settings) as (seeds, device):
        spec = _specify(settings, part, seeds, device, known, previous)
        with to_be_told():
            yield spec


@contextmanager
def ready_to_train(
    settings: Settings, n_before: int = 0
) -> Iterator[tuple[build.Seeds, torch.device]]:
    """Yield seeds and the device, in a process that is ready for training.

    Seeds are others after every so many epochs before.
    """
    seed = as_number(settings.random_state)
    random_state = settings.random_state if seed is None else seed
    seeds = build.Seeds.draw(check_random_state(random_state)).after(n_before)
    seeds = current_processes().gather(seeds)[0]
    threads = sharing_work(count_threads(as_number(settings.n_jobs)))
    with torch.inference_mode(False), single_threaded(), threads:
        device = resolve_device(settings.device)
        forked = forked_random_state(seeds.network, device)
        with forked if _may_draw(settings) else nullcontext():
            yield seeds, device


def _may_draw(settings: Settings) -> bool:
    """Tell whether the fit may draw from the global generators of PyTorch.

    They are all that users' modules, losses and the like can draw from; a checkpoint
    sets them to what they were.
    """
    given = (settings.module, settings.loss, settings.penalty, settings.search)
    return settings.checkpoint is not None or not all(map(build.is_ours, given))


def _specify(settings, table, seeds, device, known, previous) -> Specification:
    posed = _pose(settings, table, seeds, device, known, previous)
    coding, problem, search, target, options = posed
    decay = resolve_weight_decay(settings, problem, options, previous)
    problem = replace(problem, weight_decay=decay.final)
    guess = None if previous is None else _alpha_guess(previous, problem, target)
    limits = build_limits(settings, guess)
    warn_of_idle_parameters(settings, search, limits, problem.penalty)
    warn_of_surprises(settings, search, target, problem, options)
    # Rows that are held out for early stopping are no part of the problem.
    data = (coding, table.weight)
    return Specification(
        settings=settings,
        features=table.features,
        coding=coding,
        problem=problem,
        search=search,
        target=target,
        options=options,
        limits=limits,
        search_decay=decay.searching,
        seed=seeds.shuffle,
        checkpoint=build.build_checkpoint(settings, problem, data, guess),
        processes=table.processes,
    )


def _pose(
    settings, table, seeds, device, known, previous
) -> tuple[Coding, Problem, Search, Target | None, SolverOptions]:
    """Return the problem, and how it is to be solved, but for its weight decay."""
    dtype = resolve_dtype(settings.dtype, table.dtype, device, settings.solver)
    check_range(table.X, dtype)
    coding = Coding.of(settings, table.y, table.weight, known, previous)
    rows, n_outputs = table.rows(dtype, device), coding.n_outputs
    seed = seeds.network
    module = modules.start_module(settings, rows, n_outputs, seed, dtype, previous)
    n_outputs = modules.count_outputs(module, rows)
    if settings.module is not None:
        check_module(table.processes, module)
        rows = modules.rows_to_give(module, rows)
    loss = coding.make_loss(n_outputs)
    search, target, layers = build.build_search(settings, module)
    samples = build.build_samples(
        settings, coding, rows, table.weight, seeds, n_outputs
    )
    loss.check_target(samples.target)
    if not isinstance(settings.loss, str):
        build.try_loss(loss, n_outputs, samples)
        build.check_loss(loss, samples.target, not settings.is_classification)
    problem = build.build_problem(settings, module, layers, loss, samples)
    options = build_options(settings, rows.n_samples, samples.validation)
    if settings.module is not None:
        check_network(problem.network, samples.rows, options.batch_size)
    else:
        _fit_to_inputs(settings, problem, is_new=previous is None)
    target = with_unit_targets(settings, target, problem, table.features)
    return coding, problem, search, target, options


def _fit_to_inputs(settings: Settings, problem: Problem, *, is_new: bool) -> None:
    """Size the steps by the inputs, and a new network by both."""
    network = problem.network
    if settings.solver != "lbfgs":
        sizes = problem.input_sizes()
        network.fit_steps(sizes.columns, sizes.density)
        if is_new:
            network.fit_start(sizes.row)
    if is_new:
        problem.start_at_best_constant()


def _alpha_guess(
    previous: Any, problem: Problem, target: Target | None
) -> tuple[float, ...] | None:
    """Return the λ of the fit before, one for each group, if they can serve."""
    has_one = target is not None and not target.per_layer
    n_groups = 1 if has_one else len(problem.network.layers)
    known = np.atleast_1d(previous.alpha_)
    usable = len(known) == n_groups and bool((known > 0).all())
    return tuple(known.tolist()) if usable else None
