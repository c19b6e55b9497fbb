"""An equivalent network without the units that do nothing.

A unit that nothing reads can go. One that reads nothing is a constant: what it adds to
the next layers goes into their biases, and then nothing reads it. Units of a
convolution are its channels. A constant channel is no constant any more at the border
of a convolution that pads with zeros, and then it stays. So do units that are added to
others: they go together, or not at all.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import nn

from sklearn_sparsenet.networks.network import NORMALIZATIONS
from sklearn_sparsenet.networks.steps import (
    SelectInputs,
    Step,
    Steps,
    network_of,
    steps_of,
)
from sklearn_sparsenet.networks.tracing import Trace, trace
from sklearn_sparsenet.networks.unit_steps import (
    WEIGHTED,
    UnitStep,
    Value,
    unit_step,
)
from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = ["SelectInputs", "compact_module"]


@single_threaded()
@torch.no_grad()
def compact_module(
    module: nn.Module, sample_shape: tuple[int, ...]
) -> nn.Sequential | Steps:
    """Return the smaller network, in eval mode; the given one stays as it is.

    It gives the same outputs up to rounding. Where nothing but linear layers reads the
    inputs, `SelectInputs` drops those that they do not read.

    Parameters
    ----------
    module : nn.Module
        What `trace` can take apart into linear layers, convolutions, activations,
        pooling, flattening, normalisations, dropout, sums and concatenations. What
        comes before the first layer with weights, or after the last one, may be
        anything. Units are the second dimension throughout.
    sample_shape : tuple of int
        Shape of one sample.

    Returns
    -------
    nn.Sequential or Steps
        The first where the network is a chain of modules.

    Raises
    ------
    TypeError
        For anything else.
    """
    try:
        traced = trace(module, sample_shape)
    except TypeError as error:
        raise TypeError(f"compact() does not know this network: {error}") from error
    try:
        values, steps = _read(traced, sample_shape)
    except (RuntimeError, ValueError, IndexError) as error:
        raise TypeError(f"compact() cannot run the network: {error}") from error
    while _changes_what_is_read(values, steps):
        pass
    _choose_kept(values[0], steps)
    inputs = [numbers for _, numbers in steps_of(traced.network)]
    return network_of(list(_rebuilt(values[0], steps, inputs))).eval()


def _read(
    traced: Trace, sample_shape: tuple[int, ...]
) -> tuple[list[Value], list[UnitStep]]:
    """Return all values, that of the inputs first, and what the steps do to units."""
    steps = steps_of(traced.network)
    _check_layers(traced, [step.module for step in steps])
    shape = (1, *sample_shape)
    dtype = next(traced.network.parameters()).dtype
    values = [Value.of_columns(torch.zeros(shape, dtype=dtype))]
    found: list[UnitStep] = []
    seen: set[int] = set()
    for (module, numbers), is_between in zip(steps, _are_between(steps), strict=True):
        name = traced.told(module)
        if id(module) in seen:  # what is left of it differs from call to call
            module = copy.deepcopy(module)
        seen.add(id(module))
        inputs = [values[number] for number in numbers]
        found.append(unit_step(module, inputs, is_between=is_between, name=name))
        values.append(found[-1].output)
    return values, found


def _check_layers(traced: Trace, modules: list[nn.Module]) -> None:
    if not any(type(module) in WEIGHTED for module in modules):
        kinds = ", ".join(dict.fromkeys(map(traced.told, modules))) or "the network"
        raise TypeError(f"compact() found no layer in {kinds}.")
    layers = (m for m in modules if not isinstance(m, NORMALIZATIONS))
    parameters = [p for module in layers for p in module.parameters()]
    if len({id(p) for p in parameters}) < len(parameters):
        raise TypeError("compact() does not know layers that share their weights.")


def _are_between(steps: list[Step]) -> list[bool]:
    """Tell of each step whether layers stand before it and after it."""
    before, after = [False], [False] * (len(steps) + 1)
    for module, numbers in steps:
        before.append(type(module) in WEIGHTED or any(before[n] for n in numbers))
    for place, (module, numbers) in reversed(list(enumerate(steps, 1))):
        for number in numbers:
            after[number] |= type(module) in WEIGHTED or after[place]
    return [
        any(before[number] for number in numbers) and after[place]
        for place, (_, numbers) in enumerate(steps, 1)
    ]


def _changes_what_is_read(values: list[Value], steps: list[UnitStep]) -> bool:
    """Fold constants, from the inputs on, and find what is read, from the outputs on.

    What is not read any more lets other constants be folded.
    """
    before = torch.cat([value.read for value in values])
    for step in steps:
        step.fold_constants()
    for value in values:
        value.read = torch.full_like(value.read, value is values[-1])
    for step in reversed(steps):
        step.mark_read()
    return not torch.equal(before, torch.cat([value.read for value in values]))


def _choose_kept(inputs: Value, steps: list[UnitStep]) -> None:
    """Decide which inputs and units are left."""
    can_be_selected = inputs.held.ndim == 2
    inputs.kept = inputs.read if can_be_selected else torch.ones_like(inputs.read)
    inputs.kept[0] |= not inputs.kept.any()  # no layer without an input
    for step in steps:
        step.choose_kept()
    while any([step.tie() for step in steps]):
        pass


def _rebuilt(
    inputs: Value, steps: list[UnitStep], numbers: list[tuple[int, ...]]
) -> Iterator[Step]:
    """Yield the steps of the smaller network."""
    selected = 0
    if not inputs.kept.all():
        selected = 1
        yield Step(SelectInputs(inputs.kept.nonzero().flatten()), (0,))
    for step, read in zip(steps, numbers, strict=True):
        yield Step(step.thinned(), tuple(number + selected for number in read))
