"""How many unlikely inputs stability selection is expected to select, at most.

R. D. Shah and R. J. Samworth, "Variable selection with error control: another look at
stability selection", JRSS-B 75 (2013). In their notation: S is the set of inputs that a
fit to half of the rows uses, p_k the probability that input k is in it, and L the
inputs with p_k <= θ. B pairs of disjoint halves are drawn; Π_k is the share of the 2B
halves whose fits use k, and Π̃_k the share of the pairs of which both do. As the halves
of a pair are independent, E Π̃_k = p_k². And 1 - 2 Π_k + Π̃_k, the share of the pairs of
which neither does, is not negative: Π_k >= τ implies Π̃_k >= 2τ - 1. The bounds differ
in what they make of this. All of them are for θ = q/p, where q = E|S| and p is the
number of inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, minimize_scalar

__all__ = ["ASSUMPTIONS", "Situation", "error_bound"]


@dataclass(frozen=True)
class Situation:
    """What the bounds depend on.

    Attributes
    ----------
    n_wanted : int
        Fits, of 2B, that have to use an input for it to be selected.
    n_pairs : int
        B.
    n_selected : float
        q, inputs that a fit uses on average.
    n_features : int
        p.
    """

    n_wanted: int
    n_pairs: int
    n_selected: float
    n_features: int

    @property
    def threshold(self) -> float:
        """The threshold τ on the frequencies; it is a multiple of 1/(2B)."""
        return self.n_wanted / (2 * self.n_pairs)

    @property
    def theta(self) -> float:
        """The probability θ up to which an input is an unlikely one."""
        return self.n_selected / self.n_features


def worst_case(given: Situation) -> float:
    """Return the bound of Theorem 1, θ q / (2τ - 1), by Markov's inequality for Π̃."""
    return given.theta * given.n_selected / (2 * given.threshold - 1)


def unimodal(given: Situation) -> float:
    """Return the bound of Theorem 2, C(τ, B) θ q, for unimodal Π̃; inf outside it.

    C is the largest P(Π̃ >= 2τ - 1) / E Π̃: unimodal distributions are mixtures of
    uniform ones, and the extreme of these begins at 0.
    """
    tau, square, half = given.threshold, given.theta**2, 0.5 / given.n_pairs
    is_covered = given.n_wanted >= given.n_pairs + 2 and given.theta <= 1 / math.sqrt(3)
    lowest = 0.5 + min(square, half + 0.75 * square)
    if not is_covered or (tau <= 0.75 and tau <= lowest):
        return math.inf
    if tau <= 0.75:
        constant = 1 / (2 * (2 * tau - 1 - half))
    else:
        constant = 4 * (1 - tau + half) / (1 + 2 * half)
    return constant * given.theta * given.n_selected


def r_concave(given: Situation) -> float:
    """Return the bound of section 3.3, for -1/2-concave Π̃ and -1/4-concave Π.

    It is min{D(θ², 2τ - 1, B, -1/2), D(θ, τ, 2B, -1/4)} p, with `largest_tail` as D.
    """
    n_pairs, theta = given.n_pairs, given.theta
    of_pairs = largest_tail(
        theta**2 * n_pairs, given.n_wanted - n_pairs, n_pairs, -1 / 2
    )
    of_halves = largest_tail(theta * 2 * n_pairs, given.n_wanted, 2 * n_pairs, -1 / 4)
    return min(of_pairs, of_halves) * given.n_features


def largest_tail(mean: float, least: int, size: int, r: float) -> float:
    """Return the largest P(N >= least) of r-concave N on 0 ... size with this mean.

    r-concave, for r < 0, means that P(N = i)^r is convex in i, infinite where N cannot
    be. In the extreme P(N = i) is proportional to (a + i)^(1/r) up to some k, and what
    is beyond is at k + 1, not more than would be there by the same law; the mean
    determines how much that is. We go over all k and the a that are possible with it.

    Parameters
    ----------
    mean : float
        E N, or a bound of it.
    least, size : int
    r : float
        Negative.

    Returns
    -------
    float
        1, which says nothing, unless `least` is more than twice the mean.
    """
    if mean == 0:
        return 0.0
    first = math.floor(2 * mean) + 1  # numbers up to here have a uniform mean above
    if least <= 2 * mean or first > size:
        return 1.0

    def log_scale(last: int) -> float:
        """Return log a so that the law on 0 ... last has the mean, or comes near."""
        if _mean(_law(_LARGE, last, r)) <= mean:
            return _LARGE
        return brentq(lambda log_a: _mean(_law(log_a, last, r)) - mean, -_LARGE, _LARGE)

    best = 0.0
    upper = log_scale(max(first, least) - 1)
    for last in range(max(first, least) - 1, size):
        lower = log_scale(last + 1)

        def tail(log_a: float, last: int = last) -> float:
            return _tail(_law(log_a, last, r), mean, least)

        found = minimize_scalar(
            lambda log_a: -tail(log_a),
            (lower, upper),
            bounds=(lower, upper),
            method="bounded",
        )
        best = max(best, -found.fun, tail(lower), tail(upper))
        upper = lower
    return min(best, 1.0)


_LARGE = 40.0  # log a from which a law is uniform, to rounding


def _law(log_a: float, last: int, r: float) -> np.ndarray:
    """Return (a + i)^(1/r) of i = 0 ... last, in units of the first."""
    return np.exp(np.log1p(np.arange(last + 1) * math.exp(-log_a)) / r)


def _mean(law: np.ndarray) -> float:
    return float(np.arange(len(law)) @ law / law.sum())


def _tail(law: np.ndarray, mean: float, least: int) -> float:
    """Return P(N >= least) after what the mean asks for is added one further on."""
    total, end = law.sum(), len(law)
    added = max(0.0, (mean * total - np.arange(end) @ law) / (end - mean))
    return float((law[least:].sum() + added) / (total + added))


# What is assumed, and the bounds that hold then: the stronger ones include the weaker.
ASSUMPTIONS: dict[str, tuple[Callable[[Situation], float], ...]] = {
    "none": (worst_case,),
    "unimodal": (worst_case, unimodal),
    "r_concave": (worst_case, unimodal, r_concave),
}


def error_bound(given: Situation, assumption: str) -> float:
    """Return the smallest bound that holds under an assumption.

    Raises
    ------
    ValueError
        For another assumption; for a threshold of 1/2 or less, for which there is none.
    """
    if assumption not in ASSUMPTIONS:
        raise ValueError(
            f"assumption={assumption!r} must be one of {', '.join(ASSUMPTIONS)}."
        )
    if given.n_wanted <= given.n_pairs:
        raise ValueError(
            "There is a bound for thresholds above 1/2 only; choose one from "
            f"{0.5 + 0.5 / given.n_pairs:g} to 1."
        )
    return min(bound(given) for bound in ASSUMPTIONS[assumption])
