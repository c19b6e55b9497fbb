"""
Inputs that one can rely on
===========================

A sparse network says which inputs it uses. Would it have used the same ones, had the
sample been another one?

:func:`~sklearn_sparsenet.stability_selection` fits it to many halves of the rows, and
keeps the inputs that most of the fits use. We give it ten measurements of diabetics,
and thirty columns that we know to be noise: the same measurements, shuffled.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import SparseNetRegressor, stability_selection
from sklearn_sparsenet.plots import StabilityDisplay

X, y = load_diabetes(return_X_y=True, as_frame=True)
rng = np.random.default_rng(0)
shuffled = [
    X.sample(frac=1, random_state=number).set_axis(
        [f"{name} shuffled {number}" for name in X], axis=1
    )
    for number in range(3)
]
X = pd.concat([X, *(part.reset_index(drop=True) for part in shuffled)], axis=1)

# %%
# One fit uses noise
# ------------------
# We ask for as many weights as leave about ten inputs:

net = SparseNetRegressor((10,), target_sparsity=20, max_iter=150)
scaler = StandardScaler().set_output(transform="pandas")  # keeps the names
model = make_pipeline(scaler, net.set_params(random_state=0)).fit(X, y)
net.input_report()

# %%
# Many fits agree on what is not
# ------------------------------
# Twelve times the rows are dealt into two halves at random, and each half gets a fit.

result = stability_selection(model, X, y, n_pairs=12, random_state=0)
StabilityDisplay.from_result(result, assumption="unimodal")
plt.show()

# %%
# How many of the selected inputs are there by chance? Call an input *unlikely* if a fit
# uses it no more often than if it chose blindly. The expected number of unlikely inputs
# among the selected ones is bounded for any estimator, and the bound is smaller if we
# assume more of how their frequencies are distributed:

thresholds = [0.6, 0.7, 0.8, 0.9]
is_noise = np.array(["shuffled" in name for name in result.feature_names])
pd.DataFrame(
    {
        "selected": [result.select(t).sum() for t in thresholds],
        "of these noise": [result.select(t)[is_noise].sum() for t in thresholds],
        **{
            f"at most, {assumption}": [
                round(result.error_bound(t, assumption=assumption), 2)
                for t in thresholds
            ]
            for assumption in ("none", "unimodal", "r_concave")
        },
    },
    index=pd.Index(thresholds, name="threshold"),
)

# %%
# The bound grows with the square of the inputs that a fit uses, so ask for few weights,
# or for few inputs with ``target_inputs``.

print(f"{result.n_selected_mean:.1f} of {len(is_noise)} inputs a fit")
print(*result.feature_names[result.selected], sep=", ")
