"""
As many weights as you ask for
==============================

How do I get a network with exactly 500 weights?

``target_sparsity=500`` says it, and ``fit`` does the rest in one training run.
"""

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_sparsenet import SparseNetClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)

net = SparseNetClassifier((100,), target_sparsity=500, random_state=0)
net.fit(X_train, y_train)
print(f"{net.n_nonzero_} weights, {net.n_live_} of them on live paths")
print(f"test accuracy {net.score(X_test, y_test):.3f}")

# %%
# The report tells what is left of each layer. The rest is exactly ``0.0``, and not
# merely small.

net.sparsity_report()

# %%
# A float is the fraction of *zeros*, so that a larger one is sparser. A larger int is
# denser.

rows = []
for target in [0.9, 0.99, 740, 74]:
    other = SparseNetClassifier((100,), target_sparsity=target, random_state=0)
    other.fit(X_train, y_train)
    rows.append([target, other.n_nonzero_, other.score(X_test, y_test)])
pd.DataFrame(rows, columns=["target_sparsity", "weights left", "test accuracy"])

# %%
# Which pixels does the network of 500 weights read? White ones have no path to an
# output any more. They are mostly at the rim, which is empty in most digits.

fig, ax = plt.subplots(figsize=(3.2, 3.2), layout="constrained")
ax.imshow(net.feature_importances_.reshape(8, 8), cmap="Greys", vmin=0)
ax.set(title=f"{net.support_.sum()} of 64 pixels are read", xticks=[], yticks=[])
plt.show()
