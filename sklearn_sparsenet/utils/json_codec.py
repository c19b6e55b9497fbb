"""Python values as JSON and arrays: no code is stored, and none is run on the way back.

Containers, numbers, strings and None are JSON; arrays are set aside under a number;
objects are those of a list of frozen dataclasses, by name and fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from sklearn_sparsenet.utils.declared import declared_types, fits
from sklearn_sparsenet.utils.renamed_fields import RenamedFields
from sklearn_sparsenet.utils.tensor_files import FREE_MEMORY, is_storable

__all__ = ["Reader", "Writer"]

_TAG = "!"
_SIMPLE = (bool, int, float, str, type(None))
_TIME = re.compile(r"[<>=]?[mM]8(\[\d{0,9}[a-zA-Z]{1,2}\])?")
_TEXT = re.compile(r"[<>=|]?([US])(\d{1,9})")
_PADDING = 64  # bytes for each character that is there


class Writer:
    """Encodes values, among them dataclasses that are known; collects their arrays."""

    def __init__(self, known: Mapping[str, type]) -> None:
        self._names = {kind: name for name, kind in known.items()}
        self.arrays: dict[str, np.ndarray] = {}

    def encode(self, value: Any, name: str) -> Any:
        """Return a value as JSON has it; a TypeError names what is not to be stored."""
        if type(value) in _SIMPLE:
            return value
        if isinstance(value, str):
            return str.__str__(value)
        if hasattr(value, "__array__"):
            return self._encode_array(np.asarray(value), value, name)
        if isinstance(value, Real):  # fractions, members of enumerations
            return int(value) if isinstance(value, Integral) else float(value)
        if isinstance(value, range | list | tuple):
            kind = "tuple" if isinstance(value, tuple) else "list"
            return {_TAG: kind, "of": [self.encode(v, name) for v in value]}
        if isinstance(value, dict):
            items = [
                [self.encode(part, name) for part in item] for item in value.items()
            ]
            return {_TAG: "dict", "of": items}
        if type(value) in self._names and is_dataclass(value):
            stored = {f.name: self.encode(getattr(value, f.name), name)
                      for f in fields(value) if f.init}  # fmt: skip
            return {_TAG: "object", "class": self._names[type(value)], "of": stored}
        raise TypeError(
            f"{name} is {value!r}, which a file without code cannot hold; pickle the "
            "estimator (joblib.dump), or use what the library has under a name."
        )

    def _encode_array(self, array: np.ndarray, value: Any, name: str) -> Any:
        texts = _as_texts(array)
        if texts is not None:
            width = array.dtype.itemsize
            keeps = array.dtype != object and _is_paid(len(texts) * width, texts)
            dtype = array.dtype.str if keeps else "O"
            return {_TAG: "strings", "dtype": dtype, "of": texts}
        if array.dtype == object:
            return self.encode(array.tolist(), name)
        is_time = array.dtype.kind in "mM"  # integers and a unit
        if not is_time and not is_storable(array.dtype):
            raise TypeError(
                f"{name} is an array of {array.dtype}, which is not stored."
            )
        key = str(len(self.arrays))
        stored = {_TAG: "scalar" if isinstance(value, np.generic) else "array"}
        stored["key"] = key
        if is_time:
            stored["dtype"] = array.dtype.str
            array = array.astype(np.int64)
        self.arrays[key] = array.copy(order="C")
        return stored


class Reader:
    """Decodes what `Writer` encoded.

    Each array is given out once: a file takes no more memory than it brings.
    """

    def __init__(
        self, known: Mapping[str, type], arrays: Mapping[str, np.ndarray]
    ) -> None:
        self._known = known
        self.arrays = dict(arrays)

    def decode(self, value: Any) -> Any:
        """Return the value; ValueError for anything that `Writer` does not write."""
        if type(value) in _SIMPLE:
            return value
        decoders: dict[str, Callable[..., Any]] = {
            "list": lambda of: [self.decode(part) for part in of],
            "tuple": lambda of: tuple(self.decode(part) for part in of),
            "dict": lambda of: {self.decode(k): self.decode(v) for k, v in of},
            "array": self._decode_array,
            "scalar": lambda **parts: self._decode_array(**parts).reshape(())[()],
            "strings": _decode_texts,
            "object": self._decode_object,
        }
        try:
            return decoders[value[_TAG]](
                **{name: part for name, part in value.items() if name != _TAG}
            )
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise ValueError(
                f"a value is of no kind that is stored: {error!r}"
            ) from None

    def _decode_array(self, key: str, dtype: str | None = None) -> np.ndarray:
        array = self.arrays.pop(key)
        if dtype is None:
            return array
        if not _TIME.fullmatch(dtype) or array.dtype != np.int64:
            raise ValueError(f"{dtype!r} is no type of dates or durations")
        return array.astype(dtype)

    def _decode_object(self, of: dict[str, Any], **names: str) -> Any:
        (name,) = names.values()  # "class", no name for a parameter
        kind = self._known[name]
        former = kind.former_names if issubclass(kind, RenamedFields) else {}
        values = {former.get(k, k): self.decode(part) for k, part in of.items()}
        declared = declared_types(kind)
        for name, value in values.items():
            if not fits(value, declared[name]):
                raise ValueError(f"{kind.__name__} is stored with another {name}")
        return kind(**values)


def _as_texts(array: np.ndarray) -> list[str] | None:
    """Return a row of texts as a list, bytes as characters of the same numbers."""
    if array.ndim != 1 or array.dtype.kind not in "USO":
        return None
    if array.dtype.kind == "S":
        return [text.decode("latin-1") for text in array.tolist()]
    if all(isinstance(text, str) for text in array):
        return [str.__str__(text) for text in array]
    return None


def _decode_texts(dtype: str, of: list[str]) -> np.ndarray:
    if not fits(of, list[str]):
        raise ValueError("what should be texts is something else")
    if dtype in ("O", "|O"):
        return np.array(of, dtype=object)
    found = _TEXT.fullmatch(dtype)
    if found is None:
        raise ValueError(f"{dtype!r} is no type of texts")
    kind, length = found.groups()
    if not _is_paid(len(of) * int(length) * (4 if kind == "U" else 1), of):
        raise ValueError(f"{len(of)} short texts cannot be of the type {dtype!r}")
    content = of if kind == "U" else [text.encode("latin-1") for text in of]
    return np.array(content, dtype=dtype)


def _is_paid(size: int, texts: list[str]) -> bool:
    """Tell whether so many bytes are in proportion to the texts that they hold."""
    return size <= FREE_MEMORY + _PADDING * sum(map(len, texts))
