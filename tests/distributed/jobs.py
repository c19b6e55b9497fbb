"""What runs in jobs of joblib: the same results, whatever the backend is."""

import warnings

import joblib
from numpy.testing import assert_array_equal
from sklearn.callback import ProgressBar
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from sklearn_sparsenet import SparseNetRegressorCV, stability_selection
from tests.distributed.clusters import make_data
from tests.estimators.small_fits import make

X, y, weight = make_data(120)


def folds(n_jobs):
    """Return a network that folds have chosen, and what it warned of."""
    how = {"search": "bracket", "max_outer_iter": 1, "cv": 2, "n_jobs": n_jobs}
    net = make(SparseNetRegressorCV, target_sparsities=[5, 15], **how)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        net.fit(X, y)
    messages = [str(w.message) for w in told if w.category is ConvergenceWarning]
    assert messages
    return net.coefs_[0], messages


def halves(n_jobs):
    how = {"n_pairs": 2, "n_jobs": n_jobs, "random_state": 0}
    return [stability_selection(make(), X, y, **how).frequencies]


def grid(n_jobs):
    """Return the scores of a grid, whose progress is shown."""
    search = GridSearchCV(make(), {"target_sparsity": [10, 15]}, cv=2, n_jobs=n_jobs)
    search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, y)
    return [search.cv_results_["mean_test_score"]]


def assert_same_results(backend, capsys):
    for kind in (folds, halves, grid):
        with joblib.parallel_backend(backend):
            found = kind(n_jobs=2)
        printed = capsys.readouterr().out
        for one, other in zip(found, kind(n_jobs=1), strict=True):
            assert_array_equal(one, other)
    assert printed.count("train #0") == 5
