"""Networks as data: layers from plain values, weights packed to the last bit."""

import copy
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from sklearn_sparsenet.deploy.architecture import build_from, describe
from sklearn_sparsenet.deploy.sparse_storage import (
    Packed,
    pack,
    pack_module,
    pack_solutions,
    strip_module,
    unpack_module,
)
from sklearn_sparsenet.networks.compaction import SelectInputs
from sklearn_sparsenet.networks.shapes import output_shape
from tests.problems import hooked

LAYERS = [
    nn.Identity(),
    nn.LeakyReLU(0.3),
    nn.ELU(0.5),
    nn.GELU("tanh"),
    nn.Softplus(2.0, 3.0),
    nn.Linear(3, 2, bias=False),
    nn.Conv1d(2, 3, 3, 2, 1, 2),
    nn.Conv2d(2, 4, (3, 1), padding="same", groups=2, bias=False),
    nn.Conv2d(2, 4, 3, padding=1, padding_mode="circular"),
    nn.Conv3d(1, 2, 2),
    nn.MaxPool1d(3, 2, 1, dilation=2),
    nn.MaxPool2d(3, ceil_mode=True),
    nn.MaxPool3d(2),
    nn.AvgPool1d(3, padding=1, count_include_pad=False),
    nn.AvgPool2d(2, divisor_override=3),
    nn.AvgPool3d((1, 2, 2)),
    nn.AdaptiveAvgPool2d((None, 2)),
    nn.AdaptiveMaxPool1d(1),
    nn.BatchNorm1d(3, affine=False),
    nn.BatchNorm2d(3, eps=1e-3, momentum=None),
    nn.BatchNorm3d(3, track_running_stats=False),
    nn.Flatten(2),
    nn.Dropout2d(0.2),
    nn.AlphaDropout(0.1),
]


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_every_option_of_a_layer_comes_back(layer):
    recipe = json.loads(json.dumps(describe(nn.Sequential(layer))))
    again = build_from(recipe)
    assert repr(again[0]) == repr(layer)
    for name, value in vars(layer).items():
        if not name.startswith("_") and name != "training":
            assert getattr(again[0], name) == value, name


def frozen():
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    return layer


def without_shift():
    layer = nn.BatchNorm1d(3)
    layer.bias = None
    return layer


@pytest.mark.parametrize(
    "module",
    [
        nn.Linear(2, 2),
        nn.Sequential(nn.Sequential(nn.Linear(2, 2))),
        nn.Sequential(nn.LayerNorm(2)),
        nn.Sequential(frozen()),
        hooked(nn.Sequential(nn.Linear(2, 2))),
        nn.Sequential(nn.MaxPool1d(2, return_indices=True)),
        nn.Sequential(without_shift()),
        nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))),
    ],
)
def test_other_networks_have_no_recipe(module):
    assert describe(module) is None


def test_selections_and_unknown_layers():
    module = nn.Sequential(SelectInputs(torch.tensor([1, 3])), nn.Linear(2, 1))
    assert build_from(describe(module))[0].index.shape == (2,)
    for step in (
        {"name": "Bilinear"},
        {"name": "Linear", "in_features": 1, "f": 2},
        {"name": "Linear", "in_features": 0, "out_features": 1},
        {"name": "MaxPool1d", "kernel_size": 2, "stride": 2**31},
        {"name": "MaxPool1d", "kernel_size": "2"},
    ):
        with pytest.raises(ValueError, match="no layer"):
            build_from([step])


SAMPLES = {1: (2, 9), 2: (2, 9, 8), 3: (2, 9, 8, 7)}


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_shapes_are_those_of_pytorch(layer):
    name = type(layer).__name__
    sample = SAMPLES[int(name[-2])] if name[-1] == "d" else (4, 3)
    channels = getattr(layer, "in_channels", getattr(layer, "num_features", sample[0]))
    sample = (channels, *sample[1:])
    expected = layer.eval()(torch.zeros(2, *sample)).shape[1:]
    assert output_shape([layer], sample) == expected


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


@pytest.mark.parametrize(("column", "dtype"), [(305, np.uint8), (306, np.uint16)])
def test_sparse_tensors_take_a_small_number_and_a_value_each(column, dtype):
    """The number is how far it is from one to the next."""
    tensor = torch.zeros(100, 100)
    tensor.view(-1)[[50, column]] = torch.tensor([2.0, 3.0])
    packed = pack(tensor)
    assert packed.gaps.tolist() == [50, column - 50]
    assert packed.gaps.dtype == dtype
    assert packed.values.tolist() == [2.0, 3.0]
    assert pack(torch.ones(5, 5)).gaps is None
    assert pack(torch.zeros(5)).gaps is None


def solutions(n_both, n_first, n_second):
    """Return a module, and another solution of it, whose supports share some places."""
    module = nn.Linear(30, 40)
    places = np.random.default_rng(0).permutation(1200)
    ends = np.cumsum([n_both, n_first, n_second])
    flats = np.zeros((2, 1200), np.float32)
    flats[:, places[: ends[0]]] = [[1.5], [2.5]]
    flats[0, places[ends[0] : ends[1]]] = 3.5
    flats[1, places[ends[1] : ends[2]]] = -0.0
    module.weight.data = torch.from_numpy(flats[0].reshape(40, 30))
    return module, flats[1].reshape(40, 30).T.copy()


@pytest.mark.parametrize(
    ("counts", "shared"),
    [((60, 0, 0), True), ((60, 4, 0), True), ((60, 0, 4), True), ((0, 60, 60), False)],
)
def test_supports_that_agree_or_nest_are_stored_once(counts, shared):
    module, other = solutions(*counts)
    packed, (found,) = pack_solutions(module, {"weight": other})
    assert (found.places_of == "weight") == shared
    tensors = module.weight, torch.from_numpy(other)
    apart = sum(pack(tensor).n_stored_bytes for tensor in tensors)
    together = packed["weight"].n_stored_bytes + found.n_stored_bytes
    assert together < apart if shared else together == apart
    assert torch.equal(packed["weight"].unpack(), module.weight)
    assert found.unpack(packed).numpy().tobytes() == other.tobytes()


def test_what_was_packed_before_there_were_gaps_is_read():
    packed = Packed.__new__(Packed)  # as unpickling does
    values, indices = np.array([2.0, 3.0]), np.array([1, 3], np.uint32)
    vars(packed).update(shape=(2, 2), values=values, indices=indices)
    assert packed.unpack().tolist() == [[0, 2], [0, 3]]


@pytest.mark.parametrize(
    ("indices", "values"),
    [([5], [1.0]), ([0, 0], [1.0, 2.0]), ([1, 0], [1.0, 2.0]), ([0, 1], [1.0])],
)
def test_parts_that_do_not_fit_are_refused(indices, values):
    packed = Packed((2, 2), np.array(values), np.array(indices, np.uint32))
    with pytest.raises(ValueError, match=r"Indices|index|indices"):
        packed.unpack()
    others = {"sparse": packed, "dense": Packed((2, 2), np.ones(4))}
    for name in ("sparse", "dense", "itself", "nowhere"):
        one = Packed((2, 2), np.ones(1), places_of=name)
        with pytest.raises(ValueError, match=r"Indices|index|indices|transpose"):
            one.unpack(others | {"itself": one})


def test_only_a_transpose_has_the_same_places():
    others = {"other": pack(torch.eye(2, 9))}
    found = Packed((9, 2), np.ones(2), places_of="other").unpack(others)
    assert torch.equal(found, torch.eye(9, 2))
    for shape in ((2, 9), (9, 3), (18,), (9, 2, 1)):
        with pytest.raises(ValueError, match="no transpose of 'other'"):
            Packed(shape, np.ones(2), places_of="other").unpack(others)
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
