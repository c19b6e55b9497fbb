"""
The network itself
==================

What does a network of 20 weights look like?

So few connections can be drawn and read: you see which inputs are left, and what they
are combined with.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import SparseNetClassifier
from sklearn_sparsenet.plots import NetworkDisplay

wine = load_wine(as_frame=True)
names = wine.target_names[wine.target]
X_train, X_test, y_train, y_test = train_test_split(wine.data, names, random_state=0)

net = SparseNetClassifier((12,), target_sparsity=20, random_state=0)
scaler = StandardScaler().set_output(transform="pandas")  # keeps the names
model = make_pipeline(scaler, net).fit(X_train, y_train)
print(f"test accuracy {model.score(X_test, y_test):.3f}")

# %%

NetworkDisplay.from_estimator(model)
plt.show()

# %%
# Blue weights are positive, orange ones are negative, and thick ones are large. Units
# and inputs without a path to an output are left out. These are the inputs in use, the
# most important first:

net.input_report().round(2)
