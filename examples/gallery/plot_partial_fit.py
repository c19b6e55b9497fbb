"""
Data that keep coming
=====================

Which weights are kept is chosen with the first rows. Does the network follow a target
that changes afterwards?
"""

# %%
# The target depends on five columns, and turns, part by part, until it depends on five
# others.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_sparsenet import SparseNetRegressor

rng = np.random.default_rng(0)


def draw(n_rows, angle):
    X = rng.standard_normal((n_rows, 20))
    along = np.cos(angle) * X[:, :5] + np.sin(angle) * X[:, 5:10]
    y = np.tanh(along.sum(axis=1)) + X[:, 0] * X[:, 5] / 3
    return X, y + 0.1 * rng.standard_normal(n_rows)


angles = np.linspace(0, np.pi / 2, 100)
common = {"hidden_layer_sizes": (50,), "random_state": 0}
net = SparseNetRegressor(target_sparsity=0.7, **common).partial_fit(*draw(2000, 0))
first = SparseNetRegressor(target_sparsity=0.7, **common).fit(*draw(2000, 0))

# %%
# Each part is scored before the network is trained on with it.

scores = {"partial_fit": [], "the first rows alone": []}
for angle in angles:
    X, y = draw(500, angle)
    scores["partial_fit"].append(net.score(X, y))
    scores["the first rows alone"].append(first.score(X, y))
    net.partial_fit(X, y)

print(f"{net.n_nonzero_} weights, as at first: {first.n_nonzero_}")

# %%
# The network follows, because 30 % of the weights are enough to keep all columns in
# use. A network that had dropped a column for good could not have followed.

_, ax = plt.subplots()
for name, values in scores.items():
    ax.plot(np.degrees(angles), values, label=name)
ax.set_xlabel("angle of the target in degrees")
ax.set_ylabel("R² of the next 500 rows")
ax.legend()
plt.show()
