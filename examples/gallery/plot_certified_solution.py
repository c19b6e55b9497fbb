"""
A certified solution, and what Theorem 5 says about it
======================================================

Is this λ really the one that belongs to this network?

For small data and smooth activations ``solver="lbfgs"`` solves the ℓ1 problem until the
optimality conditions hold to 0.001 λ. At such a point the sorted sizes
:math:`a_{(1)} \\le \\dots \\le a_{(N)}` of the gradient tell the count: as many of them
equal λ as there are weights, and the others are below it.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import SparseNetRegressor, optimality
from sklearn_sparsenet.plots import OptimalityDisplay

X, y = load_diabetes(return_X_y=True)
X = StandardScaler().fit_transform(X)

net = SparseNetRegressor(
    (10,), "tanh", solver="lbfgs", target_sparsity=20, tol=0.05, random_state=0
)
net.fit(X, y)
print(f"{net.n_nonzero_} weights, λ = {net.alpha_:.4f}")
print(f"largest violation of the conditions: {net.kkt_residual_:.0e} λ")

# %%
# The picture has the sizes of the gradient, from the largest on. Those of the weights
# that are left equal λ, and all others are below it.

display = OptimalityDisplay.from_estimator(net, X, y)
plt.show()

# %%
# This is Theorem 5 in numbers: λ is between the last size that belongs to a weight and
# the first that does not.

low, high = display.intervals[0]
print(f"Theorem 5 at {net.n_nonzero_} weights: {low:.6f} ≤ λ ≤ {high:.6f}")
gradient = torch.from_numpy(display.magnitudes[0])
bound = optimality.sparsity_bound(gradient, net.alpha_, rtol=1e-3)
print(f"Theorem 4 at this λ: at most {bound} weights")

# %%
# The same λ gives the same network again, which a short stochastic training does not
# promise.

again = SparseNetRegressor(
    (10,), "tanh", solver="lbfgs", alpha=net.alpha_, random_state=0
).fit(X, y)
print("the same count:", again.n_nonzero_ == net.n_nonzero_)
