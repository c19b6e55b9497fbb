"""
Which inputs does the network use?
==================================

A network with few weights reads few inputs. Are they the right ones? We look at data
of which we know the truth: 5 of 40 columns matter, in a way that a linear model sees
only in part.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_friedman1
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LassoCV
from sklearn.model_selection import train_test_split

from sklearn_sparsenet import SparseNetRegressor

X, y = make_friedman1(1000, n_features=40, noise=1.0, random_state=0)
X = X - 0.5  # uniform in [-.5, .5]; columns 0 to 4 matter
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

net = SparseNetRegressor((20,), target_sparsity=40, random_state=0)
net.fit(X_train, y_train)
print("inputs with a path to the output:", np.flatnonzero(net.support_))
print(f"test R² {net.score(X_test, y_test):.3f}")

# %%
# ``SelectFromModel`` takes the network as it takes any estimator, here with at most
# five columns.

selector = SelectFromModel(net, max_features=5, threshold=-np.inf)
selector.fit(X_train, y_train)
print("selected:", selector.get_feature_names_out())

# %%
# Now the lasso, for comparison. Column 2 acts by a square, centred at .5, which a
# linear model cannot see.

lasso = LassoCV(cv=5).fit(X_train, y_train)
print(f"the lasso keeps {np.count_nonzero(lasso.coef_)} columns", end=", ")
print(f"test R² {lasso.score(X_test, y_test):.3f}")

fig, axes = plt.subplots(2, 1, figsize=(6, 4), sharex=True, layout="constrained")
sizes = np.abs(lasso.coef_) / np.abs(lasso.coef_).max()
shown = [("network", net.feature_importances_), ("lasso", sizes)]
for ax, (name, importances) in zip(axes, shown, strict=True):
    colors = ["C0" if column < 5 else "C3" for column in range(40)]
    ax.bar(range(40), importances, color=colors)
    ax.set(ylabel=f"{name}:\nimportance")
axes[1].set(xlabel="column (the first five matter)")
plt.show()

# %%
# Both give most of the importance to columns that matter (blue). The network sees
# column 2 as well, and predicts much better.
