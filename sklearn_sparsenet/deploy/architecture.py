"""Networks of well-known layers as plain values, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from sklearn_sparsenet.networks.activations import ACTIVATIONS
from sklearn_sparsenet.networks.stages import has_hooks
from sklearn_sparsenet.networks.steps import Arithmetic, Reshape, SelectInputs
from sklearn_sparsenet.utils.declared import fits
from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = ["build_from", "describe"]

# The arguments that each layer is made with, found in attributes of the same names;
# activations say it of themselves.
_LINEAR = ("in_features", "out_features")
_CONVOLUTION = (
    *("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation"),
    *("groups", "padding_mode"),
)
_WINDOW = ("kernel_size", "stride", "padding", "ceil_mode")
_MAX_POOL = (*_WINDOW, "dilation")
_AVG_POOL = (*_WINDOW, "count_include_pad")
_NORM = ("num_features", "eps", "momentum", "affine", "track_running_stats")
_ARGUMENTS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Linear: _LINEAR,
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), _CONVOLUTION),
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d), _MAX_POOL),
    nn.AvgPool1d: _AVG_POOL,
    **dict.fromkeys((nn.AvgPool2d, nn.AvgPool3d), (*_AVG_POOL, "divisor_override")),
    **{
        getattr(nn, f"Adaptive{kind}Pool{d}d"): ("output_size",)
        for kind in ("Max", "Avg")
        for d in (1, 2, 3)
    },
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), _NORM),
    nn.Flatten: ("start_dim", "end_dim"),
    **dict.fromkeys((nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d), ("p",)),
    nn.AlphaDropout: ("p",),
    Reshape: ("shape",),
    Arithmetic: ("kind", "left", "right"),
}
# What each of them is: sizes are given for each dimension, or once for all.
_Size = int | list[int]
_TYPES: dict[str, Any] = {
    **dict.fromkeys(("in_features", "out_features", "num_features"), int),
    **dict.fromkeys(("in_channels", "out_channels", "groups"), int),
    **dict.fromkeys(("start_dim", "end_dim"), int),
    **dict.fromkeys(("kernel_size", "stride", "dilation"), _Size),
    "padding": _Size | str,
    "output_size": int | None | list[int | None],
    "divisor_override": int | None,
    **dict.fromkeys(("eps", "p"), float),
    "momentum": float | None,
    **dict.fromkeys(("ceil_mode", "count_include_pad", "affine"), bool),
    "track_running_stats": bool,
    **dict.fromkeys(("padding_mode", "kind"), str),
    "shape": list[int],
    **dict.fromkeys(("left", "right"), float | None),
}
_MAY_BE_ZERO = ("padding", "start_dim", "end_dim", "divisor_override")
_MOST_LAYERS, _MOST_SIZE = 2000, 2**31 - 1
_WITH_BIAS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)

Recipe = list[dict[str, Any]]


def describe(module: nn.Module) -> Recipe | None:
    """Return a list of names and arguments, or None for other networks.

    Parameters
    ----------
    module : nn.Module
        An `nn.Sequential`, not nested, of known layers with the names that it gives
        them, none twice, no weights in common, none with hooks, and none frozen; of
        2000 layers at most.
    """
    if type(module) is not nn.Sequential or len(module) > _MOST_LAYERS:
        return None
    if list(module._modules) != [str(k) for k in range(len(module))]:  # named by users
        return None
    parameters = [p for child in module for p in child.parameters()]
    frozen = not all(p.requires_grad for p in parameters)
    shared = len({id(p) for p in parameters}) < len(parameters)
    twice = len({id(child) for child in module}) < len(module)
    if frozen or shared or twice or has_hooks(module):
        return None
    recipe: Recipe = []
    known = _arguments()
    for child in module:
        if type(child) is SelectInputs:
            recipe.append({"name": "SelectInputs", "n_kept": len(child.index)})
            continue
        declared = known.get(type(child))
        if declared is None or getattr(child, "return_indices", False):
            return None
        if getattr(child, "affine", False) and child.bias is None:
            return None
        step: dict[str, Any] = {"name": type(child).__name__}
        step |= {name: _plain(getattr(child, name)) for name in declared}
        if isinstance(child, _WITH_BIAS):
            step["bias"] = child.bias is not None
        recipe.append(step)
    own = module.state_dict().keys()  # a user may have added something to a layer
    return recipe if build_from(recipe).state_dict().keys() == own else None


@single_threaded()
def build_from(recipe: Recipe) -> nn.Sequential:
    """Return the network, without weights yet, on the meta device.

    A recipe with anything but known layers and their arguments is a ValueError.
    """
    if len(recipe) > _MOST_LAYERS:
        raise ValueError(f"There are {len(recipe)} layers.")
    with torch.device("meta"):
        return nn.Sequential(*(_build_layer(**step) for step in recipe))


def _arguments() -> dict[type[nn.Module], Mapping[str, Any]]:
    """Return what each layer is made with, by its name: types of the arguments."""
    known = {a.module: a.options for a in ACTIVATIONS.values()}
    layers = {kind: {n: _TYPES[n] for n in names} for kind, names in _ARGUMENTS.items()}
    return {**known, **layers}


def _build_layer(name: str, **arguments: Any) -> nn.Module:
    known = _arguments()
    kind = next((kind for kind in known if kind.__name__ == name), None)
    declared = {"n_kept": int} if kind is None else {**known[kind], "bias": bool}
    if (
        (kind is None and name != "SelectInputs")
        or not arguments.keys() <= declared.keys()
        or not all(_is_possible(n, v, declared[n]) for n, v in arguments.items())
    ):
        raise ValueError(f"There is no layer {name!r} with these arguments.")
    if kind is None:
        return SelectInputs(torch.empty(arguments["n_kept"], dtype=torch.long))
    for key, value in arguments.items():
        arguments[key] = tuple(value) if isinstance(value, list) else value
    return kind(**arguments)


def _is_possible(name: str, value: Any, declared: Any) -> bool:
    """Tell whether an argument is of its type, and sizes are some, of 32 bits."""
    least = -_MOST_SIZE if name in _MAY_BE_ZERO else 1
    sizes = value if isinstance(value, list) else [value]
    return fits(value, declared) and all(
        least <= n <= _MOST_SIZE for n in sizes if type(n) is int
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
