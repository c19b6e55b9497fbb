"""Files with tensors and plain values, in containers, checked to the last bit.

The layout: `_MAGIC`, the number of bytes after it, and their SHA-256; then the length
of a header, the header as JSON, and the arrays it tells of, one after the other.
Nothing that is read back is executed, and nothing is read that is larger than the file.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from sklearn_sparsenet.utils.atomic_files import write_atomically
from sklearn_sparsenet.utils.json_codec import Reader, Writer

__all__ = ["bytes_of", "read_state", "write_state"]

_MAGIC = b"sklearn_sparsenet state 1\n"
_FRAME = struct.Struct("<Q32s")  # bytes that follow, and their SHA-256
_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class _Stored:
    """A tensor of any dtype."""

    dtype: str
    shape: tuple[int, ...]
    content: np.ndarray

    @classmethod
    def of(cls, tensor: Tensor) -> _Stored:
        name = str(tensor.dtype).removeprefix("torch.")
        return cls(name, tuple(tensor.shape), bytes_of(tensor))

    def tensor(self, device: torch.device) -> Tensor:
        # torch.tensor copies into memory that is aligned as any other tensor is.
        flat = torch.tensor(self.content).view(getattr(torch, self.dtype))
        return flat.reshape(self.shape).to(device)


_KNOWN = {"Tensor": _Stored}


def bytes_of(tensor: Tensor) -> np.ndarray:
    """Return the bytes of a tensor, whatever its dtype and device."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()


def write_state(path: Path, name: str, state: Any) -> None:
    """Replace a file, or make a new one, in one step.

    A state is a dict, list or tuple of tensors, arrays, numbers, strings, None and such
    containers; of other values it is a TypeError. Its name is asked for when it is
    read.
    """
    writer = Writer(_KNOWN)
    encoded = writer.encode(_map(state, Tensor, _Stored.of), name)
    arrays = [(k, v.dtype.str, v.shape) for k, v in writer.arrays.items()]
    header = json.dumps({"name": name, "state": encoded, "arrays": arrays}).encode()
    parts: list[Any] = [_LENGTH.pack(len(header)), header]
    parts += [array.reshape(-1).view(np.uint8) for array in writer.arrays.values()]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)

    def write(file: BinaryIO) -> None:
        file.write(_MAGIC + _FRAME.pack(sum(map(len, parts)), digest.digest()))
        for part in parts:
            file.write(part)

    write_atomically(path, write)


def read_state(path: Path, name: str, device: torch.device) -> Any:
    """Return what `write_state` wrote under that name, with its tensors on a device.

    A file that is another one, or was damaged, is a ValueError.
    """
    header, content = _read_checked(path)
    if header["name"] != name:
        raise ValueError(f"It is {header['name']!r}, not {name!r}.")
    arrays, start = {}, 0
    for key, dtype, shape in header["arrays"]:
        count = math.prod(shape)
        array = np.frombuffer(content, np.dtype(dtype), count, start)
        arrays[key] = array.reshape(shape)
        start += array.nbytes
    state = Reader(_KNOWN, arrays).decode(header["state"])
    return _map(state, _Stored, lambda stored: stored.tensor(device))


def _read_checked(path: Path) -> tuple[dict[str, Any], memoryview]:
    """Return the header and the bytes after it, once all of them are checked."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("It is no regular file.")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size - len(_MAGIC) - _FRAME.size
        if size < _LENGTH.size or file.read(len(_MAGIC)) != _MAGIC:
            raise ValueError("It is no file of this kind, or was cut short.")
        length, checksum = _FRAME.unpack(file.read(_FRAME.size))
        if length != size:
            raise ValueError(f"It has {size} bytes of content instead of {length}.")
        content = memoryview(file.read(size))
    if hashlib.sha256(content).digest() != checksum:
        raise ValueError("It was altered: its checksum is not that of its content.")
    (length,) = _LENGTH.unpack(content[: _LENGTH.size])
    end = _LENGTH.size + length
    return json.loads(bytes(content[_LENGTH.size : end])), content[end:]


def _map(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """Change the values of a kind in containers, at any depth."""
    if isinstance(value, kind):
        return change(value)
    if type(value) is dict:
        return {key: _map(item, kind, change) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_map(item, kind, change) for item in value)
    return value
