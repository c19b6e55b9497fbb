"""What stands in for the parts of a network while its paths are followed."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import dropwhile

from torch import Tensor, nn

from sklearn_sparsenet.networks.activations import elementwise
from sklearn_sparsenet.networks.compaction import SelectInputs
from sklearn_sparsenet.networks.network import NORMALIZATIONS
from sklearn_sparsenet.networks.stages import has_hooks, leaves, take_apart

__all__ = ["linear_chain", "linear_chain_behind_inputs", "only_weights"]

# Between the weights of a path these only scale or gate, as activations do.
_TRANSPARENT = (
    *NORMALIZATIONS,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Softmax,
    nn.LogSoftmax,
)

_WINDOW = ("kernel_size", "stride", "padding", "ceil_mode")
_AVERAGES: dict[type[nn.Module], tuple[type[nn.Module], tuple[str, ...]]] = {
    nn.MaxPool1d: (nn.AvgPool1d, _WINDOW),
    nn.MaxPool2d: (nn.AvgPool2d, _WINDOW),
    nn.MaxPool3d: (nn.AvgPool3d, _WINDOW),
    nn.AdaptiveMaxPool1d: (nn.AdaptiveAvgPool1d, ("output_size",)),
    nn.AdaptiveMaxPool2d: (nn.AdaptiveAvgPool2d, ("output_size",)),
    nn.AdaptiveMaxPool3d: (nn.AdaptiveAvgPool3d, ("output_size",)),
}


def only_weights(module: nn.Module) -> nn.Module:
    """Put the identity, or a mean, in the place of what has no weights of a path."""
    if isinstance(module, (*elementwise(), *_TRANSPARENT)):
        return nn.Identity()
    if isinstance(module, tuple(_AVERAGES)):
        # A maximum would let the gradient through to one input of each window only.
        average, same = _AVERAGES[type(module)]
        return average(**{name: getattr(module, name) for name in same})
    for name, child in module.named_children():
        setattr(module, name, only_weights(child))
    return module


def linear_chain(module: nn.Module) -> list[Tensor] | None:
    """Return the weights of a chain of linear layers, or None for other modules."""
    return _weights(module, leaves(module))


def linear_chain_behind_inputs(module: nn.Module) -> list[Tensor] | None:
    """Return the same also where inputs are selected or flattened before the first."""
    before = (nn.Flatten, SelectInputs, nn.Identity)
    called = dropwhile(lambda child: type(child) in before, leaves(module))
    return _weights(module, called)


def _weights(module: nn.Module, called: Iterable[nn.Module]) -> list[Tensor] | None:
    first, stages, stranger = take_apart(called)
    activations = [*first, *(child for stage in stages for child in stage.after)]
    if activations or stranger is not None or has_hooks(module):
        return None
    weights: list[Tensor] = [stage.linear.weight for stage in stages]
    shared = len({id(weight) for weight in weights}) < len(weights)
    return None if shared or not weights else weights
