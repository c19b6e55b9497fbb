"""Datasets for tests: an array behind the three members, and rows made when asked."""

import numpy as np


class Listed:
    """An array or CSR matrix as a dataset that has what it is given beside it."""

    def __init__(self, X, **members):
        self.X = X
        self.n_samples = X.shape[0]
        self.asked = []
        self.__dict__.update(members)

    def take(self, index):
        assert index.dtype == np.int64
        self.asked.append(len(index))
        return self.X[index]

    def slice(self, start, stop):
        self.asked.append(stop - start)
        return self.X[start:stop]


class Waves:
    """Any number of rows, which are nowhere until they are asked for."""

    def __init__(self, n_samples, n_features):
        self.n_samples = n_samples
        self.rates = np.linspace(1.0, 2.0, n_features)

    def take(self, index):
        return np.sin(index[:, None] * self.rates).astype(np.float32)

    def slice(self, start, stop):
        return self.take(np.arange(start, stop))

    @property
    def target(self):
        return np.sin(np.arange(self.n_samples) * self.rates[0]) > 0
