"""A callback that asks for the end of a fit gets a network on target."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from tests.comparisons import assert_same_arrays
from tests.estimators.small_fits import LBFGS, make, with_noise
from tests.estimators.tasks import Recorder

KINDS = {
    "one_pass": {},
    "all rows": {"batch_size": 200},
    "early": {"early_stopping": True, "n_iter_no_change": 1},
    "noise": {"module": with_noise},
    "lbfgs": LBFGS,
    "lbfgs, fixed": {**LBFGS, "alpha": 0.05, "debias": True},
}


@pytest.mark.parametrize("kind", ["one_pass", "all rows", "early", "noise"])
def test_a_stop_leaves_a_network_on_target(kind, data):
    params = KINDS[kind]
    whole = Recorder()
    make(**params).set_callbacks(whole).fit(*data)
    n_ends = len(whole.ended)
    train = whole.names.index("train")
    for stop_at in {0, 1, n_ends // 2, train - 1, train, n_ends - 3, n_ends - 2}:
        stopper = Recorder(stop_at)
        net = make(**params).set_callbacks(stopper).fit(*data)  # no warning
        assert net.n_nonzero_ == net.n_live_ == 15 or kind == "noise"
        assert net.n_nonzero_ == 15
        # Not by its own means while it was dense.
        assert net.converged_ or stop_at < train - 1
        assert not net.converged_ or stop_at > 1
        assert np.isfinite(net.predict(data[0])).all()
        assert stopper.events[-1] == "teardown"
        # After it, only the tasks around it end.
        around, context = [], stopper.ended[stop_at].parent
        while context is not None:
            around.append(context)
            context = context.parent
        assert stopper.ended[stop_at + 1 :] == around


def test_a_stop_is_told_apart_from_a_finished_solve(data):
    net = make().set_callbacks(Recorder(5)).fit(*data)
    assert net.search_history_["status"].tolist() == ["stopped"]
    assert net.n_iter_ == 6
    assert make().fit(*data).search_history_["status"].tolist() == ["budget"]


def test_a_stop_of_a_bracket_search_keeps_the_closest(data):
    params = {"search": "bracket", "tol": 0.01, "max_outer_iter": 8}
    whole = Recorder()
    kept = make(**params).set_callbacks(whole).fit(*data).search_history_
    for n_solves in range(1, len(kept["alpha"]) + 1):
        at = [i for i, n in enumerate(whole.names) if n == "solve"][n_solves - 1]
        net = make(**params).set_callbacks(Recorder(at))
        closest = np.abs(kept["n_nonzero"][:n_solves] - 15).argmin()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            net.fit(*data)
        assert net.n_outer_iter_ == n_solves
        assert net.n_nonzero_ == kept["n_nonzero"][closest]
        assert net.n_iter_ == kept["epochs"][:n_solves].sum()  # without a refit
        assert bool(caught) == (net.n_nonzero_ != 15)
        assert all("A callback stopped" in str(w.message) for w in caught)
    # In the middle of a solve, that one counts as it is.
    net = make(**params).set_callbacks(Recorder(30))
    with pytest.warns(ConvergenceWarning, match="A callback stopped"):
        net.fit(*data)
    assert net.search_history_["status"].tolist()[-1] == "stopped"


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "kind", [pytest.param("lbfgs", marks=pytest.mark.slow), "lbfgs, fixed"]
)
def test_a_stop_of_certified_solves(kind, data):
    params = KINDS[kind]
    whole = Recorder()
    make(**params).set_callbacks(whole).fit(*data)
    n_ends = len(whole.ended)
    for stop_at in {0, n_ends - 2}:
        stopper = Recorder(stop_at)
        net = make(**params).set_callbacks(stopper).fit(*data)
        assert stopper.names == [*whole.names[: stop_at + 1], "fit"]
        assert np.isfinite(net.predict(data[0])).all()


def test_a_stop_of_the_refit_is_no_miss(data):
    params = {"search": "bracket", "tol": 0.3}
    whole = Recorder()
    make(**params).set_callbacks(whole).fit(*data)
    net = make(**params).set_callbacks(Recorder(len(whole.ended) - 5)).fit(*data)
    assert net.converged_
    assert net.n_outer_iter_ == len(whole.solves) - 1


def test_an_interruption_by_a_callback_is_one(data):
    class Interrupts(Recorder):
        def on_fit_task_end(self, estimator, context):
            super().on_fit_task_end(estimator, context)
            if len(self.ended) == self.stop_at:
                raise KeyboardInterrupt

    for at in (4, 19):  # after some epochs, and after the solve that they make up
        callback = Interrupts(at)
        net = make().set_callbacks(callback)
        with pytest.raises(KeyboardInterrupt, match="with 15 weights"):
            net.fit(*data)
        assert net.n_nonzero_ == 15
        assert not net.converged_
        assert callback.events[-1] == "teardown"


@pytest.mark.parametrize("search", ["one_pass", "bracket"])
@pytest.mark.usefixtures("save_every_epoch")
def test_checkpoints(search, data, tmp_path):
    params = {"search": search, "tol": 0.3}
    whole = Recorder()
    alone = make(**params).set_callbacks(whole).fit(*data)
    n_ends = len(whole.ended)
    for stop_at in (3, n_ends // 2, n_ends - 3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            stopped = make(**params, checkpoint=tmp_path)
            stopped.set_callbacks(Recorder(stop_at)).fit(*data)
        assert list(tmp_path.iterdir())
        stopper = Recorder()
        gone_on = make(**params, checkpoint=tmp_path).set_callbacks(stopper)
        gone_on.fit(*data)
        assert_same_arrays(gone_on.coefs_, alone.coefs_)
        # What was solved before counts; the epochs of a solve that goes on, too.
        names = [solve.task_name for solve in stopper.solves]
        assert names == [solve.task_name for solve in whole.solves]
        last = stopper.solves[-1]
        assert len(last._children_map) == last.max_subtasks
        assert not list(tmp_path.iterdir())
