"""What is asked for, what is reached, and what is said of it."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor


def scaled(load):
    X, y = load(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.fixture(scope="module")
def wine():
    return scaled(load_wine)


def classifier(**settings):
    return SparseNetClassifier((50,), **{"random_state": 0, **settings})


def counts_of(net):
    return [np.count_nonzero(coef) for coef in net.coefs_]


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
    ("load", "target"), [(load_digits, 400), (load_breast_cancer, 0.95)]
)
def test_the_exact_count(load, target):
    X, y = scaled(load)
    net = classifier(target_sparsity=target, tol=0).fit(X, y)
    total = sum(coef.size for coef in net.coefs_)
    asked = target if isinstance(target, int) else round((1 - target) * total)
    assert net.n_nonzero_ == net.target_n_nonzero_ == asked == sum(counts_of(net))
    assert net.converged_
    assert net.score(X, y) > 0.9


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("activation", ["tanh", "softplus", "identity"])
def test_solvers_and_activations(solver, activation):
    X, y = scaled(load_diabetes)
    net = SparseNetRegressor(
        (20,), activation, solver=solver, target_sparsity=40, tol=0.05, random_state=0
    ).fit(X, y)
    assert abs(sum(counts_of(net)) - 40) <= 2
    assert net.score(X, y) > 0.45


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


def test_some_layers_suffice(wine):
    """An impossible companion: the last layer is to keep all of its weights."""
    target = [20, 150]
    settings = {"tol": 0.1, "max_outer_iter": 12}
    net = classifier(target_sparsity=target, min_layers_on_target=1, **settings)
    net.fit(*wine)
    near = np.abs(net.n_nonzero_per_layer_ - target) <= 0.1 * np.array(target)
    assert near.any()
    assert net.converged_


@pytest.mark.parametrize(("solves", "target"), [(1, 15), (2, 15), (3, [20, 20])])
def test_never_more_solves_than_allowed(wine, solves, target):
    net = classifier(
        target_sparsity=target,
        tol=0,
        max_outer_iter=solves,
        search="bracket",
        max_iter=100,
    )
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
def test_a_constant_target_is_predicted_with_the_asked_number_of_weights(search, atol):
    X, _ = scaled(load_diabetes)
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
    for mine, other in zip(net.coefs_, same.coefs_, strict=True):
        np.testing.assert_array_equal(mine, other)


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
