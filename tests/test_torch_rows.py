"""Items of PyTorch's datasets as rows, whose random changes are reproducible."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor, TorchRows

QUICK = {"target_sparsity": 20, "max_iter": 3, "batch_size": 50, "random_state": 0}


class Noisy(Dataset):
    """Images with noise from all global generators, and their classes."""

    def __init__(self):
        self.seen = []

    def __len__(self):
        return 300

    def __getitem__(self, row):
        noise = torch.randn(1, 2, 3) + np.random.normal() + random.random()  # noqa: NPY002
        image = (row % 2) * torch.ones(1, 2, 3) + 0.1 * noise
        self.seen.append((row, float(image.sum())))
        return image, row % 2


def build(n_features, n_outputs):
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(6, 8),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(8, n_outputs),
    )


def test_pairs_and_samples():
    X, y = torch.arange(12.0).view(6, 2), torch.arange(6)
    rows = TorchRows(TensorDataset(X, y))
    np.testing.assert_array_equal(rows.take(np.array([5, 0])), X[[5, 0]])
    np.testing.assert_array_equal(rows.slice(1, 3), X[1:3])
    np.testing.assert_array_equal(rows.target, y)
    assert (rows.n_samples, rows.fingerprint) == (6, None)
    plain = TorchRows([np.ones(3, np.float32)] * 4)
    assert plain.take(np.arange(4)).shape == (4, 3)
    assert plain.target is None
    assert TorchRows(X, target=[1, 2, 3, 4, 5, 6]).target.sum() == 21


def test_a_fit_is_that_of_the_tensors():
    X = torch.randn(300, 4, dtype=torch.float64)
    y = (X[:, 0] > 0).long()
    rows = TorchRows(TensorDataset(X, y))
    wanted = SparseNetClassifier((6,), **QUICK | {"shuffle": False})
    found = SparseNetClassifier((6,), **QUICK | {"shuffle": False}).fit(rows)
    wanted.fit(X.numpy(), y.numpy())
    np.testing.assert_array_equal(found.coefs_[0], wanted.coefs_[0])
    np.testing.assert_array_equal(found.predict(rows), wanted.predict(X.numpy()))


def states():
    numpy = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().tolist(), numpy[1].tolist(), random.getstate()


def test_random_changes_follow_from_the_seed_and_differ_between_epochs():
    fits, before = [], states()
    for _ in range(2):
        data = Noisy()
        rows = TorchRows(data)
        fits.append((SparseNetClassifier(module=build, **QUICK).fit(rows), data.seen))
    assert states() == before
    (first, seen), (second, seen_again) = fits
    assert seen == seen_again
    for a, b in zip(
        first.module_.parameters(), second.module_.parameters(), strict=True
    ):
        assert torch.equal(a, b)
    of_a_row = {value for row, value in seen if row == 7}
    # Outside of the training, and in each epoch.
    assert len(of_a_row) >= 1 + first.n_iter_
    assert first.score(rows, rows.target) > 0.9


def test_another_seed_sees_other_changes():
    rows, other = TorchRows(Noisy()), TorchRows(Noisy(), seed=1)
    index = np.array([3, 200])
    np.testing.assert_array_equal(rows.take(index), rows.take(index))
    np.testing.assert_array_equal(rows.take(index)[1:], rows.take(index[1:]))
    assert not (rows.take(index) == other.take(index)).any()


def test_a_name_of_the_data_allows_a_checkpoint(tmp_path):
    X = torch.randn(300, 4)
    rows = TorchRows(X, target=X[:, 0], fingerprint="noise, 300")
    net = SparseNetRegressor((6,), checkpoint=tmp_path, **QUICK)
    assert net.fit(rows).n_nonzero_ == 20


def test_items_of_several_shapes_are_refused():
    items = [np.ones(3)] * 200 + [np.ones(4)] * 100
    with pytest.raises(ValueError, match="shape"):
        SparseNetRegressor((6,), **QUICK).fit(TorchRows(items), np.arange(300.0))
