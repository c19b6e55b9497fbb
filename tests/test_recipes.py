"""Networks of well-known layers are made again from plain values."""

import json

import pytest
import torch
from torch import nn

from sklearn_sparsenet.deploy.architecture import build_from, describe
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
def test_other_networks_have_none(module):
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
