"""
Which penalty?
==============

ℓ1, the default, shrinks every weight. ``"mcp"`` leaves large weights alone, and
``"l0"`` leaves all that stay alone. We draw their proximity operators, and look at what
they do to the weights of a network.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import L0, L1, MCP, BracketSearch, SparseNetRegressor

penalties = {"l1": L1(), "mcp": MCP(gamma=3.0), "l0": L0()}
w = torch.linspace(-3, 3, 601)
fig, ax = plt.subplots(figsize=(5, 3.5), layout="constrained")
for name, penalty in penalties.items():
    alpha = 0.5 if name == "l0" else 1.0
    ax.plot(w, penalty.prox(w, 1.0, alpha), label=name)
ax.set(xlabel="weight before the step", ylabel="after")
ax.legend()
plt.show()

# %%
# Without the refit (``debias=False``) the penalised solutions show the difference: with
# the same number of weights, those of ℓ1 are the smallest.

X, y = load_diabetes(return_X_y=True)
X = StandardScaler().fit_transform(X)
rows = []
for name in penalties:
    net = SparseNetRegressor(
        (20,), "tanh", penalty=name, search=BracketSearch(), debias=False,
        target_sparsity=30, tol=0.1, random_state=0,
    ).fit(X, y)  # fmt: skip
    sizes = np.concatenate([coef[coef != 0] for coef in net.coefs_])
    rows.append([name, net.n_nonzero_, np.abs(sizes).mean(), net.loss_, net.alpha_])
columns = ["penalty", "weights", "mean size", "training loss", "λ"]
pd.DataFrame(rows, columns=columns).round(4)

# %%
# The λ of ℓ0 is the loss that a weight must save, and that of the others is a slope, so
# that they do not compare. With the default search and its refit, ℓ1 and MCP keep the
# same network.
