"""Where files are read from and written to: paths, and streams that are open."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from sklearn_sparsenet.utils.atomic_files import write_atomically

__all__ = ["opened", "put"]

_PATHS = (str, bytes, os.PathLike)
_PIECE = 2**20


def put(content: bytes, target: Any) -> None:
    """Write content to a path, whole or not at all, or to a stream.

    Parameters
    ----------
    content : bytes
    target : str, bytes, path-like, or binary file object with `write`

    Raises
    ------
    TypeError
        If it is neither, or takes text.
    OSError
        If it cannot be written.
    """
    if isinstance(target, _PATHS):
        folder = os.path.dirname(os.path.realpath(target))
        if not os.path.isdir(folder):
            raise FileNotFoundError(f"There is no directory {folder!r}.")
        if os.path.isdir(target):
            raise IsADirectoryError(f"{os.fspath(target)!r} is a directory, no file.")
        write_atomically(target, content)
        return
    _expect_binary(target, "write")
    left = memoryview(content)
    while left:  # streams without a buffer take as much as they can
        written = target.write(left[:_PIECE])
        left = left[_PIECE if written is None else written :]


@contextmanager
def opened(source: Any) -> Iterator[BinaryIO]:
    """Give a binary stream of what is to be read.

    Parameters
    ----------
    source : str, bytes, path-like, or binary file object with `read`
        A stream is read as far as necessary, and stays open.

    Raises
    ------
    TypeError
        If it is neither, or gives text.
    FileNotFoundError, IsADirectoryError
        If a path leads to none, or to a directory.
    ValueError
        If a path leads to a device or pipe, which may have no end.
    """
    if not isinstance(source, _PATHS):
        _expect_binary(source, "read")
        yield source
        return
    mode = os.stat(source).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"{os.fspath(source)!r} is a directory, no file.")
    if not stat.S_ISREG(mode):
        raise ValueError(f"{os.fspath(source)!r} is no file, but a device or a pipe.")
    with open(source, "rb") as file:
        yield file


def _expect_binary(stream: Any, method: str) -> None:
    if not hasattr(stream, method):
        raise TypeError(
            f"A file is a path or an object with the method {method}; got {stream!r}."
        )
    if isinstance(stream, io.TextIOBase):
        raise TypeError(f"{stream!r} is open for text; open it in binary mode.")
