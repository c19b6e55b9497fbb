"""A fit: from a specification, along the points of a path, to fitted attributes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.callback import with_callbacks

from sklearn_sparsenet.estimators._callbacks import FitTasks
from sklearn_sparsenet.estimators._fitted import set_fitted
from sklearn_sparsenet.estimators._log import FitLog
from sklearn_sparsenet.estimators._outcome import (
    fitted_attributes,
    interruption,
    message_of,
)
from sklearn_sparsenet.estimators._settings import Settings
from sklearn_sparsenet.estimators._specification import (
    Specification,
    check_table,
    specified,
)
from sklearn_sparsenet.search.path import PathPoint, train_path
from sklearn_sparsenet.search.trainer import Trainer
from sklearn_sparsenet.search.training import TrainingResult, max_solves
from sklearn_sparsenet.solvers.monitor import SharedMonitor

__all__ = ["Fitted", "fit_network", "follow"]


@dataclass(frozen=True)
class Fitted:
    """What a fit found at one point."""

    attributes: dict[str, Any]  # all that estimators get by it
    message: str | None  # what there is to warn of
    was_interrupted: bool  # by the user, so far


@with_callbacks
def fit_network(
    estimator: Any, X: Any, y: Any, sample_weight: Any, known: np.ndarray | None = None
) -> Fitted:
    """Fit an estimator to its one target; it is set at the end, if all went well.

    `known` are the classes there are, whether or not y has them.
    """
    tasks = FitTasks(estimator, X, y, sample_weight)
    settings = Settings.of(estimator)
    goes_on = settings.warm_start and hasattr(estimator, "module_")
    previous = estimator if goes_on else None
    table = check_table(settings, X, y, sample_weight, previous)
    with (
        specified(settings, table, known=known, previous=previous) as spec,
        spec.training() as trainer,
    ):
        n_solves = max_solves(trainer, spec.search, spec.limits)
        monitor = spec.processes.joint(tasks.begin(spec, n_solves), SharedMonitor)
        trainer.session.progress.monitor = monitor
        (found,) = follow(spec, trainer, [PathPoint(spec.target, spec.search)])
    set_fitted(estimator, found.attributes)
    if found.was_interrupted:
        raise KeyboardInterrupt(interruption(estimator))
    tasks.end()
    return found


def follow(
    spec: Specification,
    trainer: Trainer,
    points: Sequence[PathPoint],
    name: str = "",
) -> Iterator[Fitted]:
    """Yield what is found at each point of a path: at one, in a single fit.

    The checkpoint goes once nothing is left to go on with. The name is that of the run
    among several, in what `verbose` prints.
    """
    log = FitLog.of(spec, trainer, len(points), name)
    for result in train_path(trainer, points, spec.limits):
        found = _found(spec, trainer, result, log)
        yield found
    goes_on = found.was_interrupted or result.was_stopped
    if trainer.session.checkpoint is not None and not goes_on:
        trainer.session.checkpoint.remove()


def _found(
    spec: Specification, trainer: Trainer, result: TrainingResult, log: FitLog | None
) -> Fitted:
    """Return what was found; a second interruption is not held up."""
    is_interrupted = result.was_interrupted or trainer.session.progress.interrupted
    parts = (spec, trainer, result)
    try:
        attributes = fitted_attributes(*parts)
        if log is not None:
            log.conclude(result)
    except KeyboardInterrupt:
        if is_interrupted:
            raise
        is_interrupted = True
        attributes = fitted_attributes(*parts)
    if is_interrupted:
        return Fitted(attributes | {"converged_": False}, None, True)
    return Fitted(attributes, message_of(spec, result, attributes), False)
