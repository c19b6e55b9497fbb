"""Whether a value is of the type that is declared for it, contents included."""

from __future__ import annotations

import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

__all__ = ["declared_types", "fits"]

_NUMBERS: dict[Any, tuple[type, ...]] = {
    bool: (bool, np.bool_),
    int: (int, np.integer),
    float: (float, int, np.floating, np.integer),
}


@cache
def declared_types(kind: type) -> Mapping[str, Any]:
    """Return the types that a class declares for its attributes, by their names."""
    return types.MappingProxyType(get_type_hints(kind))


def fits(value: Any, declared: Any) -> bool:
    """Tell whether a value is what a type annotation says.

    Parameters
    ----------
    value : object
    declared : type annotation
        Classes, unions, `Any`, `Literal`, and lists, tuples and mappings of these. An
        int is a float, a list a tuple, numbers of NumPy are numbers, but a bool is
        no number.
    """
    origin, inside = get_origin(declared), get_args(declared)
    if declared is Any:
        return True
    if origin is Literal:
        return any(type(value) is type(each) and value == each for each in inside)
    if origin in (Union, types.UnionType):
        return any(fits(value, each) for each in inside)
    if origin is list or origin is tuple:  # of any length
        kinds = (list,) if origin is list else (list, tuple)
        return isinstance(value, kinds) and all(fits(v, inside[0]) for v in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            fits(k, inside[0]) and fits(v, inside[1]) for k, v in value.items()
        )
    if declared in _NUMBERS:
        is_flag = isinstance(value, bool) and declared is not bool
        return isinstance(value, _NUMBERS[declared]) and not is_flag
    if declared is None:
        return value is None
    return isinstance(value, declared)
