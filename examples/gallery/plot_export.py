"""
Export: PyTorch, ONNX, C
========================

Does the network predict the same in another runtime?

``to_module`` is for PyTorch, ``to_onnx`` for ONNX runtimes, and ``to_c`` for machines
that have neither. All of them go from inputs to probabilities, without idle units.
"""

import ctypes
import importlib.util
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits

from sklearn_sparsenet import SparseNetClassifier

X, y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
net = SparseNetClassifier((30,), target_sparsity=100, max_iter=60, random_state=0)
net.fit(X, y)
expected = net.predict_proba(X)
print(f"{net.n_nonzero_} weights, accuracy {net.score(X, y):.2f}")
found = {}

# %%
# ``to_module`` returns a module, which ``torch.export`` takes as well.

module = net.to_module()
with torch.no_grad():
    found["to_module()"] = module(torch.from_numpy(X)).numpy()
program = torch.export.export(
    module, (torch.from_numpy(X),), dynamic_shapes=({0: torch.export.Dim("n")},)
)
found["torch.export"] = program.module()(torch.from_numpy(X)).detach().numpy()
print(module)

# %%
# ``to_onnx`` writes ONNX, opset 20, with the outputs "probabilities" and "label". It
# needs onnx, and onnxruntime runs what it writes.

if importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxruntime"):
    import onnxruntime

    model = net.to_onnx().SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    found["to_onnx()"], label = session.run(["probabilities", "label"], {"X": X})
    print("same labels:", (label == net.predict(X)).all())

# %%
# ``to_c`` writes one function in C, with the weights that are not zero as constants.
# 100 weights fit into the smallest microcontrollers.

source = net.to_c("recognise")
print(source[:600], "...")

if shutil.which("cc"):
    with TemporaryDirectory() as directory:
        code, library = Path(directory) / "net.c", Path(directory) / "net.so"
        code.write_text(source)
        subprocess.run(
            ["cc", "-O2", "-shared", "-fPIC", code, "-lm", "-o", library], check=True
        )
        recognise = ctypes.CDLL(str(library)).recognise
    pointer = ctypes.POINTER(ctypes.c_float)
    found["to_c()"] = np.empty_like(expected)
    for row, out in zip(X, found["to_c()"], strict=True):
        recognise(row.ctypes.data_as(pointer), out.ctypes.data_as(pointer))

# %%
# All of them predict the same but for rounding in single precision.

names = list(found)
differences = [np.abs(found[name] - expected).max() for name in names]
fig, ax = plt.subplots(figsize=(6, 2.5), layout="constrained")
bars = ax.barh(names, differences)
ax.bar_label(bars, fmt="%.1e", padding=3)
ax.set(xlabel="largest difference of probabilities")
ax.set_xlim(0, 1.3 * max(max(differences), 1e-8))
ax.invert_yaxis()
plt.show()
