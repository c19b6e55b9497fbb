"""A fit that several processes share is the fit of one of them with all rows."""

import pickle
import time

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from torch import nn

from sklearn_sparsenet import (
    SparseNetClassifier,
    SparseNetRegressor,
    SparseNetRegressorCV,
    sparsenet_path,
)
from sklearn_sparsenet.distributed import data_parallel
from sklearn_sparsenet.utils.exceptions import ProcessLostError
from sklearn_sparsenet.utils.processes import Alone, Processes, joined
from tests.comparisons import same_network
from tests.threads import ours_at_the_end
from tests.together import parts, together


def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return X / X.std(axis=0), y


def digits(n_rows=400):
    X, y = load_digits(return_X_y=True)
    return X[:n_rows] / 16, y[:n_rows]


def fit_together(estimator, X, y, size=2, **more):
    """Return the estimators of the processes, each with a part of the rows."""
    rows = parts(len(y), size)

    def work(rank):
        own = {name: values[rows[rank]] for name, values in more.items()}
        return clone(estimator).fit(X[rows[rank]], y[rows[rank]], **own)

    found = together(size, work)
    for one in found:
        if isinstance(one, Exception):
            raise one
    return found


def assert_equal_fits(found, alone, rounding=1e-9):
    """The same bits in all processes, and those of one process but for rounding."""
    for other in found[1:]:
        assert same_network(found[0], other)
    for name in ("coefs_", "penalized_coefs_", "intercepts_"):
        pairs = zip(getattr(found[0], name), getattr(alone, name), strict=True)
        for shared, single in pairs:
            np.testing.assert_array_equal(shared != 0, single != 0)
            np.testing.assert_allclose(shared, single, atol=rounding)
    assert found[0].n_iter_ == alone.n_iter_
    np.testing.assert_allclose(found[0].alpha_, alone.alpha_, rtol=rounding)
    np.testing.assert_allclose(found[0].loss_, alone.loss_, rtol=rounding)


REGRESSIONS = {
    "full batch": {},
    "small batches": {"batch_size": 50, "max_iter": 6},
    "in order": {"batch_size": 50, "max_iter": 6, "shuffle": False},
    "early stopping": {"batch_size": 64, "max_iter": 30, "early_stopping": True},
    "bracket": {"search": "bracket", "batch_size": 100, "max_outer_iter": 4},
    "inputs": {"target_inputs": 4},
    "a given alpha": {"alpha": 0.05, "penalty": "mcp", "max_iter": 50},
    "three layers": {"hidden_layer_sizes": (12, 6), "target_sparsity": [20, 9, 3]},
}


@pytest.mark.parametrize("kind", REGRESSIONS)
def test_regression(kind):
    X, y = diabetes()
    settings = {"hidden_layer_sizes": (20,), "max_iter": 40, "random_state": 0}
    net = SparseNetRegressor(**{**settings, **REGRESSIONS[kind]})
    assert_equal_fits(fit_together(net, X, y, 3), clone(net).fit(X, y))


def test_classes_that_a_process_lacks():
    X, y = digits()
    order = np.argsort(y, kind="stable")
    X, y = X[order], y[order]
    net = SparseNetClassifier(
        (20,), class_weight="balanced", batch_size=80, max_iter=5, random_state=0
    )
    found = fit_together(net, X, y)
    assert_equal_fits(found, clone(net).fit(X, y))
    np.testing.assert_array_equal(found[0].classes_, np.arange(10))


def test_weights_of_which_some_are_zero():
    X, y = diabetes()
    weight = np.random.RandomState(0).choice([0.0, 1.0, 1e3], len(y))
    weight[: len(y) // 3] *= 1e-5
    net = SparseNetRegressor((20,), batch_size=60, max_iter=8, random_state=0)
    found = fit_together(net, X, y, sample_weight=weight)
    assert_equal_fits(found, clone(net).fit(X, y, sample_weight=weight))


def test_rows_that_are_sparse_in_one_process_only():
    rng = np.random.RandomState(0)
    X = sparse.random(300, 200, 0.02, "csr", random_state=rng)
    y = np.asarray(X[:, :5].sum(axis=1)).ravel() + 0.01 * rng.normal(size=300)
    net = SparseNetRegressor((10,), batch_size=50, max_iter=10, random_state=0)
    single = clone(net).fit(X, y)

    def work(rank):
        rows = slice(0, 120) if rank == 0 else slice(120, None)
        own = X[rows] if rank == 0 else X[rows].toarray()
        return clone(net).fit(own, y[rows])

    assert_equal_fits(together(2, work), single)


def test_single_precision_counts_are_exact():
    X, y = load_breast_cancer(return_X_y=True)
    X = (X / X.std(axis=0)).astype(np.float32)
    net = SparseNetClassifier((30,), target_sparsity=25, max_iter=30, random_state=0)
    found = fit_together(net, X, y, 3)
    assert [one.n_nonzero_ for one in found] == [25] * 3
    assert same_network(found[0], found[2])


def test_certified_solutions_are_the_same_but_for_their_tolerance():
    X, y = diabetes()
    net = SparseNetRegressor(
        (5,), "tanh", solver="lbfgs", target_sparsity=12, random_state=0
    )
    found = fit_together(net, X, y)
    assert_equal_fits(found, clone(net).fit(X, y), rounding=1e-4)


def test_a_path():
    X, y = diabetes()
    net = SparseNetRegressor((20,), max_iter=30, random_state=0)
    rows = parts(len(y), 2)

    def work(rank):
        own = rows[rank]
        return sparsenet_path(net, X[own], y[own], target_sparsities=[60, 20])

    found = together(2, work)
    single = sparsenet_path(net, X, y, target_sparsities=[60, 20])
    for number in (0, 1):
        nets = [path.estimators[number] for path in found]
        assert_equal_fits(nets, single.estimators[number])


def test_a_warm_start_goes_on_from_the_same_network():
    X, y = diabetes()
    net = SparseNetRegressor((20,), max_iter=20, random_state=0, warm_start=True)
    single = clone(net).fit(X, y).set_params(max_iter=10).fit(X, y)
    rows = parts(len(y), 2)

    def work(rank):
        own = X[rows[rank]], y[rows[rank]]
        return clone(net).fit(*own).set_params(max_iter=10).fit(*own)

    assert_equal_fits(together(2, work), single)

    def other_networks(rank):
        own = X[rows[rank]], y[rows[rank]]
        before = clone(net).set_params(random_state=rank)
        with joined(Alone()):
            before.fit(*own)
        return before.set_params(random_state=0).fit(*own)

    for error in together(2, other_networks):
        assert "network to go on from" in str(error)


def test_random_numbers_are_those_of_the_first_process():
    X, y = diabetes()
    net = SparseNetRegressor((5,), max_iter=10)
    assert same_network(*fit_together(net, X, y))


def test_what_is_fitted_can_be_pickled_and_leaves_nothing_behind():
    X, y = diabetes()
    found = fit_together(SparseNetRegressor((5,), max_iter=5), X, y)
    assert same_network(pickle.loads(pickle.dumps(found[0])), found[1])
    assert ours_at_the_end() == []


# --- what goes wrong, goes wrong in all of them --------------------------------------


def changed(name):
    """Return what a second process has that does not go with the first one."""
    X, y = diabetes()
    net = SparseNetRegressor((5,), max_iter=5, random_state=0)
    if name == "NaN":
        X[0, 3] = np.nan
    if name == "columns":
        X = X[:, 1:]
    if name == "targets":
        y = np.stack([y, y], axis=1)
    if name == "parameter":
        net.set_params(max_iter=6)
    if name == "seed":
        net.set_params(random_state=1)
    if name == "kind":
        net, y = SparseNetClassifier((5,), max_iter=5, random_state=0), y > 100
    return net, X, y


def test_where_one_has_a_type_error_the_others_have_one_that_names_it():
    def work(rank):
        net, X, y = changed(None)
        net.fit(X if rank == 0 else np.full_like(X, {}, dtype=object), y)

    other, own = together(2, work)
    assert type(other) is type(own) is TypeError
    assert "Process 1 cannot fit" in str(other)
    assert "Process" not in str(own)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("NaN", "NaN"),
        ("columns", r"shape of samples.*\(10,\).*\(9,\)"),
        ("targets", "shape of targets"),
        ("parameter", "parameter max_iter.*5.*6"),
        ("seed", "parameter random_state"),
        ("kind", "estimator.*Regressor.*Classifier"),
    ],
)
def test_data_and_parameters_are_agreed_first(name, words):
    def work(rank):
        net, X, y = changed(name if rank == 1 else None)
        net.fit(X, y)

    errors = together(3, work)
    for error in errors:
        assert isinstance(error, ValueError), error
    assert errors[0].args == errors[2].args
    with pytest.raises(ValueError, match=words):
        raise errors[0]


class Failing:
    """A callback that raises an error at its n-th task, or waits."""

    def __init__(self, n_tasks, happens):
        self.n_tasks, self.happens = n_tasks, happens

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, **facts):
        self.n_tasks -= 1
        if self.n_tasks == 0:
            self.happens()

    def on_fit_task_end(self, estimator, context, **facts):
        return False

    teardown = setup


def fails():
    raise ZeroDivisionError("of the callback")


def is_interrupted():
    raise KeyboardInterrupt


def fit_with(callback_of, timeout=60.0):
    X, y = diabetes()
    rows = parts(len(y), 3)

    def work(rank):
        net = SparseNetRegressor((5,), max_iter=20, random_state=0)
        callback = callback_of(rank)
        if callback is not None:
            net.set_callbacks(callback)
        return net.fit(X[rows[rank]], y[rows[rank]])

    return together(3, work, timeout)


@pytest.mark.parametrize(
    ("happens", "error"),
    [(fails, ZeroDivisionError), (is_interrupted, KeyboardInterrupt)],
)
def test_an_error_in_one_process_ends_the_others_at_once(happens, error):
    found = fit_with(lambda rank: Failing(5, happens) if rank == 1 else None)
    assert isinstance(found[1], error)
    for rank in (0, 2):
        assert isinstance(found[rank], ProcessLostError)
        assert f"Process {rank} of 3 has lost another one" in str(found[rank])


def test_a_process_that_stalls_ends_the_others_in_time():
    def stalls():
        time.sleep(3)

    found = fit_with(lambda rank: Failing(5, stalls) if rank == 1 else None, timeout=1)
    assert all(isinstance(error, ProcessLostError) for error in found)


class Stopping(Failing):
    def on_fit_task_end(self, estimator, context, **facts):
        return context.task_name == "epochs"


def test_a_callback_of_one_process_stops_all():
    net, X, y = changed(None)
    found = fit_with(lambda rank: Stopping(0, fails) if rank == 2 else None)
    assert same_network(found[0], found[2])
    assert found[0].n_iter_ < net.set_params(max_iter=20).fit(X, y).n_iter_


def test_cross_validation_is_refused():
    net, X, y = SparseNetRegressorCV((5,)), *diabetes()
    for error in together(2, lambda rank: clone(net).fit(X, y)):
        assert isinstance(error, ValueError)
        assert "data_parallel" in str(error)


def test_there_has_to_be_a_group():
    with pytest.raises(RuntimeError, match="init_process_group"):
        with data_parallel():
            pass
    for timeout in (0, -1, float("inf"), "long"):
        with pytest.raises(ValueError, match="timeout"):
            with data_parallel(timeout=timeout):
                pass


# --- what it costs -------------------------------------------------------------------


class Counting(Processes):
    """A process that believes to be one of two, and notes what it says."""

    rank, size = 0, 2

    def __init__(self):
        self.sums = []

    def sum(self, values):
        self.sums.append(values.numel())

    def gather(self, value):
        return [value]


def sums_of(max_iter):
    X, y = diabetes()
    net = SparseNetRegressor((20,), alpha=1e-3, batch_size=50, max_iter=max_iter)
    counting = Counting()
    with joined(counting):
        net.fit(X, y)
    n_parameters = sum(p.numel() for p in net.module_.parameters())
    return counting.sums.count(n_parameters + 1), len(counting.sums)


def test_a_step_is_one_sum():
    """Of as many numbers as there are parameters, and the loss; 9 batches an epoch."""
    few, all_of_few = sums_of(5)
    more, all_of_more = sums_of(15)
    assert more - few == 10 * 9
    assert all_of_more - all_of_few == 10 * (9 + 1)  # and whether a callback stops it


def test_running_statistics_are_refused():
    X, y = diabetes()
    module = nn.Sequential(nn.Linear(10, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
    net = SparseNetRegressor(module=module, max_iter=5, random_state=0)
    with joined(Counting()):
        with pytest.raises(ValueError, match=r"running statistics \(1: BatchNorm1d\)"):
            net.fit(X, y)


def test_further_rows_are_learnt_together():
    X, y = diabetes()
    net = SparseNetRegressor((10,), max_iter=20, random_state=0)
    rows = parts(300, 2)
    late = [slice(300, 350), slice(350, None)]

    def work(rank):
        first, then = rows[rank], late[rank]
        return clone(net).fit(X[first], y[first]).partial_fit(X[then], y[then])

    single = clone(net).fit(X[:300], y[:300]).partial_fit(X[300:], y[300:])
    assert_equal_fits(together(2, work), single)
