"""A gradient and a proximal step, on as much of a network as takes part in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import torch
from torch import Tensor

from sklearn_sparsenet.networks.network import Network
from sklearn_sparsenet.penalties import Penalty
from sklearn_sparsenet.solvers.batches import Batch
from sklearn_sparsenet.solvers.live_part import LivePart, live_part
from sklearn_sparsenet.solvers.optimizers import OPTIMIZERS, entries_at
from sklearn_sparsenet.solvers.options import SolverOptions
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.solvers.proximal_optimizer import ProximalOptimizer
from sklearn_sparsenet.solvers.pruning import Pruning

__all__ = ["Moments", "Stepper"]


@dataclass(frozen=True)
class Moments:
    """What Adam has learnt of the gradients of a network's parameters.

    Attributes
    ----------
    n_steps : int
    mean, square : Tensor of shape (n_parameters,)
        Of the gradients so far, and of their squares, without bias correction.
    """

    n_steps: int
    mean: Tensor
    square: Tensor


class Stepper:
    """Takes the steps of a run, from where the network stands.

    Once a support is held, steps need nothing but the units that have weights: they are
    taken on those alone, and the network is told by `write_back`. A pruning may prune
    weights after a step, and hold a support from some step on.
    """

    def __init__(
        self,
        problem: Problem,
        alpha: Sequence[float],
        options: SolverOptions,
        pruning: Pruning,
    ) -> None:
        self._whole, self._alpha, self._options = problem, alpha, options
        self._pruning = pruning
        self._n_rows = min(options.batch_size, problem.n_samples)
        # Whether a step that would make a weight zero is taken back, for that weight.
        self.keeps_weights = False
        self.start()

    def start(self) -> None:
        """Begin without moments and without a support."""
        self._whole.restrict(None, self._n_rows)
        self._problem = self._whole  # that steps are taken on
        self._part: LivePart | None = None
        self._held: Penalty | None = None
        self._optimizer = self._make_optimizer(self._whole.penalty)

    def _make_optimizer(self, penalty: Penalty) -> ProximalOptimizer:
        network = self._problem.network
        n, n_penalized = len(network.parameters), network.n_penalized
        blocks = network.blocks(self._alpha, penalty.separable)
        if penalty.separable:  # one update for all parameters
            settings = {"penalty": penalty, "n_penalized": n_penalized}
            settings["growth"] = self._growth(network)
            strength = blocks[0][2]
            groups = [_group(network, slice(0, n), (n,), alpha=strength, **settings)]
        else:
            groups = [
                _group(network, where, shape, alpha=strength, penalty=penalty)
                for where, shape, strength in blocks
            ]
            rest = slice(n_penalized, n)
            groups.append(_group(network, rest, (n - n_penalized,)))
        kind = OPTIMIZERS[self._options.solver]
        return kind(groups, lr=self._options.learning_rate)

    def _growth(self, network: Network) -> Tensor | float:
        """Return the growth of the steps of each parameter; biases have none."""
        if not self._options.growth or not network.steps_grow:
            return 0.0
        growth = torch.full_like(network.parameters, self._options.growth)
        growth[network.n_penalized :] = 0.0
        return growth if network.step_scale is None else growth.div_(network.step_scale)

    def take_gradient(self, batch: Batch | None) -> Tensor:
        """Compute the gradient of a batch, or of all rows; return the loss."""
        decay = self._pruning.weight_decay(self._whole.weight_decay)
        if batch is None:
            return self._problem.full_gradient(decay)
        if self._part is not None:
            batch = self._part.batch(batch)
        return self._problem.batch_gradient(batch, decay)

    def complete_gradient(self) -> None:
        """Add to a gradient of all rows what of the network the steps leave out."""
        if self._part is not None:
            self.write_back()
            self._whole.full_gradient()

    @property
    def support(self) -> Tensor | None:
        """Of the penalised weights, where it is held by now; else None."""
        return (self._pruning.held or self._whole.penalty).support_held()

    def advance(self, step: int, n_steps: int) -> None:
        """Get ready for a step of the run: hold the support that there is by then."""
        self._pruning.advance(step, n_steps)
        self._hold_what_is_held()
        if self._pruning.held is not None:
            (group,) = self._optimizer.param_groups
            group["alpha"] = self._pruning.strength

    def _hold_what_is_held(self) -> None:
        """Rely on weights being zero off the support, where one is held."""
        penalty = self._pruning.held or self._whole.penalty
        support = penalty.support_held()
        held = None if support is None else penalty
        if held is self._held:
            return
        if held is None or self._part is not None:
            self.write_back()
            self.start()
        if held is None or support is None:
            return
        self._held = held
        if not penalty.separable:  # weights are not one vector
            self._whole.restrict(support, self._n_rows)
            return
        # They may not be zero yet: a run may have gone back to before they were.
        weights = self._whole.network.parameters[: len(support)]
        weights.masked_fill_(~support, 0.0)
        self._part = live_part(self._whole, penalty)
        if self._part is None:
            self._whole.restrict(support, self._n_rows)
            self._optimizer.param_groups[0]["penalty"] = penalty
            self._optimizer.hold(support)
        else:
            self._move_to(self._part, support)

    def _move_to(self, part: LivePart, support: Tensor) -> None:
        """Go on, in the middle of a step, on a part of the network."""
        self._problem, network = part.problem, part.problem.network
        network.gradient.copy_(self._whole.network.gradient[part.where])
        (before,), (moments,) = self._optimizer.param_groups, self._moments()
        self._optimizer = self._make_optimizer(part.problem.penalty)
        (group,) = self._optimizer.param_groups
        group.update({k: before[k] for k in ("lr", "floor") if k in before})
        self._set_moments([{k: entries_at(part.where, v) for k, v in moments.items()}])
        self._optimizer.hold(support[part.where[: network.n_weights]])

    def set_rate(self, rate: float, damping: float) -> None:
        """Set the step size, and the floor of the metric, of the coming steps."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate
            group["floor"] = damping

    def step(self) -> None:
        """Take the step; its gradient has been computed."""
        if not self.keeps_weights:
            self._optimizer.update()
            if self._pruning.is_due:
                self._prune()
            return
        weights = self._problem.network.weights
        before = weights.clone()
        self._optimizer.update()
        weights.copy_(torch.where(weights == 0, before, weights))

    def _prune(self) -> None:
        (leaf,) = self._leaves()
        steps = self._optimizer.step_sizes(leaf)
        n_penalized = self._whole.network.n_penalized
        if isinstance(steps, Tensor):
            steps = steps[:n_penalized]
        self._pruning.prune(leaf.detach()[:n_penalized], steps)

    def write_back(self) -> None:
        """Let the network have the parameters as they are now."""
        if self._part is not None:
            self._part.write_back(self._whole.network)

    def state(self) -> dict[str, Any]:
        """Return what is needed to go on, in tensors, numbers and containers."""
        return {
            "moments": self._moments(),
            "held": self._held is not None,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned, after `Pruning.load_state`.

        A support was not held yet if it has been chosen in the last step before.
        """
        if state["held"]:
            self._hold_what_is_held()
        self._set_moments(state["moments"])

    def moments(self) -> Moments | None:
        """Return what the steps have learnt of the gradients; None: nothing.

        Zeros stand for parameters that the steps leave out.
        """
        found = self._moments()
        if not all("mean" in moments for moments in found):
            return None
        network = self._whole.network
        where = slice(None) if self._part is None else self._part.where
        flat = {}
        for name in ("mean", "square"):
            flat[name] = torch.zeros_like(network.parameters)
            pieces = map(_spread, self._leaves(), found, repeat(name))
            flat[name][where] = torch.cat(list(pieces))
        return Moments(found[0]["step"], **flat)

    def go_on_from(self, moments: Moments) -> None:
        """Take over what `moments` returned, before the first step."""
        leaves = self._leaves()
        sizes = [leaf.numel() for leaf in leaves]
        means, squares = moments.mean.split(sizes), moments.square.split(sizes)
        self._set_moments(
            [
                {
                    "step": moments.n_steps,
                    "mean": mean.view_as(leaf).clone(),
                    "square": square.view_as(leaf).clone(),
                }
                for leaf, mean, square in zip(leaves, means, squares, strict=True)
            ]
        )

    def _moments(self) -> list[dict[str, Any]]:
        return [self._optimizer.state[p] for p in self._leaves()]

    def _set_moments(self, moments: Sequence[dict[str, Any]]) -> None:
        for leaf, found in zip(self._leaves(), moments, strict=True):
            self._optimizer.state[leaf] = found

    def _leaves(self) -> list[Tensor]:
        return [p for group in self._optimizer.param_groups for p in group["params"]]


def _spread(leaf: Tensor, moments: dict[str, Any], name: str) -> Tensor:
    """Return the moments of all entries of a leaf, zeros where it keeps none."""
    values, held = moments[name].flatten(), moments.get("held")
    if held is None:
        return values
    return values.new_zeros(leaf.numel()).index_copy_(0, held, values)


def _group(
    network: Network, where: slice, shape: tuple[int, ...], **settings: Any
) -> dict[str, Any]:
    leaf = torch.nn.Parameter(network.parameters[where].view(shape))
    leaf.grad = network.gradient[where].view(shape)
    if network.step_scale is not None:
        settings["scale"] = network.step_scale[where].view(shape)
    return {"params": [leaf], **settings}
