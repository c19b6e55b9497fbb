"""The losses of many steps, in one piece of memory."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["LossesOfSteps"]

_AT_ONCE = 32


class LossesOfSteps:
    """Numbers that are tensors, of at most `n_steps` steps.

    A small tensor that stays lies in memory where a batch was, and keeps the next one
    from being there: one for every step, and all of X would be in memory in the end.
    """

    def __init__(self, n_steps: int) -> None:
        self._n_steps = n_steps
        self._values: Tensor | None = None
        self._count = 0
        self._last: list[Tensor] = []

    def append(self, loss: Tensor) -> None:
        """Take the loss of the next step."""
        if self._values is None:
            self._values = loss.new_empty(self._n_steps)
        self._last.append(loss)
        if len(self._last) == _AT_ONCE:
            self._gather()

    def _gather(self) -> None:
        assert self._values is not None
        stop = self._count + len(self._last)
        if self._last:
            torch.stack(self._last, out=self._values[self._count : stop])
        self._count = stop
        self._last = []

    def stacked(self) -> Tensor:
        """Return those so far, shape (n,)."""
        self._gather()
        assert self._values is not None
        return self._values[: self._count]
