"""
Counts, flipped labels, and a loss of your own
==============================================

My target is not a number with Gaussian noise. Which loss, and how do I write one?
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import d2_tweedie_score
from sklearn.model_selection import train_test_split

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor

rng = np.random.default_rng(0)
X = rng.uniform(-1, 1, (1200, 20))
rate = np.exp(1 + 1.5 * np.sin(3 * X[:, 0]) * X[:, 1])
counts = rng.poisson(rate)
X_train, X_test, y_train, y_test = train_test_split(X, counts, random_state=0)

# %%
# **Counts.** ``loss="poisson"`` has a log link, so that predictions are positive. The
# rate is a product of two of the columns, of which a linear model knows nothing.

net = SparseNetRegressor((20,), loss="poisson", target_sparsity=60, random_state=0)
net.fit(X_train, y_train)
linear = PoissonRegressor().fit(X_train, y_train)
for name, model in [("60 weights", net), ("linear", linear)]:
    explained = d2_tweedie_score(y_test, model.predict(X_test), power=1)
    print(f"{name}: explains {explained:.2f} of the deviance")

fig, ax = plt.subplots(figsize=(4, 3.5), layout="constrained")
true_rate = np.exp(1 + 1.5 * np.sin(3 * X_test[:, 0]) * X_test[:, 1])
ax.loglog(true_rate, net.predict(X_test), ".", ms=4)
ax.plot([0.5, 12], [0.5, 12], color="grey", lw=1)
ax.set(xlabel="true rate", ylabel="predicted rate")
plt.show()

# %%
# **Flipped labels.** ``loss="one_bit"`` assumes that some labels are simply wrong, so
# that a wrong one far from the boundary costs little.

labels = X[:, 0] + X[:, 1] ** 2 > 0.3
flipped = labels ^ (rng.random(len(labels)) < 0.2)
for loss in ["log_loss", "one_bit"]:
    classifier = SparseNetClassifier(
        (20,), loss=loss, target_sparsity=40, random_state=0
    ).fit(X[:600], flipped[:600])
    right = (classifier.predict(X[600:]) == labels[600:]).mean()
    print(f"{loss}: {right:.3f} of the true labels are right")


# %%
# **Your own loss** is a function of outputs and targets that returns one value per
# sample. Here it is the pinball loss, whose minimiser is a quantile.


def ninety_percent(output, target):
    """Return the pinball loss of the 90 % quantile."""
    residual = target - output
    return (0.9 * residual.clamp(min=0) - 0.1 * residual.clamp(max=0)).sum(1)


upper = SparseNetRegressor(
    (20,), loss=ninety_percent, target_sparsity=60, random_state=0
).fit(X_train, y_train)
below = (y_test <= upper.predict(X_test)).mean()
print(f"{below:.2f} of the test counts are below the predicted 90 % quantile")
