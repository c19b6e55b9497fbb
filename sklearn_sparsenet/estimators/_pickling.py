"""Pickles and copies of estimators: small, and the same for the same fit."""

from __future__ import annotations

import copy
from inspect import Parameter, signature

import torch
from torch import nn

from sklearn_sparsenet.deploy.architecture import build_from, describe
from sklearn_sparsenet.deploy.by_content import ByContent
from sklearn_sparsenet.deploy.sparse_storage import (
    Packed,
    pack_module,
    pack_solutions,
    strip_module,
    unpack_module,
)
from sklearn_sparsenet.estimators._fitted import CachedPredictor
from sklearn_sparsenet.estimators._modules import penalized_weights
from sklearn_sparsenet.estimators._stored import complete_attributes
from sklearn_sparsenet.losses import as_loss
from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = ["PicklingMixin"]

# Built from the other attributes, never pickled.
_DERIVED = ("_route_",)


class PicklingMixin:
    """How estimators are pickled, copied and cloned."""

    @single_threaded()
    def __sklearn_clone__(self):  # copies a `module`
        return super().__sklearn_clone__()

    @single_threaded()
    def __deepcopy__(self, memo):
        twin = memo[id(self)] = type(self).__new__(type(self))
        twin.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return twin

    @single_threaded()
    def __getstate__(self):
        # Pickles of modules would name the places of their tensors in the memory.
        return {
            name: ByContent(value) if ByContent.suits(value) else value
            for name, value in self._plain_state().items()
        }

    def _plain_state(self):
        state = {k: v for k, v in super().__getstate__().items() if k not in _DERIVED}
        # What reads no code has no use for a type or a device of PyTorch.
        of_torch = {
            name: str(value).removeprefix("torch.")
            for name in ("dtype", "device")
            if isinstance(value := state.get(name), torch.dtype | torch.device)
        }
        state |= of_torch | {"_of_torch_": list(of_torch)} if of_torch else {}
        if "module_" not in state:
            return state
        # A fit on an accelerator must load on a machine without one.
        module = copy.deepcopy(state.pop("module_")).cpu()
        if state["_is_sparse"]:
            state["_packed_"], state["penalized_coefs_"] = pack_solutions(
                module, penalized_weights(self)
            )
        else:
            state["_packed_"] = pack_module(module, may_be_sparse=False)
        # Plain values where that can be: what reads no code has no use for a module.
        state["_skeleton_"] = describe(module) or strip_module(module)
        return state

    @single_threaded()
    def __setstate__(self, state):
        state = {
            name: value.value if isinstance(value, ByContent) else value
            for name, value in state.items()
        }
        for name in state.pop("_of_torch_", ()):
            make = torch.device if name == "device" else vars(torch).__getitem__
            state[name] = make(state[name])
        if "_packed_" in state:
            skeleton = state.pop("_skeleton_")
            if not isinstance(skeleton, nn.Module):
                skeleton = build_from(skeleton)
            packed, penalized = state.pop("_packed_"), state["penalized_coefs_"]
            state["module_"] = unpack_module(skeleton, packed).eval()
            if isinstance(next(iter(penalized), None), Packed):
                state["penalized_coefs_"] = [
                    coef.unpack(packed).numpy() for coef in penalized
                ]
        if "_loss_" in state:  # one of the user's, as it was
            state["_loss_"] = as_loss(state["_loss_"])
        if "module_" in state:
            complete_attributes(state, state)
            state["_route_"] = CachedPredictor(
                state["module_"], state["n_features_in_"]
            )
        for name, parameter in signature(type(self)).parameters.items():
            if parameter.default is not Parameter.empty and not hasattr(self, name):
                state.setdefault(name, parameter.default)  # younger than the pickle
        super().__setstate__(state)
