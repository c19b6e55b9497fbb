"""Shapes of what well-known layers give, by arithmetic: nothing is computed.

So that of a network from a file it is known what it takes before it is run.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, prod
from typing import Any

from torch import nn

from sklearn_sparsenet.networks.steps import Arithmetic, Reshape, SelectInputs
from sklearn_sparsenet.networks.unit_steps import BATCH_NORMS, CONVOLUTIONS

__all__ = ["output_shape"]

_MAX_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
_AVG_POOLS = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
_ADAPTIVE = tuple(
    getattr(nn, f"Adaptive{kind}Pool{d}d") for kind in ("Max", "Avg") for d in (1, 2, 3)
)
_MOST_VALUES = 2**28  # of one sample, after any layer

Shape = tuple[int, ...]


def output_shape(layers: Iterable[nn.Module], shape: Shape) -> Shape:
    """Return the shape of one sample after layers that `deploy.architecture` can build.

    A ValueError tells that a layer cannot take what the one before gives, or gives far
    too much.
    """
    for layer in layers:
        before, shape = shape, _after(layer, shape)
        if not shape or min(shape) < 1 or prod(shape) > _MOST_VALUES:
            raise ValueError(f"{layer} makes {shape} of samples of shape {before}.")
    return shape


def _after(layer: Any, shape: Shape) -> Shape:
    if isinstance(layer, SelectInputs):
        return (len(layer.index), *shape[1:])
    if isinstance(layer, nn.Linear):
        _expect(layer, shape[-1] == layer.in_features)
        return (*shape[:-1], layer.out_features)
    if isinstance(layer, BATCH_NORMS):
        _expect(layer, shape[0] == layer.num_features)
        n_dimensions = int(type(layer).__name__[-2])
        accepted = (1, 2) if n_dimensions == 1 else (n_dimensions + 1,)
        _expect(layer, len(shape) in accepted)
        return shape
    if isinstance(layer, nn.Flatten):
        return _flattened(layer, shape)
    if isinstance(layer, Reshape):
        _expect(layer, prod(layer.shape) == prod(shape))
        return layer.shape
    if isinstance(layer, Arithmetic):
        _expect(layer, (layer.left is None) != (layer.right is None))
        return shape
    if isinstance(layer, (*CONVOLUTIONS, *_MAX_POOLS, *_AVG_POOLS, *_ADAPTIVE)):
        channels, *sizes = shape
        _expect(layer, len(sizes) == int(type(layer).__name__[-2]))
        if isinstance(layer, CONVOLUTIONS):
            _expect(layer, channels == layer.in_channels)
            channels = layer.out_channels
        return (channels, *_slid(layer, sizes))
    return shape


def _expect(layer: object, is_right: bool) -> None:
    if not is_right:
        raise ValueError(f"{layer} cannot take what comes before it.")


def _flattened(layer: nn.Flatten, shape: Shape) -> Shape:
    n_dimensions = len(shape) + 1  # with that of the samples
    start, end = (
        place + n_dimensions if place < 0 else place
        for place in (layer.start_dim, layer.end_dim)
    )
    if start == 0:  # samples of one value, in a row
        _expect(layer, prod(shape) == 1 and end == n_dimensions - 1)
        return (1,)
    _expect(layer, 1 <= start <= end < n_dimensions)
    return (*shape[: start - 1], prod(shape[start - 1 : end]), *shape[end:])


def _slid(layer: Any, sizes: list[int]) -> list[int]:
    """Return the sizes of a channel after a window went over it."""
    if isinstance(layer, _ADAPTIVE):
        asked = _for_each(layer.output_size, len(sizes))
        return [size if n is None else n for n, size in zip(asked, sizes, strict=True)]
    if layer.padding == "same":
        return sizes
    padding = 0 if layer.padding == "valid" else layer.padding
    kernel, stride, padding, dilation = (
        _for_each(option, len(sizes))
        for option in (layer.kernel_size, layer.stride, padding,
                       getattr(layer, "dilation", 1))
    )  # fmt: skip
    _expect(layer, min(*kernel, *stride, *dilation) >= 1 and min(padding) >= 0)
    _expect(layer, getattr(layer, "divisor_override", None) != 0)
    if isinstance(layer, (*_MAX_POOLS, *_AVG_POOLS)):
        _expect(layer, all(2 * p <= k for p, k in zip(padding, kernel, strict=True)))
    elif layer.padding_mode != "zeros":
        least = 0 if layer.padding_mode == "circular" else 1
        _expect(layer, all(p + least <= n for p, n in zip(padding, sizes, strict=True))
                or layer.padding_mode == "replicate")  # fmt: skip
    window = zip(sizes, kernel, stride, padding, dilation, strict=True)
    rounds_up = getattr(layer, "ceil_mode", False)
    return [_places(*each, rounds_up=rounds_up) for each in window]


def _for_each(option: Any, n_dimensions: int) -> list[Any]:
    given = list(option) if isinstance(option, tuple | list) else [option]
    given = given * n_dimensions if len(given) == 1 else given
    if len(given) != n_dimensions:
        raise ValueError(f"{option} is not for {n_dimensions} dimensions.")
    return given


def _places(
    n: int, kernel: int, stride: int, padding: int, dilation: int, *, rounds_up: bool
) -> int:
    """Return how many places a window has; the last one may reach beyond the end."""
    rest = n + 2 * padding - dilation * (kernel - 1) - 1
    if not rounds_up:
        return rest // stride + 1
    places = ceil(rest / stride) + 1
    # No window lies in the padding after the end alone.
    return places - ((places - 1) * stride >= n + padding)
