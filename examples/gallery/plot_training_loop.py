"""
Your own training loop
======================

I have a training loop in PyTorch. Can I have exact zeros in it?

``ProximalAdam`` and ``ProximalSGD`` are plain optimisers of ``torch.optim``'s kind,
with ``alpha``, the λ, in the parameter groups. Unlike a penalty that is added to the
loss they make weights exactly zero.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch import nn

from sklearn_sparsenet import ProximalAdam

X, y = load_digits(return_X_y=True)
X, y = torch.tensor(X / 16, dtype=torch.float32), torch.tensor(y)


def network():
    """Return a small network, the same each time."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 50), nn.ReLU(), nn.Linear(50, 10))


def train(net, optimizer, penalty, epochs=20):
    """Train; return the share of weights that are exactly zero after each epoch."""
    weights = [p for p in net.parameters() if p.ndim == 2]
    share = []
    for _ in range(epochs):
        for batch in torch.randperm(len(X)).split(128):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(X[batch]), y[batch])
            (loss + penalty(weights)).backward()
            optimizer.step()
        zeros = sum(int((w == 0).sum()) for w in weights)
        share.append(zeros / sum(w.numel() for w in weights))
    return share


# %%
# Biases have a group of their own, with ``alpha=0``.

alpha = 2e-3
net = network()
groups = [
    {"params": [p for p in net.parameters() if p.ndim == 2], "alpha": alpha},
    {"params": [p for p in net.parameters() if p.ndim == 1]},
]
proximal = train(net, ProximalAdam(groups, lr=5e-3), penalty=lambda weights: 0.0)
accuracy = float((net(X).argmax(1) == y).float().mean())
print(f"{proximal[-1]:.0%} zeros, training accuracy {accuracy:.3f}")

# %%
# With the same λ as a term of the loss, and ``torch.optim.Adam``, weights become small,
# and almost none of them is zero.

net = network()
added = train(
    net,
    torch.optim.Adam(net.parameters(), lr=5e-3),
    penalty=lambda weights: alpha * sum(w.abs().sum() for w in weights),
)

fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.plot(proximal, label="ProximalAdam")
ax.plot(added, label="Adam, ℓ1 added to the loss")
ax.set(
    xlabel="epoch",
    xticks=range(0, 20, 5),
    ylabel="share of exact zeros",
    ylim=(-0.03, 1),
)
ax.legend()
plt.show()

# %%
# Here the share of zeros follows from λ. To choose the number of weights yourself, let
# the estimators find λ, with ``module=`` for a network of your own.
