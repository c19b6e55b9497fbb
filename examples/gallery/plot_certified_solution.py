"""
A certified solution, and what Theorem 5 says about it
======================================================

Is this λ really the one that belongs to this network?

For small data and smooth activations ``solver="lbfgs"`` solves the ℓ1 problem until the
optimality conditions hold to 0.001 λ. At such a point the sorted sizes
:math:`a_{(1)} \\le \\dots \\le a_{(N)}` of the gradient know the count: as many of them
equal λ as there are weights, the others are below.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import SparseNetRegressor, optimality

X, y = load_diabetes(return_X_y=True)
X = StandardScaler().fit_transform(X)

net = SparseNetRegressor(
    (10,), "tanh", solver="lbfgs", target_sparsity=20, tol=0.05, random_state=0
)
net.fit(X, y)
print(f"{net.n_nonzero_} weights, λ = {net.alpha_:.4f}")
print(f"largest violation of the conditions: {net.kkt_residual_:.0e} λ")

# %%
# The gradient of the mean loss at the solution, in the units that the network was
# fitted in (a standardised target).

target = torch.from_numpy((y - net.y_mean_) / net.y_scale_)[:, None]
output = net.module_(torch.from_numpy(X))
loss = (output - target).square().sum(1).mean()
weights = [p for name, p in net.module_.named_parameters() if "weight" in name]
parts = torch.autograd.grad(loss, weights)
gradient = torch.cat([part.reshape(-1) for part in parts])
a = optimality.gradient_magnitudes(gradient)
low, high = optimality.alpha_interval(gradient, net.n_nonzero_)
print(f"Theorem 5 at {net.n_nonzero_} weights: {low:.6f} ≤ λ ≤ {high:.6f}")
print("at most", optimality.sparsity_bound(gradient, net.alpha_, rtol=1e-3), "weights")

# %%

fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
ax.plot(range(1, len(a) + 1), a, ".", ms=4)
ax.axhline(net.alpha_, color="C1", label="λ")
ax.axvline(len(a) - net.n_nonzero_ + 0.5, color="grey", ls=":", label="weights ≠ 0")
ax.set(xlabel="rank", ylabel="size of the gradient")
ax.set_ylim(0, 1.2 * net.alpha_)
ax.legend()
plt.show()

# %%
# To the right of the dotted line are the weights that are left: their gradients equal
# λ. All others stay below it.

# %%
# The same λ gives the same network again, which a short stochastic training does not
# promise.

again = SparseNetRegressor(
    (10,), "tanh", solver="lbfgs", alpha=net.alpha_, random_state=0
).fit(X, y)
print("the same count:", again.n_nonzero_ == net.n_nonzero_)
