"""Members of a base class that describe others, in subclasses that override these."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["restore_defaults"]


def restore_defaults(
    kind: type, base: type, names: Sequence[str], unless_with: str
) -> None:
    """Give a class the defaults of what it inherits beside a method that it overrides.

    To be called by `__init_subclass__` of the base class: a fast path that is inherited
    computes what the method did that is overridden.

    Parameters
    ----------
    kind : type
        The subclass.
    base : type
        Has the defaults.
    names : sequence of str
        Of the members that describe the method.
    unless_with : str
        The method.
    """
    own = vars(kind)
    if unless_with in own:
        for name in names:
            if name not in own:
                setattr(kind, name, vars(base)[name])
