"""Count weights, and find those that lie on a path from an input to an output."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sklearn_sparsenet.networks import ACTIVATIONS, NORMALIZATIONS

__all__ = ["Paths", "count_nonzero", "count_per_layer", "find_paths"]

# Between the weights and the activations of a path these only scale or gate.
_TRANSPARENT = (
    *(kind for kind in ACTIVATIONS.values()),
    *NORMALIZATIONS,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Softmax,
    nn.LogSoftmax,
)


def count_nonzero(weights: Tensor) -> int:
    """Return how many entries are not exactly ``0.0``: the one count of the library."""
    return int(torch.count_nonzero(weights))


def count_per_layer(weights: Sequence[Tensor]) -> list[int]:
    """Return the count of nonzero weights of each layer."""
    return [count_nonzero(weight) for weight in weights]


_WINDOW = ("kernel_size", "stride", "padding", "ceil_mode")
_AVERAGES: dict[type[nn.Module], tuple[type[nn.Module], tuple[str, ...]]] = {
    nn.MaxPool1d: (nn.AvgPool1d, _WINDOW),
    nn.MaxPool2d: (nn.AvgPool2d, _WINDOW),
    nn.MaxPool3d: (nn.AvgPool3d, _WINDOW),
    nn.AdaptiveMaxPool1d: (nn.AdaptiveAvgPool1d, ("output_size",)),
    nn.AdaptiveMaxPool2d: (nn.AdaptiveAvgPool2d, ("output_size",)),
    nn.AdaptiveMaxPool3d: (nn.AdaptiveAvgPool3d, ("output_size",)),
}


@dataclass(frozen=True)
class Paths:
    """Which weights and inputs are connected, and how strongly.

    Attributes
    ----------
    n_live : int
        Nonzero weights of the asked layers that lie on a path of nonzero weights
        from an input to an output.
    n_live_per_layer : tuple of int
    input_support : Tensor of bool, shape of one sample
        Inputs with such a path.
    input_strength : Tensor, shape of one sample
        Sum over paths of the products of absolute weights, to the power one over
        the number of layers (the geometric mean weight along a path), scaled to a
        largest value of 1.
    """

    n_live: int
    n_live_per_layer: tuple[int, ...]
    input_support: Tensor
    input_strength: Tensor


def find_paths(
    module: nn.Module, layer_names: Sequence[str], sample_shape: tuple[int, ...]
) -> Paths | None:
    """Follow the paths of nonzero weights through a network.

    A copy of the network gets non-negative weights (1 for every nonzero weight), no
    biases, means for maxima, and the identity for activations. Fed with ones, the
    gradient of its summed output with respect to a weight is then positive exactly
    if the weight lies on a path from an input to an output. Works for chains and
    for skip connections; activations called as functions must be increasing and
    map zero to zero, as ReLU and tanh do.

    Returns
    -------
    Paths or None
        None if the copy cannot be run on such inputs.
    """
    try:
        marked, gradient = _probe(module, sample_shape, lambda w: (w != 0).double())
        _, strength = _probe(module, sample_shape, torch.abs)
    except (RuntimeError, TypeError, ValueError, AttributeError, AssertionError):
        return None
    live = [_count_live(marked[name]) for name in layer_names]
    support = gradient > 0
    strength = torch.where(support, strength, 0.0)
    strength = (strength / strength.max().clamp(min=1e-300)) ** (1 / len(marked))
    return Paths(sum(live), tuple(live), support, strength)


def _count_live(marked: nn.Parameter) -> int:
    assert marked.grad is not None
    return int(((marked.grad > 0) & (marked > 0)).sum())


def _probe(
    module: nn.Module,
    sample_shape: tuple[int, ...],
    transform: Callable[[Tensor], Tensor],
) -> tuple[dict[str, nn.Parameter], Tensor]:
    """Return the transformed layers, with gradients, and the input's gradient."""
    probe = copy.deepcopy(module).to(device="cpu", dtype=torch.float64).eval()
    # Frozen layers and those that are not penalised carry paths, too.
    layers = {name: p for name, p in probe.named_parameters() if p.ndim >= 2}
    with torch.no_grad():
        for parameter in probe.parameters():
            parameter.requires_grad_(True)
            parameter.grad = None
            if parameter.ndim >= 2:
                fan_in = max(1, parameter[0].numel())
                parameter.copy_(transform(parameter) / fan_in)
            else:
                parameter.zero_()
    probe = _identities(probe)
    inputs = torch.ones((1, *sample_shape), dtype=torch.float64, requires_grad=True)
    probe(inputs).sum().backward()
    for parameter in layers.values():
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    assert inputs.grad is not None
    return layers, inputs.grad[0]


def _identities(module: nn.Module) -> nn.Module:
    if isinstance(module, _TRANSPARENT):
        return nn.Identity()
    if isinstance(module, tuple(_AVERAGES)):
        # A maximum would let the gradient through to one input of each window only.
        average, same = _AVERAGES[type(module)]
        return average(**{name: getattr(module, name) for name in same})
    for name, child in module.named_children():
        setattr(module, name, _identities(child))
    return module
