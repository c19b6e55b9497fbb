"""
Sample weights and class weights
================================

One class is rare. How do I keep a small network from ignoring it?

``class_weight="balanced"`` gives both classes the same say, and ``sample_weight`` does
the same row by row. The number of weights that are left does not change.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import make_classification
from sklearn.metrics import ConfusionMatrixDisplay, balanced_accuracy_score
from sklearn.model_selection import train_test_split

from sklearn_sparsenet import SparseNetClassifier

X, y = make_classification(
    2000, 20, n_informative=6, weights=[0.95], class_sep=0.8, random_state=0
)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

nets, rows = {}, []
for class_weight in [None, "balanced"]:
    net = SparseNetClassifier(
        (20,), target_sparsity=50, class_weight=class_weight, random_state=0
    ).fit(X_train, y_train)
    nets[class_weight] = net
    balanced = balanced_accuracy_score(y_test, net.predict(X_test))
    rows.append(
        [str(class_weight), net.n_nonzero_, net.score(X_test, y_test), balanced]
    )
columns = ["class_weight", "weights", "accuracy", "balanced accuracy"]
pd.DataFrame(rows, columns=columns).round(3)

# %%

fig, axes = plt.subplots(1, 2, figsize=(6, 2.8), layout="constrained")
for ax, (class_weight, net) in zip(axes, nets.items(), strict=True):
    ConfusionMatrixDisplay.from_estimator(net, X_test, y_test, ax=ax, colorbar=False)
    ax.set(title=f"class_weight={class_weight!r}")
plt.show()

# %%
# With balanced classes more of the rare class are found, and more of the others are
# mistaken for it.
#
# The same by ``sample_weight``. A row of weight 0 is as good as absent.

weight = np.where(y_train == 1, 0.5 / y_train.mean(), 0.5 / (1 - y_train.mean()))
same = SparseNetClassifier((20,), target_sparsity=50, random_state=0)
same.fit(X_train, y_train, sample_weight=weight)
agree = (same.predict(X_test) == nets["balanced"].predict(X_test)).mean()
print(f"{agree:.1%} of the predictions agree with class_weight='balanced'")
