"""Weight decay: a part of the objective, of its certificate, and of both solutions."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor
from sklearn_sparsenet.solvers.stepper import Stepper


def test_without_hidden_layers_it_is_ridge_regression(diabetes):
    """Mean of squares + ½γw² against sum of squares + αw²."""
    X, y = diabetes
    gamma = 0.3
    net = SparseNetRegressor(
        (), alpha=0.0, weight_decay=gamma, solver="lbfgs", kkt_tol=1e-8, random_state=0
    ).fit(X, y)
    ridge = Ridge(alpha=gamma * len(y) / 2).fit(X, y)
    assert_allclose(net.predict(X), ridge.predict(X), rtol=1e-5)


def test_without_hidden_layers_it_is_logistic_regression(standardised):
    X, y = standardised(load_breast_cancer)
    gamma = 0.02
    net = SparseNetClassifier(
        (), alpha=0.0, weight_decay=gamma, solver="lbfgs", kkt_tol=1e-8, random_state=0
    ).fit(X, y)
    other = LogisticRegression(C=1 / (gamma * len(y)), tol=1e-10, max_iter=10_000)
    other.fit(X, y)
    assert_allclose(net.predict_proba(X), other.predict_proba(X), rtol=1e-4, atol=1e-6)


def gradient(net, X, y):
    """Return the smooth part's gradient at the penalised solution, by autograd."""
    codes = torch.tensor(np.searchsorted(net.classes_, y))
    pairs = zip(net.penalized_coefs_, net.penalized_intercepts_, strict=True)
    layers = [(torch.tensor(w), torch.tensor(b)) for w, b in pairs]
    for pair in layers:
        for part in pair:
            part.requires_grad_()
    value = torch.tensor(X)
    for number, (weight, bias) in enumerate(layers):
        value = value @ weight + bias
        value = value if number == len(layers) - 1 else value.tanh()
    loss = torch.nn.functional.cross_entropy(value, codes)
    loss = loss + net.weight_decay_ / 2 * sum(w.square().sum() for w, _ in layers)
    loss.backward()
    return layers


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_it_is_a_part_of_the_certificate(wine, solver):
    X, y = wine
    net = SparseNetClassifier(
        (10,), "tanh", target_sparsity=30, weight_decay=0.02, solver=solver, tol=0.2,
        random_state=0,
    ).fit(X, y)  # fmt: skip
    worst = 0.0
    for weight, bias in gradient(net, X, y):
        weight, slopes = weight.detach(), weight.grad
        kept = weight != 0
        on = (slopes + net.alpha_ * weight.sign())[kept].abs()
        off = (slopes.abs() - net.alpha_)[~kept].clamp(min=0)
        worst = max(worst, *(float(v.max()) for v in (on, off, bias.grad.abs())))
    assert worst <= 0.01 * net.alpha_
    assert_allclose(net.kkt_residual_, worst / net.alpha_, atol=1e-6)


def test_it_shrinks_the_network_that_is_handed_over(wine):
    X, y = wine
    nets = [
        SparseNetClassifier(target_sparsity=50, weight_decay=g, random_state=0)
        for g in (0.0, 0.01, 0.1)
    ]
    sizes = [sum((w**2).sum() for w in net.fit(X, y).coefs_) for net in nets]
    assert all(0.8 * before > after for before, after in pairwise(sizes))
    assert all(net.n_nonzero_ == 50 for net in nets)


def noisy(n_samples=300, noise=2.0, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, 8))
    return X, X[:, 0] + noise * rng.normal(size=n_samples)


def test_auto_follows_noise_and_number_of_samples():
    def gamma(*data, **params):
        net = SparseNetRegressor(max_iter=40, random_state=0, **params)
        return net.fit(*data).weight_decay_

    def own(output, target):  # what it is without inputs is not known
        return (output - target).square().sum(1)

    assert gamma(*noisy()) > 4 * gamma(*noisy(noise=0.0))
    assert gamma(*noisy(noise=0.0), loss=own, normalize_y=True) >= gamma(*noisy())
    assert gamma(*noisy(noise=1.0)) > 3 * gamma(*noisy(1500, noise=1.0))


def test_auto_knows_the_loss():
    """Twice as much for squares, half as much for a softmax of three classes."""
    labels = np.arange(240) % 3
    X, _ = noisy(240)
    X[:, :3] = 2.0 * np.eye(3)[labels] + X[:, :3] / 10
    for net, y, factor in (
        (SparseNetRegressor, labels == 0, 2.0),
        (SparseNetClassifier, labels == 0, 1.0),
        (SparseNetClassifier, labels, 0.5),
    ):
        # Without noise r is small, and the rule next to its least value.
        least = factor / len(X)
        found = net(max_iter=200, random_state=0).fit(X, y).weight_decay_
        assert 0.9 * least < found < 1.8 * least


def test_noise_counts_less_among_many_samples():
    """What is found late looks like noise."""
    X, y = noisy(3000)[0], np.random.default_rng(1).normal(size=3000)
    net = SparseNetRegressor((20,), max_iter=40, random_state=0).fit(X, y)
    assert_allclose(net.weight_decay_, (1 + 20 / 2) / 3000 * 2, rtol=0.05)


@pytest.mark.parametrize(
    ("signal", "n_samples", "least", "most"),
    [(5.0, 400, 0.003, 0.005), (0.0, 3000, 1e-3, 1e-3), (0.0, 60, 0.005, 0.005)],
)
def test_a_search_without_a_signal_yet_has_little(
    signal, n_samples, least, most, watch_searches
):
    """Or it would never find one; of few samples it is not expected to."""
    decays = watch_searches("session.search_decay")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, 4))
    y = signal * X[:, 0] + rng.normal(size=n_samples)
    SparseNetRegressor((5,), target_sparsity=0.5, random_state=0).fit(X, y)
    assert least * 0.999 <= decays[0] <= most * 1.001


@pytest.mark.parametrize(
    ("n_samples", "params", "has_some"),
    [
        (50, {"max_iter": 200}, True),
        (50, {"max_iter": 200, "alpha": 0.1}, False),
        (50, {"max_iter": 199}, False),  # too few steps to fit noise
        (10_000, {"max_iter": 2}, True),
        (10_001, {"max_iter": 2}, False),
    ],
)
def test_when_auto_is_none(n_samples, params, has_some):
    net = SparseNetRegressor((2,), random_state=0, **params).fit(*noisy(n_samples))
    assert (net.weight_decay_ > 0) == has_some


def test_auto_takes_repeated_samples_for_one():
    """A sample that is there twice is one of twice the weight, in any order."""
    X, y = noisy(60)
    weight = np.random.default_rng(1).integers(1, 3, size=60)
    again = np.repeat(np.arange(60), weight)[::-1]
    net = SparseNetRegressor(random_state=0, max_iter=200)
    weighted = net.fit(X, y, sample_weight=weight).weight_decay_
    repeated = net.fit(X[again], y[again]).weight_decay_
    assert_allclose(weighted, repeated, rtol=1e-6)


def test_the_default_is_not_overconfident():
    """On noisy rows its log loss is near that of a regularised linear model."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 20))
    y = rng.random(500) < 1 / (1 + np.exp(-X[:, 0] - X[:, 1]))
    X, X_test, y, y_test = train_test_split(X, y, random_state=0)
    linear = LogisticRegression(C=0.1).fit(X, y)
    best = log_loss(y_test, linear.predict_proba(X_test))
    net = SparseNetClassifier(random_state=0)
    plain = SparseNetClassifier(weight_decay=0.0, random_state=0)
    assert log_loss(y_test, net.fit(X, y).predict_proba(X_test)) < 1.2 * best
    assert log_loss(y_test, plain.fit(X, y).predict_proba(X_test)) > 1.5 * best


def test_many_columns_are_read_by_more_than_a_few_units():
    """Neighbours correlate by .9: their noise goes only if many of them are read."""
    rng = np.random.default_rng(0)
    y = np.arange(1070) % 2
    Z = rng.normal(size=(1070, 3000))
    for column in range(1, 3000):
        Z[:, column] = 0.9 * Z[:, column - 1] + 0.19**0.5 * Z[:, column]
    true = rng.choice(3000, 30, replace=False)
    Z[:, true] += np.outer(y - 0.5, rng.choice([-1, 1], 30))
    X = (Z - Z[:70].mean(0)) / Z[:70].std(0)
    net = SparseNetClassifier((50,), target_sparsity=300, random_state=0)
    net.fit(X[:70], y[:70])
    assert net.weight_decay_ > 0.02
    assert np.count_nonzero(net.coefs_[1]) >= 7
    assert net.score(X[70:], y[70:]) > 0.95


@pytest.mark.parametrize("value", [-1.0, "x", None, np.nan, np.inf])
def test_what_it_may_not_be(value):
    X, y = noisy(30)
    with pytest.raises((ValueError, TypeError), match="weight_decay"):
        SparseNetRegressor(weight_decay=value).fit(X, y)


def test_the_pilot_leaves_the_generator_to_other_threads(monkeypatch):
    """Setting it, even to what it was, would change what they draw meanwhile."""
    monkeypatch.delattr(torch, "set_rng_state")
    net = SparseNetRegressor((2,), max_iter=200, random_state=0).fit(*noisy(50))
    assert net.weight_decay_ > 0


@pytest.mark.parametrize(("noise", "is_learnt"), [(0.0, True), (100.0, False)])
def test_the_pilot_ends_where_there_is_nothing_to_learn(noise, is_learnt, monkeypatch):
    """It takes a hundred steps, and a quarter of them without any profit at most."""
    steps, take = [], Stepper.step

    def step(self):
        steps.append(None)
        take(self)

    X, y = noisy(noise=noise)
    monkeypatch.setattr(Stepper, "step", step)
    SparseNetRegressor(random_state=0, max_iter=200).fit(X, y)
    pilot = len(steps) - 200 * 5
    assert (pilot >= 100) == is_learnt
