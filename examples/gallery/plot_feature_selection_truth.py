"""
Which inputs matter, where the truth is known
=============================================

Madelon, a data set of the feature selection challenge of NIPS 2003, has 20 columns
that matter and 480 of noise. No column says anything by itself: the classes are
clusters on the corners of a cube in five dimensions, so that linear models are nearly
blind. :func:`sklearn.datasets.make_classification` has its recipe. We make a small one,
fit sparse networks to it and look at what they keep.
"""

# %%
# The first 5 columns are informative, the next 15 are mixtures of these, and 80 are
# noise. Five columns are enough to predict as well as with all twenty. Each class has
# 8 of the 32 corners: with all of them ``make_classification`` would give the classes
# the two sides of one column, which is another problem.
import importlib.util

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_classification
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import SparseNetClassifier

N_TRUE = 20
X, y = make_classification(
    2000,
    100,
    n_informative=5,
    n_redundant=15,
    n_clusters_per_class=8,
    class_sep=1.5,
    flip_y=0.01,
    shuffle=False,
    random_state=0,
)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
scaler = StandardScaler().set_output(transform="pandas").fit(X_train)
X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)

# %%
# A network with few weights has few inputs
# -----------------------------------------
# A number is a target for the whole network, and a list has one for each layer. Each
# input costs a weight in the first layer, so that a list limits the inputs more.
targets = [20, 40, 80, 160, 320, [20, 100, 30], [40, 300, 40]]
networks = [
    SparseNetClassifier(
        (50, 50), target_sparsity=target, max_iter=40, random_state=0
    ).fit(X_train, y_train)
    for target in targets
]
found = [
    (str(target), net.support_, net.score(X_test, y_test))
    for target, net in zip(targets, networks, strict=True)
]

# %%
# Exactly so many inputs
# ----------------------
# ``target_inputs`` says how many inputs stay in use. With ``target_sparsity=None`` the
# rest of the network is dense.
for k in (5, 10, 20, 40):
    net = SparseNetClassifier(
        (50, 50), target_inputs=k, target_sparsity=None, max_iter=40, random_state=0
    ).fit(X_train, y_train)
    found.append((f"{k} inputs", net.support_, net.score(X_test, y_test)))

# %%
# What one would try first is :class:`~sklearn.feature_selection.SelectFromModel` with a
# linear model, whose λ is chosen by cross-validation.
linear = SelectFromModel(
    LogisticRegressionCV(
        l1_ratios=(1.0,),
        solver="liblinear",
        scoring="neg_log_loss",
        use_legacy_attributes=False,
        random_state=0,
    )
).fit(X_train, y_train)
score = np.mean(linear.estimator_.predict(X_test) == y_test)
found.append(("ℓ1, linear", linear.get_support(), score))

# %%
# LassoNet penalises inputs instead of weights, on a whole path of λ. It takes a minute,
# and is shown only if it is installed (``pip install lassonet``). We take the network
# with the smallest loss on held-out rows.
if importlib.util.find_spec("lassonet"):
    from lassonet import LassoNetClassifier

    lassonet = LassoNetClassifier(
        hidden_dims=(50, 50),
        path_multiplier=1.1,
        verbose=0,
        random_state=0,
        torch_seed=0,
    )
    path = lassonet.path(X_train.to_numpy(), y_train, return_state_dicts=True)
    best = min(path[1:], key=lambda item: item.val_loss)
    lassonet.load(best.state_dict)
    predicted = np.asarray(lassonet.predict(X_test.to_numpy()))
    found.append(("LassoNet", best.selected.numpy(), np.mean(predicted == y_test)))

# %%
# What is kept of the 20 columns that matter, and of the 80 that do not:
labels = [name for name, _, _ in found]
hits = np.array([support[:N_TRUE].sum() for _, support, _ in found])
misses = np.array([support[N_TRUE:].sum() for _, support, _ in found])
figure, (left, right) = plt.subplots(
    1, 2, sharey=True, figsize=(8, 4.5), layout="constrained"
)
rows = np.arange(len(found))
left.barh(rows, hits, label="of the 20 that matter")
left.barh(rows, misses, left=hits, label="of the 80 of noise")
left.set(yticks=rows, yticklabels=labels, xlabel="inputs kept")
left.invert_yaxis()
left.legend()
right.plot([score for _, _, score in found], rows, "o")
right.set(xlabel="test accuracy", xlim=(0.45, 1))
right.grid(axis="x", alpha=0.3)
plt.show()

# %%
# The sparsest networks keep almost nothing but true inputs. More weights find more of
# them, and let noise in, unless they are spent above the first layer. If you ask for a
# number of inputs, you get that number, and a network that predicts with all the
# weights that these inputs can have.
#
# By name
# -------
# :meth:`~sklearn_sparsenet.SparseNetClassifier.input_report` names the inputs; the most
# important ones come first.
net = networks[targets.index([20, 100, 30])]
print(net.summary())
net.input_report().head(8)

# %%
# As a step of a pipeline
# -----------------------
# ``importance_getter="support_"`` makes `SelectFromModel` keep exactly the inputs in
# use, whatever the penalty. Neighbours, which feel every superfluous column, tell what
# the selection is worth:
selector = SelectFromModel(net, importance_getter="support_", prefit=True)
selector.set_output(transform="pandas").fit(X_train, y_train)
for name, columns in {
    "all columns": X_train.columns,
    "the network's": selector.get_feature_names_out(),
    "the true ones": X_train.columns[:N_TRUE],
}.items():
    neighbours = KNeighborsClassifier().fit(X_train[columns], y_train)
    print(f"{name}: {neighbours.score(X_test[columns], y_test):.3f}")

# %%
# Madelon itself, several seeds, pumadyn32nm, and LassoNet beside them are in
# *Inputs, measured*.
