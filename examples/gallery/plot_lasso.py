"""
Without hidden layers it is the lasso
=====================================

What does the library do to a model I know?

``hidden_layer_sizes=()`` is a linear model. Its penalised solution is that of ``Lasso``
with half of our λ, since our squared error has no ½. If you ask for a number of
weights, it finds the λ of the lasso that has so many.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Lasso, lasso_path
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import SparseNetRegressor

X, y = load_diabetes(return_X_y=True)
names = load_diabetes().feature_names
X = StandardScaler().fit_transform(X)
y = (y - y.mean()) / y.std()

alphas, coefs = [], []
for count in [1, 3, 5, 7, 9]:
    net = SparseNetRegressor(
        (), solver="lbfgs", target_sparsity=count, tol=0, random_state=0
    )
    net.fit(X, y)
    alphas.append(net.alpha_ / 2)
    coefs.append(net.penalized_coefs_[0][:, 0])

# %%

path_alphas, path, _ = lasso_path(X, y)
fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for name, line in zip(names, path, strict=True):
    ax.plot(path_alphas, line, lw=1, label=name)
ax.set_prop_cycle(None)
for values in np.array(coefs).T:
    ax.plot(alphas, values, "o", ms=4)
ax.set(xscale="log", xlabel="α of Lasso", ylabel="coefficient")
ax.legend(fontsize=8, ncols=2)
plt.show()

# %%
# Lines are scikit-learn's path, and points are the networks with 1, 3, 5, 7 and 9
# weights. They lie on the lines:

worst = max(
    np.abs(Lasso(alpha, tol=1e-10).fit(X, y).coef_ - coef).max()
    for alpha, coef in zip(alphas, coefs, strict=True)
)
print(f"largest difference of a coefficient: {worst:.1e}")
