"""Arrays and texts as one sequence of bytes, in the format of safetensors.

Written and read here, and not by the package of that name, for three reasons: the same
content gives the same bytes; any stream will do; and no number in a file is believed
before there are as many bytes.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from io import BytesIO
from math import prod
from typing import Any, BinaryIO

import numpy as np

from sklearn_sparsenet.utils.declared import fits

__all__ = [
    "COMPRESSION",
    "FREE_MEMORY",
    "compressed",
    "dump_tensors",
    "expanded",
    "is_storable",
    "parse",
    "read_tensors",
]

FREE_MEMORY = 2**23  # bytes that any text may take
# What objects, lists, and an entry of either take at most. Text that is nothing but
# empty containers takes many times its length.
_MEMORY = {"{": 240, "[": 48, ",": 48}
_DTYPES = {
    "BOOL": np.dtype("?"),
    **{f"U{8 * n}": np.dtype(f"<u{n}") for n in (1, 2, 4, 8)},
    **{f"I{8 * n}": np.dtype(f"<i{n}") for n in (1, 2, 4, 8)},
    **{f"F{8 * n}": np.dtype(f"<f{n}") for n in (2, 4, 8)},
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_METADATA = "__metadata__"
_MOST_HEADER = 100_000_000  # bytes, as the format has it
_PIECE = 2**20  # bytes that are asked for at once
COMPRESSION = "compression"  # metadata of a file that holds another one
_WHOLE = "file"  # its array
# What is compressed may be so long, and so many times what it is compressed to.
_FREE_LENGTH, _MOST_RATIO = 2**19, 8


def is_storable(dtype: np.dtype) -> bool:
    """Tell whether arrays of this type have a name in the format."""
    return dtype.newbyteorder("<") in _NAMES


def parse(text: str) -> Any:
    """Return what JSON says.

    It is refused if it is none, says a name twice, or takes far more memory than its
    length.
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


def dump_tensors(
    arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> bytes:
    """Return the bytes of a file; the same ones for the same content.

    Arrays are of types that are storable.
    """
    # The largest entries come first, so that all lie at multiples of their size.
    names = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    header: dict[str, Any] = {_METADATA: dict(sorted(metadata.items()))}
    parts: list[bytes] = []
    end = 0
    for name in names:
        array = arrays[name]
        dtype = array.dtype.newbyteorder("<")
        start, end = end, end + array.nbytes
        place = {"shape": array.shape, "data_offsets": (start, end)}
        header[name] = {"dtype": _NAMES[dtype], **place}
        parts.append(array.astype(dtype, copy=False).tobytes())
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def read_tensors(file: BinaryIO) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """Return metadata and arrays, as far as the content goes and no further.

    What is not in the format, or ends too early, is a ValueError.
    """
    length = int.from_bytes(_read(file, 8), "little")
    if length > _MOST_HEADER:
        raise ValueError(f"its header is said to take {length} bytes")
    header = parse(_read(file, length).decode("ascii"))
    if not fits(header, dict[str, dict[str, Any]]):
        raise ValueError("its header does not describe arrays")
    metadata = header.pop(_METADATA, {})
    if not fits(metadata, dict[str, str]):
        raise ValueError("its metadata are not texts")
    arrays, end = {}, 0
    entries = sorted(header.items(), key=lambda entry: entry[1]["data_offsets"])
    for name, entry in entries:
        parts = (entry.pop(key) for key in ("dtype", "shape", "data_offsets"))
        dtype, shape, (start, stop) = parts
        if not fits([start, *shape], list[int]) or min([start, *shape]) < 0 or entry:
            raise ValueError(f"array {name!r} is described wrongly")
        size = prod(shape) * _DTYPES[dtype].itemsize
        if (start, stop) != (end, end + size):
            raise ValueError(f"array {name!r} does not lie where it should")
        content = np.frombuffer(_read(file, size), _DTYPES[dtype])
        arrays[name], end = content.reshape(shape), stop
    return metadata, arrays


def compressed(content: bytes, metadata: Mapping[str, str]) -> bytes:
    """Return a file that holds another one, compressed.

    What would be far smaller, so that `expanded` would take it for an attack, is
    returned as it is.
    """
    found = zlib.compress(content, 9)
    if len(content) > _most_length(found):
        return content
    arrays = {_WHOLE: np.frombuffer(found, np.uint8)}
    return dump_tensors(arrays, {**metadata, COMPRESSION: "zlib"})


def expanded(metadata: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> BinaryIO:
    """Return the file that another one holds, in memory in proportion to that.

    Metadata and arrays are those of the other one. What `compressed` does not write is
    a ValueError.
    """
    if metadata[COMPRESSION] != "zlib" or arrays.keys() != {_WHOLE}:
        raise ValueError("it is compressed in an unknown way")
    stored = arrays[_WHOLE].tobytes()
    reader = zlib.decompressobj()
    content = reader.decompress(stored, _most_length(stored) + 1)
    if not reader.eof or reader.unused_data or len(content) > _most_length(stored):
        raise ValueError("what is compressed in it does not end where it should")
    return BytesIO(content)


def _most_length(stored: bytes) -> int:
    return _FREE_LENGTH + _MOST_RATIO * len(stored)


def _read(file: BinaryIO, size: int) -> bytearray:
    """Return so many bytes; memory is taken for those that are there."""
    content = bytearray()
    while len(content) < size:
        part = file.read(min(size - len(content), _PIECE))
        if not part:
            raise ValueError("it ends too early")
        content += part
    return content
