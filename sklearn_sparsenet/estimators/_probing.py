"""A network is tried before it is trained: does it compute with its parameters?

A module may compute with copies of its parameters, made earlier or elsewhere, with
something that it makes of them, or out of sight of autograd. Training would then change
nothing, or something else than what is counted, and nobody would notice. So a copy of
the network is asked on a few rows, at its start and at random points, whether each
counted parameter has an influence on the outputs and gets a gradient, and whether its
zeros are zeros of what is computed with. Only what is the case at all points, or at
none, counts: units may be dead, gates shut and tokens unseen at some of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sklearn_sparsenet.networks.module_copies import twin_of
from sklearn_sparsenet.networks.network import Network
from sklearn_sparsenet.solvers.dataset import batch_sizes
from sklearn_sparsenet.solvers.rows import Rows
from sklearn_sparsenet.utils.runtime import random_states, set_random_states

__all__ = ["changes_inputs", "check_network"]

_FEW, _MANY, _MANY_ELEMENTS = 8, 1024, 2**19  # rows, and entries of X in them
# The parameters, and as much noise, times each of these.
_FACTORS = (1.0, 1e-3, 30.0, 1e-6)
# Of noise in place of X, which may lack the rows that some layer is for.
_SIZES = (1.0, 30.0)

_LEAVE_OUT = (
    "requires_grad_(False) leaves a parameter as it is, neither trained nor counted; "
    "one that target_sparsity, as a dict, leaves out is trained and not counted."
)
_FOLD = (
    "Make the weight a parameter again (torch.nn.utils.prune.remove, "
    "torch.nn.utils.remove_weight_norm, "
    "torch.nn.utils.parametrize.remove_parametrizations), or do not count the layer: "
    + _LEAVE_OUT
)
_UNUSED = (
    "module= does not compute with {}: whatever its values, the outputs are the same. "
    "If it is meant to be used, the module computes with a copy of it, from a closure, "
    f"a cache or a plain attribute. If not, do not count it: {_LEAVE_OUT}"
)
_UNTRAINED = (
    "module= computes with {}, but no gradient reaches it, so that it would never be "
    "trained. Look for torch.no_grad, detach, .data, NumPy, rounding or hooks. Or "
    f"freeze it: {_LEAVE_OUT}"
)
_STALE = (
    "module= has a gradient for {}, but in eval mode its outputs do not change with "
    "it. It may compute with a copy that it made earlier, or use the parameter in "
    f"training only; then do not count it: {_LEAVE_OUT}"
)
_LOST = (
    "module= replaces or moves {} when it is called, so that it cannot be trained. "
    "Its forward and hooks must leave parameters and their gradients in their place."
)
_COMPUTED = (
    "module= computes {} from parameters, and where these are zero it is not, or the "
    f"other way round, so that a count of them would be wrong. {_FOLD}"
)
_DIVIDES = (
    "module= has no finite outputs where {} is zero, as weights of a sparse network "
    "may be. It divides by their norm, perhaps, and needs a small constant there. "
    f"{_FOLD}"
)


def check_network(network: Network, rows: Rows, batch_size: int) -> None:
    """Refuse a network that cannot be trained as it stands, or not rightly.

    The parameter at fault is named. Neither network nor PyTorch's generators change.

    Parameters
    ----------
    network : Network
    rows : Rows
        What it is to be trained on.
    batch_size : int
        Rows of a batch.
    """
    bad = [
        name
        for name, parameter in network.module.named_parameters()
        if parameter.requires_grad and not bool(parameter.isfinite().all())
    ]
    if bad:
        raise ValueError(f"module= has parameters that are not finite: {_list(bad)}.")
    smallest = min(batch_sizes(rows.n_samples, batch_size))
    with _random_states_kept(network.parameters.device):
        _Trial(network, rows).run(smallest)


def changes_inputs(module: nn.Module, rows: Rows) -> bool:
    """Tell whether a module writes into its inputs, in training or in eval mode."""
    inputs = _some(rows, 2)
    before, twin = inputs._version, twin_of(module)
    # What it cannot take is told by `check_network`.
    with _random_states_kept(inputs.device), torch.no_grad(), suppress(Exception):
        twin.eval()(inputs)
        twin.train()(inputs)
    return inputs._version != before


@contextmanager
def _random_states_kept(device: torch.device) -> Iterator[None]:
    states = random_states(device)
    try:
        yield
    finally:
        set_random_states(states, device)


def _some(rows: Rows, n_rows: int) -> Tensor:
    """Return some rows from all over the data, in memory of their own."""
    n_rows = min(n_rows, rows.n_samples)
    index = torch.linspace(0, rows.n_samples - 1, n_rows).long()
    return rows.take(index.to(rows.slice(0, 1).device))


class _Trial:
    """What is found out about the layers of a network, on a copy of it."""

    def __init__(self, network: Network, rows: Rows) -> None:
        names = [layer.name for layer in network.layers]
        self.network = Network(twin_of(network.module), names)
        self.rows = rows
        self.many = min(_MANY, max(_FEW, _MANY_ELEMENTS // prod(rows.sample_shape)))
        self.generator = torch.Generator().manual_seed(0)
        self.start = self.network.parameters.clone()
        self.size = _usual_sizes(self.network)
        self.states = random_states(self.start.device)
        self.reached: set[str] = set()  # layers that the backward pass came to
        self.moved: set[str] = set()  # those that got a gradient other than zero
        self.matter: set[str] = set()  # those that the outputs in eval mode depend on
        self.has_outputs = False  # finite ones, so that there can be an influence
        for name, parameter in self.network.module.named_parameters():
            if name in names:
                mark = partial(self._mark, name)
                parameter.register_post_accumulate_grad_hook(mark)

    def _mark(self, name: str, parameter: Tensor) -> None:
        self.reached.add(name)

    def run(self, smallest_batch: int) -> None:
        """Ask everything; raise ValueError at the first thing that is wrong."""
        self._take_few(smallest_batch)
        self._look_for_influence()
        self._judge()
        self._set(self.start)
        self._check_zeros()

    def _take_few(self, smallest_batch: int) -> None:
        """Try a single row, as `predict` may have it, and the smallest batch."""
        with _told("take a single sample in eval mode, as predict has to"):
            self._outputs(_some(self.rows, 1))
        batch = _some(self.rows, min(smallest_batch, _FEW))
        with _told(
            f"be trained on batches of {smallest_batch} "
            f"row{'s' if smallest_batch > 1 else ''} (batch_size, or what is left of X)"
        ):
            self._look_at_gradient(batch, training=True)
        lost = self.network.lost_parameters()
        if lost:
            raise ValueError(_LOST.format(_list(lost)))

    def _look_for_influence(self) -> None:
        self._look_at(_some(self.rows, _FEW))
        for factor in _FACTORS:
            if not self._in_doubt():
                return
            noise = self._noise() * self.size
            self._set(factor * (self.start + noise))
            many = _some(self.rows, self.many)
            for inputs in (many, *(size * self._draw(many) for size in _SIZES)):
                with suppress(ValueError):  # noise need not be what a module can take
                    self._look_at(inputs)
        self._set(self.start)
        for start in range(0, self.rows.n_samples, self.many):
            if not self._in_doubt() - self.reached:
                return
            stop = min(start + self.many, self.rows.n_samples)
            self._look_at(self.rows.slice(start, stop).clone())

    def _in_doubt(self) -> set[str]:
        known = self.moved & self.matter
        return {layer.name for layer in self.network.layers} - known

    def _look_at(self, inputs: Tensor) -> None:
        for training in (False, True):
            with _told(f"be trained on {len(inputs)} rows"):
                self._look_at_gradient(inputs, training)
        self._look_at_outputs(inputs)

    def _look_at_gradient(self, inputs: Tensor, training: bool) -> None:
        network = self.network
        network.gradient.zero_()
        network.module.train(training)
        with torch.enable_grad():
            outputs = network(inputs.clone())
            if not outputs.requires_grad:
                return
            (outputs * self._draw(outputs)).sum().backward()
        self.moved |= {
            layer.name
            for layer in network.layers
            if network.gradient[layer.slice].any()
        }

    def _look_at_outputs(self, inputs: Tensor) -> None:
        before = self._outputs(inputs)
        if not bool(before.isfinite().all()):
            return
        self.has_outputs = True
        noise = self._noise() * self.size
        for layer in self.network.layers:
            if layer.name in self.matter:
                continue
            piece = self.network.parameters[layer.slice]
            values = piece.clone()
            piece.add_(noise[layer.slice] + values)
            if not torch.equal(self._outputs(inputs), before):
                self.matter.add(layer.name)
            piece.copy_(values)

    @torch.no_grad()
    def _outputs(self, inputs: Tensor) -> Tensor:
        self.network.module.eval()
        # Noise of the module's own is no influence.
        set_random_states(self.states, self.start.device)
        return self.network(inputs.clone())

    def _judge(self) -> None:
        reached, moved, matter = self.reached, self.moved, self.matter
        if not self.has_outputs:
            return
        for layers, message in (
            (matter - moved, _UNTRAINED),
            (moved - matter, _STALE),
            (self._in_doubt() - reached - matter, _UNUSED),
        ):
            if layers:
                raise ValueError(message.format(_list(layers)))

    def _check_zeros(self) -> None:
        """Ask what becomes of zeros: of a whole layer of them, and of some."""
        few = _some(self.rows, _FEW)
        worked = self._works(few)
        for layer in self.network.layers:
            self._set(self.start)
            self.network.parameters[layer.slice] = 0.0
            if worked and not self._works(few):
                raise ValueError(_DIVIDES.format(repr(layer.name)))
        self._set(self.start)
        weights = self.network.weights
        weights.masked_fill_(self._noise()[: len(weights)] < 0, 0.0)
        for n_rows in (1, 2):
            self._works(_some(self.rows, n_rows))
            for name, part in self.network.module.named_modules():
                self._check_computed(name, part, n_rows)

    def _works(self, inputs: Tensor) -> bool:
        with suppress(Exception):
            return bool(self._outputs(inputs).isfinite().all())
        return False

    def _check_computed(self, prefix: str, part: nn.Module, n_rows: int) -> None:
        """Compare zeros of weights that a part computes with those of parameters."""
        named = dict(self.network.module.named_parameters())
        counted = {id(named[layer.name]) for layer in self.network.layers}
        for name, value, sources in _computed(part, n_rows):
            used = [source for source in sources if id(source) in counted]
            if any(not _has_zeros_of(value, source) for source in used):
                full_name = f"{prefix}.{name}" if prefix else name
                raise ValueError(_COMPUTED.format(repr(full_name)))

    def _set(self, values: Tensor) -> None:
        self.network.parameters.copy_(values)

    def _noise(self) -> Tensor:
        return self._draw(self.start)

    def _draw(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator).to(like)


def _computed(part: nn.Module, n_rows: int) -> Iterator[tuple[str, Tensor, list[Any]]]:
    """Yield the weights that a part computes, and parameters of what they may be made.

    Parametrised ones; tensors in attributes with the shape of a parameter, unless they
    may be outputs for so many rows.
    """
    made = part.parametrizations if parametrize.is_parametrized(part) else None
    if isinstance(made, nn.ModuleDict):
        for name, how in made.items():
            yield name, getattr(part, name), list(how.parameters())
    own = [p for p in part.parameters(recurse=False) if p.shape[:1] != (n_rows,)]
    for name, value in vars(part).items():
        if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
            yield name, value, [p for p in own if p.shape == value.shape]


def _has_zeros_of(value: Tensor, source: Tensor) -> bool:
    return value.shape == source.shape and torch.equal(value == 0, source == 0)


def _usual_sizes(network: Network) -> Tensor:
    """Return how large the entries of each layer are, or would be drawn."""
    sizes = torch.ones_like(network.parameters)
    for layer in network.layers:
        fan_in = layer.size // layer.shape[0]
        sizes[layer.slice] = _size(network.parameters[layer.slice]) or fan_in**-0.5
    rest = slice(network.n_weights, None)
    sizes[rest] = _size(network.parameters[rest]) or 1.0
    return sizes


def _size(values: Tensor) -> float:
    return float(values.square().mean().sqrt()) if len(values) else 0.0


def _list(names: Iterable[str]) -> str:
    return ", ".join(map(repr, sorted(names)))


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Say what a module cannot do, whatever it raises when it tries."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"module= cannot {what}: {error}") from error
