r"""The paper's search: a bracket of λ that shrinks from solve to solve.

Algorithm 1 (one λ) and Algorithm 2 (one per layer) are one loop over *groups* of
weights that share a λ. Each group has its own bracket: at its low end the solution
has too many weights, at its high end too few. The next λ is chosen among the
gradient magnitudes :math:`a_i` at the last solution that lie strictly inside the
bracket, (39), because by Theorem 5 the λ of every level is enclosed by them.

References
----------
Shen, Wang, Xu, Yan, arXiv 2408.02801, Algorithms 1 and 2.
Liu, Wang, Xu, Yan, Inverse Problems 39 (2023) 025004: order statistics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from torch import Tensor

from sklearn_sparsenet.search.base import Search, SearchBudget, SearchResult
from sklearn_sparsenet.search.session import Trial
from sklearn_sparsenet.search.trainer import Trainer
from sklearn_sparsenet.solvers import Solution

__all__ = ["BracketSearch"]

Rule = Literal["median", "order_statistic", "secant"]
Stop = Literal["settled", "converged", "in_flight"]
Restart = Literal["cold", "warm"]
Midpoint = Literal["arithmetic", "geometric"]

_EXPAND = 10.0  # a bound that turned out to lie on the wrong side moves this far
_REOPEN = (1.03, 1.5)  # an end that has gone stale moves at least and at most so far
_ALPHA_RANGE = (1e-15, 1e9)  # no end moves beyond
_TEST_FROM = {"settled": 0.8, "converged": 1.0, "in_flight": 0.0}
_NARROW = 1.02  # a bracket this narrow (ratio) that still misses has gone stale


@dataclass
class _Bracket:
    """The bracket of one group."""

    goal: int
    size: int
    low: float
    high: float
    low_count: int | None = None
    high_count: int | None = None
    sides_seen: set[int] = field(default_factory=set)
    same_side: int = 0  # solves in a row that were too dense (> 0) or sparse (< 0)

    def update(self, alpha: float, count: int) -> None:
        """Take in that `alpha` left `count` weights.

        Guards: an end on the wrong side, or contradicted by a newer solve (reversed
        or stale: SL(λ) need not be monotone, and with one λ per layer it depends on
        the others), is moved away and counts as unmeasured until it is solved for.
        """
        narrow = self.high <= self.low * _NARROW
        side = (count > self.goal) - (count < self.goal)
        self.sides_seen.add(side)
        self.same_side = self.same_side + side if self.same_side * side > 0 else side
        if side >= 0:
            self.low, self.low_count = alpha, count
        if side <= 0:
            self.high, self.high_count = alpha, count
        if side > 0 and (self.high <= self.low or narrow):
            self.high = min(self.low * self._reach(count), _ALPHA_RANGE[1])
            self.high_count = None
        if side < 0 and (self.high <= self.low or narrow):
            self.low = max(self.high / self._reach(count), _ALPHA_RANGE[0])
            self.low_count = None

    def _reach(self, count: int) -> float:
        """Return how far (a ratio) a new end is put from the λ that contradicted."""
        if not {-1, 1} <= self.sides_seen:
            return _EXPAND ** min(abs(self.same_side), 8)
        # The bracket held once: λ is near. Counts fall about as fast as λ grows.
        ratio = max(count, self.goal) / max(1, min(count, self.goal))
        least, most = _REOPEN
        return min(max(ratio ** (1 + abs(self.same_side) / 2), least), most)

    def unmeasured_end(self) -> float | None:
        """Return an end that no solve has confirmed yet."""
        if self.high_count is None:
            return self.high
        return self.low if self.low_count is None else None

    def midpoint(self, kind: Midpoint) -> float:
        if kind == "geometric" and self.low > 0:
            return math.sqrt(self.low * self.high)
        return (self.low + self.high) / 2


def _median(bracket: _Bracket, inside: Tensor, last: int) -> float | None:
    """The (lower) median of the candidates, as the paper has it."""
    return float(inside.median()) if len(inside) else None


def _order_statistic(bracket: _Bracket, inside: Tensor, last: int) -> float | None:
    """The candidate that lets the missing weights in, or the excess out.

    From a solution with too few weights the largest :math:`a_i` off the support
    enter first; from one with too many, the index moves up by the excess.
    """
    ordered = inside.sort(descending=last < bracket.goal).values
    missing = abs(bracket.goal - last)
    return float(ordered[missing - 1]) if 0 < missing <= len(ordered) else None


def _secant(bracket: _Bracket, inside: Tensor, last: int) -> float | None:
    """Interpolate between the ends (Illinois rule).

    Linear in log λ and in the log-odds of a weight being nonzero: the count
    saturates at dense λ and falls like a power at sparse ones.
    """
    low, high = bracket.low_count, bracket.high_count
    if low is None or high is None or low <= high or bracket.low <= 0:
        return None
    top, bottom, goal = (
        math.log((count + 0.5) / (bracket.size - count + 0.5))
        for count in (low, high, bracket.goal)
    )
    excess, lack = top - goal, goal - bottom
    # An end that stays while the other one moves again and again loses half of its
    # weight each time; regula falsi would creep.
    halvings = 0.5 ** max(0, abs(bracket.same_side) - 1)
    if bracket.same_side > 0:
        lack *= halvings
    else:
        excess *= halvings
    # Kept off the ends: a noisy count could otherwise pin the bracket there.
    share = min(max(excess / (excess + lack), 0.1), 0.9)
    return bracket.low * (bracket.high / bracket.low) ** share


_RULES = {"median": _median, "order_statistic": _order_statistic, "secant": _secant}


@dataclass(frozen=True)
class BracketSearch(Search):
    """Algorithms 1 and 2 of the paper, with its ambiguities as options.

    Parameters
    ----------
    rule : {"median", "order_statistic", "secant"}
        The next λ: the median of the candidates (the paper), the order statistic
        that lets the missing weights in (Liu et al. 2023), or interpolation between
        the counts at the ends, all weights being assumed nonzero at the first low
        end (ours). Without a candidate: the midpoint.
    stop : {"settled", "converged", "in_flight"}
        When the target is tested: after every step of the last fifth of a solve,
        where a falling step size has brought the iterate near its end (ours); on
        finished solves only; or after every step, ending the solve at once (the
        authors' code). In flight, the result is a passing iterate, no minimiser;
        ``kkt_residual_`` tells.
    restart : {"cold", "warm"}
        Whether every solve starts from the same initial network (the paper), or
        from the last solution that had too many weights, once there is one: weights
        leave more easily than they come back, and none come back to a collapsed
        network.
    midpoint : {"geometric", "arithmetic"}
        Of the bracket. The paper's is arithmetic; the ends are decades apart.
    """

    rule: Rule = "secant"
    stop: Stop = "settled"
    restart: Restart = "cold"
    midpoint: Midpoint = "geometric"

    def __post_init__(self) -> None:
        kinds = {"rule": Rule, "stop": Stop, "restart": Restart, "midpoint": Midpoint}
        for name, accepted in kinds.items():
            value = getattr(self, name)
            if not isinstance(value, str) or value not in get_args(accepted):
                raise ValueError(f"{name}={value!r}; accepted: {get_args(accepted)}.")

    def run(self, trainer: Trainer, limits: SearchBudget) -> SearchResult:
        """Search for the target of `trainer`; a ValueError tells that it has none."""
        if trainer.target is None:
            raise ValueError("BracketSearch needs a target.")
        low, high = limits.alpha_bounds
        brackets = [
            _Bracket(goal, size, low, high)
            for goal, size in zip(
                trainer.target.n_nonzero, trainer.group_sizes, strict=True
            )
        ]
        if self.rule == "secant":  # spares the solve at the low end
            for bracket in brackets:
                bracket.low_count = bracket.size
        record = _Record(sum(trainer.target.n_nonzero))
        # Steps 1, 2: a guess, if there is one, then both ends of the bracket.
        alpha = list(limits.guess or [high] * len(brackets))
        while True:
            trial = trainer.solve(
                alpha,
                start=record.dense if self.restart == "warm" else None,
                test_from=_TEST_FROM[self.stop],
            )
            record.add(trial)
            if trial.met or trial.interrupted:
                break
            for bracket, value, count in zip(
                brackets, alpha, trial.n_nonzero, strict=True
            ):
                bracket.update(value, count)
            if len(record.trials) == limits.max_outer_iter:
                break
            # Steps 3, 4: a new λ for each group from the last solution.
            alpha = [
                self._next(bracket, gradient, count)
                for bracket, gradient, count in zip(
                    brackets, trial.gradients, trial.n_nonzero, strict=True
                )
            ]
        return record.result(limits)

    def max_solves(self, limits: SearchBudget) -> int:
        """Return the most solves, refit included."""
        return limits.max_outer_iter + limits.debias

    def _next(self, bracket: _Bracket, gradient: Tensor, last: int) -> float:
        end = bracket.unmeasured_end()
        if end is not None:
            return end
        a = gradient.abs()
        inside = a[(a > bracket.low) & (a < bracket.high)]
        chosen = _RULES[self.rule](bracket, inside, last)
        return bracket.midpoint(self.midpoint) if chosen is None else chosen


@dataclass
class _Record:
    """The solves so far; the states of three are kept, no others.

    Those of the closest one, of the closest one with weights in every layer, and of the
    last one with more weights than `goal`.
    """

    goal: int
    trials: list[Trial] = field(default_factory=list)
    best: Trial | None = None
    live: Trial | None = None
    dense: Solution | None = None

    def add(self, trial: Trial) -> None:
        self.best = _closer(trial, self.best)
        if all(trial.solution.counts):
            self.live = _closer(trial, self.live)
        if sum(trial.n_nonzero) > self.goal:
            self.dense = trial.solution
        self.trials.append(trial.without_state())

    def result(self, limits: SearchBudget) -> SearchResult:
        assert self.best is not None
        best, trials = self.best, tuple(self.trials)
        if self.live and self._leap() and not all(best.solution.counts):
            best = self.live  # with groups: no network, or more than was asked for
        reason = "" if best.met else self._reason(limits)
        cut_off = best.solution.status.is_cut_short
        return SearchResult(best, trials, best.met, reason, cut_off=cut_off)

    def _reason(self, limits: SearchBudget) -> str:
        counts = [trial.n_nonzero for trial in self.trials]
        if self.trials[-1].interrupted:
            return self.trials[-1].interruption
        if len(counts) > 2 and len(set(counts)) == 1:
            return "the count does not depend on λ"
        tried = [alpha for trial in self.trials for alpha in trial.alpha]
        if min(tried) <= _ALPHA_RANGE[0] or max(tried) >= _ALPHA_RANGE[1]:
            return f"λ reached the end of its range, {_ALPHA_RANGE}"
        if len(counts) > 2 and not any(map(sum, counts[1:])):
            return "every λ that was tried leaves no weights"
        spent = f"the budget of max_outer_iter={limits.max_outer_iter} solves is spent"
        if not (leap := self._leap()):
            return spent
        (low, above), (high, below) = leap
        return (
            f"{spent}, and between λ = {low:.4g} and {high:.4g} the count falls from "
            f"{above} to {below}"
        )

    def _leap(self) -> tuple[tuple[float, int], tuple[float, int]] | None:
        """Return λ and count on either side of a leap over the goal, if there is one.

        The counts of whole groups of weights have some.
        """
        if len(self.trials[0].alpha) > 1:
            return None
        found = [(trial.alpha[0], trial.n_nonzero[0]) for trial in self.trials]
        low = max((x for x in found if x[1] > self.goal), default=None)
        high = min((x for x in found if x[1] < self.goal), default=None)
        if low is None or high is None or not low[0] < high[0] <= low[0] * _NARROW:
            return None
        return low, high


def _closer(trial: Trial, best: Trial | None) -> Trial:
    if best is None or trial.met or trial.distance < best.distance:
        return trial
    return best
