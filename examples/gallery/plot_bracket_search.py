"""
The search of the paper, step by step
=====================================

How is λ found? Algorithm 1 of the paper trains the network for one λ after the other
and keeps a bracket around the target. ``search_history_`` has all of them.

The default, ``search="one_pass"``, needs one training only. The bracket search is for
those who want a λ that was trained for from beginning to end.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from sklearn_sparsenet import BracketSearch, SparseNetClassifier
from sklearn_sparsenet.plots import SearchDisplay

X, y = load_digits(return_X_y=True)
searches = {
    "ours: interpolation": BracketSearch(),
    "the paper: median of the candidates": BracketSearch(
        rule="median", midpoint="arithmetic", stop="converged"
    ),
}
nets = {}
for name, search in searches.items():
    net = SparseNetClassifier(
        (30,),
        search=search,
        target_sparsity=300,
        tol=0.05,
        max_iter=50,
        max_outer_iter=30,
        random_state=0,
    )
    nets[name] = net.fit(X[:1000] / 16, y[:1000])
    print(f"{name}: {net.n_nonzero_} weights after {net.n_outer_iter_} solves")

# %%
# The picture has λ and the number of weights of each solve. The dashed line is the
# target.

fig = plt.figure(figsize=(8, 4.5), layout="constrained")
for part, (name, net) in zip(fig.subfigures(1, 2), nets.items(), strict=True):
    part.suptitle(name)
    SearchDisplay.from_estimator(net, ax=part.subplots(2, sharex=True))
plt.show()

# %%
# Both begin at an end of ``alpha_bounds``. A larger λ leaves fewer weights. The search
# ends with the first solve whose count is within ``tol`` of the target.
