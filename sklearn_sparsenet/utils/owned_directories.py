"""Directories that have one owner at a time, among all threads and processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from sklearn_sparsenet.utils.atomic_files import PARTIAL

try:
    import fcntl
except ImportError:  # Windows: directories are shared; writes are whole there, too
    fcntl = None  # type: ignore[assignment]

__all__ = ["OwnedDirectory", "usable_directory"]

_ATTEMPTS = 100  # while others make and remove it


def usable_directory(path: str | os.PathLike[Any]) -> Path:
    """Return a directory in which files can be made; make it if there is none.

    If there can be none, that is an OSError or a ValueError.
    """
    if not os.fspath(path):
        raise ValueError("the path is empty")
    # It stays the same one if the process changes its working directory.
    directory = Path(os.path.abspath(os.fsdecode(path)))
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=directory):
        return directory


class OwnedDirectory:
    """A directory that is locked until it is given back or the process ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Make the directory if there is none; return False if somebody else has it."""
        for _ in range(_ATTEMPTS):
            self.path.mkdir(parents=True, exist_ok=True)
            if fcntl is None:
                return True
            with contextlib.suppress(FileNotFoundError):  # removed since
                self._descriptor = os.open(self.path, os.O_RDONLY)
                if not self._lock():
                    self._close()
                    return False
                if self._is_at_its_path():
                    self._sweep()
                    return True
            self._close()
        raise FileNotFoundError(f"{self.path} was removed again and again.")

    def _lock(self) -> bool:
        assert self._descriptor is not None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # file systems without locks
            pass
        return True

    def _is_at_its_path(self) -> bool:
        """Tell whether the directory is still there, and not another of its name."""
        if self._descriptor is None:
            return fcntl is None
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return False
        return os.path.samestat(os.fstat(self._descriptor), there)

    def _sweep(self) -> None:
        """Remove what killed owners left half written."""
        for partial in self.path.glob(f".*{PARTIAL}"):
            with contextlib.suppress(OSError):
                partial.unlink()

    def remove(self) -> None:
        """Remove the directory and all that is in it, and give it back."""
        try:
            if self._is_at_its_path():
                shutil.rmtree(self.path)
        finally:
            self._close()

    def release(self) -> None:
        """Give the directory back, and remove it if it is empty."""
        with contextlib.suppress(OSError):
            if self._is_at_its_path():
                self.path.rmdir()
        self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
