"""Numbers that users give, as Python's own."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from torch import Tensor

__all__ = ["as_number", "checked_number", "keep_number", "keep_numbers"]

_LARGEST = 2**63  # no count of anything comes near, and 64 bits hold what is below


def as_number(value: object) -> int | float | None:
    """Return a number as an int or a float; None if it is none.

    NumPy's scalars, arrays and tensors without dimensions, and fractions are numbers.
    Booleans, durations, strings, and ints beyond 64 bits are not.
    """
    if isinstance(value, np.generic | np.ndarray):
        if value.ndim or value.dtype.kind not in "iuf":
            return None
        value = value.item()
    elif isinstance(value, Tensor):
        if value.ndim or value.is_complex() or not value.numel() or value.is_meta:
            return None
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    if isinstance(value, Integral):
        count = int(value)
        return count if abs(count) < _LARGEST else None
    return float(value)


def checked_number(
    name: str, value: object, accepts: Callable[[float], bool], accepted: str
) -> int | float:
    """Return a number that is accepted, and refuse others, by name; NaN among them."""
    number = as_number(value)
    if number is None or not accepts(number):
        raise ValueError(f"{name}={value!r} must be {accepted}.")
    return number


def keep_number(
    owner: object, name: str, accepts: Callable[[float], bool], accepted: str
) -> None:
    """Check a field of a frozen dataclass, and keep it as Python's own number."""
    number = checked_number(name, getattr(owner, name), accepts, accepted)
    object.__setattr__(owner, name, number)


def keep_numbers(
    owner: object, name: str, accepts: Callable[[float], bool], accepted: str
) -> None:
    """Do the same with a field that is one number, or a sequence: kept as a tuple."""
    value: Any = getattr(owner, name)
    if np.ndim(value) == 0:
        keep_number(owner, name, accepts, accepted)
        return
    numbers = (checked_number(name, entry, accepts, accepted) for entry in value)
    object.__setattr__(owner, name, tuple(numbers))
