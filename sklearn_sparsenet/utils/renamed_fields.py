"""Frozen dataclasses whose fields had other names once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

__all__ = ["RenamedFields"]


class RenamedFields:
    """Pickles and files from before are read.

    Attributes
    ----------
    former_names : mapping from str to str
        What fields were called, and what they are called now.
    """

    former_names: ClassVar[Mapping[str, str]] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        named = {self.former_names.get(name, name): state[name] for name in state}
        vars(self).update(named)
