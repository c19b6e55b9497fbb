"""What a file of an estimator consists of, and what is asked of its sizes."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from sklearn_sparsenet.deploy.sparse_storage import Packed

__all__ = ["FORMAT", "FORMAT_VERSION", "PARTS", "digest", "is_paid"]

FORMAT, FORMAT_VERSION = "sklearn_sparsenet", "1"
PARTS = {
    "class": str,
    "library": str,
    "params": dict[str, Any],
    "attributes": dict[str, Any],
    "had_module": bool,
    "recipe": list[dict[str, Any]] | None,
    "weights": dict[str, Any],
}
# Sparse weights may take so many bytes, and so many times what is stored of them: a
# layer of 10000 units with a few weights takes 10000 times what its biases take.
_FREE_WEIGHTS, _MOST_EXPANSION = 2**24, 2**14


def is_paid(parts: list[Packed]) -> bool:
    """Tell whether weights take memory in proportion to what is stored of them."""
    stored = sum(p.values.nbytes for p in parts)
    stored += sum(p.indices.nbytes for p in parts if p.indices is not None)
    return sum(p.nbytes for p in parts) <= _FREE_WEIGHTS + _MOST_EXPANSION * stored


def digest(text: str, arrays: dict[str, np.ndarray]) -> str:
    """Return the checksum of the document and its arrays."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()
