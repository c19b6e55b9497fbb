"""Networks: build or adopt an `nn.Module`, name its layers, flatten its parameters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

from sklearn_sparsenet.networks.activations import ACTIVATIONS
from sklearn_sparsenet.networks.module_copies import copy_of
from sklearn_sparsenet.networks.stages import part_of

__all__ = [
    "Layer",
    "Network",
    "build_mlp",
    "find_layers",
    "find_nonsmooth",
    "outputs_of",
]

# Inputs are sparse if a smaller part of them is not zero: of texts it is a hundredth,
# of images a fifth.
_SPARSE_BELOW = 1 / 16

# Beside activations that say so of themselves.
_NONSMOOTH = (
    nn.ReLU6,
    nn.PReLU,
    nn.RReLU,
    nn.Hardtanh,
    nn.Hardshrink,
    nn.Softshrink,
    nn.Threshold,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
)

NORMALIZATIONS = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
)


@dataclass(frozen=True)
class Layer:
    """One penalised parameter: a slice of the flat vector of weights."""

    name: str  # Full parameter name, such as ``"features.3.weight"``.
    start: int
    stop: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of weights."""
        return self.stop - self.start

    @property
    def slice(self) -> slice:
        """Where the layer lies in the flat vector."""
        return slice(self.start, self.stop)


def build_mlp(
    n_features: int,
    hidden_layer_sizes: Sequence[int],
    n_outputs: int,
    activation: str,
    generator: torch.Generator,
) -> nn.Sequential:
    """Build a multilayer perceptron with affine output, equation (1) of the paper.

    Linear layers are at the even positions, activations at the odd ones. Weights and
    biases are drawn as PyTorch's `nn.Linear` draws them, uniform on ±1/√fan_in, but
    from `generator`: the global random state is not touched. A network without hidden
    layer starts at zero, because its problem is convex.
    """
    sizes = [n_features, *hidden_layer_sizes, n_outputs]
    modules: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        # On the meta device nothing is drawn. (`nn.utils.skip_init` does the same, but
        # loads a computer algebra system first.)
        linear = nn.Linear(fan_in, fan_out, device="meta")
        bound = fan_in**-0.5 if hidden_layer_sizes else 0.0
        for name, shape in (("weight", (fan_out, fan_in)), ("bias", (fan_out,))):
            start = torch.empty(shape, dtype=torch.float64)
            start.uniform_(-bound, bound, generator=generator)
            setattr(linear, name, nn.Parameter(start))
        modules += [linear, ACTIVATIONS[activation].module()]
    return nn.Sequential(*modules[:-1])


def find_layers(module: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that can be penalised, by full name.

    Every trainable parameter with two or more dimensions, except those of
    normalisation layers and empty ones; tied parameters appear once.
    """
    normalizing = {
        id(parameter)
        for child in module.modules()
        if isinstance(child, NORMALIZATIONS)
        for parameter in child.parameters(recurse=False)
    }
    return {
        name: parameter
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
        and parameter.ndim >= 2
        and parameter.numel()
        and id(parameter) not in normalizing
    }


def find_nonsmooth(module: nn.Module) -> list[str]:
    """Return the names of the layers that are not differentiable everywhere."""
    known = (a.module for a in ACTIVATIONS.values() if not a.is_smooth)
    kinds = (*_NONSMOOTH, *known)
    return sorted({type(m).__name__ for m in module.modules() if isinstance(m, kinds)})


def outputs_of(module: nn.Module, inputs: Tensor) -> Tensor:
    """Return the outputs, shape (n_samples, n_outputs).

    A module may leave out dimensions of size 1, as `Tensor.squeeze` does.
    """
    output: Tensor = module(inputs)
    return output.reshape(inputs.shape[0], -1) if output.ndim < 2 else output


class Network:
    """A module whose trainable parameters are views of one flat vector.

    The flat vector starts with the penalised weights, layer by layer, then the
    penalised biases (if any), then everything unpenalised. Step, prox, count and
    order statistics are thus a few vector operations.

    Parameters
    ----------
    module : nn.Module
        Taken over: its parameters are moved into the flat vector.
    layer_names : iterable of str
        The layers to penalise, among the keys of `find_layers`.
    penalize_bias : bool
        Whether the biases beside penalised weights are penalised too, model (9).

    Attributes
    ----------
    parameters, gradient : Tensor of shape (n_parameters,)
    layers : tuple of Layer
    n_weights : int
        Length of the part that is counted.
    n_penalized : int
        Length of the part that is penalised; larger than `n_weights` only with
        penalised biases.
    step_scale : Tensor of shape (n_parameters,) or None
        How large a step of each parameter is to be, next to the others; None: all
        alike. See `fit_steps`.
    input_sizes : Tensor of shape (n_inputs,) or None
        What `fit_steps` was given; None: all are 1.
    steps_grow : bool
        Whether a search may let its steps grow with the weights.
    """

    def __init__(
        self,
        module: nn.Module,
        layer_names: Iterable[str],
        *,
        penalize_bias: bool = False,
    ) -> None:
        self.module = module
        trainable = {k: p for k, p in module.named_parameters() if p.requires_grad}
        weights = [name for name in find_layers(module) if name in set(layer_names)]
        biases = {
            name: index
            for index, weight in enumerate(weights)
            if (name := _bias_beside(weight)) in trainable
            and trainable[name].ndim == 1
            and penalize_bias
        }
        free = [k for k in trainable if k not in weights and k not in biases]
        self.layers = tuple(_lay_out(weights, trainable))
        self.n_weights = self.layers[-1].stop if self.layers else 0
        self.n_penalized = self.n_weights + sum(trainable[k].numel() for k in biases)
        self._owner = [
            *((layer.size, index) for index, layer in enumerate(self.layers)),
            *((trainable[name].numel(), index) for name, index in biases.items()),
        ]
        self._names = (*weights, *biases, *free)
        self._views = [trainable[name] for name in self._names]
        self.parameters = torch.cat([p.detach().reshape(-1) for p in self._views])
        self.gradient = torch.zeros_like(self.parameters)
        self.step_scale: Tensor | None = None
        self.input_sizes: Tensor | None = None
        self.steps_grow = True
        self._attach()

    def fit_steps(self, sizes: Tensor, density: float) -> None:
        """Let steps of the first layer, a linear one, be as small as inputs are large.

        With inputs that are mostly zero steps do not grow with the weights: in texts,
        frequent words would leave those that tell more behind. `sizes`, of shape
        (n_inputs,), are those of what is not zero, and `density` is the part of the
        inputs that is not.
        """
        self.steps_grow = density >= _SPARSE_BELOW
        if bool((sizes == 1).all()):
            return
        first = self._first_linear()
        self.input_sizes = sizes
        self.step_scale = torch.ones_like(self.parameters, dtype=torch.float32)
        part_of(self.step_scale, first.weight).div_(sizes)

    def fit_start(self, size: float) -> None:
        """Scale parameters that are drawn as for inputs of size 1.

        `size` is that of a whole row, its columns divided by what `fit_steps` was
        given.
        """
        if self.step_scale is not None:
            self.parameters.mul_(self.step_scale)
        self._first_linear().weight.detach().div_(size)

    def _first_linear(self) -> nn.Linear:
        return next(m for m in self.module.modules() if isinstance(m, nn.Linear))

    def _attach(self) -> None:
        offset = 0
        for parameter in self._views:
            end = offset + parameter.numel()
            parameter.data = self.parameters[offset:end].view(parameter.shape)
            parameter.grad = self.gradient[offset:end].view(parameter.shape)
            offset = end

    def lost_parameters(self) -> list[str]:
        """Return the names of those that the module has moved out of the flat vector.

        Of those, too, whose gradients do not get into that of the flat vector.
        """
        own = dict(self.module.named_parameters())
        pieces = zip(
            self._names,
            self._views,
            self.parameters.split([view.numel() for view in self._views]),
            self.gradient.split([view.numel() for view in self._views]),
            strict=True,
        )
        return [
            name
            for name, view, values, gradient in pieces
            if own.get(name) is not view
            or view.data_ptr() != values.data_ptr()
            or view.grad is None
            or view.grad.data_ptr() != gradient.data_ptr()
        ]

    @property
    def weights(self) -> Tensor:
        """The counted weights, a view of shape (n_weights,)."""
        return self.parameters[: self.n_weights]

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the outputs, shape (n_samples, n_outputs), in the inputs' dtype."""
        return outputs_of(self.module, inputs).to(inputs.dtype)

    def per_layer(self, values: Sequence[float]) -> list[float]:
        """Return one value per layer, of one for all of them or as many."""
        return list(values) * (len(self.layers) // len(values))

    def per_weight(self, values: Sequence[float] | Tensor) -> float | Tensor:
        """Spread one value per layer over the penalised part, shape (n_penalized,).

        Where the layers agree it is a float, which keeps the solvers' steps cheap.
        """
        listed = [float(value) for value in values]
        if len(set(listed)) == 1:
            return listed[0]
        sizes = torch.tensor([size for size, _ in self._owner])
        each = self.parameters.new_tensor([listed[index] for _, index in self._owner])
        return each.repeat_interleave(sizes.to(each.device))

    def blocks(
        self, alpha: Sequence[float] | Tensor, separable: bool
    ) -> list[tuple[slice, tuple[int, ...], float | Tensor]]:
        """Return the pieces in which a penalty acts: slice, shape and λ of each.

        One flat piece for a separable penalty; one piece per penalised parameter,
        in the parameter's shape, otherwise.
        """
        if separable:
            shape = (self.n_penalized,)
            return [(slice(0, self.n_penalized), shape, self.per_weight(alpha))]
        pieces: list[tuple[slice, tuple[int, ...], float | Tensor]] = []
        start = 0
        for (size, index), view in zip(self._owner, self._views, strict=False):
            where = slice(start, start + size)
            pieces.append((where, tuple(view.shape), float(alpha[index])))
            start += size
        return pieces

    def split(self, flat: Tensor) -> list[Tensor]:
        """Split a vector over all weights by layers, in their shapes."""
        return [flat[layer.slice].view(layer.shape) for layer in self.layers]

    def snapshot(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Copy parameters and buffers (running statistics of normalisations)."""
        buffers = {k: b.detach().clone() for k, b in self.module.named_buffers()}
        return self.parameters.clone(), buffers

    def restore(self, state: tuple[Tensor, dict[str, Tensor]]) -> None:
        """Return to a snapshot."""
        parameters, buffers = state
        self.parameters.copy_(parameters)
        for name, buffer in self.module.named_buffers():
            buffer.copy_(buffers[name])

    def copy_module(self) -> nn.Module:
        """Return a copy of the module as it stands, its parameters on their own."""
        module = copy_of(self.module)
        for parameter in module.parameters():
            parameter.data = parameter.detach().clone()
            parameter.grad = None
        return module


def _bias_beside(weight_name: str) -> str:
    prefix, _, last = weight_name.rpartition(".")
    bias = last.replace("weight", "bias")
    return f"{prefix}.{bias}" if prefix else bias


def _lay_out(names: list[str], parameters: dict[str, nn.Parameter]) -> list[Layer]:
    layers, start = [], 0
    for name in names:
        shape = tuple(parameters[name].shape)
        layers.append(Layer(name, start, start + prod(shape), shape))
        start += prod(shape)
    return layers
