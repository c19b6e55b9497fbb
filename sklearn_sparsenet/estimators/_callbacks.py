"""Progress of a fit as tasks of scikit-learn's callbacks.

The tree of tasks is ``fit`` > a solve each > blocks of its epochs, so many to a block
that a fit makes about a thousand tasks at most: their contexts are kept in memory.
"""

from __future__ import annotations

from functools import partial
from math import ceil
from typing import Any

from sklearn_sparsenet.estimators._outcome import attributes_for_predictions
from sklearn_sparsenet.estimators._specification import Specification
from sklearn_sparsenet.networks.sparsity import count_per_layer
from sklearn_sparsenet.solvers import Solution
from sklearn_sparsenet.solvers.monitor import Course, Monitor

__all__ = ["FitTasks"]

_MOST_TASKS = 1000
_USUAL_SOLVES = 20  # searches of which nothing is known, or that rarely need them all


class FitTasks:
    """The root task of a fit, and what it takes to watch the solves below.

    X, y and sample_weight are those that the user gave: callbacks can score with them.
    """

    def __init__(self, estimator: Any, X: Any, y: Any, sample_weight: Any) -> None:
        self._estimator = estimator
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self._facts = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}

    def begin(self, spec: Specification, n_solves: int | None) -> Monitor | None:
        """Begin the root task; return what is to watch the solves, so many at most.

        Without callbacks that is None: nothing is then spent on them.
        """
        self._root = self._estimator._init_callback_context(max_subtasks=n_solves)
        self._root.call_on_fit_task_begin(**self._facts)
        if not getattr(self._estimator, "_skl_callbacks", None):
            return None
        attributes = partial(_as_it_stands, spec)
        facts = {**self._facts, "reconstruction_attributes": attributes}
        return _SolveTasks(self._root, facts)

    def end(self) -> None:
        """End the root task; the estimator is fitted."""
        self._root.call_on_fit_task_end(**self._facts, reconstruction_attributes={})


class _SolveTasks:
    """The tasks of solves and of blocks of epochs, which get the facts; a `Monitor`."""

    def __init__(self, root: Any, facts: dict[str, Any]) -> None:
        self._root, self._facts = root, facts
        n_solves = min(root.max_subtasks or _USUAL_SOLVES, _USUAL_SOLVES + 1)
        self._usual_blocks = (_MOST_TASKS - 1) // n_solves - 1
        self._tasks_left = _MOST_TASKS - 1
        self._stops = False
        self._solve: Any = None
        self._block: Any = None  # the one that is open
        self._n_blocks = 0  # of this solve, so far
        self._n_epochs = 0  # of this solve, in all
        self._block_size = 1

    def begin_solve(self, name: str, n_epochs: int) -> None:
        most = max(min(self._usual_blocks, self._tasks_left - 1), 0)
        self._block_size = ceil(n_epochs / most) if most else 0
        blocks = ceil(n_epochs / self._block_size) if self._block_size else 0
        self._n_blocks, self._n_epochs = 0, n_epochs
        self._solve = self._begin(self._root, name, blocks)

    def begin_epoch(self, epoch: int) -> None:
        if not self._block_size:
            return
        # Epochs of an earlier process have their blocks, too; those that come again
        # after a step back do not begin theirs again.
        while self._n_blocks <= epoch // self._block_size:
            self._end_block()
            self._block = self._begin(self._solve, "epochs", 0)
            self._n_blocks += 1

    def end_epoch(self, epochs: int, course: Course) -> bool:
        if epochs >= min(self._n_blocks * self._block_size, self._n_epochs):
            self._end_block()
        return self._stops

    def end_solve(self, found: Solution) -> bool:
        self._end_block()
        self._end(self._solve)
        return self._stops

    def _end_block(self) -> None:
        if self._block is not None:
            block, self._block = self._block, None
            self._end(block)

    def _begin(self, parent: Any, name: str, n_subtasks: int) -> Any:
        self._tasks_left -= 1
        context = parent.subcontext(task_name=name, max_subtasks=n_subtasks)
        context.call_on_fit_task_begin(**self._facts)
        return context

    def _end(self, context: Any) -> None:
        self._stops |= context.call_on_fit_task_end(**self._facts)


def _as_it_stands(spec: Specification) -> dict[str, Any] | None:
    """Return the attributes with which an estimator predicts as the network does now.

    None if a step left weights that are not finite; it will be taken back.
    """
    network = spec.problem.network
    if not bool(network.parameters.isfinite().all()):
        return None
    module, weights = network.copy_module().eval(), network.split(network.weights)
    shown = attributes_for_predictions(spec, module, count_per_layer(weights))
    return {"feature_names_in_": None, **shown}  # not those of a fit before
