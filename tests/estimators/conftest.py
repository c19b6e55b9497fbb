"""Data for tests of the estimators."""

from operator import attrgetter

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris, load_wine
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet.search import OnePassSearch


def _standardised(load):
    X, y = load(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.fixture(scope="session")
def standardised():
    """Load data by a function of scikit-learn, with columns of one scale."""
    return _standardised


@pytest.fixture(scope="module")
def xy():
    """Regression that is made, with zeros in X."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    X[np.abs(X) < 0.5] = 0
    return X, X[:, 0] - X[:, 1] ** 2


@pytest.fixture(scope="session")
def diabetes():
    """Regression, standardised."""
    return _standardised(load_diabetes)


@pytest.fixture(scope="session")
def iris():
    """Three classes that are easily told apart, standardised."""
    return _standardised(load_iris)


@pytest.fixture(scope="session")
def wine():
    """Three classes, standardised."""
    return _standardised(load_wine)


@pytest.fixture
def data():
    """Few rows, for fits whose course is looked at."""
    X, y = load_diabetes(return_X_y=True)
    return X[:200] * 20, y[:200]


@pytest.fixture
def save_every_epoch(monkeypatch):
    """Keep what a fit may go on from after each of its epochs."""
    monkeypatch.setattr("sklearn_sparsenet.solvers.checkpoint._EVERY_SECONDS", 0.0)


@pytest.fixture
def no_training(monkeypatch):
    """Let a fit that is not refused before its training fail there."""

    def train(*args, **kwargs):
        raise AssertionError("training began")

    monkeypatch.setattr("sklearn_sparsenet.search.path.train", train)


@pytest.fixture
def watch_searches(monkeypatch):
    """Return a function that lets searches note an attribute of their trainers."""

    def watch(name):
        found, run = [], OnePassSearch.run

        def watched(search, trainer, limits):
            found.append(attrgetter(name)(trainer))
            return run(search, trainer, limits)

        monkeypatch.setattr(OnePassSearch, "run", watched)
        return found

    return watch
