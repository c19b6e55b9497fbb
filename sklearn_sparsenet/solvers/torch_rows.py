"""Items of a PyTorch dataset as rows, random changes of them included."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from sklearn_sparsenet.utils.runtime import forked_random_state

__all__ = ["TorchRows"]

_CPU = torch.device("cpu")


class TorchRows:
    """Items of a map-style `torch.utils.data.Dataset`, as torchvision has: a `Dataset`.

    Each item is a sample x, or a pair (x, y); x is a tensor, array or image of one
    shape. Random changes of the samples (augmentation) may draw from the global
    generators of PyTorch, NumPy and Python, which are seeded for each item and restored
    afterwards: what a row is in an epoch follows from the `random_state` of the
    estimator. Everything but the batches of a training sees the rows of one seed.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        With ``dataset[i]`` and ``len(dataset)``.
    target : array-like of shape (n_samples,), optional
        What `fit` takes where y is None. By default the y of the pairs, for which each
        item is loaded once.
    seed : int, default=0
        Of the random changes outside of a training.
    fingerprint : str, optional
        A name that no other data have, for ``checkpoint=``.

    Examples
    --------
    >>> import torch
    >>> from sklearn_sparsenet import SparseNetClassifier, TorchRows
    >>> X, y = torch.randn(300, 4), torch.arange(300) % 2
    >>> rows = TorchRows(torch.utils.data.TensorDataset(X, y))
    >>> net = SparseNetClassifier((8,), target_sparsity=10, random_state=0).fit(rows)
    >>> net.n_nonzero_
    10
    """

    def __init__(
        self,
        dataset: Any,
        *,
        target: Any = None,
        seed: int = 0,
        fingerprint: str | None = None,
    ) -> None:
        self._dataset, self._target, self._seed = dataset, target, seed
        self.n_samples = len(dataset)
        self.fingerprint = fingerprint

    @property
    def target(self) -> np.ndarray | None:
        """What was given, or the y of all items."""
        if self._target is None:
            with _global_states_kept():
                items = [self._item(row) for row in range(self.n_samples)]
            is_pair = all(isinstance(item, tuple | list) for item in items)
            self._target = [item[1] for item in items] if is_pair else None
        return None if self._target is None else np.asarray(self._target)

    def take(self, index: np.ndarray) -> np.ndarray:
        """Return the samples of some items, shape (len(index), ...)."""
        with _global_states_kept():
            items = [self._item(row) for row in np.asarray(index).tolist()]
        samples = [x[0] if isinstance(x, tuple | list) else x for x in items]
        return np.stack([np.asarray(sample) for sample in samples])

    def slice(self, start: int, stop: int) -> np.ndarray:
        """Return the samples of items start:stop."""
        return self.take(np.arange(start, stop))

    def epoch(self, rng: np.random.Generator) -> TorchRows:
        """Return the rows with other random changes."""
        return TorchRows(
            self._dataset,
            target=self._target,
            seed=int(rng.integers(2**62)),
            fingerprint=self.fingerprint,
        )

    def _item(self, row: int) -> Any:
        words = np.random.SeedSequence([self._seed, row]).generate_state(3)
        torch.default_generator.manual_seed(int(words[0]))
        np.random.seed(words[1])  # noqa: NPY002 - users' functions draw from it
        random.seed(int(words[2]))
        return self._dataset[row]


@contextmanager
def _global_states_kept() -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with forked_random_state(0, _CPU):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
