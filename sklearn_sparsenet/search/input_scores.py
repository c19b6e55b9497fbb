"""What inputs are chosen by, beside the sizes of their weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sklearn_sparsenet.solvers.problem import Problem

__all__ = ["InputCredit", "InputEffect", "InputScores"]

_MEMORY = 0.7  # of the mean over the times that the network was looked at
# Shares of the way from the mean of the inputs to their values: the early ones, where
# inputs that say the same all get credit (figures in docs/design_notes.md).
_SHARES = (0.1, 0.3)
_CREDIT_ROWS, _EFFECT_ROWS = 512, 256
_CONSTANT = 1e-6  # effects of a network that is as good as constant, and tells nothing


@dataclass
class InputScores(ABC):
    """A moving mean of what some rows tell about each input.

    Attributes
    ----------
    problem : Problem
    n_inputs : int
        Columns, or channels.
    average : Tensor of shape (n_inputs,) or None
        The mean so far; minus infinity of inputs of which nothing is known.
    """

    problem: Problem
    n_inputs: int
    average: Tensor | None = None

    def observe(self, in_use: Tensor, seed: int) -> None:
        """Look at the network as it is.

        Parameters
        ----------
        in_use : Tensor of bool, shape (n_inputs,)
            Inputs that have weights.
        seed : int
            Of what is drawn.
        """
        fresh = self._of_some_rows(seed).nan_to_num_()
        fresh.masked_fill_(~in_use, -torch.inf)
        if self.average is not None:
            known = in_use & self.average.isfinite()
            mean = _MEMORY * self.average + (1 - _MEMORY) * fresh
            fresh = torch.where(known, mean, fresh)
        self.average = fresh

    @abstractmethod
    def of(self, size: Tensor) -> Tensor:
        """Return the scores of the inputs, from 0 on.

        Parameters
        ----------
        size : Tensor of shape (n_inputs,)
            Sums of the squared scores of the weights of each input.
        """

    @abstractmethod
    def _of_some_rows(self, seed: int) -> Tensor:
        """Return what some rows tell; shape (n_inputs,)."""

    def _draw(self, n_rows: int, seed: int) -> Tensor:
        """Return numbers of rows."""
        generator = torch.Generator().manual_seed(seed)
        n_samples = self.problem.n_samples
        rows = torch.randint(n_samples, (min(n_rows, n_samples),), generator=generator)
        return rows.to(self.problem.sample_weight.device)

    def _gradient(self, inputs: Tensor, value: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the gradient of a value of the outputs, as they are in prediction."""
        module = self.problem.network.module
        was_training = module.training
        module.eval()
        with torch.enable_grad():
            inputs = inputs.detach().requires_grad_()
            output = self.problem.network(inputs)
            (gradient,) = torch.autograd.grad(value(output), inputs)
        module.train(was_training)
        return gradient


@dataclass
class InputCredit(InputScores):
    r"""The credit of each input: the mean of

    .. math:: -\sum_i (x_{ij} - \bar x_j) \,
        \frac{\partial \ell_i}{\partial x_{ij}}\bigl(\bar x + a (x_i - \bar x)\bigr)

    over some rows and shares a. Over all a in [0, 1] it would be the value of Aumann
    and Shapley (integrated gradients; Sundararajan, Taly, Yan, "Axiomatic attribution
    for deep networks", ICML 2017). An input that was learned by heart has weights, but
    takes little of the loss where all inputs are small.
    """

    def of(self, size: Tensor) -> Tensor:
        """Return the credit, from 0 on; that of inputs without weights is 0."""
        assert self.average is not None
        known = self.average[self.average.isfinite()]
        return (self.average - known.min()).clamp(min=0) if len(known) else size

    def _of_some_rows(self, seed: int) -> Tensor:
        problem = self.problem
        rows = self._draw(_CREDIT_ROWS, seed)
        target, weight = problem.target[rows], problem.sample_weight[rows] / len(rows)
        inputs = problem.rows.take(rows)
        mean = inputs.mean(0)
        centred, credit = inputs - mean, torch.zeros_like(mean)

        def loss(output: Tensor) -> Tensor:
            return problem.loss.per_sample(output, target) @ weight

        for share in _SHARES:
            credit -= (self._gradient(mean + share * centred, loss) * centred).sum(0)
        return credit.reshape(self.n_inputs, -1).sum(1)


@dataclass
class InputEffect(InputScores):
    r"""The effect of each input on the outputs: the mean of

    .. math:: \left\Vert (x_{ij} - \bar x_j) \,
        \frac{\partial f}{\partial x_{ij}}(x_i) \right\Vert^2

    over some rows, with the norm over outputs: to second order, twice what a factor on
    the input costs in squared error. A backward pass has it on average, where each
    output is added or subtracted at random. The score is the geometric mean of it and
    the sizes: what the network does with an input, and what it has learned of it.
    """

    _inputs: Tensor | None = field(init=False, default=None, repr=False)

    def of(self, size: Tensor) -> Tensor:
        """Return the geometric means of effects and sizes, or sizes without effects."""
        assert self.average is not None
        means = (size * self.average.clamp(min=0)).sqrt()
        return torch.where(self.average.max() < _CONSTANT, size, means)

    def _of_some_rows(self, seed: int) -> Tensor:
        if self._inputs is None:  # the same ones each time: to read them may take long
            self._inputs = self.problem.rows.take(self._draw(_EFFECT_ROWS, 0))
        inputs = self._inputs
        generator = torch.Generator().manual_seed(seed)

        def some_sum(output: Tensor) -> Tensor:
            sign = torch.randint(2, output.shape, generator=generator) * 2 - 1
            return (output * sign.to(output)).sum()

        moved = self._gradient(inputs, some_sum) * (inputs - inputs.mean(0))
        by_input = moved.reshape(len(inputs), self.n_inputs, -1).sum(2)
        return by_input.square().mean(0)
