"""The checkpoint of a training run that several processes share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sklearn_sparsenet.solvers.checkpoint import Checkpoint
from sklearn_sparsenet.utils.processes import Processes

__all__ = ["SharedCheckpoint"]


class SharedCheckpoint(Checkpoint):
    """A checkpoint whose files the first process has; the others are told by it.

    All of them are in the same state, so that one copy is enough, and whatever is wrong
    with the files is the same for all.
    """

    def __init__(
        self, directory: Path, warn: Callable[[str], None], processes: Processes
    ) -> None:
        super().__init__(directory, warn)
        self._processes = processes
        self._has_files = processes.rank == 0
        self._has_warned = not self._has_files

    def _at(self, path: Path) -> Checkpoint:
        return SharedCheckpoint(path, self._warn, self._processes)

    def _acquire(self) -> bool:
        if self._is_ours is None:
            owns = super()._acquire() if self._has_files else None
            self._is_ours = bool(self._processes.gather(owns)[0])
        return self._is_ours

    def _read(self, path: Path) -> dict[str, Any] | None:
        content, trouble = None, None
        if self._has_files:
            try:
                content = super()._read(path)
            except Exception as error:  # anything can be in a file
                trouble = f"{type(error).__name__}: {error}"
        content, trouble = self._processes.gather((content, trouble))[0]
        if trouble is not None:
            raise ValueError(trouble)
        return content

    def _write(self, path: Path, make_state: Callable[[], dict[str, Any]]) -> None:
        if self._has_files:
            super()._write(path, make_state)

    def _drop(self, path: Path) -> None:
        if self._has_files:
            super()._drop(path)

    def remove(self) -> None:
        if self._has_files:
            super().remove()

    def release(self) -> None:
        if self._has_files:
            super().release()
