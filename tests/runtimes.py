"""Predictions of exported networks: by a C compiler and by onnxruntime."""

import ctypes
import importlib.util
import shutil
import subprocess
import sys

import numpy as np
import pytest

from sklearn_sparsenet import to_onnx

HAS_COMPILER = shutil.which("cc") is not None
# Those that are here; ziglang is a package with a clang in it.
COMPILERS = {name: [name] for name in ("gcc", "clang") if shutil.which(name)}
if "clang" not in COMPILERS and importlib.util.find_spec("ziglang"):
    COMPILERS["clang"] = [sys.executable, "-m", "ziglang", "cc"]
# Not even what C itself brings along, and all warnings.
BARE = [
    "-std=c99", "-Os", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-nostdlib",
    "-Wl,-z,defs", "-shared", "-fPIC",
]  # fmt: skip


def compiled(source, directory, name="predict"):
    (directory / "net.c").write_text(source)
    flags = ["-std=c99", "-O2", "-Wall", "-Werror", "-shared", "-fPIC"]
    library = directory / "net.so"
    subprocess.run(
        ["cc", *flags, directory / "net.c", "-lm", "-o", library], check=True
    )
    return getattr(ctypes.CDLL(str(library)), name)


def compiled_bare(source, directory, compiler, name="predict"):
    """Compile what needs nothing, as for a microcontroller, but to run it here."""
    file, library = directory / f"{compiler}.c", directory / f"{compiler}.so"
    file.write_text(source, encoding="ascii")
    subprocess.run([*COMPILERS[compiler], *BARE, file, "-o", library], check=True)
    return getattr(ctypes.CDLL(str(library)), name)


def by_integers(function, inputs, n_scores):
    """Return the scores of rows of integers, and what the function returns."""
    scores, returned = np.empty((len(inputs), n_scores), np.int32), []
    for row, out in zip(np.ascontiguousarray(inputs), scores, strict=True):
        returned.append(function(row.ctypes, out.ctypes))
    return scores, np.array(returned)


def by_c(function, X, shape):
    rows = np.ascontiguousarray(X, np.float32)
    outputs = np.empty(shape, np.float32)
    pointer = ctypes.POINTER(ctypes.c_float)
    for row, output in zip(rows, outputs, strict=True):
        function(row.ctypes.data_as(pointer), output.ctypes.data_as(pointer))
    return outputs


def by_onnxruntime(model, X, **options):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    source = to_onnx(model, **options).SerializeToString()
    session = runtime.InferenceSession(source, providers=["CPUExecutionProvider"])
    return session.run(None, {"X": X})
