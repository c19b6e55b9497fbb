"""
Watching a fit
==============

What happens between the start and the end of ``fit``?

With ``verbose=1`` a fit prints what it has come to. The estimators also take
scikit-learn's callbacks: ``ProgressBar()`` shows how far a fit is, and
``ScoringMonitor`` keeps scores of the network as it stands after each epoch.
"""

import matplotlib.pyplot as plt
from sklearn.callback import ScoringMonitor
from sklearn.datasets import load_digits
from sklearn.metrics import get_scorer
from sklearn.model_selection import train_test_split

from sklearn_sparsenet import SparseNetClassifier
from sklearn_sparsenet.plots import SearchDisplay

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)


def on_test_rows(net, X, y):
    """Return the accuracy on rows that the fit does not see."""
    return net.score(X_test, y_test)


monitor = ScoringMonitor(
    scoring={"training": get_scorer("accuracy"), "test": on_test_rows}
)
net = SparseNetClassifier((50,), target_sparsity=200, verbose=1, random_state=0)
net = net.set_callbacks(monitor).fit(X_train, y_train)

# %%
# Above: loss, weights and time for every few epochs, and what came of it. The search
# trains and cuts weights until 200 are left; the solve finds λ, ``alpha_``, from there.
#
# For the callbacks a fit is a tree of tasks. The first solve below its root is the
# search, with an entry for each epoch; the second one solves the ℓ1 problem from there.

log = monitor.get_logs().data_as_pandas
log[["task_name", "task_id_path", "training", "test"]].head(8)

# %%
# What the search cut meanwhile is in ``narrowing_history_``, and drawn by
# ``SearchDisplay``: the threshold up to which weights are cut, and how many are left.

fig, axes = plt.subplots(3, 1, figsize=(6.4, 7), sharex=True, layout="constrained")
search = log[log["parent_task_id_path"].map((0, 0).__eq__)]
for name in ["training", "test"]:
    axes[0].plot(search["task_id"] + 1, search[name], label=name)
axes[0].set(ylabel="accuracy")
axes[0].legend()
SearchDisplay.from_estimator(net, ax=axes[1:])
plt.show()

# %%
# A twentieth of the run is dense training. Then weights are cut, most of them early,
# and the accuracy suffers for a while. When the target is reached, the support is held
# and trained.
#
# The threshold is a size in the metric of the steps, and depends on these; λ of the
# solution, ``alpha_``, is in the legend.
