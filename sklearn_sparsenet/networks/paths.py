"""Find the weights that lie on a path from an input to an output."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile
from math import prod

import torch
from torch import Tensor, nn

from sklearn_sparsenet.networks.activations import elementwise
from sklearn_sparsenet.networks.compaction import SelectInputs
from sklearn_sparsenet.networks.network import NORMALIZATIONS
from sklearn_sparsenet.networks.sparsity import count_nonzero
from sklearn_sparsenet.networks.stages import has_hooks, leaves, take_apart
from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = [
    "NOT_FOLLOWED",
    "PathProbe",
    "Paths",
    "count_per_input",
    "fan_in",
    "find_paths",
    "live_weights",
    "weights_of",
]

_FAR_FROM_ZERO = 2.0**20  # beyond what inputs are centred by
_SAMPLES = 4  # that a network is tried with

# Between the weights of a path these only scale or gate, as activations do.
_TRANSPARENT = (
    *NORMALIZATIONS,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Softmax,
    nn.LogSoftmax,
)

# They select or flatten inputs, of which each goes on as it is.
_BEFORE_LINEAR = (nn.Flatten, SelectInputs, nn.Identity)
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
    """Which weights and inputs are connected, and how strongly."""

    # Nonzero weights of the asked layers on a path from an input to an output.
    n_live: int
    n_live_per_layer: tuple[int, ...]
    input_support: Tensor  # Inputs with such a path, in the shape of one sample.
    # Sum over paths of the products of absolute weights, to the power one over the
    # number of layers (the geometric mean weight along a path), scaled to a largest
    # value of 1.
    input_strength: Tensor


class PathProbe:
    """A copy of a network through which paths of nonzero weights are followed.

    The copy has non-negative weights, no biases, means for maxima, and the identity
    for activations. Fed with the same positive number everywhere, the gradient of its
    summed output with respect to a weight is positive exactly if a path from an input
    to an output would lead through the weight, were it not zero. Works for chains and
    for skip connections; activations called as functions must be increasing and map
    zero to zero, as ReLU and tanh do. Inputs may be shifted and scaled before the first
    layer. What is subtracted, or multiplied with each other, cannot be followed.

    The copy lives on a device that knows float64.

    Raises
    ------
    ValueError
        If the copy has no positive gradient where the network has one.
    Exception
        Whatever the network raises on such inputs.
    """

    @single_threaded()
    def __init__(
        self,
        module: nn.Module,
        sample_shape: tuple[int, ...],
        device: torch.device | str = "cpu",
    ) -> None:
        probe = copy.deepcopy(module).to(device=device, dtype=torch.float64).eval()
        # Frozen layers and those that are not penalised carry paths, too.
        self.layers = {name: p for name, p in probe.named_parameters() if p.ndim >= 2}
        others = {name: p for name, p in probe.named_parameters() if p.ndim < 2}
        with torch.no_grad():
            for parameter in probe.parameters():
                parameter.requires_grad_(True)
            for parameter in others.values():
                parameter.zero_()
        self._module = _only_weights(probe)
        is_table = len(sample_shape) == 1
        self._chain = _linear_chain(self._module) if is_table else None
        # Of a chain of linear layers, in the order of the data; empty for others.
        names = {id(p): name for name, p in self.layers.items()}
        linear = _linear_chain(self._module, behind=_BEFORE_LINEAR) or []
        self.linear_names = [names[id(weight)] for weight in linear]
        shape = (1, *sample_shape)
        self._inputs = torch.ones(shape, dtype=torch.float64, device=device)
        least = self._least_gradient()
        if least == 0:  # what is no bias may be a scale, which lets nothing through
            for name, parameter in others.items():
                parameter.data.fill_(0.0 if name.endswith("bias") else 1.0)
            least = self._least_gradient()
        if least < 0:  # the module shifts its inputs below zero
            self._inputs *= _FAR_FROM_ZERO
            least = self._least_gradient()
        if least > 0 or (least == 0 and not self._misses_a_gradient_of(module)):
            return
        raise ValueError("Not all paths of this network can be followed.")

    def _least_gradient(self) -> float:
        """Return the smallest gradient where all weights are positive."""
        self.follow({name: torch.ones_like(p) for name, p in self.layers.items()})
        gradients = [p.grad.min() for p in self.layers.values() if p.grad is not None]
        return float(torch.stack(gradients).min()) if gradients else 0.0

    def _misses_a_gradient_of(self, module: nn.Module) -> bool:
        """Tell whether the network itself, somewhere, has one where the copy has none.

        There are weights without any, such as those that only ever see a border.
        """
        device = self._inputs.device
        twin = copy.deepcopy(module).to(device=device, dtype=torch.float64).eval()
        generator = torch.Generator().manual_seed(0)

        def draw(*shape: int) -> Tensor:
            drawn = torch.randn(*shape, generator=generator, dtype=torch.float64)
            return drawn.to(device)

        weights = {name: p for name, p in twin.named_parameters() if p.ndim >= 2}
        for weight in weights.values():
            weight.data = draw(*weight.shape) / fan_in(weight) ** 0.5
            weight.requires_grad_(True)
        with torch.enable_grad():
            outputs = twin(draw(_SAMPLES, *self._inputs.shape[1:]))
            (outputs * draw(*outputs.shape)).sum().backward()
        return any(
            bool(((weight.grad != 0) & (self.layers[name].grad == 0)).any())
            for name, weight in weights.items()
            if weight.grad is not None
        )

    @single_threaded()
    def follow(self, sizes: Mapping[str, Tensor]) -> Tensor:
        """Set the weights, leave the gradients at them in ``layers``.

        `sizes`, by name, are non-negative, and zero where there is no connection;
        layers left out keep what they have. Returned is the gradient with respect to
        the inputs, in the shape of a sample.
        """
        self._set(sizes)
        if self._chain is not None:
            return self._follow_chain(self._chain)
        for parameter in self.layers.values():
            parameter.grad = None
        inputs = self._inputs.clone().requires_grad_()
        with torch.enable_grad():
            self._module(inputs).sum().backward()
        for parameter in self.layers.values():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        assert inputs.grad is not None
        return inputs.grad[0]

    @torch.no_grad()
    def _set(self, sizes: Mapping[str, Tensor]) -> None:
        for name, values in sizes.items():
            layer = self.layers[name]
            # Without the division products over layers would soon overflow.
            layer.copy_(values).div_(fan_in(layer))

    @torch.no_grad()
    def _follow_chain(self, chain: Sequence[Tensor]) -> Tensor:
        """Do the same through linear layers, without autograd: that takes longer."""
        sides = self._sides(chain)
        for weight, (reached, onwards) in zip(chain, sides, strict=True):
            weight.grad = torch.outer(onwards, reached)
        return sides[0][1] @ chain[0]

    def _sides(self, chain: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Return what reaches the units below each layer, and goes on from those above.

        Their product is the gradient at the weight between two of them.
        """
        reached, onwards = [self._inputs[0]], [chain[-1].new_ones(len(chain[-1]))]
        for weight in chain[:-1]:
            reached.append(weight @ reached[-1])
        for weight in reversed(chain[1:]):
            onwards.append(onwards[-1] @ weight)
        return list(zip(reached, reversed(onwards), strict=True))

    @torch.no_grad()
    def follow_few(
        self, few: Mapping[str, tuple[Tensor, Tensor]], others: Mapping[str, Tensor]
    ) -> dict[str, Tensor] | None:
        """Return the gradients at a few weights, the others of their layers being zero.

        Takes little but products of matrices and vectors for what `follow` builds whole
        matrices for. `few` has, by layer name, the numbers of these weights within
        their layer and their sizes; `others` is as for `follow`. None if the network is
        no chain of linear layers.
        """
        if self._chain is None:
            return None
        self._set(others)
        for name, (where, sizes) in few.items():
            layer = self.layers[name]
            layer.zero_().view(-1)[where] = sizes / fan_in(layer)
        gradients = {}
        sides = self._sides(self._chain)
        for name, (reached, onwards) in zip(self.linear_names, sides, strict=True):
            if name in few:
                above = few[name][0] // len(reached)
                below = few[name][0] - above * len(reached)
                gradients[name] = onwards[above] * reached[below]
        return gradients

    @single_threaded()
    def find(self, weights: Mapping[str, Tensor], layer_names: Sequence[str]) -> Paths:
        """Find the paths of nonzero weights.

        `weights` has those of all layers, by name; live ones are counted in
        `layer_names`.
        """
        gradient = self.follow({name: w != 0 for name, w in weights.items()})
        live = [count_nonzero(_is_live(self.layers[name])) for name in layer_names]
        strength = self.follow({name: w.abs() for name, w in weights.items()})
        support = gradient > 0
        strength = torch.where(support, strength, 0.0)
        strength = (strength / strength.max().clamp(min=1e-300)) ** (1 / len(weights))
        return Paths(sum(live), tuple(live), support.cpu(), strength.cpu())


def _only_weights(module: nn.Module) -> nn.Module:
    """Put the identity, or a mean, in the place of what has no weights of a path."""
    if isinstance(module, (*elementwise(), *_TRANSPARENT)):
        return nn.Identity()
    if isinstance(module, tuple(_AVERAGES)):
        # A maximum would let the gradient through to one input of each window only.
        average, same = _AVERAGES[type(module)]
        return average(**{name: getattr(module, name) for name in same})
    for name, child in module.named_children():
        setattr(module, name, _only_weights(child))
    return module


def _linear_chain(
    module: nn.Module, behind: tuple[type[nn.Module], ...] = ()
) -> list[Tensor] | None:
    """Return the weights of a chain of linear layers, or None for other modules.

    What is called before the first may be of some other classes.
    """
    called = dropwhile(lambda child: type(child) in behind, leaves(module))
    first, stages, stranger = take_apart(called)
    has_activations = bool(first) or any(stage.after for stage in stages)
    if has_activations or stranger is not None or has_hooks(module):
        return None
    weights: list[Tensor] = [stage.linear.weight for stage in stages]
    shared = len({id(weight) for weight in weights}) < len(weights)
    return None if shared or not weights else weights


# What a network raises through which paths cannot be followed.
NOT_FOLLOWED = (RuntimeError, TypeError, ValueError, AttributeError, AssertionError)


@single_threaded()
def find_paths(
    module: nn.Module, layer_names: Sequence[str], sample_shape: tuple[int, ...]
) -> Paths | None:
    """Follow the paths of nonzero weights through a network; see `PathProbe`.

    None if the paths of this network cannot be followed.
    """
    try:
        probe = PathProbe(module, sample_shape)
        return probe.find(weights_of(module), layer_names)
    except NOT_FOLLOWED:
        return None


@single_threaded()
def live_weights(
    module: nn.Module, sample_shape: tuple[int, ...]
) -> dict[str, Tensor] | None:
    """Mark, by parameter name, the weights on a path from an input to an output.

    None if the paths of this network cannot be followed.
    """
    try:
        return _live_weights(module, sample_shape)
    except NOT_FOLLOWED:
        return None


def _live_weights(
    module: nn.Module, sample_shape: tuple[int, ...]
) -> dict[str, Tensor]:
    probe = PathProbe(module, sample_shape)
    probe.follow({name: w != 0 for name, w in weights_of(module).items()})
    return {name: _is_live(marked) for name, marked in probe.layers.items()}


def _is_live(marked: nn.Parameter) -> Tensor:
    assert marked.grad is not None
    return (marked.grad > 0) & (marked.detach() > 0)


@single_threaded()
def count_per_input(module: nn.Module, sample_shape: tuple[int, ...]) -> Tensor | None:
    """Count the live weights that read each input, in the shape of one sample.

    None if the network does not begin with a linear layer: the weights of a convolution
    belong to no input in particular.
    """
    columns = torch.arange(prod(sample_shape))
    for child in leaves(module):
        if isinstance(child, nn.Linear):
            names = {id(p): name for name, p in module.named_parameters()}
            live = _live_weights(module, sample_shape)[names[id(child.weight)]]
            counts = torch.zeros(prod(sample_shape), dtype=torch.long)
            counts[columns] = live.sum(0)
            return counts.view(sample_shape)
        if isinstance(child, SelectInputs):
            columns = columns[child.index.cpu()]
        elif not isinstance(child, _FORWARDING):
            return None
    return None


# They pass every input on as it is, in the same order.
_FORWARDING = (nn.Flatten, nn.Identity, nn.Dropout)


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Return what may carry paths: parameters of two or more dimensions."""
    return {name: p.detach() for name, p in module.named_parameters() if p.ndim >= 2}


def fan_in(layer: Tensor) -> int:
    """Return the number of weights into a unit, at least one."""
    return max(1, layer.numel() // max(1, len(layer)))
