"""Algorithms 1 and 2 with networks whose counts are known functions of λ."""

import math

import numpy as np
import pytest
import torch

from sklearn_sparsenet.optimality import Certificate
from sklearn_sparsenet.search import BracketSearch, SearchBudget, Trial
from sklearn_sparsenet.search.targets import Target
from sklearn_sparsenet.solvers import Solution

SIZE = 1000


class FakeTrainer:
    """Counts per group as a function of all λ; records what it is asked."""

    def __init__(self, counts, goals, tol=0.01, gradients=None):
        names = tuple(f"{i}.weight" for i in range(len(goals)))
        self.target = Target(names, tuple(goals), len(goals) > 1, tol)
        self.group_sizes = (SIZE,) * len(goals)
        self.counts, self.gradients = counts, gradients
        self.asked, self.options = [], []

    def solve(self, alpha, *, start=None, test_from=1.0):
        alpha = tuple(alpha)
        self.asked.append(alpha)
        self.options.append((start, test_from))
        counts = tuple(int(c) for c in self.counts(alpha))
        gradient = torch.empty(0) if self.gradients is None else self.gradients
        state, certificate = (torch.empty(0), {}), Certificate(0.0, 0.0, 0.0, ())
        judged = 0.0, gradient, certificate, 1, 0.0
        return Trial(
            alpha=alpha,
            n_nonzero=counts,
            gradients=(gradient,) * len(counts),
            met=self.target.is_met(counts),
            distance=self.target.distance(counts),
            interrupted=False,
            solution=Solution(state, alpha, *[self.per_layer(counts)] * 2, *judged),
        )

    def per_layer(self, counts):
        return counts


def falling(alpha, where=1e-4):
    """A smooth count that falls by half around `where`."""
    return SIZE / (1 + alpha / where)


CURVES = {
    "smooth": falling,
    "steps": lambda a: 20 * round(falling(a) / 20),
    "cliff": lambda a: 0 if a > 3e-3 else falling(a, 1e-3),
    "noisy": lambda a: falling(a) * (1 + 0.03 * math.sin(1e6 * a)),
    "wiggling": lambda a: falling(a) * (1 + 0.2 * math.sin(4 * math.log(a))),
    "above the bounds": lambda a: falling(a, 1.0),
    "below the bounds": lambda a: falling(a, 1e-9),
}


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("rule", ["median", "order_statistic", "secant"])
@pytest.mark.parametrize("midpoint", ["arithmetic", "geometric"])
def test_targets_are_found(curve, rule, midpoint):
    count = CURVES[curve]
    trainer = FakeTrainer(lambda alpha: [count(a) for a in alpha], [500], tol=0.03)
    search = BracketSearch(rule=rule, midpoint=midpoint)
    result = search.run(trainer, SearchBudget(max_outer_iter=60))
    assert result.met
    assert abs(result.best.n_nonzero[0] - 500) <= 15
    assert len(result.history) == len(trainer.asked) <= 60
    assert all(0 < a < math.inf for (a,) in trainer.asked)


@pytest.mark.parametrize("curve", CURVES)
def test_the_default_needs_few_solves(curve):
    count = CURVES[curve]
    trainer = FakeTrainer(lambda alpha: [count(a) for a in alpha], [300], tol=0.05)
    assert BracketSearch().run(trainer, SearchBudget(max_outer_iter=20)).met


def test_coupled_layers_are_found():
    """Each count depends on both λ: brackets go stale and must reopen."""

    def counts(alpha):
        return [
            falling(alpha[0] * (1 + 3 * alpha[1] / 1e-3), 1e-4),
            falling(alpha[1] * (1 + 2 * alpha[0] / 1e-3), 1e-3),
        ]

    trainer = FakeTrainer(counts, [200, 300], tol=0.02)
    result = BracketSearch().run(trainer, SearchBudget(max_outer_iter=60))
    assert result.met


def test_equal_layers_go_through_the_same_strengths_as_one():
    one = FakeTrainer(lambda alpha: [falling(a) for a in alpha], [123])
    two = FakeTrainer(lambda alpha: [falling(a) for a in alpha], [123, 123])
    for trainer in (one, two):
        assert BracketSearch().run(trainer, SearchBudget()).met
    assert two.asked == [(a, a) for (a,) in one.asked]


@pytest.mark.parametrize(
    ("counts", "budget", "best", "reason"),
    [
        *((lambda alpha, _: SIZE if alpha < 1e-4 else 7, budget, 7,
           f"max_outer_iter={budget}") for budget in (1, 2, 5)),
        (lambda alpha, n_asked: 900, 6, 900, "does not depend on λ"),
        # 0 is closer, but where next to nothing there is a network, that is kept.
        (lambda alpha, n_asked: 0 if n_asked > 1 else 950, 6, 950, "leaves no weights"),
    ],
)  # fmt: skip
def test_a_miss_keeps_the_budget_and_the_closest_solve_and_tells_why(
    counts, budget, best, reason
):
    trainer = FakeTrainer(lambda alpha: [counts(alpha[0], len(trainer.asked))], [100])
    result = BracketSearch().run(trainer, SearchBudget(max_outer_iter=budget))
    assert len(trainer.asked) == budget
    assert not result.met
    assert result.best.n_nonzero == (best,)
    assert reason in result.reason


def test_a_count_that_leaps_over_the_goal_is_told():
    trainer = FakeTrainer(lambda alpha: [240 if alpha[0] < 1e-4 else 80], [100])
    result = BracketSearch().run(trainer, SearchBudget(max_outer_iter=20))
    assert "the count falls from 240 to 80" in result.reason
    assert result.best.n_nonzero == (80,)
    wide = BracketSearch().run(trainer, SearchBudget(max_outer_iter=3))
    assert "falls" not in wide.reason


class TwoLayers(FakeTrainer):
    """What is left at last is in the second layer, which reads nothing any more."""

    def per_layer(self, counts):
        return (counts[0] - 3, 3) if counts[0] else (0, 0)


@pytest.mark.parametrize("left", [0, 3])
def test_a_leap_to_no_network_keeps_the_one_before_it(left):
    """As where each input brings more weights than are asked for."""
    trainer = TwoLayers(lambda alpha: [240 if alpha[0] < 1e-4 else left], [100])
    result = BracketSearch().run(trainer, SearchBudget(max_outer_iter=20))
    assert result.best.n_nonzero == (240,)
    assert not result.met
    wide = BracketSearch().run(trainer, SearchBudget(max_outer_iter=3))
    assert wide.best.n_nonzero == (left,)


def test_the_paper_starts_at_both_ends_and_goes_on_with_the_median():
    """(39): the lower median of the candidates strictly inside the bracket."""
    gradients = torch.tensor([1e-7, 2e-7, -3e-4, 4e-4, -5e-4, 6e-4, 1e-2, 0.5])
    trainer = FakeTrainer(
        lambda alpha: [falling(alpha[0])], [500], tol=1e-9, gradients=gradients
    )
    search = BracketSearch(rule="median", stop="in_flight", midpoint="arithmetic")
    search.run(trainer, SearchBudget((1e-7, 1e-2), max_outer_iter=4))
    inside = [2e-7, 3e-4, 4e-4, 5e-4, 6e-4]
    first = np.median(inside)
    assert [a for (a,) in trainer.asked[:3]] == pytest.approx([1e-2, 1e-7, first])
    # λ = 4e-4 is too sparse and becomes the high end: {2e-7, 3e-4} remain, the lower
    # one of which is the median.
    assert trainer.asked[3][0] == pytest.approx(2e-7)
    assert trainer.options == [(None, 0.0)] * 4


def test_without_candidates_the_midpoint():
    for kind, wanted in (("arithmetic", 0.5005), ("geometric", 1e-3**0.5)):
        trainer = FakeTrainer(lambda alpha: [falling(alpha[0], 1.0)], [1], tol=0)
        trainer.counts = lambda alpha: [SIZE if alpha[0] < 0.01 else 0]
        BracketSearch(rule="median", midpoint=kind).run(
            trainer, SearchBudget((1e-3, 1.0), max_outer_iter=3)
        )
        assert trainer.asked[2][0] == pytest.approx(wanted)


def test_the_order_statistic_lets_the_missing_weights_in():
    gradients = torch.tensor([1e-4, 2e-4, 3e-4, 4e-4])
    trainer = FakeTrainer(lambda alpha: [8], [10], tol=0, gradients=gradients)
    trainer.counts = lambda alpha: [SIZE if len(trainer.asked) == 1 else 8]
    search = BracketSearch(rule="order_statistic")
    search.run(trainer, SearchBudget((1e-5, 1e-2), max_outer_iter=3, guess=(1e-5,)))
    assert trainer.asked[1][0] == pytest.approx(1e-2)
    assert trainer.asked[2][0] == pytest.approx(3e-4)  # the second largest of two


def test_a_guess_is_tried_first():
    trainer = FakeTrainer(lambda alpha: [falling(alpha[0])], [500])
    result = BracketSearch().run(trainer, SearchBudget(guess=(1e-4,)))
    assert trainer.asked == [(1e-4,)]
    assert result.met


def test_warm_restarts_begin_at_the_last_solution_with_too_many_weights():
    trainer = FakeTrainer(lambda alpha: [falling(alpha[0])], [500])
    search = BracketSearch(restart="warm", stop="converged", rule="median")
    search.run(trainer, SearchBudget())
    starts, test_from = zip(*trainer.options, strict=True)
    assert set(test_from) == {1.0}
    dense = None
    for (alpha,), start in zip(trainer.asked, starts, strict=True):
        assert (start and start.alpha) == dense
        if falling(alpha) > 500:
            dense = (alpha,)
    assert starts[:2] == (None, None)  # both ends first, the sparse one of no use
    assert sum(start is not None for start in starts) > 1


@pytest.mark.parametrize("bad", ["rule", "stop", "restart", "midpoint"])
def test_unknown_options_are_refused(bad):
    with pytest.raises(ValueError, match=f"{bad}='x'; accepted"):
        BracketSearch(**{bad: "x"})


def test_a_target_is_needed():
    trainer = FakeTrainer(lambda alpha: [1], [1])
    trainer.target = None
    with pytest.raises(ValueError, match="needs a target"):
        BracketSearch().run(trainer, SearchBudget())


class Orthogonal(FakeTrainer):
    """An orthonormal design: the lasso in closed form, with its true gradients.

    The solution for λ is soft(z, λ): as many weights as |z| exceed λ, and the
    gradient has size min(|z|, λ), exactly as Theorem 4 has it.
    """

    def __init__(self, z, goal, **more):
        super().__init__(lambda alpha: [int((z > alpha[0]).sum())], [goal], **more)
        self.z, self.group_sizes, self.pairs = z, (len(z),), []

    def solve(self, alpha, **options):
        self.gradients = self.z.clamp(max=alpha[0])
        trial = super().solve(alpha, **options)
        self.pairs.append((alpha[0], trial.n_nonzero[0], self.gradients))
        return trial


@pytest.mark.parametrize("rule", ["median", "order_statistic", "secant"])
@pytest.mark.parametrize("goal", [1, 10, 250, 399])
@pytest.mark.parametrize("seed", range(3))
def test_the_exact_count_is_found_for_an_orthonormal_design(rule, goal, seed):
    z = 10 ** np.random.default_rng(seed).uniform(-6, -1, 400)
    trainer = Orthogonal(torch.from_numpy(z), goal, tol=0)
    result = BracketSearch(rule=rule).run(trainer, SearchBudget(max_outer_iter=40))
    assert result.met
    assert result.best.n_nonzero == (goal,)


@pytest.mark.parametrize("midpoint", ["arithmetic", "geometric"])
@pytest.mark.parametrize("seed", range(4))
def test_median_rule_39_replayed_from_its_definition(midpoint, seed):
    """(39), solve by solve, from the brackets that the earlier counts define."""
    z = torch.from_numpy(10 ** np.random.default_rng(seed).uniform(-5, -1, 400))
    goal = 37
    trainer = Orthogonal(z, goal, tol=0)
    search = BracketSearch(rule="median", midpoint=midpoint)
    search.run(trainer, SearchBudget((1e-6, 0.2), max_outer_iter=12))
    assert len(trainer.pairs) > 4
    for k in range(2, len(trainer.pairs)):
        low = max(a for a, count, _ in trainer.pairs[:k] if count > goal)
        high = min(a for a, count, _ in trainer.pairs[:k] if count < goal)
        a = sorted(g for g in trainer.pairs[k - 1][2].tolist() if low < g < high)
        middle = (low + high) / 2 if midpoint == "arithmetic" else (low * high) ** 0.5
        wanted = a[(len(a) - 1) // 2] if a else middle
        assert trainer.pairs[k][0] == pytest.approx(wanted, rel=1e-12)


def test_secant_is_exact_where_the_log_odds_are_linear():
    """Between two measured ends, on the curve that it interpolates by."""
    trainer = FakeTrainer(lambda alpha: [falling(alpha[0])], [400], tol=0)
    trainer.target = Target(("0.weight",), (400,), False, 0.02)
    search = BracketSearch(rule="secant")
    result = search.run(trainer, SearchBudget((1e-5, 1e-3), guess=(1e-5,)))
    assert [a for (a,) in trainer.asked[:2]] == [1e-5, 1e-3]
    assert len(trainer.asked) == 3
    assert result.met


@pytest.mark.parametrize("rule", ["median", "order_statistic", "secant"])
@pytest.mark.parametrize("count", [950, 900, 3, 0])
def test_a_constant_count_spends_the_budget_and_keeps_strengths_finite(rule, count):
    trainer = FakeTrainer(lambda alpha: [count], [100])
    result = BracketSearch(rule=rule).run(trainer, SearchBudget(max_outer_iter=200))
    assert len(trainer.asked) == 200
    assert not result.met
    assert all(1e-15 <= a <= 1e9 for (a,) in trainer.asked)


@pytest.mark.parametrize("seed", range(5))
def test_of_all_solves_the_closest_is_kept(seed):
    rng = np.random.default_rng(seed)
    trainer = FakeTrainer(lambda alpha: [rng.integers(1, SIZE)], [500], tol=0)
    result = BracketSearch().run(trainer, SearchBudget(max_outer_iter=9))
    distances = [abs(trial.n_nonzero[0] - 500) for trial in result.history]
    assert abs(result.best.n_nonzero[0] - 500) == min(distances)
