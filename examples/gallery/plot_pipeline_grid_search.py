"""
In a pipeline, with a grid search
=================================

How many weights, and how many units? Let cross-validation tell, with the scaling
inside.

For the number of weights alone ``SparseNetClassifierCV`` is cheaper: it fits a path in
each fold. A grid search has any other parameter beside it, and a fit for each entry.
"""

import textwrap

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import SparseNetClassifier
from sklearn_sparsenet.plots import NetworkDisplay, SparsityCurveDisplay

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

net = SparseNetClassifier(random_state=0)
model = make_pipeline(StandardScaler(), net)
grid = {
    "sparsenetclassifier__target_sparsity": [10, 20, 40],
    "sparsenetclassifier__hidden_layer_sizes": [(5,), (20,), (10, 10)],
}
search = GridSearchCV(model, grid, cv=3).fit(X_train, y_train)

# %%
# Accuracy on rows that were left out.

results = pd.DataFrame(search.cv_results_)
results.columns = results.columns.str.replace("param_sparsenetclassifier__", "")
results.pivot_table("mean_test_score", "target_sparsity", "hidden_layer_sizes").round(3)

# %%
# The same as a curve: each number of weights with the units that go best with it.

SparsityCurveDisplay.from_estimator(search)
plt.show()

# %%
# The best network, fitted to all training rows. The displays take a pipeline or a
# search as well.

print(f"test accuracy {search.score(X_test, y_test):.3f}; the inputs that are left:")
best = search.best_estimator_[-1]
print(textwrap.fill(", ".join(X.columns[best.support_]), 80))
NetworkDisplay.from_estimator(search)
plt.show()
