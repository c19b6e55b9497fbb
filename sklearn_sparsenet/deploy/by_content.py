"""Values with tensors whose pickles depend on nothing but what is in them.

The pickle of a tensor names the place of its memory. What hashes pickles, as joblib
does for ``Pipeline(memory=)``, never meets the same module again.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sklearn_sparsenet.networks.module_copies import holders_of_tensors
from sklearn_sparsenet.utils.runtime import single_threaded
from sklearn_sparsenet.utils.state_files import bytes_of

__all__ = ["ByContent"]


@dataclass(frozen=True, eq=False)
class _Stored:
    """A tensor as bytes."""

    content: np.ndarray
    dtype: torch.dtype
    shape: tuple[int, ...]
    device: str
    is_parameter: bool
    requires_grad: bool

    @classmethod
    def of(cls, tensor: Tensor) -> _Stored:
        return cls(
            bytes_of(tensor),
            tensor.dtype,
            tuple(tensor.shape),
            str(tensor.device),
            isinstance(tensor, nn.Parameter),
            tensor.requires_grad,
        )

    def tensor(self) -> Tensor:
        made = torch.empty(self.shape, dtype=self.dtype)
        made.view(-1).view(torch.uint8).numpy()[:] = self.content
        made = made.to(self.device)
        if self.is_parameter:
            return nn.Parameter(made, requires_grad=self.requires_grad)
        return made.requires_grad_(self.requires_grad)


class ByContent:
    """A module, or an object with modules or tensors, that is pickled by its content.

    Copies share the value, deep copies have one of their own.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    @staticmethod
    def suits(value: Any) -> bool:
        """Tell whether a value has tensors that can be found."""
        return isinstance(value, nn.Module) or any(
            isinstance(part, Tensor | nn.Module)
            for part in getattr(value, "__dict__", {}).values()
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> ByContent:
        return ByContent(copy.deepcopy(self.value, memo))

    @single_threaded()
    def __reduce__(self) -> tuple[Any, ...]:
        stored = {id(t): _Stored.of(t) for t in _tensors(self.value) if _is_plain(t)}
        try:
            skeleton = copy.deepcopy(self.value, dict(stored))
        except Exception:  # what cannot be copied may still be pickled
            return ByContent, (self.value,)
        return _restore, (skeleton, list(stored.values()))


@single_threaded()
def _restore(skeleton: Any, stored: list[_Stored]) -> ByContent:
    memo = {id(part): part.tensor() for part in stored}
    return ByContent(copy.deepcopy(skeleton, memo))


def _tensors(value: Any) -> Iterator[Tensor]:
    modules = [value]
    if not isinstance(value, nn.Module):
        parts = list(vars(value).values())
        modules = [part for part in parts if isinstance(part, nn.Module)]
        yield from (part for part in parts if isinstance(part, Tensor))
    for module in modules:
        yield from (holder[key] for holder, key in holders_of_tensors(module))


def _is_plain(tensor: Tensor) -> bool:
    """Tell whether a tensor is nothing but numbers in their order."""
    return (
        type(tensor) in (Tensor, nn.Parameter)
        and not is_lazy(tensor)
        and tensor.layout is torch.strided
        and not (tensor.is_meta or tensor.is_quantized or vars(tensor))
        and tensor.is_contiguous()
    )
