"""Optional members of the protocols that users' objects may have."""

from __future__ import annotations

from typing import Any

__all__ = ["optional_method"]


def optional_method(owner: object, name: str, beside: str) -> Any:
    """Return the method `name` of an object if it may stand in for `beside`.

    None if there is no such method, or if a subclass overrode `beside` and inherited
    `name`, which then describes something else.
    """
    for kind in type(owner).__mro__:
        if name in vars(kind):
            return getattr(owner, name)
        if beside in vars(kind):
            return None
    return None
