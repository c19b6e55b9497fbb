"""The network that is trained: a new one, or a copy of the user's that was tried."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_sparsenet.estimators._probing import changes_inputs
from sklearn_sparsenet.estimators._validation import check_hidden_layers
from sklearn_sparsenet.networks.module_copies import adopt
from sklearn_sparsenet.networks.network import build_mlp
from sklearn_sparsenet.solvers.dataset import DatasetSubset
from sklearn_sparsenet.solvers.rows import Rows
from sklearn_sparsenet.utils.runtime import available_memory

# Numbers per weight that training takes at least: weight, gradient, two moments.
_NUMBERS_PER_WEIGHT = 4

__all__ = ["adopt_module", "count_outputs", "rows_to_give", "start_module"]


def start_module(
    settings, rows: Rows, n_outputs: int, seed: int, dtype: torch.dtype, previous
) -> nn.Module:
    """Return the module to train, on the device of the rows.

    A new one or a copy of the user's, with what a fit before has found, if any. It is
    an error if there is none for these rows, or if it is another one than before.
    """
    module = _new_module(settings, rows, n_outputs, seed, dtype)
    if previous is None:
        return module
    _go_on_from(previous.module_, module)
    if settings.alpha is not None and settings.module is None:
        set_penalized(module, previous)  # to which λ belongs
    return module


def architecture_of(settings: Any) -> str | None:
    """Return what tells the network that is asked for; None: a module says it."""
    if settings.module is not None:
        return None
    hidden = check_hidden_layers(settings.hidden_layer_sizes)
    return f"{settings.activation} {hidden}"


def _new_module(
    settings, rows: Rows, n_outputs: int, seed: int, dtype: torch.dtype
) -> nn.Module:
    device = rows.slice(0, 1).device
    if settings.module is None:
        if len(rows.sample_shape) != 1:
            raise ValueError(
                f"X has samples of shape {rows.sample_shape}; the network of "
                "hidden_layer_sizes takes 1-dimensional ones. Pass a module=."
            )
        hidden = check_hidden_layers(settings.hidden_layer_sizes)
        _check_memory([rows.sample_shape[0], *hidden, n_outputs], dtype, device)
        module: nn.Module = build_mlp(
            rows.sample_shape[0],
            hidden,
            n_outputs,
            settings.activation,
            torch.Generator().manual_seed(seed),
        )
    else:
        module = adopt_module(settings.module, rows.sample_shape[0], n_outputs)
    return module.to(device=device, dtype=dtype)


def _check_memory(widths: list[int], dtype: torch.dtype, device: torch.device) -> None:
    """Refuse a perceptron that cannot be trained in the memory there is."""
    n_weights = sum(fan_in * fan_out for fan_in, fan_out in pairwise(widths))
    needed = n_weights * dtype.itemsize * _NUMBERS_PER_WEIGHT
    available = available_memory(device)
    if available is not None and needed > available:
        raise ValueError(
            f"hidden_layer_sizes={tuple(widths[1:-1])} with {widths[0]} features and "
            f"{widths[-1]} outputs are {n_weights} weights. They and the state of the "
            f"solver take {needed} bytes; {available} are available on {device}."
        )


def adopt_module(module: object, n_features: int, n_outputs: int) -> nn.Module:
    """Return a copy of the user's module, or of what the user's callable makes.

    Both may be in use elsewhere. A callable that fails is refused, and so is what is no
    module, or cannot be copied.
    """
    if isinstance(module, nn.Module):
        return adopt(module)
    try:
        made = module(n_features, n_outputs)
    except Exception as error:  # whatever it raises
        raise ValueError(
            f"module= cannot be called with n_features={n_features} and "
            f"n_outputs={n_outputs}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(made, nn.Module):
        raise TypeError(
            "module=callable(n_features, n_outputs) must return an nn.Module; got "
            f"{type(made).__name__}."
        )
    return adopt(made)


def _go_on_from(fitted: nn.Module, module: nn.Module) -> None:
    """Give a module the parameters and buffers of a fitted one, if it has these."""
    try:
        module.load_state_dict(fitted.state_dict())
    except RuntimeError as error:
        had, asked = map(_shapes, (fitted, module))
        different = [
            f"{name} {had.get(name, 'missing')} instead of {asked.get(name, 'none')}"
            for name in sorted(had.keys() | asked.keys())
            if had.get(name) != asked.get(name)
        ]
        raise ValueError(
            "warm_start=True cannot continue from the fitted network, which has "
            "another shape than the parameters and the data ask for: "
            f"{', '.join(different)}. After compact(), partial_fit goes on."
        ) from error


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def penalized_weights(estimator: Any) -> dict[str, np.ndarray]:
    """Return the penalised coefs of a fit by the names of their weights."""
    names = [
        f"{prefix}.weight" if prefix else "weight"
        for prefix, child in estimator.module_.named_modules()
        if isinstance(child, nn.Linear)
    ]
    return dict(zip(names, estimator.penalized_coefs_, strict=True))


def linear_layers(module: nn.Module) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return copies of the weights (fan_in, fan_out) and biases of linear layers."""
    weights, biases = _linear_parameters(module)
    coefs = [weight.detach().cpu().numpy().T.copy() for weight in weights]
    return coefs, [bias.detach().cpu().numpy().copy() for bias in biases]


@torch.no_grad()
def set_penalized(module: nn.Module, estimator: Any) -> None:
    """Give the linear layers of a module the penalised solution of a fit."""
    weights, biases = _linear_parameters(module)
    for weight, coef in zip(weights, estimator.penalized_coefs_, strict=True):
        weight.copy_(torch.from_numpy(coef.T))
    for bias, values in zip(biases, estimator.penalized_intercepts_, strict=True):
        bias.copy_(torch.from_numpy(values))


def _linear_parameters(module: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    linear = [child for child in module.modules() if isinstance(child, nn.Linear)]
    biases = [layer.bias for layer in linear if layer.bias is not None]
    return [layer.weight for layer in linear], biases


@torch.no_grad()
def count_outputs(module: nn.Module, rows: Rows) -> int:
    """Run a module on two samples and return its number of outputs.

    One that cannot take the samples, or gives no (n_samples, n_outputs), is refused.
    """
    inputs = rows.slice(0, min(2, rows.n_samples)).clone()
    was_training = module.training
    try:
        output = module.eval()(inputs)
    except Exception as error:  # whatever it raises
        raise ValueError(
            f"module= cannot take samples of shape {rows.sample_shape} and "
            f"{inputs.dtype}: {type(error).__name__}: {error}. Its parameters and "
            "buffers were converted to that type and to the device of the fit; tensors "
            "in plain attributes and closures were not."
        ) from error
    module.train(was_training)
    n_rows = len(inputs)
    shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    may_be_squeezed = n_rows == 1 and shape == ()
    is_usable = isinstance(output, Tensor) and not output.is_complex()
    if not (is_usable and len(shape) <= 2 and (may_be_squeezed or shape[0] == n_rows)):
        raise ValueError(
            "module= must return outputs of shape (n_samples, n_outputs), real numbers "
            f"in one tensor; for {n_rows} samples it returned {shape}."
        )
    return 1 if len(shape) < 2 else int(shape[1])


def rows_to_give(module: nn.Module, rows: Rows) -> Rows:
    """Return rows that a module can be given: copies if it writes into its inputs."""
    if not changes_inputs(module, rows):
        return rows
    index = torch.arange(rows.n_samples, device=rows.slice(0, 1).device)
    return DatasetSubset(rows, index)
