"""
In a pipeline, with a grid search
=================================

How many weights should it be? Let cross-validation tell, with the scaling inside.
"""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import SparseNetClassifier

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

net = SparseNetClassifier((10,), max_iter=150, random_state=0)
model = make_pipeline(StandardScaler(), net)
targets = [4, 8, 16, 32, 64, 128]
search = GridSearchCV(model, {"sparsenetclassifier__target_sparsity": targets}, cv=5)
search.fit(X_train, y_train)

# %%
# Among targets within one standard error of the best, take the sparsest.

results = pd.DataFrame(search.cv_results_)
mean = results["mean_test_score"]
error = results["std_test_score"] / np.sqrt(5)
best = mean.idxmax()
chosen = int(np.argmax(mean >= mean[best] - error[best]))

fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
ax.errorbar(targets, mean, error, fmt="o-", capsize=3)
ax.axhline(mean[best] - error[best], color="grey", ls="--")
ax.axvline(targets[chosen], color="C1", label=f"{targets[chosen]} weights")
ax.set(xscale="log", xlabel="weights", ylabel="accuracy, 5 folds")
ax.set_xticks(targets, labels=map(str, targets))
ax.minorticks_off()
ax.legend()
plt.show()

# %%
# The network with the chosen number of weights, on all training rows:

model.set_params(sparsenetclassifier__target_sparsity=targets[chosen])
model.fit(X_train, y_train)
print(f"test accuracy {model.score(X_test, y_test):.3f}; the inputs that are left:")
print(textwrap.fill(", ".join(X.columns[model[-1].support_]), 80))
