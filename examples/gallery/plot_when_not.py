"""
When not to use it
==================

Here the truth is linear, with many small effects, so that nothing is sparse and nothing
is nonlinear. A sparse network is the wrong tool, and to measure that takes a minute.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import train_test_split

from sklearn_sparsenet import SparseNetRegressor

rng = np.random.default_rng(0)
X = rng.normal(size=(600, 100))
y = X @ rng.normal(size=100) + 5 * rng.normal(size=600)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

scores, seconds = {}, {}


def measure(name, model):
    """Fit; keep the test score and the time."""
    started = time.perf_counter()
    model.fit(X_train, y_train)
    seconds[name] = time.perf_counter() - started
    scores[name] = model.score(X_test, y_test)


measure("ridge", RidgeCV(np.logspace(-1, 3, 20)))
for target in [30, 100, 300]:
    net = SparseNetRegressor((30,), target_sparsity=target, random_state=0)
    measure(f"network, {target}", net)
net = SparseNetRegressor((), target_sparsity=50, random_state=0)
measure("linear, 50 of 100", net)

# %%

fig, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
bars = ax.barh(list(scores), list(scores.values()))
labels = [f"{s:.2f}, {seconds[name]:.2f} s" for name, s in scores.items()]
ax.bar_label(bars, labels, padding=3)
ax.set(xlabel="test R²", xlim=(0, 1.15))
ax.invert_yaxis()
plt.show()

# %%
# Every column matters a little, so that each weight that is left out costs something,
# and hidden layers only add noise. Ridge is better in a small part of the time. Try the
# linear model first; a sparse network has to beat it.
