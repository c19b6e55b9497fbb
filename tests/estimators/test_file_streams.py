"""Where files go: paths, streams; the same bytes; whole, or as they were."""

import errno
import gzip
import io

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_sparsenet import (
    SparseNetClassifierCV,
    SparseNetRegressor,
    SparseNetRegressorCV,
    load,
)
from sklearn_sparsenet.estimators._stored import declared_attributes
from tests.processes import run_script

X = np.random.default_rng(0).standard_normal((60, 5))
Y = X[:, 0] - X[:, 1] ** 2


@pytest.fixture(scope="module")
def network():
    return SparseNetRegressor((5,), max_iter=2, random_state=0).fit(X, Y)


class Trickle(io.RawIOBase):
    """A stream as sockets are: no places, and a few bytes at a time."""

    content = b""

    def write(self, part):
        self.content += bytes(part[:1000])
        return min(len(part), 1000)

    def read(self, size=-1):
        size = min(size, 700)
        part, self.content = self.content[:size], self.content[size:]
        return part


def test_streams_do_in_place_of_paths(network, tmp_path):
    memory, slow = io.BytesIO(), Trickle()
    with gzip.open(tmp_path / "net.gz", "wb") as packed:
        for stream in (memory, slow, packed, memory):
            network.save(stream)
    memory.seek(0)
    assert slow.content * 2 == memory.getvalue()
    with gzip.open(tmp_path / "net.gz") as packed:
        for stream in (memory, slow, packed, memory):  # two networks in one
            assert_array_equal(load(stream).predict(X), network.predict(X))
    assert memory.read() == b""
    for other in (io.StringIO(), 3):
        with pytest.raises(TypeError, match=r"binary mode|path or an object"):
            network.save(other)


PROGRAM = """
import io, sys, hashlib
import numpy as np
from sklearn_sparsenet import SparseNetClassifier, load
X = np.random.default_rng(0).standard_normal((30, 4))
y = np.array(["a", "b"])[(X[:, 0] > 0).astype(int)]
net = SparseNetClassifier((5,), target_sparsity=9, max_iter=2, random_state=0).fit(X, y)
net.search_history_["seconds"][:] = 0
found = []
for net in (net, net, load(sys.argv[1])):
    file = io.BytesIO()
    net.save(file)
    found += [file.getvalue(), net.to_onnx().SerializeToString()]
assert found[:2] == found[2:4]
assert found[4] == open(sys.argv[1], "rb").read()
print(*[hashlib.sha256(content).hexdigest() for content in found])
"""


@pytest.mark.slow
def test_the_same_network_is_the_same_bytes_in_every_process(network, tmp_path):
    pytest.importorskip("onnx")
    network.save(tmp_path / "net")
    path = str(tmp_path / "net")
    assert len({run_script(PROGRAM, path, PYTHONHASHSEED=seed) for seed in "12"}) == 1


@pytest.mark.parametrize("method", ["save", "to_onnx"])
def test_a_full_disk_leaves_the_file_as_it_was(network, method, tmp_path, monkeypatch):
    if method == "to_onnx":
        pytest.importorskip("onnx")
    write = getattr(network, method)
    path = tmp_path / "net"
    path.write_bytes(b"before")

    def fail(file, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("sklearn_sparsenet.utils.atomic_files.write", fail)
        with pytest.raises(OSError, match="No space"):
            write(path)
    assert path.read_bytes() == b"before"
    write(path)
    assert path.read_bytes() != b"before"
    assert [file.name for file in tmp_path.iterdir()] == ["net"]
    with pytest.raises(IsADirectoryError, match="is a directory"):
        write(tmp_path)


def test_other_programs_read_the_arrays(network, tmp_path):
    load_file = pytest.importorskip("safetensors.numpy").load_file
    network.save(tmp_path / "net")
    arrays = load_file(tmp_path / "net").values()
    bias = network.module_[0].bias.detach().numpy()
    assert any(np.array_equal(array, bias) for array in arrays)


@pytest.mark.parametrize("kind", [SparseNetRegressorCV, SparseNetClassifierCV])
def test_files_know_what_a_fit_sets(kind):
    y = Y if kind is SparseNetRegressorCV else Y > 0
    net = kind((5,), target_sparsities=[20], cv=2, max_iter=2, random_state=0).fit(X, y)
    names = vars(net).keys() - net.get_params().keys() - {"module_", "_route_"}
    assert {"feature_names_in_", *names} == declared_attributes(kind).keys()
