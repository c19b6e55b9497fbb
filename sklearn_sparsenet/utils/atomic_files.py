"""Files that are there whole, or as they were before, whatever happens meanwhile.

Each operation on the file system is a function of this module, so that tests can let
one of them fail, or end the process, at its n-th call.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["PARTIAL", "opened", "put", "write_atomically"]

PARTIAL = ".partial"  # ends the names of files that are being written
_PATHS = (str, bytes, os.PathLike)
_PIECE = 2**20


def write_atomically(
    path: str | bytes | os.PathLike[Any], content: bytes | Callable[[BinaryIO], object]
) -> None:
    """Replace a file, or make a new one, in one step that outlives a power cut.

    The content, or what writes it to a binary file, goes to a file beside it, which
    takes the name once it is on the disk. A process that is killed can leave that file
    behind, but no other trace. Links are followed; what is no regular file, such as a
    pipe, is written to as it is. After an OSError the file is as it was, unless only
    the last operation failed, which makes its new name outlive a power cut.
    """
    write_all = content if callable(content) else lambda file: file.write(content)
    path = Path(os.path.realpath(os.fsdecode(path)))
    if path.exists() and not path.is_file():
        with io.BufferedWriter(_File(path, "w")) as file:
            write_all(file)
        return
    partial = path.parent / f".{secrets.token_hex(8)}{PARTIAL}"
    try:
        with io.BufferedWriter(open_new(partial)) as file:
            write_all(file)
            file.flush()
            fsync(file.fileno())
        replace(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    fsync_directory(path.parent)


class _File(io.FileIO):
    def write(self, content: Any) -> int:
        return write(self, content)


def open_new(path: Path) -> _File:
    """Make a file that is not there yet, with the mode that the umask gives."""
    return _File(path, "x")


def write(file: io.FileIO, content: Any) -> int:
    """Write some of the content; return how much."""
    return io.FileIO.write(file, content)


def fsync(descriptor: int) -> None:
    """Wait until a file's content is on the disk."""
    os.fsync(descriptor)


def replace(source: Path, target: Path) -> None:
    """Give a file the name of another."""
    os.replace(source, target)


def fsync_directory(path: Path) -> None:
    """Wait until a folder's names are on the disk, where a system can do that."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # of file systems that know no such thing
            raise
    finally:
        os.close(descriptor)


def put(content: bytes, target: Any) -> None:
    """Write content to a path, whole or not at all, or to a binary stream."""
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


@contextlib.contextmanager
def opened(source: Any) -> Iterator[BinaryIO]:
    """Give a binary stream of what is to be read: of a path, or the stream itself.

    A stream is read as far as necessary, and stays open. A path that leads to a device
    or a pipe, which may have no end, is refused.
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
