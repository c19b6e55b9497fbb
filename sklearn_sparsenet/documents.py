"""Python values as JSON and arrays: no code is stored, and none is run on the way back.

Containers, numbers, strings and None are JSON; arrays are set aside under a number;
objects are those of a list of frozen dataclasses, by name and fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

__all__ = ["Reader", "Writer"]

_TAG = "!"
_SIMPLE = (bool, int, float, str, type(None))


class Writer:
    """Encodes values; collects their arrays.

    Parameters
    ----------
    known : mapping from name to class
        Dataclasses that may be stored.

    Attributes
    ----------
    arrays : dict of ndarray
    """

    def __init__(self, known: Mapping[str, type]) -> None:
        self._names = {kind: name for name, kind in known.items()}
        self.arrays: dict[str, np.ndarray] = {}

    def encode(self, value: Any, name: str) -> Any:
        """Return a value as JSON has it.

        Raises
        ------
        TypeError
            For values that are not to be stored, by name.
        """
        if type(value) in _SIMPLE:
            return value
        if isinstance(value, np.str_):
            return str(value)
        if isinstance(value, (np.ndarray, np.generic)):
            return self._encode_array(np.asarray(value), value, name)
        if type(value) is range:
            value = list(value)
        if type(value) in (list, tuple):
            kind = type(value).__name__
            return {_TAG: kind, "of": [self.encode(v, name) for v in value]}
        if type(value) is dict:
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
        is_scalar = not isinstance(value, np.ndarray)
        if array.dtype.kind in "US":
            text = array.astype(str).tolist()
            return {_TAG: "strings", "dtype": array.dtype.str, "of": text}
        if array.dtype == object and all(type(v) is str for v in array.flat):
            return {_TAG: "strings", "dtype": "O", "of": array.tolist()}
        if array.dtype.kind not in "biufmM":
            raise TypeError(
                f"{name} is an array of {array.dtype}, which is not stored."
            )
        key = str(len(self.arrays))
        stored = {_TAG: "scalar" if is_scalar else "array", "key": key}
        if array.dtype.kind in "mM":  # dates and durations: integers and a unit
            stored["dtype"] = array.dtype.str
            array = array.astype(np.int64)
        self.arrays[key] = array.copy(order="C")
        return stored


class Reader:
    """Decodes what `Writer` encoded.

    Parameters
    ----------
    known : mapping from name to class
    arrays : mapping from key to ndarray
    """

    def __init__(
        self, known: Mapping[str, type], arrays: Mapping[str, np.ndarray]
    ) -> None:
        self._known = known
        self._arrays = arrays

    def decode(self, value: Any) -> Any:
        """Return the value.

        Raises
        ------
        ValueError
            For anything that `Writer` does not write.
        """
        if type(value) in _SIMPLE:
            return value
        decoders = {
            "list": lambda v: [self.decode(part) for part in v["of"]],
            "tuple": lambda v: tuple(self.decode(part) for part in v["of"]),
            "dict": lambda v: {self.decode(k): self.decode(x) for k, x in v["of"]},
            "array": self._decode_array,
            "scalar": lambda v: self._decode_array(v).reshape(())[()],
            "strings": lambda v: np.array(v["of"], dtype=v["dtype"]),
            "object": self._decode_object,
        }
        try:
            return decoders[value[_TAG]](value)
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"{value!r} is nothing that is stored: {error}") from None

    def _decode_array(self, value: Any) -> np.ndarray:
        array = self._arrays[value["key"]]
        return array.astype(value["dtype"]) if "dtype" in value else array

    def _decode_object(self, value: Any) -> Any:
        kind = self._known[value["class"]]
        return kind(**{name: self.decode(part) for name, part in value["of"].items()})
