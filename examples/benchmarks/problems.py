"""The problems: data sets, networks, budgets and the error that is reported.

Inputs are float32 and standardised by the training rows (MNIST by one mean and one
deviation, Mg to [-1, 1] as its authors have it), targets of regressions too: a
regression's error is the test mean squared error in units of the training variance.
A seed draws the split where no fixed one exists, the network and the batches.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.model_selection import train_test_split

from sklearn_sparsenet.estimators._settings import auto_batch_size

__all__ = ["PROBLEMS", "Arrays", "Data", "Problem", "Schedule", "layer_targets"]

Arrays = tuple[np.ndarray, np.ndarray]
DENSITIES = (0.1, 0.05, 0.02, 0.01)
GENES = 298 / 300050  # weights of a network with 50 units


@dataclass(frozen=True)
class Schedule:
    """A budget of gradient steps in whole epochs, the same for every method.

    Attributes
    ----------
    batch_size, epochs, steps : int
    """

    batch_size: int
    epochs: int
    steps: int

    @classmethod
    def for_rows(cls, n_rows: int, steps: int) -> Schedule:
        """Return the schedule of about `steps` steps with the library's batch size."""
        batch_size = auto_batch_size(n_rows)
        per_epoch = ceil(n_rows / batch_size)
        epochs = ceil(steps / per_epoch)
        return cls(batch_size, epochs, epochs * per_epoch)

    def with_batch(self, n_rows: int, batch_size: int) -> Schedule:
        """Return as many epochs with another batch size."""
        return Schedule(
            batch_size, self.epochs, self.epochs * ceil(n_rows / batch_size)
        )

    def part(self, share: float) -> Schedule:
        """Return a share of it, at least one epoch, rounded down."""
        epochs = max(1, int(self.epochs * share))
        return Schedule(self.batch_size, epochs, self.steps // self.epochs * epochs)


@dataclass(frozen=True)
class Data:
    """A split of a data set, scaled, with the shape of its network.

    Attributes
    ----------
    X_train, y_train, X_test, y_test : ndarray
        Classes are integers from 0, regression targets are standardised.
    hidden : tuple of int
    n_classes : int
        0: regression.
    y_scale : float
        Deviation of a regression's target before it was standardised.
    bias : bool
        Whether the layers of the network have biases.
    """

    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    hidden: tuple[int, ...]
    n_classes: int
    y_scale: float = 1.0
    bias: bool = True

    @property
    def sizes(self) -> list[int]:
        """Numbers of units; one output for regression and for two classes."""
        n_outputs = self.n_classes if self.n_classes > 2 else 1
        return [self.X_train.shape[1], *self.hidden, n_outputs]

    @property
    def layer_sizes(self) -> list[int]:
        """Numbers of weights per layer."""
        return [fan_in * fan_out for fan_in, fan_out in pairwise(self.sizes)]

    def error(self, predicted: np.ndarray) -> float:
        """Return the error rate, or the mean squared error, on the test rows."""
        if self.n_classes:
            return float(np.mean(predicted != self.y_test))
        return float(np.mean((predicted.ravel() - self.y_test) ** 2))


@dataclass(frozen=True)
class Problem:
    """A data set and the network it is fitted with.

    Attributes
    ----------
    read : callable(directory, seed) -> (X, y), (X_test, y_test) or None
        Without test rows, a quarter of the rows is drawn.
    hidden : tuple of int
    n_classes : int
        0: regression.
    files : tuple of str
        Needed in the data directory.
    scale : {"columns", "whole", "none"}
        How inputs are standardised.
    densities : tuple of float
        Shares of the weights to be left.
    """

    read: Callable[[Path, int], tuple[Arrays, Arrays | None]]
    hidden: tuple[int, ...] = (100, 100)
    n_classes: int = 0
    files: tuple[str, ...] = ()
    scale: str = "columns"
    densities: tuple[float, ...] = DENSITIES

    @property
    def kind(self) -> str:
        """Which methods are for it."""
        if self.hidden:
            return "network"
        return f"linear {'classification' if self.n_classes else 'regression'}"

    def missing(self, directory: Path) -> list[str]:
        """Return the files that are not there."""
        return [name for name in self.files if not (directory / name).exists()]

    def load(self, directory: Path, seed: int) -> Data:
        """Read, split and scale."""
        (X, y), test = self.read(directory, seed)
        if test is None:
            stratify = y if self.n_classes else None
            X, X_test, y, y_test = train_test_split(
                X, y, random_state=seed, stratify=stratify
            )
        else:
            X_test, y_test = test
        X, X_test = self._scaled(X, X_test)
        if self.n_classes:
            return Data(X, y, X_test, y_test, self.hidden, self.n_classes)
        mean, deviation = y.mean(), y.std()
        y, y_test = (((v - mean) / deviation).astype(np.float32) for v in (y, y_test))
        return Data(X, y, X_test, y_test, self.hidden, 0, float(deviation))

    def _scaled(self, X: np.ndarray, X_test: np.ndarray) -> Arrays:
        if self.scale != "none":
            axis = 0 if self.scale == "columns" else None
            mean, deviation = X.mean(axis), X.std(axis)
            deviation = np.where(deviation > 0, deviation, 1)
            X, X_test = ((part - mean) / deviation for part in (X, X_test))
        return X.astype(np.float32), X_test.astype(np.float32)


def layer_targets(data: Data, density: float) -> tuple[int, ...]:
    """Return that share of every layer, but 4 weights and one per output at least."""
    least = max(4, data.sizes[-1])
    return tuple(
        min(size, max(least, round(density * size))) for size in data.layer_sizes
    )


def _bundled(loader: Callable) -> Callable[[Path, int], tuple[Arrays, None]]:
    return lambda directory, seed: (loader(return_X_y=True), None)


def _first_rows(X: np.ndarray, y: np.ndarray, n_train: int) -> tuple[Arrays, Arrays]:
    return (X[:n_train], y[:n_train]), (X[n_train:], y[n_train:])


def _mg(directory: Path, seed: int) -> tuple[Arrays, Arrays]:
    table = np.loadtxt(directory / "mg.csv", delimiter=",", skiprows=1)
    X, y = table[:, 1:], table[:, 0]
    low, high = X.min(0), X.max(0)  # of all rows, as the authors' file has it
    return _first_rows((X - low) / (high - low) * 2 - 1, y, 1000)


def _california(directory: Path, seed: int) -> tuple[Arrays, None]:
    table = np.loadtxt(directory / "cal_housing.data", delimiter=",")
    return (table[:, :-1], table[:, -1]), None


def _pumadyn(directory: Path, seed: int) -> tuple[Arrays, Arrays]:
    table = np.loadtxt(directory / "pumadyn32nm.data.csv.gz", delimiter=",")
    masks = np.loadtxt(directory / "pumadyn32nm.test_mask.csv.gz", delimiter=",")
    test = masks[:, seed % masks.shape[1]] > 0
    X, y = table[:, :-1], table[:, -1]
    return (X[~test], y[~test]), (X[test], y[test])


def _madelon(directory: Path, seed: int) -> tuple[Arrays, Arrays]:
    with np.load(directory / "madelon.npz") as file:
        X, y = file["X"].astype(float), (file["y"].ravel() > 0).astype(np.int64)
    return _first_rows(X, y, 2000)


def _mnist(directory: Path, seed: int) -> tuple[Arrays, Arrays]:
    def read(name: str, offset: int) -> np.ndarray:
        raw = gzip.decompress((directory / "mnist" / name).read_bytes())
        return np.frombuffer(raw, np.uint8, offset=offset)

    def part(name: str) -> Arrays:
        images = read(f"{name}-images-idx3-ubyte.gz", 16).reshape(-1, 784)
        labels = read(f"{name}-labels-idx1-ubyte.gz", 8)
        return images.astype(np.float32) / 255, labels.astype(np.int64)

    return part("train"), part("t10k")


def _synthetic(correlation: float) -> Callable[[Path, int], tuple[Arrays, Arrays]]:
    """1000 columns, 50 of them true; neighbours correlate by `correlation`."""

    def read(directory: Path, seed: int) -> tuple[Arrays, Arrays]:
        rng = np.random.RandomState(seed)
        X = rng.standard_normal((2000, 1000))
        for column in range(1, X.shape[1]):
            fresh = (1 - correlation**2) ** 0.5 * X[:, column]
            X[:, column] = correlation * X[:, column - 1] + fresh
        coef = np.zeros(1000)
        true = rng.choice(1000, 50, replace=False)
        coef[true] = rng.choice([-1, 1], 50) * rng.uniform(0.5, 1.5, 50)
        signal = X @ coef
        noise = 0.05 * signal.std() * rng.standard_normal(len(X))
        return _first_rows(X, signal + noise, 1000)

    return read


def _genes(directory: Path, seed: int) -> tuple[Arrays, Arrays]:
    """Return expressions of 6000 genes for 70 samples of two kinds, and 1000 to test.

    Blocks of 100 genes, within which neighbours correlate by .9 and by −.9 in turn, as
    in the simulations of Guo, Hastie and Tibshirani (2007); expressions are log-normal
    with a level for each gene, and read as logarithms of one plus them. In 30 genes,
    scattered, the kinds differ by 1 deviation.
    """
    rng = np.random.RandomState(seed)
    n_rows, n_columns, block = 1070, 6000, 100
    Z = rng.standard_normal((n_rows, n_columns))
    for column in range(n_columns):
        if column % block:
            sign = 1 if column // block % 2 else -1
            Z[:, column] *= (1 - 0.9**2) ** 0.5
            Z[:, column] += sign * 0.9 * Z[:, column - 1]
    y = np.arange(n_rows) % 2
    true = rng.choice(n_columns, 30, replace=False)
    Z[:, true] += np.outer(y - 0.5, rng.choice([-1, 1], 30))
    X = np.log1p(np.exp(rng.uniform(0, 4, n_columns) + Z))
    return _first_rows(X, y.astype(np.int64), 70)


_MNIST = tuple(
    f"mnist/{part}-{kind}-ubyte.gz"
    for part in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
)
PROBLEMS = {
    "digits": Problem(_bundled(load_digits), n_classes=10),
    "mg": Problem(_mg, (128, 128, 64), files=("mg.csv",), scale="none"),
    "california": Problem(_california, files=("cal_housing.data",)),
    "madelon": Problem(_madelon, n_classes=2, files=("madelon.npz",)),
    "pumadyn": Problem(
        _pumadyn, files=("pumadyn32nm.data.csv.gz", "pumadyn32nm.test_mask.csv.gz")
    ),
    "mnist": Problem(_mnist, (300, 100), 10, _MNIST, scale="whole"),
    "genes": Problem(_genes, (50,), 2, densities=(GENES,)),
    "lin_incoherent": Problem(_synthetic(0.0), (), densities=(0.05,)),
    "lin_correlated": Problem(_synthetic(0.8), (), densities=(0.05,)),
    "lin_diabetes": Problem(_bundled(load_diabetes), (), densities=(0.5,)),
    "lin_cancer": Problem(_bundled(load_breast_cancer), (), 2, densities=(1 / 3,)),
}
