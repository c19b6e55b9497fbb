"""What modules of any class compute in predictions, as steps of well-known modules.

The module is run on a few samples, as tensors that remember which step gave them.
Modules of PyTorch are steps; those of users are entered, and the functions that they
call become modules. Nothing is patched: other threads may run the same module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from sklearn_sparsenet.networks.activations import activation_of
from sklearn_sparsenet.networks.functionals import VALUES, NoModule, modules_for
from sklearn_sparsenet.networks.module_copies import copy_of
from sklearn_sparsenet.networks.network import outputs_of
from sklearn_sparsenet.networks.stages import has_hooks, leaves
from sklearn_sparsenet.networks.steps import Reshape, Step, Steps, network_of
from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = ["Trace", "trace"]

_SAMPLES = 3  # that a module is run on
_TRIED = (1, 4, 70)  # numbers of samples for which the steps must give the same
# What may be asked of values without knowing them.
_FORM = (
    *("size", "dim", "stride", "is_contiguous", "is_floating_point", "is_complex"),
    *("shape", "ndim", "dtype", "device", "layout", "is_cuda", "requires_grad"),
    *("__len__", "element_size", "get_device", "itemsize", "is_sparse"),
)
_OF_LIBRARIES = ("torch.", "sklearn_sparsenet.")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Trace:
    """A copy of a network, on the CPU and in eval mode, as steps.

    Attributes
    ----------
    network : nn.Sequential or Steps
    names : dict of str to str
        The names that parameters of `network` have in the module.
    reasons : dict of int to str
        Why a step that is a user's module could not be entered, by its `id`.
    """

    network: nn.Sequential | Steps
    names: dict[str, str]
    reasons: dict[int, str]

    def told(self, module: nn.Module) -> str:
        """Return the name of a step's class, and why it could not be entered."""
        name, reason = type(module).__name__, self.reasons.get(id(module))
        return name if reason is None else f"{name} ({reason})"


@single_threaded()
def trace(module: nn.Module, sample_shape: tuple[int, ...]) -> Trace:
    """Return what a module computes in predictions as steps.

    A module that cannot be entered, because it decides by values or calls a function
    that is not known, is one step. Dimensions of size 1 that the module leaves out of
    its outputs may be there.

    Raises
    ------
    TypeError
        If the module has hooks, cannot be run on samples of this shape, or the steps
        do not give what it gives.
    """
    if has_hooks(module):
        raise TypeError("Modules with hooks or a forward of their own are not known.")
    try:
        return _trace(copy_of(module).cpu().eval(), sample_shape)
    except NoModule as error:
        raise TypeError(f"{type(module).__name__}: {error}") from error
    except TypeError:
        raise
    except Exception as error:  # whatever users' modules raise
        raise TypeError(f"the network cannot be run: {error!r}") from error


@torch.no_grad()
def _trace(module: nn.Module, sample_shape: tuple[int, ...]) -> Trace:
    generator = torch.Generator().manual_seed(0)
    dtype = next((p.dtype for p in module.parameters()), torch.get_default_dtype())

    def draw(n_samples: int) -> Tensor:
        return torch.randn(n_samples, *sample_shape, generator=generator).to(dtype)

    recorder = _Recorder(module)
    chain = list(leaves(module))
    if any(map(_is_entered, chain)):
        network = network_of(recorder.record(draw(_SAMPLES))).eval()
        if recorder.has_entered:
            _check_same(module, network, [draw(n) for n in _TRIED])
    else:  # there is nothing to find out
        network = nn.Sequential(*chain).eval()
    old = {id(p): name for name, p in module.named_parameters()}
    names = {name: old[id(p)] for name, p in network.named_parameters()}
    return Trace(network, names, recorder.reasons)


def _check_same(module: nn.Module, network: nn.Module, samples: list[Tensor]) -> None:
    """Raise TypeError if two networks give different outputs."""
    for inputs in samples:
        expected = outputs_of(module, inputs.clone())
        found = outputs_of(network, inputs.clone())
        rounding = 100 * torch.finfo(expected.dtype).eps
        size = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
        if found.shape != expected.shape or not torch.allclose(
            found, expected, rtol=rounding, atol=rounding * size, equal_nan=True
        ):
            raise TypeError(
                f"{type(module).__name__} gives different outputs than what was read "
                "from it: it may depend on the number of samples, on chance, or on "
                "what it keeps."
            )


class _Traced(Tensor):
    """Values of a few samples that remember which step gave them."""

    recorder: _Recorder
    number: int
    plain: Tensor  # The same values in the same memory.
    version: int  # Changes in place that the values had when the step gave them.

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Let the recorder know what is called."""
        kwargs = kwargs or {}
        (first, *_) = _all((args, kwargs), _Traced)
        return first.recorder.call_function(function, args, kwargs)


def _all(values: Any, kind: type[_T]) -> Iterator[_T]:
    """Yield the instances of a class in nested arguments, in their order."""
    if isinstance(values, kind):
        yield values
    elif isinstance(values, dict):
        yield from _all(list(values.values()), kind)
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _all(value, kind)


def _replaced(values: Any, replace: Callable[[_Traced], Any]) -> Any:
    """Return nested arguments with something else for traced tensors."""
    if isinstance(values, _Traced):
        return replace(values)
    if isinstance(values, dict):
        return {key: _replaced(value, replace) for key, value in values.items()}
    if type(values) in (list, tuple):
        return type(values)(_replaced(value, replace) for value in values)
    return values


def _plain(values: Any) -> Any:
    return _replaced(values, lambda traced: traced.plain)


class _Recorder:
    """Runs a module once and writes down its steps."""

    def __init__(self, module: nn.Module) -> None:
        self.steps: list[Step] = []
        self.reasons: dict[int, str] = {}
        self.has_entered = False  # a module of the user's
        self._own = {id(t) for t in (*module.parameters(), *module.buffers())}
        self._double = _double(module, self.call_module, {})

    def record(self, inputs: Tensor) -> list[Step]:
        """Return the steps from inputs to outputs."""
        output = self._double(self._traced(0, inputs))
        if not isinstance(output, _Traced):
            raise TypeError("the network does not return what it computes")
        last = output.number
        while last and _squeezes(self.steps[last - 1].module):
            (last,) = self.steps[last - 1].inputs  # only leaves out a dimension
        return _needed(self.steps, last)

    def call_module(
        self, module: nn.Module, double: nn.Module, *args: Any, **kwargs: Any
    ) -> Any:
        """Record the call of a module: one step, or those in its forward."""
        n_steps = len(self.steps)
        if _is_entered(module):
            try:
                output = type(double).forward(double, *args, **kwargs)
                self.has_entered |= type(module) is not nn.Sequential
                return output
            except Exception as error:  # whatever it raises
                del self.steps[n_steps:]
                said = str(error) if isinstance(error, NoModule) else repr(error)
                self.reasons[id(module)] = said
        inputs = list(_all(args, _Traced))
        if len(inputs) < len(args) or kwargs:
            raise NoModule(f"it calls {type(module).__name__} with more than values")
        self._check_current(inputs)
        return self._add(module, inputs, module(*_plain(args)))

    def call_function(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Record the call of a function of PyTorch as that of modules."""
        name = function.__name__
        name = function.__self__.__name__ if name == "__get__" else name
        if name in _FORM:
            return function(*_plain(args), **_plain(kwargs))
        inputs = list(_all((args, kwargs), _Traced))
        self._check_current(inputs)
        before = inputs[0].plain
        result = function(*_plain(args), **_plain(kwargs))
        if not isinstance(result, Tensor):
            raise NoModule(f"it decides by values, or takes them out ({name})")
        output: Any = inputs[0]
        args, kwargs = _replaced((args, kwargs), lambda traced: VALUES)
        if any(id(tensor) not in self._own for tensor in _all((args, kwargs), Tensor)):
            raise NoModule(f"it calls {name} with a tensor that it makes")
        modules = modules_for(function, name, args, kwargs, before, result)
        if not modules:
            return self._traced(output.number, result)
        for module in modules:
            output = self._add(module, inputs, result)
            inputs = [output]
        return output

    def _add(self, module: nn.Module, inputs: list[_Traced], result: Any) -> _Traced:
        if not isinstance(result, Tensor):
            raise NoModule(f"{type(module).__name__} returns more than one tensor")
        self.steps.append(Step(module, tuple(values.number for values in inputs)))
        return self._traced(len(self.steps), result)

    def _traced(self, number: int, values: Tensor) -> _Traced:
        traced = values.as_subclass(_Traced)
        traced.recorder, traced.number = self, number
        traced.plain, traced.version = values, values._version
        return traced

    def _check_current(self, inputs: list[_Traced]) -> None:
        if any(values.plain._version != values.version for values in inputs):
            raise NoModule("it changes values in place that are used again")


def _is_entered(module: nn.Module) -> bool:
    """Tell whether the steps of a module are in its forward, which is not PyTorch's."""
    if type(module) in (nn.Sequential, Steps):
        return True
    is_of_library = type(module).__module__.startswith(_OF_LIBRARIES)
    return not is_of_library and activation_of(module) is None


def _double(module: nn.Module, call: Any, known: dict[int, nn.Module]) -> nn.Module:
    """Return a shallow copy, children included, that has its calls recorded."""
    if id(module) not in known:
        double = known[id(module)] = type(module).__new__(type(module))
        own = vars(double)
        own.update(vars(module))
        own["_modules"] = {
            name: None if child is None else _double(child, call, known)
            for name, child in module._modules.items()
        }
        own["_compiled_call_impl"] = None
        own["forward"] = partial(call, module, double)
    return known[id(module)]


def _needed(steps: list[Step], last: int) -> list[Step]:
    """Return the steps that a value is computed by, numbered anew."""
    needed = {last}
    for number in range(last, 0, -1):
        if number in needed:
            needed.update(steps[number - 1].inputs)
    new = {number: place for place, number in enumerate(sorted(needed | {0}))}
    return [
        Step(module, tuple(new[number] for number in inputs))
        for place, (module, inputs) in enumerate(steps, 1)
        if place in needed
    ]


def _squeezes(module: nn.Module) -> bool:
    return isinstance(module, Reshape) and not module.shape
