"""
Your own network: a small convolutional one
===========================================

How do I make *my* PyTorch network sparse?

``module=`` takes any ``nn.Module``, or a function that builds one from the numbers of
features and outputs. Images are arrays of more than two dimensions.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from sklearn_sparsenet import SparseNetClassifier
from sklearn_sparsenet.plots import FiltersDisplay

X, y = load_digits(return_X_y=True)
images = (X / 16).reshape(-1, 1, 8, 8)
X_train, X_test, y_train, y_test = train_test_split(images, y, random_state=0)


def build(n_features, n_outputs):
    """Return a network with one convolution, for images of 8 times 8 pixels."""
    return nn.Sequential(
        nn.Conv2d(1, 18, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(72, n_outputs),
    )  # fmt: skip


net = SparseNetClassifier(module=build, target_sparsity=150, random_state=0)
net.fit(X_train, y_train)
print(f"test accuracy {net.score(X_test, y_test):.3f}")
net.sparsity_report()

# %%
# These are the filters of the first layer that are in use. White is an exact zero, and
# of most filters a few strokes are left.

FiltersDisplay.from_estimator(net)
plt.show()

# %%
# Empty filters need not be computed. ``compact`` removes them, and with them the
# weights that read them.

before = net.predict(X_test)
net.compact()
print(net.module_)
print("same predictions:", (net.predict(X_test) == before).all())
