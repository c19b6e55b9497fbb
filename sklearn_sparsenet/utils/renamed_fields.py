"""Frozen dataclasses whose fields had other names once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

__all__ = ["RenamedFields"]


class RenamedFields:
    """Pickles and files from before are read."""

    former_names: ClassVar[Mapping[str, str]] = {}  # to those of now

    def __setstate__(self, state: dict[str, Any]) -> None:
        named = {self.former_names.get(name, name): state[name] for name in state}
        vars(self).update(named)
