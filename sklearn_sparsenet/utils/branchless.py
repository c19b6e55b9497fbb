"""Choices between numbers that take the same time, whatever is chosen.

On a CPU `torch.where` and `masked_fill_` branch at every entry. Where a mask has no
order, half of the branches are mispredicted, and they take ten times as long as a sum.
Here the bits of the numbers are masked, in memory of their own.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["clear_", "replace_"]

_BITS = {torch.float32: torch.int32, torch.float64: torch.int64}


def clear_(values: Tensor, where: Tensor) -> None:
    """Set entries to ``0.0``, those that are NaN or infinite as well.

    Parameters
    ----------
    values : Tensor of float32 or float64
    where : Tensor of bool, of the shape of `values`
    """
    _bits(values).mul_(~where)


def replace_(values: Tensor, where: Tensor, others: Tensor) -> None:
    """Replace entries by those of another tensor.

    Parameters
    ----------
    values : Tensor of float32 or float64
    where : Tensor of bool, of the shape of `values`
    others : Tensor of the type of `values`, which broadcasts to its shape
    """
    bits = _bits(values)
    bits ^= (bits ^ _bits(others)).mul_(where)


def _bits(values: Tensor) -> Tensor:
    return values.view(_BITS[values.dtype])
