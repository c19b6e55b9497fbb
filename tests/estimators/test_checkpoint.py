"""A fit that was stopped goes on where it was, and finds what it would have found."""

import functools
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.datasets import load_diabetes
from torch import nn

from sklearn_sparsenet import SparseNetRegressor
from sklearn_sparsenet.penalties import L1
from sklearn_sparsenet.search.gradual_pruning import GradualPruning
from tests.estimators.tasks import Recorder

pytestmark = pytest.mark.usefixtures("save_every_epoch")


class StoppedError(Exception):
    """The process is gone."""


class Fragile:
    """Squared error that fails once, at a certain call."""

    def __init__(self, fails_at=None, error=StoppedError, lost=None):
        self.calls, self.fails_at, self.error = 0, fails_at, error
        self.lost = lost  # a call that gives no number

    def __repr__(self):
        return "Fragile()"  # whatever it has been through, it is the same loss

    def __call__(self, output, target):
        self.calls += 1
        if self.calls == self.fails_at:
            raise self.error
        losses = (output - target).square().sum(1)
        return losses * float("nan") if self.calls == self.lost else losses


@pytest.fixture
def data():
    X, y = load_diabetes(return_X_y=True)
    return X[:200] * 20, (y[:200] - 150) / 80


def make(**params):
    defaults = {
        "hidden_layer_sizes": (8,), "activation": "tanh", "target_sparsity": 15,
        "max_iter": 30, "batch_size": 50, "random_state": 0,
    }  # fmt: skip
    return SparseNetRegressor(**{**defaults, **params})


def stop_at(call, data, directory, **params):
    """Let a fit end with an error at that call of its loss."""
    with pytest.raises(StoppedError):
        make(loss=Fragile(call), checkpoint=directory, **params).fit(*data)


def with_dropout(n_features, n_outputs):
    return nn.Sequential(
        nn.Linear(n_features, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, n_outputs)
    )


KINDS = {
    "one_pass": {},
    "all rows": {"batch_size": 200},
    "bracket": {"search": "bracket", "tol": 0.2},
    "sgd": {"search": "bracket", "solver": "sgd", "tol": 0.2},
    "early stopping": {"early_stopping": True},
    "dropout": {"module": with_dropout},
    "fixed": {"alpha": 0.01, "debias": True},
    "groups": {"alpha": 0.05, "penalty": "group_l2"},
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_that_was_stopped_goes_on(kind, data, tmp_path):
    whole = make(loss=Fragile(), **KINDS[kind]).fit(*data)
    n_calls = whole.loss.calls
    for part in (0.05, 0.5, 0.65, 0.97):
        stop_at(int(part * n_calls), data, tmp_path, **KINDS[kind])
        torch.manual_seed(5)
        before = torch.get_rng_state()
        gone_on = make(loss=Fragile(), checkpoint=str(tmp_path), **KINDS[kind])
        gone_on.fit(*data)
        assert torch.equal(before, torch.get_rng_state())
        for ours, theirs in zip(
            gone_on.module_.parameters(), whole.module_.parameters(), strict=True
        ):
            assert torch.equal(ours, theirs)
        assert_array_equal(gone_on.alpha_, whole.alpha_)
        assert gone_on.loss_curve_ == whole.loss_curve_
        assert gone_on.validation_scores_ == whole.validation_scores_
        assert gone_on.n_iter_ == whole.n_iter_
        # The steps that were done are not done again, but for those of one epoch.
        assert gone_on.loss.calls < (1 - part) * n_calls + 15
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("steps", [2, 4])
@pytest.mark.parametrize("goes_back", [False, True])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_support_that_was_just_chosen_is_not_relied_on_yet(
    steps, goes_back, tmp_path, monkeypatch
):
    """Nor after the run has gone back to before it was chosen."""
    rng = np.random.RandomState(0)
    X = rng.randn(64, 10)
    y = X[:, 0] * X[:, 1] + 0.1 * rng.randn(64)

    def fit(fails_at=None, lost=None, **more):
        loss = Fragile(fails_at, lost=lost)
        params = {"batch_size": 64 // steps, "max_iter": 10, "loss": loss, **more}
        return make(hidden_layer_sizes=(12, 8), target_sparsity=12, **params).fit(X, y)

    chosen = []
    prune = GradualPruning.prune

    def spy(pruning, *arguments):
        prune(pruning, *arguments)
        if pruning.held is not None:
            chosen.append(pruning._progress)

    monkeypatch.setattr(GradualPruning, "prune", spy)
    n_calls = fit().loss.calls
    # Training has nine epochs; before its steps the loss is called to try it.
    epoch = round(chosen[0] * 9 * steps) // steps
    end = 1 + steps * (epoch + 1)
    lost = end if goes_back else None
    whole = fit(lost=lost)
    assert whole.n_nonzero_ == 12
    for fails_at in range(end + 1, n_calls - 2):
        with pytest.raises(StoppedError):
            fit(fails_at, lost, checkpoint=tmp_path)
        gone_on = fit(checkpoint=tmp_path)
        for ours, theirs in zip(gone_on.coefs_, whole.coefs_, strict=True):
            assert_array_equal(ours, theirs)


def test_an_interruption_by_the_user_leaves_a_network_and_the_checkpoint(
    data, tmp_path
):
    whole = make(loss=Fragile()).fit(*data)
    stopped = make(loss=Fragile(60, KeyboardInterrupt), checkpoint=tmp_path)
    with pytest.raises(KeyboardInterrupt, match="goes on from its checkpoint"):
        stopped.fit(*data)
    assert stopped.n_nonzero_ == 15
    gone_on = make(loss=Fragile(), checkpoint=tmp_path).fit(*data)
    for ours, theirs in zip(gone_on.coefs_, whole.coefs_, strict=True):
        assert_array_equal(ours, theirs)
    assert not list(tmp_path.iterdir())


def test_another_fit_does_not_take_what_is_not_its_own(data, tmp_path):
    stop_at(60, data, tmp_path)
    (kept,) = tmp_path.iterdir()
    X, y = data
    others = [
        make(loss=Fragile(), random_state=1),
        make(loss=Fragile(), target_sparsity=16),
    ]
    for estimator in others:
        alone = make(**estimator.get_params()).fit(X, y)
        estimator.set_params(checkpoint=tmp_path).fit(X, y)
        for ours, theirs in zip(estimator.coefs_, alone.coefs_, strict=True):
            assert_array_equal(ours, theirs)
    assert list(tmp_path.iterdir()) == [kept]


def test_another_version_does_not_read_what_it_may_not_understand(
    data, tmp_path, monkeypatch
):
    stop_at(60, data, tmp_path)
    monkeypatch.setattr("sklearn_sparsenet.estimators._build.__version__", "0.0")
    later = make(loss=Fragile(), checkpoint=tmp_path).fit(*data)
    alone = make(loss=Fragile()).fit(*data)
    assert later.loss.calls == alone.loss.calls
    assert len(list(tmp_path.iterdir())) == 1


def with_activation(kind):
    def build(n_features, n_outputs):
        return nn.Sequential(nn.Linear(n_features, 8), kind(), nn.Linear(8, n_outputs))

    return build


class Stop(Recorder):
    """Ends a fit after its first solve."""

    def on_fit_task_end(self, estimator, context):
        super().on_fit_task_end(estimator, context)
        return context.task_name in ("train", "solve")


class Scaled:
    """A penalty that does not say what makes it differ from others."""

    separable = True

    def __init__(self, factor):
        self.factor = factor

    def value(self, weight, alpha):
        return self.factor * L1().value(weight, alpha)

    def prox(self, weight, step, alpha):
        return L1().prox(weight, step, self.factor * alpha)

    def subdifferential_distance(self, weight, gradient, alpha):
        return L1().subdifferential_distance(weight, gradient, self.factor * alpha)


with_tanh = with_activation(nn.Tanh)
PAIRS = {
    "activations": ("module", with_activation(nn.ReLU), with_activation(nn.Sigmoid)),
    "losses": ("loss", lambda a, b: (a - b) ** 2, lambda a, b: (a - b - 3) ** 2),
    "parts": ("module", functools.partial(with_dropout), functools.partial(with_tanh)),
    "penalties": ("penalty", Scaled(1.0), Scaled(100.0)),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", PAIRS)
def test_fits_that_differ_in_an_object_only_do_not_share(kind, data, tmp_path):
    name, one, other = PAIRS[kind]
    for value in (one, other, one):
        stopped = make(checkpoint=tmp_path, search="bracket", **{name: value})
        stopped.set_callbacks(Stop()).fit(*data)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("search", ["one_pass", "bracket"])
def test_dropout_goes_on_after_a_finished_solve_where_it_was(search, data, tmp_path):
    settings = {"module": with_dropout, "search": search, "tol": 0}
    make(checkpoint=tmp_path, **settings).set_callbacks(Stop()).fit(*data)
    before = torch.get_rng_state()
    gone_on = make(checkpoint=tmp_path, **settings).fit(*data)
    assert torch.equal(before, torch.get_rng_state())
    whole = make(**settings).fit(*data)
    for ours, theirs in zip(
        gone_on.module_.parameters(), whole.module_.parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)])
def test_a_checkpoint_needs_a_number_as_random_state(random_state, data, tmp_path):
    with pytest.raises(ValueError, match="an int as random_state"):
        make(checkpoint=tmp_path, random_state=random_state).fit(*data)


def test_what_is_kept_is_not_unpickled(data, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("something is unpickled")

    stop_at(115, data, tmp_path)
    for owner in (torch, pickle, np):
        monkeypatch.setattr(owner, "load", refuse)
    gone_on = make(loss=Fragile(), checkpoint=tmp_path).fit(*data)
    assert gone_on.loss.calls < 40
