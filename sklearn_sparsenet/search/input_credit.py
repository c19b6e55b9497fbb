"""How much of the loss each input takes away, as the inputs come in together."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sklearn_sparsenet.solvers.problem import Problem

__all__ = ["InputCredit"]

# Shares of the way from the mean of the inputs to their values: the early ones, where
# inputs that say the same all get credit (figures in docs/design_notes.md).
_SHARES = (0.1, 0.3)
_ROWS = 512
_MEMORY = 0.7  # of the mean over the times that it was asked for


@dataclass
class InputCredit:
    r"""The credit of each input: a moving mean of

    .. math:: -\sum_i (x_{ij} - \bar x_j) \,
        \frac{\partial \ell_i}{\partial x_{ij}}\bigl(\bar x + a (x_i - \bar x)\bigr)

    over some rows and shares a. Over all a in [0, 1] it would be the value of Aumann
    and Shapley (integrated gradients; Sundararajan, Taly, Yan, "Axiomatic attribution
    for deep networks", ICML 2017). An input that was learned by heart has weights, but
    takes little of the loss where all inputs are small.

    Attributes
    ----------
    problem : Problem
    n_inputs : int
        Columns, or channels.
    average : Tensor of shape (n_inputs,) or None
        The credit so far; minus infinity of inputs without weights.
    """

    problem: Problem
    n_inputs: int
    average: Tensor | None = None

    def update(self, in_use: Tensor, seed: int) -> Tensor:
        """Return the credit, from 0 on, of the network as it is.

        Parameters
        ----------
        in_use : Tensor of bool, shape (n_inputs,)
            Inputs that have weights; that of the others is 0.
        seed : int
            Of the rows.
        """
        fresh = self._of_some_rows(seed).masked_fill(~in_use, -torch.inf)
        if self.average is not None:
            known = in_use & self.average.isfinite()
            mean = _MEMORY * self.average + (1 - _MEMORY) * fresh
            fresh = torch.where(known, mean, fresh)
        self.average = fresh
        return (fresh - fresh[in_use].min()).clamp(min=0) if in_use.any() else fresh

    def _of_some_rows(self, seed: int) -> Tensor:
        problem, module = self.problem, self.problem.network.module
        generator = torch.Generator().manual_seed(seed)
        size = (min(_ROWS, problem.n_samples),)
        rows = torch.randint(problem.n_samples, size, generator=generator)
        rows = rows.to(problem.sample_weight.device)
        target, weight = problem.target[rows], problem.sample_weight[rows] / len(rows)
        inputs = problem.rows.take(rows)
        mean = inputs.mean(0)
        centred, credit = inputs - mean, torch.zeros_like(mean)
        was_training = module.training
        module.eval()
        for share in _SHARES:
            with torch.enable_grad():
                moved = (mean + share * centred).requires_grad_()
                output = problem.network(moved)
                loss = problem.loss.per_sample(output, target) @ weight
                (gradient,) = torch.autograd.grad(loss, moved)
            credit -= (gradient * centred).sum(0)
        module.train(was_training)
        return credit.reshape(self.n_inputs, -1).sum(1).nan_to_num_()
