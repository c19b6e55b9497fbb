"""Branches, sums and joins in ONNX give what PyTorch gives."""

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_sparsenet.deploy import Function, to_onnx
from sklearn_sparsenet.losses import SquaredError
from sklearn_sparsenet.networks.compaction import compact_module
from tests.test_compaction import thin_out
from tests.test_graph_compaction import NETWORKS


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_and_compact_ones_give_the_same_in_onnx(name, dtype):
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    module = thin_out(make(), 0.3, 0).to(dtype)
    inputs = torch.randn(7, *shape, dtype=dtype)
    expected = module(inputs).detach().numpy()
    for network in (module, compact_module(module, shape)):
        check_same_in_onnx(network, inputs, expected)


def check_same_in_onnx(network, inputs, expected):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    model = to_onnx(Function(network, inputs.shape[1:], SquaredError()))
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(None, {"X": inputs.numpy()})
    assert found.dtype == expected.dtype
    size = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * size)


def test_convolutions_of_groups_of_channels():
    """Which cannot be compacted."""
    torch.manual_seed(0)
    layers = nn.Conv2d(4, 8, 3, groups=4), nn.ReLU(), nn.Conv2d(8, 6, 1, groups=2)
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(24, 3)).eval()
    inputs = torch.randn(7, 4, 4, 4)
    check_same_in_onnx(network, inputs, network(inputs).detach().numpy())
