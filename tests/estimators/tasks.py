"""A callback that records the tasks of a fit."""

import numpy as np


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
