"""A fit that was stopped goes on where it was, and finds what it would have found."""

import functools
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch import nn

from sklearn_sparsenet.penalties import L1
from sklearn_sparsenet.search.gradual_pruning import GradualPruning
from tests.comparisons import assert_same_arrays, assert_same_network
from tests.estimators import small_fits
from tests.estimators.small_fits import DATA, with_dropout
from tests.estimators.tasks import Recorder
from tests.faults import Loss, StoppedError, interrupt, stop

pytestmark = pytest.mark.usefixtures("save_every_epoch")
quiet = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def make(**params):
    return small_fits.make(**{"max_iter": 30, "loss": Loss(), **params})


def stop_at(call, directory, data=DATA, **params):
    """Let a fit end with an error at that call of its loss."""
    with pytest.raises(StoppedError):
        make(**{"loss": Loss({call: stop}), **params}, checkpoint=directory).fit(*data)


KINDS = {
    "one_pass": {},
    "all rows": {"batch_size": 200},
    "bracket": {"search": "bracket", "tol": 0.2},
    "sgd": {"search": "bracket", "solver": "sgd", "tol": 0.2},
    "early stopping": {"early_stopping": True},
    "dropout": {"module": with_dropout},
    "fixed": {"alpha": 0.01, "debias": True},
    "units": {"target_inputs": 3, "target_units": 4, "target_sparsity": 9},
    "inputs, dense": {"target_inputs": 2, "target_sparsity": None},
    "groups": {"alpha": 0.05, "penalty": "group_l2"},
}


@quiet
@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_that_was_stopped_goes_on(kind, tmp_path):
    whole = make(**KINDS[kind]).fit(*DATA)
    n_calls = whole.loss.calls
    for part in (0.05, 0.5, 0.65, 0.97):
        stop_at(int(part * n_calls), tmp_path, **KINDS[kind])
        torch.manual_seed(5)
        before = torch.get_rng_state()
        gone_on = make(checkpoint=str(tmp_path), **KINDS[kind]).fit(*DATA)
        assert torch.equal(before, torch.get_rng_state())
        assert_same_network(gone_on, whole)
        assert_array_equal(gone_on.alpha_, whole.alpha_)
        assert gone_on.loss_curve_ == whole.loss_curve_
        assert gone_on.validation_scores_ == whole.validation_scores_
        assert gone_on.n_iter_ == whole.n_iter_
        # The steps that were done are not done again, but for those of one epoch.
        assert gone_on.loss.calls < (1 - part) * n_calls + 15
        assert not list(tmp_path.iterdir())


@quiet
def test_the_credit_of_inputs_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("sklearn_sparsenet.search.one_pass._FEW_INPUTS", 1)
    test_a_fit_that_was_stopped_goes_on("inputs, dense", tmp_path)


@quiet
@pytest.mark.parametrize("steps", [2, 4])
@pytest.mark.parametrize("goes_back", [False, True])
def test_a_support_that_was_just_chosen_is_not_relied_on_yet(
    steps, goes_back, tmp_path, monkeypatch
):
    """Nor after the run has gone back to before it was chosen."""
    rng = np.random.RandomState(0)
    X = rng.randn(64, 10)
    data = X, X[:, 0] * X[:, 1] + 0.1 * rng.randn(64)
    settings = {
        "batch_size": 64 // steps, "max_iter": 10, "hidden_layer_sizes": (12, 8),
        "target_sparsity": 12,
    }  # fmt: skip
    chosen, prune = [], GradualPruning.prune

    def spy(pruning, *arguments):
        prune(pruning, *arguments)
        if pruning.held is not None:
            chosen.append(pruning._progress)

    monkeypatch.setattr(GradualPruning, "prune", spy)
    n_calls = make(**settings).fit(*data).loss.calls
    # Training has nine epochs; before its steps the loss is called to try it.
    epoch = round(chosen[0] * 9 * steps) // steps
    end = 1 + steps * (epoch + 1)
    lost = {end: lambda losses: losses * float("nan")} if goes_back else {}
    whole = make(**settings, loss=Loss(lost)).fit(*data)
    assert whole.n_nonzero_ == 12
    for call in range(end + 1, n_calls - 2):
        stop_at(call, tmp_path, data, **settings, loss=Loss({**lost, call: stop}))
        gone_on = make(**settings, checkpoint=tmp_path).fit(*data)
        assert_same_arrays(gone_on.coefs_, whole.coefs_)


def test_an_interruption_by_the_user_leaves_a_network_and_the_checkpoint(tmp_path):
    whole = make().fit(*DATA)
    stopped = make(loss=Loss({60: interrupt}), checkpoint=tmp_path)
    with pytest.raises(KeyboardInterrupt, match="goes on from its checkpoint"):
        stopped.fit(*DATA)
    assert stopped.n_nonzero_ == 15
    assert_same_arrays(make(checkpoint=tmp_path).fit(*DATA).coefs_, whole.coefs_)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("other", [{"random_state": 1}, {"target_sparsity": 16}])
def test_another_fit_does_not_take_what_is_not_its_own(other, tmp_path):
    stop_at(60, tmp_path)
    (kept,) = tmp_path.iterdir()
    found = make(**other, checkpoint=tmp_path).fit(*DATA)
    assert_same_arrays(found.coefs_, make(**other).fit(*DATA).coefs_)
    assert list(tmp_path.iterdir()) == [kept]


def test_another_version_does_not_read_what_it_may_not_understand(
    tmp_path, monkeypatch
):
    stop_at(60, tmp_path)
    monkeypatch.setattr("sklearn_sparsenet.estimators._build.__version__", "0.0")
    later = make(checkpoint=tmp_path).fit(*DATA)
    assert later.loss.calls == make().fit(*DATA).loss.calls
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


@quiet
@pytest.mark.parametrize("kind", PAIRS)
def test_fits_that_differ_in_an_object_only_do_not_share(kind, tmp_path):
    name, one, other = PAIRS[kind]
    for value in (one, other, one):
        params = {"loss": "squared_error", "search": "bracket", name: value}
        stopped = make(checkpoint=tmp_path, **params)
        stopped.set_callbacks(Stop()).fit(*DATA)
    assert len(list(tmp_path.iterdir())) == 2


@quiet
@pytest.mark.parametrize("search", ["one_pass", "bracket"])
def test_dropout_goes_on_after_a_finished_solve_where_it_was(search, tmp_path):
    settings = {"module": with_dropout, "search": search, "tol": 0}
    settings["loss"] = "squared_error"
    make(checkpoint=tmp_path, **settings).set_callbacks(Stop()).fit(*DATA)
    before = torch.get_rng_state()
    gone_on = make(checkpoint=tmp_path, **settings).fit(*DATA)
    assert torch.equal(before, torch.get_rng_state())
    assert_same_network(gone_on, make(**settings).fit(*DATA))


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(0)])
def test_a_checkpoint_needs_a_number_as_random_state(random_state, tmp_path):
    with pytest.raises(ValueError, match="an int as random_state"):
        make(checkpoint=tmp_path, random_state=random_state).fit(*DATA)


def test_what_is_kept_is_not_unpickled(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("something is unpickled")

    stop_at(115, tmp_path)
    for owner in (torch, pickle, np):
        monkeypatch.setattr(owner, "load", refuse)
    assert make(checkpoint=tmp_path).fit(*DATA).loss.calls < 40
