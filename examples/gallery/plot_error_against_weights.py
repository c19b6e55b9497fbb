"""
How many weights do I need?
===========================

Look at the error of the same network with fewer and fewer weights.

``sparsenet_path`` fits networks for many targets in one run, each going on from a
denser one. Here 15 of them cost less than four single fits.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_sparsenet import SparseNetClassifier, sparsenet_path
from sklearn_sparsenet.plots import SparsityCurveDisplay

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)

net = SparseNetClassifier((100,), random_state=0)
path = sparsenet_path(
    net, X_train, y_train, target_sparsities=15, X_test=X_test, y_test=y_test
)

# %%
# The dense network for comparison: ``alpha=0`` is training without a penalty.

dense = SparseNetClassifier((100,), alpha=0.0, random_state=0).fit(X_train, y_train)
dense_error = 1 - dense.score(X_test, y_test)

# %%

display = SparsityCurveDisplay.from_path(path)
label = f"dense, {dense.n_nonzero_} weights: test"
display.ax_.axhline(dense_error, color="grey", ls=":", label=label)
display.ax_.legend()
plt.show()

# %%
# Down to a few hundred weights the error stays near that of the dense network, and
# below that it rises steeply. The path has all networks, fitted:

good = np.flatnonzero(path.test_scores > 1 - dense_error - 0.02)
smallest = path.estimators[good[-1]]
print(f"within two points of the dense network with {smallest.n_nonzero_} weights")
