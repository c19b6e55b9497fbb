"""Predictions of exported networks: by a C compiler and by onnxruntime."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest

from sklearn_sparsenet import to_onnx

HAS_COMPILER = shutil.which("cc") is not None


def compiled(source, directory, name="predict"):
    (directory / "net.c").write_text(source)
    flags = ["-std=c99", "-O2", "-Wall", "-Werror", "-shared", "-fPIC"]
    library = directory / "net.so"
    subprocess.run(
        ["cc", *flags, directory / "net.c", "-lm", "-o", library], check=True
    )
    return getattr(ctypes.CDLL(str(library)), name)


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
