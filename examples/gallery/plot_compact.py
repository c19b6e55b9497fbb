"""
Leave out units that do nothing
===============================

Few weights are left. Which units and inputs does the network still need?

A unit that nothing reads can go. One that reads nothing is a constant, which goes into
the biases of the next layer. ``compact`` does both until nothing changes.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from torch import nn

from sklearn_sparsenet import SparseNetClassifier

X, y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
net = SparseNetClassifier((200, 100), target_sparsity=300, max_iter=30, random_state=0)
net.fit(X, y)
probabilities = net.predict_proba(X)
report = net.sparsity_report()
net.compact()
print("the same:", np.allclose(net.predict_proba(X), probabilities, atol=1e-5))

fig, ax = plt.subplots(figsize=(6, 2.5), layout="constrained")
places = np.arange(len(report["layer"]))
for key, shift, label in [("n_units", -0.2, "before"), ("n_live_units", 0.2, "after")]:
    bars = ax.barh(places + shift, report[key], height=0.4, label=label)
    ax.bar_label(bars, padding=3)
ax.set(xlabel="units", yticks=places, yticklabels=report["layer"])
ax.set_xlim(0, 1.1 * max(report["n_units"]))
ax.invert_yaxis()
ax.legend()
plt.show()

# %%
# Pixels that nothing reads are left out of the network, but not of X: ``predict`` takes
# all columns as before. ``support_`` and ``input_report`` say which are used.

print(f"{X.shape[1]} columns, the first layer reads {net.coefs_[0].shape[0]}")
net.input_report().head()

# %%
# Units of a convolution are its channels. If the next convolution pads with zeros, a
# constant channel is not constant at the border, and stays.

images = X.reshape(-1, 1, 8, 8)


def build(n_channels, n_outputs):
    """Return a network of two convolutions."""
    return nn.Sequential(
        nn.Conv2d(n_channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Flatten(), nn.Linear(512, 50), nn.ReLU(), nn.Linear(50, n_outputs),
    )  # fmt: skip


cnn = SparseNetClassifier(
    module=build, target_sparsity=600, max_iter=10, random_state=0
)
cnn.fit(images, y)
probabilities = cnn.predict_proba(images)
report = cnn.sparsity_report()
cnn.compact()
print("the same:", np.allclose(cnn.predict_proba(images), probabilities, atol=1e-5))
report.round(3)

# %%
print(cnn.module_)
