"""JSON of others, read in memory that its length is in proportion to."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["FREE_MEMORY", "parse"]

FREE_MEMORY = 2**23  # bytes that any text may take
# What objects, lists, and an entry of either take at most. Text that is nothing but
# empty containers takes many times its length.
_MEMORY = {"{": 240, "[": 48, ",": 48}


def parse(text: str) -> Any:
    """Return what JSON says.

    Raises
    ------
    ValueError
        If it is none, says a name twice, or takes far more memory than its length.
    """
    memory = sum(size * text.count(mark) for mark, size in _MEMORY.items())
    if memory > FREE_MEMORY + 2 * len(text):
        raise ValueError(f"{len(text)} characters of JSON have too many parts")
    return json.loads(text, object_pairs_hook=_without_repetition)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"a name stands twice among {[name for name, _ in pairs]}")
    return found
