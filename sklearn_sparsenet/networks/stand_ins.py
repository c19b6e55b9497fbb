"""What stands in for the parts of a network while its paths are followed."""

from __future__ import annotations

from torch import Tensor, nn

from sklearn_sparsenet.networks.compaction import SelectInputs, has_hooks, leaves
from sklearn_sparsenet.networks.network import ACTIVATIONS, NORMALIZATIONS

__all__ = ["linear_chain", "linear_chain_behind_inputs", "only_weights"]

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
    if isinstance(module, _TRANSPARENT):
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
    return _weights(module, _called(module))


def linear_chain_behind_inputs(module: nn.Module) -> list[Tensor] | None:
    """Return the same also where inputs are selected or flattened before the first."""
    called = _called(module)
    while called and type(called[0]) in (nn.Flatten, SelectInputs):
        del called[0]
    return _weights(module, called)


def _called(module: nn.Module) -> list[nn.Module]:
    return [child for child in leaves(module) if type(child) is not nn.Identity]


def _weights(module: nn.Module, called: list[nn.Module]) -> list[Tensor] | None:
    if has_hooks(module) or any(type(child) is not nn.Linear for child in called):
        return None
    weights = [child.weight for child in called if isinstance(child, nn.Linear)]
    shared = len({id(weight) for weight in weights}) < len(weights)
    return None if shared or not weights else weights
