r"""Second derivatives of the loss of a chain, for a few of its parameters.

With :math:`z_l` the inputs of the activations of layer l and :math:`a_l` its outputs,
the loss depends on a parameter through the units above it alone. Its Hessian is a sum
over units: the curvature of the unit (of the loss, at the outputs) times the outer
product of the derivatives of :math:`z_{l,i}`, and, because
:math:`z_{l+1} = W_{l+1} a_l + b_{l+1}` is bilinear, a product of the derivatives of
:math:`a_{l,j}` with each weight that leads out of the unit. Units of the first layer
depend on their own weights only, which makes this many times faster than products with
unit vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from sklearn_sparsenet.losses import Loss
from sklearn_sparsenet.networks.stages import Stage

__all__ = ["Curvature"]


class _Places:
    """Where parameters are in the layers: in which one, which row, which column."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        pieces = []
        for layer, stage in enumerate(stages):
            linear = stage.linear
            shape = linear.weight.shape
            rows = torch.arange(shape[0])[:, None].expand(shape)
            columns = torch.arange(shape[1]).expand(shape)
            pieces.append((linear.weight, layer, rows, columns))
            if linear.bias is not None:
                of_bias = torch.arange(shape[0])
                none = torch.full_like(of_bias, -1)  # the constant of a bias
                pieces.append((linear.bias, layer, of_bias, none))
        pieces.sort(key=lambda piece: int(piece[0].storage_offset()))
        self._starts = [int(piece[0].storage_offset()) for piece in pieces]
        self._layers = [layer for _, layer, _, _ in pieces]
        self._rows = torch.cat([rows.flatten() for _, _, rows, _ in pieces])
        self._columns = torch.cat([columns.flatten() for *_, columns in pieces])

    def of(self, variables: Tensor) -> list[_Some]:
        """Return those of some parameters, layer by layer; ascending."""
        ends = torch.searchsorted(variables, torch.tensor(self._starts)).tolist()
        ends.append(len(variables))
        numbers: list[list[Tensor]] = [[] for _ in range(max(self._layers) + 1)]
        for layer, (start, stop) in zip(self._layers, pairwise(ends), strict=True):
            numbers[layer].append(torch.arange(start, stop))
        found: list[_Some] = []
        start = 0
        for pieces in numbers:
            among = torch.cat(pieces)
            where = variables[among]
            stop = start + len(among)
            found.append(
                _Some(self._rows[where], self._columns[where], among, start, stop)
            )
            start = stop
        return found


class _Some(NamedTuple):
    """Variables of one layer: where they are in it, and among all variables."""

    rows: Tensor
    columns: Tensor
    numbers: Tensor
    start: int
    stop: int


class Curvature:
    """Hessians of the loss over some samples, where the network stands.

    The loss is the sum over these samples with their weights. Inside, samples are the
    last dimension: what belongs to a variable is a row.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        loss: Loss,
        inputs: Tensor,
        target: Tensor,
        weight: Tensor,
    ) -> None:
        self._stages, self._loss = stages, loss
        self._all_places = _Places(stages)
        self._inputs = inputs.t().contiguous()
        self._target, self._weight = target, weight

    @torch.no_grad()
    def hessian(self, variables: Tensor) -> Tensor:
        """Return the second derivatives with respect to some parameters.

        `variables` are their places in the flat vector of the network, ascending.
        """
        self._places = self._all_places.of(variables)
        found = self._inputs.new_zeros(len(variables), len(variables))
        self._pass_forward_and_back()
        self._add_outputs(found)
        self._add_first_layer(found)
        for layer in range(1, len(self._stages) - 1):
            self._add_layer(layer, found)
        order = torch.cat([places.numbers for places in self._places])
        hessian = torch.empty_like(found)
        hessian[order[:, None], order] = found
        return (hessian + hessian.t()) / 2

    def _weights(self, stage: Stage) -> Tensor:
        return stage.linear.weight.to(self._inputs)

    def _pass_forward_and_back(self) -> None:
        """Compute all units, and the derivatives of the loss with respect to them."""
        value = self._inputs
        ones = torch.ones_like(value[:1])
        self._below: list[Tensor] = []  # inputs of each layer, and a constant
        self._first: list[Tensor] = []  # derivatives of the activations
        second = []
        for stage in self._stages:
            self._below.append(torch.cat([value, ones]))
            before = self._weights(stage) @ value
            if stage.linear.bias is not None:
                before += stage.linear.bias.to(value)[:, None]
            value, first, bent = stage.derivatives(before)
            self._first.append(first)
            second.append(bent)
        self._curvature, delta = self._at_outputs(value)
        # dL/dz of the layer above hidden units, and the units' own curvature.
        self._above: list[Tensor] = []
        self._bend: list[Tensor] = []
        for layer in range(len(self._stages) - 1, 0, -1):
            self._above.append(delta)
            slope = self._weights(self._stages[layer]).t() @ delta
            self._bend.append(slope * second[layer - 1])
            delta = slope * self._first[layer - 1]
        self._above.reverse()
        self._bend.reverse()

    def _at_outputs(self, output: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the second derivatives of the loss at the outputs, and the first.

        Both are of shape (n_outputs, n_samples): of the second there is one for each
        output, and none where they vanish.
        """
        with torch.enable_grad():
            leaf = output.t().contiguous().requires_grad_()
            value = self._loss.per_sample(leaf, self._target) @ self._weight
            (slope,) = torch.autograd.grad(value, leaf, create_graph=True)
            curvature = []
            for number in range(len(output) if slope.requires_grad else 0):
                (row,) = torch.autograd.grad(
                    slope[:, number].sum(), leaf, retain_graph=True
                )
                curvature.append(row.t().contiguous())
        return curvature, slope.detach().t().contiguous()

    def _add_outputs(self, found: Tensor) -> None:
        """Add what the curvature of the loss contributes (Gauss, Newton)."""
        last = len(self._stages) - 1
        for number, curvature in enumerate(self._curvature):
            index, jacobian = self._of_output(number)
            found[index] += jacobian @ self._jacobian(last, curvature).t()

    def _of_output(self, number: int) -> tuple[Tensor, Tensor]:
        """Return which variables an output depends on, and its derivatives."""
        last = len(self._stages) - 1
        top = self._places[last]
        own = (top.rows == number).nonzero()[:, 0]
        index = torch.cat([torch.arange(top.start), own + top.start])
        jacobian = self._below[last][top.columns[own]]
        if last:
            seed = self._weights(self._stages[last])[number, :, None]
            seed = seed * self._first[last - 1]
            jacobian = torch.cat([self._jacobian(last - 1, seed), jacobian])
        return index, jacobian

    def _jacobian(self, layer: int, seed: Tensor) -> Tensor:
        """Return the derivatives of a combination of a layer's units.

        The combination is `seed`, of shape (n_units, n_samples); the result has shape
        (n_variables up to that layer, n_samples).
        """
        pieces: list[Tensor] = []
        for number in range(layer, -1, -1):
            places = self._places[number]
            pieces.append(self._below[number][places.columns] * seed[places.rows])
            if number:
                seed = self._weights(self._stages[number]).t() @ seed
                seed = seed * self._first[number - 1]
        return torch.cat(pieces[::-1])

    def _leaving(self, layer: int) -> Tensor:
        """Return dL/dz times da/dz of the unit below, for each weight above a layer."""
        above = self._places[layer + 1]
        return self._above[layer][above.rows] * self._first[layer][above.columns]

    def _add_first_layer(self, found: Tensor) -> None:
        """Add what its units contribute, whose own weights are all that they have."""
        if len(self._stages) == 1:
            return
        places, above = self._places[0], self._places[1]
        own = self._below[0][places.columns]
        same = places.rows[:, None] == places.rows
        square = (own * self._bend[0][places.rows]) @ own.t()
        found[: places.stop, : places.stop] += square * same
        cross = own @ self._leaving(0).t()
        cross *= places.rows[:, None] == above.columns
        found[: places.stop, above.start : above.stop] += cross
        found[above.start : above.stop, : places.stop] += cross.t()

    def _add_layer(self, layer: int, found: Tensor) -> None:
        """Add what the units of a later hidden layer contribute, one by one."""
        places, above = self._places[layer], self._places[layer + 1]
        own, leaving = self._below[layer][places.columns], self._leaving(layer)
        before = torch.arange(places.start, device=found.device)
        weight, bend = self._weights(self._stages[layer]), self._bend[layer]
        for unit in range(len(weight)):
            inside = (places.rows == unit).nonzero()[:, 0]
            seed = weight[unit, :, None] * self._first[layer - 1]
            below = self._jacobian(layer - 1, seed)
            jacobian = torch.cat([below, own[inside]])
            index = torch.cat([before, inside + places.start])
            out = (above.columns == unit).nonzero()[:, 0]
            cross = jacobian @ leaving[out].t()
            out = out + above.start
            found[index[:, None], index] += (jacobian * bend[unit]) @ jacobian.t()
            found[index[:, None], out] += cross
            found[out[:, None], index] += cross.t()
