"""Members of a base class that describe others, where subclasses override these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["describes", "restore_defaults"]


def describes(kind: type, name: str, other: str) -> bool:
    """Tell whether a member of a class is not older than the one that it is about."""
    homes = (vars(each).keys() for each in kind.__mro__)
    newest = (own for own in homes if {name, other} & own)
    return name in next(newest, ())


def restore_defaults(
    kind: type, defaults: Mapping[str, Any], about: Mapping[str, str]
) -> None:
    """Give a class the defaults of what it inherits about a member that it overrides.

    To be called by `__init_subclass__` of a base class: a fast path that is inherited
    computes what the method did that is overridden. `about` has members, and which
    others they are about.
    """
    for name, other in about.items():
        if not describes(kind, name, other):
            setattr(kind, name, defaults[name])
