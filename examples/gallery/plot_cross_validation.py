"""
Cross-validation chooses the number of weights
==============================================

How many weights should it be, without looking at test data?

``SparseNetClassifierCV`` fits a path of networks from dense to sparse in each fold.
With ``selection="1se"`` it takes the sparsest target whose log loss is worse than the
best by no more than one standard error of the difference, and fits it anew to all rows.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import SparseNetClassifierCV
from sklearn_sparsenet.plots import SparsityCurveDisplay

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

net = SparseNetClassifierCV(
    (10,), target_sparsities=12, selection="1se", random_state=0
)
scaler = StandardScaler().set_output(transform="pandas")  # keeps the names
model = make_pipeline(scaler, net).fit(X_train, y_train)

# %%

SparsityCurveDisplay.from_estimator(model)
plt.show()

# %%
# The folds hardly tell the dense targets apart, so that the rule takes a sparse one.
# The inputs that matter most to it:

accuracy = model.score(X_test, y_test)
print(f"{net.target_sparsity_} weights, test accuracy {accuracy:.3f}")
net.input_report().head(8).round(2)
