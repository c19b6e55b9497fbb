"""
Save a network: one file without code
=====================================

How large is the file, and what does it take to read it?

``save`` writes arrays as safetensors and all else as JSON, with a version and a
checksum. ``load`` executes nothing of that, and refuses damaged files.
"""

import pickle
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from torch import nn

from sklearn_sparsenet import SparseNetClassifier, load

X, y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
folder = TemporaryDirectory()
path = Path(folder.name) / "net.safetensors"

# %%
# The size goes with the number of weights that are not zero: the index of each and its
# values in the network and in the penalised solution take ten bytes or so.

counts = [250, 500, 1000, 2000, 4000]
sizes, pickled = [], []
for count in counts:
    net = SparseNetClassifier(
        (300, 100), target_sparsity=count, max_iter=5, random_state=0
    )
    net.fit(X, y).save(path)
    sizes.append(path.stat().st_size / 1000)
    pickled.append(len(pickle.dumps(net)) / 1000)

fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.plot(counts, pickled, "o-", label="dense pickle")
ax.plot(counts, sizes, "o-", label="save()")
ax.set(xlabel="weights", ylabel="kB", ylim=(0, None))
ax.legend()
plt.show()

# %%
# What was loaded predicts the same, to the last bit.

again = load(path)
print("the same:", np.array_equal(again.predict_proba(X), net.predict_proba(X)))

content = bytearray(path.read_bytes())
content[len(content) // 2] ^= 1
(Path(folder.name) / "damaged").write_bytes(content)
try:
    load(Path(folder.name) / "damaged")
except ValueError as error:
    print(f"refused: {str(error).partition(' is ')[2]}")

# %%
# A network of your own class is loaded into one that you give; its code is not in the
# file.


class Residual(nn.Module):
    """Two layers and a linear way around them."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.first = nn.Linear(n_features, 50)
        self.second = nn.Linear(50, n_outputs)
        self.around = nn.Linear(n_features, n_outputs)

    def forward(self, x):
        """Return the outputs."""
        return self.second(self.first(x).relu()) + self.around(x)


own = SparseNetClassifier(
    module=Residual, target_sparsity=300, max_iter=10, random_state=0
)
own.fit(X, y).save(path)
again = load(path, module=Residual)
print("the same:", np.array_equal(again.predict_proba(X), own.predict_proba(X)))
folder.cleanup()
