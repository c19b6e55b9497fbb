"""
The search of the paper, step by step
=====================================

How is λ found? Algorithm 1 of the paper trains the network for one λ after the other
and keeps a bracket around the target; ``search_history_`` tells the story.

The default, ``search="one_pass"``, needs one training only. The bracket search is for
those who want a λ that was trained for from beginning to end.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from sklearn_sparsenet import BracketSearch, SparseNetClassifier

X, y = load_digits(return_X_y=True)
searches = {
    "ours: interpolation": BracketSearch(),
    "the paper: median of the candidates": BracketSearch(
        rule="median", midpoint="arithmetic", stop="converged"
    ),
}
target, tol = 300, 0.05
nets = {}
for name, search in searches.items():
    net = SparseNetClassifier(
        (30,),
        search=search,
        target_sparsity=target,
        tol=tol,
        max_iter=50,
        max_outer_iter=30,
        random_state=0,
    )
    nets[name] = net.fit(X / 16, y)
    print(f"{name}: {net.n_nonzero_} weights after {net.n_outer_iter_} solves")

# %%

fig, axes = plt.subplots(2, 1, figsize=(6, 4.5), sharex=True, layout="constrained")
for name, net in nets.items():
    history = net.search_history_
    solves = range(1, net.n_outer_iter_ + 1)
    axes[0].plot(solves, history["alpha"], "o-", label=name)
    axes[1].plot(solves, history["n_nonzero"], "o-")
axes[1].axhspan(target * (1 - tol), target * (1 + tol), color="grey", alpha=0.4)
axes[0].set(yscale="log", ylabel="λ")
axes[1].set(yscale="log", ylabel="weights", xlabel="solve")
axes[1].set_xticks(range(1, 1 + max(net.n_outer_iter_ for net in nets.values()), 2))
axes[0].legend()
plt.show()

# %%
# Both begin at an end of ``alpha_bounds``. A larger λ leaves fewer weights; the grey
# band is the target with its tolerance.
