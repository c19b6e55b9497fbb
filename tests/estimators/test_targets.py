"""Targets of every kind: what is asked for, what is reached, what is said of it."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning

from sklearn_sparsenet import BracketSearch, SparseNetClassifier, SparseNetRegressor
from tests.comparisons import assert_same_arrays


def classifier(**settings):
    return SparseNetClassifier((50,), **{"random_state": 0, **settings})


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        (0.9, 80),  # of the 13 * 50 + 50 * 3 = 800 weights
        (0.9994, 1),
        (80, 80),
        (np.int64(80), 80),
        (np.float32(0.9), 80),
        (np.array(80), 80),
        ((0.9, 0.5), [65, 75]),
        (np.array([100, 20]), [100, 20]),
        ([100, 0.5], [100, 75]),
        ({"0.weight": 100, "*": 0.5}, [100, 75]),
        ({"*": 0.5, "0.weight": 100}, [100, 75]),
        ({"*.weight": 0.5}, [325, 75]),
        ({"2*": 20}, [20]),
    ],
)
def test_targets_in_numbers_of_weights(wine, target, kept):
    """A float is the fraction of zeros, an int the number of weights that stay."""
    net = classifier(
        target_sparsity=target, max_iter=2, max_outer_iter=1, search="bracket"
    )
    with pytest.warns(ConvergenceWarning, match="asked for"):
        net.fit(*wine)
    got = net.target_n_nonzero_
    assert np.asarray(got).tolist() == kept
    assert isinstance(got, int) == isinstance(kept, int)


@pytest.mark.parametrize(
    "load", [load_digits, load_breast_cancer, load_wine, load_diabetes]
)
@pytest.mark.parametrize(
    ("target", "tol"),
    [(0.9, 0.01), (60, 0.02), ([0.9, 0.8], 0.05), ({"0.weight": 80, "*": 0.7}, 0.05)],
)
def test_targets_are_met(standardised, load, target, tol):
    kind = SparseNetRegressor if load is load_diabetes else SparseNetClassifier
    net = kind((50,), target_sparsity=target, tol=tol, random_state=0)
    net.fit(*standardised(load))
    assert net.converged_
    reached = net.n_nonzero_per_layer_ if np.ndim(net.alpha_) else net.n_nonzero_
    goal = np.asarray(net.target_n_nonzero_)
    assert (np.abs(reached - goal) <= tol * goal).all()


@pytest.mark.parametrize(
    ("load", "target"), [(load_digits, 400), (load_breast_cancer, 0.95)]
)
def test_the_exact_count(standardised, load, target):
    X, y = standardised(load)
    net = classifier(target_sparsity=target, tol=0).fit(X, y)
    total = sum(coef.size for coef in net.coefs_)
    asked = target if isinstance(target, int) else round((1 - target) * total)
    counts = [np.count_nonzero(coef) for coef in net.coefs_]
    assert net.n_nonzero_ == net.target_n_nonzero_ == asked == sum(counts)
    assert net.converged_
    assert net.score(X, y) > 0.9


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("activation", ["tanh", "softplus", "identity"])
def test_solvers_and_activations(diabetes, solver, activation):
    net = SparseNetRegressor(
        (20,), activation, solver=solver, target_sparsity=40, tol=0.05, random_state=0
    ).fit(*diabetes)
    assert abs(net.n_nonzero_ - 40) <= 2
    assert net.score(*diabetes) > 0.45


def test_layers_that_a_dict_leaves_out_are_free(wine):
    net = classifier(target_sparsity={"2.weight": 20}, tol=0.05).fit(*wine)
    assert net.layer_names_ == ["2.weight"]
    assert net.alpha_.shape == net.target_n_nonzero_.shape == (1,)
    assert np.count_nonzero(net.coefs_[0]) == net.coefs_[0].size
    assert abs(net.n_nonzero_ - 20) <= 1


def test_three_layers(wine):
    target = {"0.weight": 60, "2*": 0.9, "*": 15}
    net = SparseNetClassifier(
        (20, 20), target_sparsity=target, tol=0.1, random_state=0
    ).fit(*wine)
    goal = np.array([60, 40, 15])
    np.testing.assert_array_equal(net.target_n_nonzero_, goal)
    assert (np.abs(net.n_nonzero_per_layer_ - goal) <= 0.1 * goal).all()
    assert net.alpha_.shape == (3,)
    history = net.search_history_
    assert history["alpha"].shape == history["n_nonzero_per_layer"].shape
    assert history["alpha"].shape == (net.n_outer_iter_, 3)
    totals = history["n_nonzero_per_layer"].sum(axis=1)
    np.testing.assert_array_equal(history["n_nonzero"], totals)


@pytest.mark.parametrize(("needed", "met"), [(1, [True, False]), (None, [True, True])])
def test_so_many_layers_are_met_as_are_needed(wine, needed, met):
    """A search of λ stops with the first solve in which they are; others may miss."""
    target = np.array([60, 20])
    net = classifier(
        target_sparsity=target, min_layers_on_target=needed, tol=0.05,
        search=BracketSearch(),
    ).fit(*wine)  # fmt: skip
    assert net.converged_
    misses = net.search_history_["n_nonzero_per_layer"] - target
    near = np.abs(misses) <= 0.05 * target
    enough = near.sum(axis=1) >= (needed or 2)
    assert enough.tolist() == [False] * (net.n_outer_iter_ - 1) + [True]
    assert sorted(near[-1], reverse=True) == met


@pytest.mark.parametrize("stop", ["converged", "in_flight"])
def test_other_searches(wine, stop):
    search = BracketSearch(rule="order_statistic", stop=stop)
    net = classifier(target_sparsity=80, tol=0.05, search=search).fit(*wine)
    assert abs(net.n_nonzero_ - 80) <= 4
    ended = net.search_history_["status"][-1]
    assert (ended == "on_target") == (stop == "in_flight")


@pytest.mark.parametrize(("solves", "target"), [(1, 15), (2, 15), (3, [20, 20])])
def test_never_more_solves_than_allowed(wine, solves, target):
    net = classifier(
        target_sparsity=target, tol=0, max_outer_iter=solves, search="bracket",
        max_iter=100,
    )  # fmt: skip
    message = rf"max_outer_iter={solves} solves.*Raise tol, max_outer_iter or max_iter"
    with pytest.warns(ConvergenceWarning, match=message):
        net.fit(*wine)
    assert net.n_outer_iter_ == solves
    assert not net.converged_
    assert all(len(column) == solves for column in net.search_history_.values())


def test_the_closest_result_is_kept(wine):
    net = classifier(target_sparsity=15, tol=0, max_outer_iter=3, search="bracket")
    with pytest.warns(ConvergenceWarning) as told:
        net.fit(*wine)
    tried = net.search_history_["n_nonzero"]
    assert abs(net.n_nonzero_ - 15) == np.abs(tried - 15).min()
    best = net.search_history_["alpha"][np.abs(tried - 15).argmin()]
    assert net.alpha_ == best
    (warning,) = (w for w in told if w.category is ConvergenceWarning)
    assert "SparseNetClassifier: asked for 15 weights (tol=0)" in str(warning.message)
    assert f"kept {net.n_nonzero_}" in str(warning.message)
    assert np.isfinite(net.predict_proba(wine[0])).all()


def test_layers_off_target_are_named_by_their_counts(wine):
    net = classifier(
        target_sparsity=[20, 20], tol=0, max_outer_iter=1, search="bracket"
    )
    with pytest.warns(ConvergenceWarning) as told:
        net.fit(*wine)
    message = str(told[-1].message)
    assert "asked for [20 20]" in message
    first, second = net.n_nonzero_per_layer_
    assert f"kept [{first} {second}]" in message.replace("  ", " ")


def test_a_single_weight_makes_no_path_through_two_layers(wine):
    net = classifier(target_sparsity=1, tol=0, max_outer_iter=4, max_iter=100)
    message = "output is constant. A path through the 2 layers takes one weight in each"
    with pytest.warns(ConvergenceWarning, match=message):
        net.fit(*wine)
    assert net.n_live_ == 0
    assert not net.support_.any()
    assert (net.feature_importances_ == 0).all()
    assert len(np.unique(net.predict_proba(wine[0]), axis=0)) == 1


@pytest.mark.parametrize(
    ("search", "atol"),
    # The exact count costs exactness: 20 weights are there, as asked, and their
    # contributions cancel only as well as the training makes them.
    [("bracket", 1e-6), ("one_pass", 5e-3)],
)
def test_a_constant_target_is_predicted_with_the_asked_number_of_weights(
    diabetes, search, atol
):
    X, _ = diabetes
    net = SparseNetRegressor(
        (10,), target_sparsity=20, tol=0.1, search=search, random_state=0
    )
    with warnings.catch_warnings():
        # That the output is constant may be told, and is right.
        warnings.simplefilter("ignore", ConvergenceWarning)
        net.fit(X, np.full(len(X), -7.25))
    assert abs(net.n_nonzero_ - 20) <= 2
    np.testing.assert_allclose(net.predict(X), -7.25, atol=atol)


def test_everything_may_be_kept(wine):
    """0.0: no weight is zero, as in a dense network."""
    net = classifier(target_sparsity=0.0, max_iter=100).fit(*wine)
    assert net.n_nonzero_ == net.target_n_nonzero_ == 800
    assert net.sparsity_ == 0


@pytest.mark.parametrize("ignored", [5, None, "nonsense", 10**9])
def test_alpha_wins_over_any_target(wine, ignored):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = classifier(alpha=3e-2, target_sparsity=ignored, max_iter=50).fit(*wine)
        same = classifier(alpha=3e-2, max_iter=50).fit(*wine)
    assert net.target_n_nonzero_ is None
    assert net.alpha_ == 3e-2
    assert net.n_outer_iter_ == 1
    assert_same_arrays(net.coefs_, same.coefs_)


@pytest.mark.parametrize("alpha", [[1e-3, 1e-1], {"0.weight": 1e-3, "2*": 1e-1}])
def test_one_alpha_per_layer(wine, alpha):
    net = classifier(alpha=alpha).fit(*wine)
    assert net.alpha_.tolist() == [1e-3, 1e-1]
    equal = classifier(alpha=1e-3).fit(*wine)
    assert net.n_nonzero_per_layer_[1] < equal.n_nonzero_per_layer_[1]


def test_more_penalty_fewer_weights(wine):
    settings = {"max_iter": 500}
    counts = [
        classifier(alpha=alpha, **settings).fit(*wine).n_nonzero_
        for alpha in (0.0, 1e-3, 3e-2, 10.0)
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == 800
    assert counts[-1] == 0


def test_the_found_alpha_is_inside_or_beyond_the_bounds_as_needed(wine):
    """The first bracket is only where the search starts."""
    wanted = {"target_sparsity": 100, "tol": 0.05, "max_iter": 100, "search": "bracket"}
    for bounds in ((1e-9, 1e-8), (1.0, 10.0), (1e-7, 1e-2)):
        net = classifier(alpha_bounds=bounds, **wanted).fit(*wine)
        assert abs(net.n_nonzero_ - 100) <= 5
