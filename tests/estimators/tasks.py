"""A callback that records the tasks of a fit, and small fits to record."""

import numpy as np
from torch import nn

from sklearn_sparsenet import SparseNetRegressor


class Recorder:
    """Records begins and ends, and judges their order; may ask for the end.

    Parameters
    ----------
    stop_at : int or None
        The task, counted as they end, with whose end the fit is asked to end.
    """

    def __init__(self, stop_at=None):
        self.events, self.ended, self.open = [], [], []
        self.stop_at = stop_at

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        if self.open:
            assert context.parent is self.open[-1]
        self.open.append(context)
        self.events.append(context.task_name)

    def on_fit_task_end(self, estimator, context):
        assert self.open.pop() is context
        assert len(context._children_map) <= (context.max_subtasks or np.inf)
        assert list(context._children_map) == list(range(len(context._children_map)))
        self.ended.append(context)
        return len(self.ended) - 1 == self.stop_at

    @property
    def names(self):
        return [context.task_name for context in self.ended]

    @property
    def root(self):
        return self.ended[-1]

    @property
    def solves(self):
        return list(self.root._children_map.values())


def make(kind=SparseNetRegressor, **params):
    defaults = {
        "hidden_layer_sizes": (8,), "activation": "tanh", "target_sparsity": 15,
        "max_iter": 20, "batch_size": 50, "random_state": 0,
    }  # fmt: skip
    return kind(**{**defaults, **params})


def with_noise(n_features, n_outputs):
    return nn.Sequential(
        nn.Linear(n_features, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.2),
        nn.Linear(8, n_outputs),
    )  # fmt: skip


LBFGS = {
    "solver": "lbfgs", "batch_size": "auto", "max_iter": 300, "tol": 0.3,
    "hidden_layer_sizes": (3,),
}  # fmt: skip
