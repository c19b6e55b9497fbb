"""What is packed comes back to the last bit, in the smaller of two ways."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from sklearn_sparsenet.deploy.sparse_storage import (
    Packed,
    pack,
    pack_module,
    strip_module,
    unpack_module,
)


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        hnp.array_shapes(min_dims=0, max_dims=3, max_side=5),
        elements=st.sampled_from([0.0, -0.0, 1.5, np.inf, np.nan, 1e-30]),
    )
)
def test_every_bit_comes_back(array):
    packed = pack(torch.tensor(array))
    back = packed.unpack().numpy()
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()


def test_sparse_tensors_take_an_index_and_a_value_each():
    tensor = torch.zeros(100, 100)
    tensor[3, 4] = 2.0
    packed = pack(tensor)
    assert packed.indices.tolist() == [304]
    assert packed.values.tolist() == [2.0]
    assert packed.indices.dtype == np.uint32
    assert pack(torch.ones(5, 5)).indices is None
    assert pack(torch.zeros(5)).indices is None


@pytest.mark.parametrize(
    ("indices", "values"),
    [([5], [1.0]), ([0, 0], [1.0, 2.0]), ([1, 0], [1.0, 2.0]), ([0], [1.0, 2.0])],
)
def test_parts_that_do_not_fit_are_refused(indices, values):
    packed = Packed((2, 2), np.array(values), np.array(indices, np.uint32))
    with pytest.raises(ValueError, match=r"Indices|index"):
        packed.unpack()
    with pytest.raises(ValueError, match="values for the shape"):
        Packed((2, 2), np.ones(3)).unpack()


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("scale", torch.full((1,), 3.0), persistent=False)
        self.first.bias.requires_grad_(False)

    def forward(self, x):
        return self.norm(self.second(torch.tanh(self.first(x)))) * self.scale


def test_modules_keep_ties_buffers_and_frozen_parameters():
    module = Tied().double()
    module(torch.randn(9, 4, dtype=torch.float64))
    module.eval()
    packed = pack_module(module)
    bare = strip_module(copy.deepcopy(module))
    assert all(p.is_meta for p in bare.parameters())
    back = unpack_module(bare, packed)
    x = torch.randn(5, 4, dtype=torch.float64)
    assert torch.equal(back(x), module(x))
    assert back.first.weight is back.second.weight
    assert not back.first.bias.requires_grad
    assert back.second.bias.requires_grad
    with pytest.raises(ValueError, match="not those of this network"):
        unpack_module(nn.Linear(4, 4), packed)
