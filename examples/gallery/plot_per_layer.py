"""
A target for each layer
=======================

One target for the whole network lets the search decide where weights are worth most.
When you know better, say how many each layer may keep.

Keys are layer names or globs. There is one λ for each layer then.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_sparsenet import SparseNetClassifier
from sklearn_sparsenet.plots import LayersDisplay

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)

targets = {
    "600 in all": 600,
    "[300, 200, 100]": [300, 200, 100],
    "first layer 150, others half zeros": {"0.weight": 150, "*": 0.5},
}
nets = {}
for name, target in targets.items():
    net = SparseNetClassifier((30, 30), target_sparsity=target, random_state=0)
    nets[name] = net.fit(X_train, y_train)
    accuracy = net.score(X_test, y_test)
    print(f"{name:35} λ = {np.round(net.alpha_, 4)}, accuracy {accuracy:.3f}")

# %%

fig = plt.figure(figsize=(7, 7), layout="constrained")
for part, (name, net) in zip(fig.subfigures(3), nets.items(), strict=True):
    part.suptitle(name)
    LayersDisplay.from_estimator(net, ax=part.subplots())
plt.show()

# %%
# With one target the layers compete, and with several each has exactly what you asked
# for. A layer that a dict does not name is neither penalised nor counted.
