"""Writing records of fits down, and comparing fits of today with them."""

import base64
import json
import platform
import zlib
from pathlib import Path

import numpy as np
import sklearn
import torch
from threadpoolctl import threadpool_limits

from tests.golden.cases import arrays_of

RECORDS = Path(__file__).parent / "records.json"


def machine():
    """Return what decides how sums are rounded; elsewhere the bits are others."""
    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
    }


def numbers_of(run):
    """Return the numbers of a fit on one thread: how a sum is divided rounds it."""
    with threadpool_limits(1):
        return arrays_of(run())


def _pack(array):
    """Return the entries that are not zero, and where they are, as text."""
    flat = np.ascontiguousarray(array, dtype="<f8").ravel()
    (where,) = flat.nonzero()
    parts = {"where": where.astype("<u4"), "values": flat[where]}
    packed = {
        name: base64.b85encode(zlib.compress(part.tobytes(), 9)).decode()
        for name, part in parts.items()
    }
    return {"shape": array.shape, **packed}


def _unpack(packed):
    def part(name, dtype):
        return np.frombuffer(zlib.decompress(base64.b85decode(packed[name])), dtype)

    flat = np.zeros(int(np.prod(packed["shape"])))
    flat[part("where", "<u4")] = part("values", "<f8")
    return flat.reshape(packed["shape"])


def write(fits):
    """Keep the numbers of fits, and of what machine they are."""
    packed = {
        name: {key: _pack(array) for key, array in arrays.items()}
        for name, arrays in fits.items()
    }
    RECORDS.write_text(json.dumps({"machine": machine(), "fits": packed}, indent=1))


def read():
    """Return the machine and the numbers that are on record."""
    kept = json.loads(RECORDS.read_text())
    fits = {
        name: {key: _unpack(packed) for key, packed in arrays.items()}
        for name, arrays in kept["fits"].items()
    }
    return kept["machine"], fits


def compare(now, before):
    """Tell whether a fit has the support on record, and the largest difference.

    That of an array is relative to the array's largest entry.
    """
    if now.keys() != before.keys():
        raise ValueError(f"Fits have {sorted(now.keys() ^ before.keys())} only once.")
    same, largest = True, 0.0
    for name, array in now.items():
        old = before[name]
        if array.shape != old.shape:
            raise ValueError(f"{name} has shape {array.shape}, and had {old.shape}.")
        same &= bool(np.array_equal(array != 0, old != 0))
        size = np.abs(old).max(initial=0.0)
        gap = np.abs(array - old).max(initial=0.0)
        largest = max(largest, float(gap / size) if size else float(gap > 0))
    return same, largest
