"""How large files are, and that compressed ones hold the same."""

import pickle
import zlib
from io import BytesIO

import numpy as np
import pytest

from sklearn_sparsenet import SparseNetClassifier, load
from sklearn_sparsenet.utils.tensor_files import compressed
from tests.comparisons import saved

ROWS = np.random.default_rng(0).random((100, 784), np.float32)
FIGURES = np.arange(100) % 10


@pytest.fixture(scope="module")
def net():
    """Return the network of the promise, with one weight in a hundred."""
    net = SparseNetClassifier((300, 100), target_sparsity=0.99, random_state=0)
    return net.set_params(max_iter=5).fit(ROWS, FIGURES)


def test_files_of_sparse_networks_are_small(net):
    dense = len(pickle.dumps(net))
    assert len(saved(net)) < dense / 40
    assert len(saved(net, compress=True)) < dense / 60
    try:
        assert len(pickle.dumps(net.sparsify())) < dense / 40
    finally:
        net.densify()


def test_the_size_of_files_goes_with_the_number_of_weights():
    """Two numbers in single precision, and a byte or two for both."""
    net = SparseNetClassifier((300, 300), max_iter=2, random_state=0)
    counts = [2000, 4000, 8000]
    X = ROWS[:, :64]
    fits = (net.set_params(target_sparsity=n).fit(X, FIGURES) for n in counts)
    growth = np.diff([len(saved(fit)) for fit in fits]) / np.diff(counts)
    assert ((growth >= 9) & (growth <= 10)).all()


def test_compressed_files_are_files_of_safetensors(net, tmp_path):
    content = saved(net, compress=True)
    assert content == saved(net, compress=True)
    assert saved(load(BytesIO(content))) == saved(net)
    safe_open = pytest.importorskip("safetensors").safe_open
    (tmp_path / "net").write_bytes(content)
    with safe_open(tmp_path / "net", "numpy") as file:
        assert file.metadata()["format"] == "sklearn_sparsenet"
        (name,) = file.keys()
        assert zlib.decompress(file.get_tensor(name).tobytes()) == saved(net)


def test_what_a_reader_would_take_for_an_attack_is_not_compressed():
    content = bytes(10**6)
    assert compressed(content, {}) == content
