"""The bounds of stability selection, against linear programs, search and simulation."""

import math

import numpy as np
import pytest
from scipy.optimize import linprog, minimize
from scipy.stats import binom

from sklearn_sparsenet.estimators._selection_bounds import (
    ASSUMPTIONS,
    Situation,
    error_bound,
    largest_tail,
    r_concave,
    unimodal,
    worst_case,
)


def largest_tail_by_linear_programs(least, size, mean, is_unimodal):
    """Return the largest P(N >= least) with E N <= mean, wherever the mode is."""
    values = np.arange(size + 1)
    found = []
    for mode in range(size + 1) if is_unimodal else [None]:
        rows = [values]
        if mode is not None:
            for i in range(size):  # up to the mode it rises, then it falls
                row = np.zeros(size + 1)
                row[i], row[i + 1] = (1, -1) if i < mode else (-1, 1)
                rows.append(row)
        program = linprog(
            -(values >= least).astype(float),
            A_ub=np.array(rows),
            b_ub=np.array([mean, *np.zeros(len(rows) - 1)]),
            A_eq=np.ones((1, size + 1)),
            b_eq=[1],
        )
        if program.status == 0:
            found.append(-program.fun)
    return max(found)


def situation(n_wanted, n_pairs, theta, n_features=100):
    return Situation(n_wanted, n_pairs, theta * n_features, n_features)


@pytest.mark.parametrize("n_pairs", [4, 7])
@pytest.mark.parametrize("theta", [0.05, 0.3])
def test_theorem_1_is_markovs_inequality_at_its_best(n_pairs, theta):
    """p P(Π̃ >= 2τ - 1), over all distributions of Π̃ with mean θ²."""
    for n_wanted in range(n_pairs + 1, 2 * n_pairs + 1):
        tail = largest_tail_by_linear_programs(
            n_wanted - n_pairs, n_pairs, theta**2 * n_pairs, is_unimodal=False
        )
        bound = worst_case(situation(n_wanted, n_pairs, theta))
        assert 100 * tail == pytest.approx(min(100, bound))


@pytest.mark.parametrize("n_pairs", [4, 7, 10])
@pytest.mark.parametrize("theta", [0.05, 0.2, 0.4, 0.57])
def test_theorem_2_is_exact_where_it_holds(n_pairs, theta):
    """And where it says that it does not, unimodality is left out of account."""
    for n_wanted in range(n_pairs + 1, 2 * n_pairs + 1):
        tail = 100 * largest_tail_by_linear_programs(
            n_wanted - n_pairs, n_pairs, theta**2 * n_pairs, is_unimodal=True
        )
        given = situation(n_wanted, n_pairs, theta)
        assert tail <= unimodal(given) + 1e-9
        if theta <= 0.2 and n_wanted >= n_pairs + 2:
            assert tail == pytest.approx(unimodal(given))


def test_theorem_2_needs_unlikely_inputs_and_a_step_above_a_half():
    assert unimodal(situation(80, 50, 0.58)) == math.inf
    assert unimodal(situation(51, 50, 0.1)) == math.inf
    assert unimodal(situation(52, 50, 0.5)) == math.inf
    assert unimodal(situation(52, 50, 0.1)) < math.inf


def test_a_published_number():
    """The one of R's stabs for 9 inputs, q = 2, B = 50, τ = .75."""
    assert unimodal(Situation(75, 50, 2, 9)) == pytest.approx(0.454, abs=5e-4)


def is_r_concave(law, r):
    inside = np.flatnonzero(law)
    if len(inside) != inside[-1] - inside[0] + 1:
        return False
    powers = law[inside] ** r
    return bool((np.diff(powers, 2) >= -1e-9 * powers.max()).all())


def search_for_tails(least, size, mean, r, rng):
    """Return the largest P(N >= least) found among r-concave laws with E N <= mean.

    Powers are sums of hinges, at all numbers and both ways, whose weights a local
    optimiser chooses; supports begin at 0 and end anywhere.
    """
    best = 0.0
    for last in range(least, size + 1):
        i = np.arange(last + 1)
        hinges = np.array(
            [np.ones(last + 1), *(np.maximum(0, i - j) for j in range(last))]
            + [np.maximum(0, j - i) for j in range(1, last + 1)]
        )

        def law(logs, hinges=hinges):
            powers = np.exp(np.clip(logs, -20, 20)) @ hinges
            f = (powers / powers.min()) ** (1 / r)
            return f / f.sum()

        for _ in range(3):
            found = minimize(
                lambda logs, law=law: -np.log(law(logs)[least:].sum()),
                rng.normal(scale=2, size=len(hinges)),
                method="SLSQP",
                constraints={
                    "type": "ineq",
                    "fun": lambda logs, law=law, i=i: mean - law(logs) @ i,
                },
                options={"maxiter": 200},
            )
            f = law(found.x)
            if f @ i <= mean + 1e-6:
                assert is_r_concave(f, r)
                best = max(best, f[least:].sum())
    return best


@pytest.mark.parametrize("r", [-1 / 2, -1 / 4])
@pytest.mark.parametrize(
    ("mean", "least", "size"),
    [(0.3, 3, 5), (0.3, 5, 5), (1.0, 3, 6), (1.0, 6, 6), (0.05, 1, 4), (1.7, 5, 6)],
)
def test_no_r_concave_law_has_a_larger_tail(mean, least, size, r):
    bound = largest_tail(mean, least, size, r)
    rng = np.random.default_rng(0)
    with np.errstate(all="ignore"):
        found = search_for_tails(least, size, mean, r, rng)
    assert found <= bound + 1e-6
    assert found >= 0.7 * bound  # the optimiser comes near


def test_tails_say_nothing_near_the_mean_and_nothing_is_selected_of_nothing():
    assert largest_tail(2.0, 4, 8, -0.5) == 1
    assert largest_tail(3.9, 8, 8, -0.5) < 1
    assert largest_tail(5.0, 8, 8, -0.5) == 1
    assert largest_tail(0.0, 4, 8, -0.5) == 0
    for assumption in ASSUMPTIONS:
        assert error_bound(Situation(75, 50, 0.0, 10), assumption) == 0


def test_more_assumptions_and_larger_thresholds_give_smaller_bounds():
    for theta in (0.01, 0.1, 0.5, 1.0):
        rows = [
            [error_bound(situation(n, 20, theta), name) for name in ASSUMPTIONS]
            for n in range(21, 41)
        ]
        assert (np.diff(rows, axis=1) <= 0).all()
        assert (np.diff(rows, axis=0) <= 1e-9).all()
    assert r_concave(situation(30, 20, 0.05)) < 0.7 * unimodal(situation(30, 20, 0.05))


def test_bounds_of_extreme_situations_are_numbers():
    """Also where twice the mean is a whole number but for rounding."""
    for theta in (1e-6, 1e-3, 0.1, math.sqrt(0.3), math.sqrt(0.3) - 1e-16, 0.9999, 1):
        for n_wanted in (6, 8, 10):
            bound = error_bound(situation(n_wanted, 5, theta), "r_concave")
            assert 0 < bound <= 500 * theta**2 + 1e-9
    assert 0 < error_bound(situation(401, 400, 0.02), "r_concave") < 10
    assert error_bound(situation(2, 1, 0.1), "r_concave") == pytest.approx(1)


def test_what_has_no_bound_is_refused():
    with pytest.raises(ValueError, match=r"above 1/2 only; choose one from 0\.51 to 1"):
        error_bound(situation(50, 50, 0.1), "none")
    with pytest.raises(ValueError, match="'normal' must be one of none, unimodal, r_c"):
        error_bound(situation(60, 50, 0.1), "normal")


@pytest.mark.parametrize("n_pairs", [1, 5])
def test_theorem_1_for_fits_that_choose_blindly(n_pairs):
    """All fits use each input independently of each other, with probability θ."""
    theta, n_fits = 0.3, 2 * n_pairs
    for n_wanted in range(n_pairs + 1, n_fits + 1):
        exact = binom.sf(n_wanted - 1, n_fits, theta)
        assert 100 * exact <= worst_case(situation(n_wanted, n_pairs, theta)) + 1e-9
