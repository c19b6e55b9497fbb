"""
How many weights do I need?
===========================

The test error of the same network with fewer and fewer weights.

Each target is a training run of its own; a handful of them shows where the error
begins to rise.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_sparsenet import SparseNetClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)

targets = [60, 100, 200, 400, 800, 2000]
errors = []
for target in targets:
    net = SparseNetClassifier((100,), target_sparsity=target, random_state=0)
    net.fit(X_train, y_train)
    errors.append(1 - net.score(X_test, y_test))

# %%
# The dense network for comparison: ``alpha=0`` is training without a penalty.

dense = SparseNetClassifier((100,), alpha=0.0, random_state=0).fit(X_train, y_train)
dense_error = 1 - dense.score(X_test, y_test)

# %%

fig, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
ax.plot(targets, errors, "o-", label="sparse")
ax.axhline(dense_error, color="grey", ls="--", label=f"dense, {dense.n_nonzero_}")
ax.set(xscale="log", yscale="log", xlabel="weights", ylabel="test error")
ax.set_xticks(targets, labels=map(str, targets))
ax.minorticks_off()
ax.set_yticks(ticks := [0.02, 0.05, 0.1, 0.2], labels=map(str, ticks))
ax.legend()
plt.show()

# %%
# Down to a few hundred weights the error stays near that of the dense network; below,
# it rises steeply.

smallest = targets[int(np.argmax(np.array(errors) < dense_error + 0.02))]
print(f"within two points of the dense network from {smallest} weights on")
