"""
Ship it: files, C, a smaller network
====================================

The network has few weights. Is it really smaller and faster?

Zeros are left out of files, and idle units out of the computation.
"""

import pickle
import timeit
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from sklearn_sparsenet import SparseNetClassifier, load

X, y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
net = SparseNetClassifier((300, 100), target_sparsity=600, max_iter=40, random_state=0)
net.fit(X, y)
print(f"{net.n_nonzero_} of {net.n_nonzero_ / (1 - net.sparsity_):.0f} weights")

# %%
# One file, without pickle and without code: ``save`` and ``load``. ``to_onnx`` is for
# other runtimes, ``to_c`` for microcontrollers.

sizes = {"pickle": len(pickle.dumps(net))}
sizes["pickle, sparsify()"] = len(pickle.dumps(net.sparsify()))
with TemporaryDirectory() as directory:
    path = Path(directory) / "net.safetensors"
    net.save(path)
    sizes["save()"] = path.stat().st_size
    again = load(path)
    net.to_onnx(Path(directory) / "net.onnx")
    sizes["to_onnx()"] = (Path(directory) / "net.onnx").stat().st_size
sizes["to_c(), source"] = len(net.to_c())
print("same predictions:", (again.predict(X) == net.predict(X)).all())

fig, ax = plt.subplots(figsize=(6, 2.5), layout="constrained")
bars = ax.barh(list(sizes), [size / 1000 for size in sizes.values()])
ax.bar_label(bars, fmt="%.0f", padding=3)
ax.set(xlabel="kB", xlim=(0, 1.1 * max(sizes.values()) / 1000))
ax.invert_yaxis()
plt.show()

# %%
# Most units have nothing to do any more; ``compact`` removes them for good.

print("units before:", [coef.shape[1] for coef in net.coefs_])
net.compact()
print("units after: ", [coef.shape[1] for coef in net.coefs_])

# %%
# This is how predictions are computed, and how long they take. *Dense* are the same
# products with all weights.

print("one row:", net.prediction_plan(1), " 10000 rows:", net.prediction_plan(10000))
many = np.tile(X, (6, 1))
rng = np.random.default_rng(0)
shapes = [(64, 300), (300, 100), (100, 10)]
dense = [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def multiply():
    """Compute the hidden layers and outputs of the dense network."""
    hidden = many
    for weights in dense:
        hidden = np.maximum(hidden @ weights, 0)
    return hidden


for name, call in [("sparse", lambda: net.predict(many)), ("dense", multiply)]:
    seconds = min(timeit.repeat(call, number=1, repeat=5))
    print(f"{name}: {1e3 * seconds:.0f} ms for {len(many)} rows")
