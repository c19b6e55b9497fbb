r"""The problem that is solved: data, loss, network and penalty in one object.

.. math::
    \min_{W, b}\; \frac{1}{\sum_i s_i} \sum_i s_i\, \ell(f(x_i; W, b), y_i)
    + \tfrac{\gamma}{2} \sum_j \|W_j\|_2^2 + \sum_j \lambda_j \|W_j\|_1

Problem (25) of the paper with one λ, (45) with one per layer, and a weight decay γ. The
loss and the weight decay are the smooth part, of which gradients are.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise, starmap
from math import log2, prod
from typing import NamedTuple

import torch
from torch import Tensor

from sklearn_sparsenet.losses import Loss
from sklearn_sparsenet.networks.backprop import GradientEngine, make_engine
from sklearn_sparsenet.networks.network import Network
from sklearn_sparsenet.networks.sparse_inputs import Factors, column_moments
from sklearn_sparsenet.penalties import L1, Penalty, as_penalty
from sklearn_sparsenet.solvers.batches import Batch, Batches
from sklearn_sparsenet.solvers.dataset import batch_sizes
from sklearn_sparsenet.solvers.losses_of_steps import LossesOfSteps
from sklearn_sparsenet.solvers.rows import Rows
from sklearn_sparsenet.solvers.shares import Share
from sklearn_sparsenet.utils.runtime import single_threaded

__all__ = ["InputSizes", "Problem"]

# Elements (of X, or of a chain's hidden layers) that pass through the network at once;
# bounds the peak memory.
_CHUNK_ELEMENTS = 2**19
# Stored elements of X that tell how large the inputs are; sizes are at most 2 to this,
# and so many powers of two apart they are alike (figures in docs/design_notes.md).
_SIZED_ELEMENTS, _MOST_EXPONENT, _ALIKE, _ROUNDING = 2**22, 32, 1.5, 1e-12


class InputSizes(NamedTuple):
    """How large inputs are, in powers of two."""

    columns: Tensor  # What is not zero in each column, shape (n_columns,).
    density: float  # Part of the inputs that is not zero.
    # Root mean square of all inputs divided by `columns`, zeros included: small for
    # sparse rows.
    row: float


@dataclass(frozen=True)
class Problem:
    """A regularised training problem, whose variables are the network's parameters."""

    network: Network
    loss: Loss
    rows: Rows
    target: Tensor  # Shape (n_samples,) or (n_samples, n_outputs).
    sample_weight: Tensor  # Not negative, shape (n_samples,); scaled here to mean 1.
    penalty: Penalty = field(default_factory=L1)
    weight_decay: float = 0.0  # γ, not negative.
    _engine: GradientEngine = field(init=False, repr=False, compare=False)
    _inputs: Factors = field(init=False, repr=False, compare=False)
    _share: Share = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        weight = self.sample_weight
        different = weight if weight.stride(0) else weight[:1]  # one stands for all
        weight = (different / weight.mean()).expand_as(weight)
        object.__setattr__(self, "sample_weight", weight)
        object.__setattr__(self, "penalty", as_penalty(self.penalty))
        engine = make_engine(self.network, self.loss)
        object.__setattr__(self, "_engine", engine)
        share = Share.of(self.rows)
        object.__setattr__(self, "_share", share)
        inputs = share.rows.factors() if engine.multiplies else share.rows
        object.__setattr__(self, "_inputs", inputs)

    @property
    def n_samples(self) -> int:
        """Number of samples, those of other processes included."""
        return self.rows.n_samples

    def _chunks(self) -> Iterator[slice]:
        size = max(1, self._inputs.row_size, self._engine.row_size)
        rows = max(32, _CHUNK_ELEMENTS // size)
        sizes = batch_sizes(self._share.rows.n_samples, rows) or [0]
        ends = accumulate(sizes, initial=0)
        yield from starmap(slice, pairwise(ends))

    def batches(
        self, order: Tensor, sizes: Sequence[int], rows: Rows | None = None
    ) -> Generator[Batch]:
        """Yield the rows of `order`, that many at a time.

        Of each batch those that this process has, which may be none. With `rows`,
        inputs are those of the same samples there.
        """
        what = (self.target, self.sample_weight, self._inputs, self._share)
        return Batches(self.rows, *what).draw(order, sizes, rows)

    def batch_gradient(
        self, batch: Batch | Tensor, weight_decay: float | None = None
    ) -> Tensor:
        """Write the gradient of a batch into ``network.gradient``, and return its loss.

        The batch is row numbers, or what `batches` made of them. The loss is without
        weight decay, which is by default that of the problem. Nothing is synchronised
        with the device.
        """
        if isinstance(batch, Tensor):
            batch = next(self.batches(batch, [len(batch)]))
        loss = self._add_gradient(batch, accumulate=False)
        self._share.sum(self.network.gradient, loss)
        self._add_decay(weight_decay)
        return loss

    def _add_gradient(self, batch: Batch, *, accumulate: bool) -> Tensor:
        if len(batch.weight):
            return self._engine.add_gradient(*batch, accumulate=accumulate)
        if not accumulate:
            self.network.gradient.zero_()
        return batch.weight.sum()

    def _add_decay(self, weight_decay: float | None) -> None:
        """Add the gradient of the weight decay, where the loss has one.

        What the loss does not depend on, such as a column of zeros, is to be cut. With
        the decay alone it would look to the metric of Adam like all the others.
        """
        decay = self.weight_decay if weight_decay is None else weight_decay
        if decay:
            gradient, weight = self._decaying()
            felt = (gradient != 0).to(gradient.dtype)
            gradient.addcmul_(weight, felt, value=decay)

    def _decaying(self) -> tuple[Tensor, Tensor]:
        """Return the gradient, and the values, of what the weight decay is for."""
        network, penalized = self.network, slice(0, self.network.n_penalized)
        return network.gradient[penalized], network.parameters[penalized]

    def full_gradient(self, weight_decay: float | None = None) -> Tensor:
        """Write the exact gradient over all samples into ``network.gradient``.

        Returns the weighted mean loss, without weight decay, which is by default that
        of the problem. Runs in the mode (train or eval) that the module is in.
        """
        loss = self._loss_gradient()
        self._add_decay(weight_decay)
        return loss

    def _loss_gradient(self) -> Tensor:
        chunks = list(self._chunks())
        losses = LossesOfSteps(len(chunks))
        for chunk in chunks:
            batch = self._batch_of(chunk)
            losses.append(self._add_gradient(batch, accumulate=chunk.start > 0))
        loss = losses.stacked().sum()
        self._share.sum(self.network.gradient, loss)
        self.network.gradient.div_(self._unit)
        return loss / self._unit

    @property
    def _unit(self) -> float:
        """What weights are multiplied by where all samples are asked for.

        Divided by the number of samples alone, derivatives of samples that are learned
        well are denormal numbers, which take several times as long to compute with. A
        power of two changes no digit.
        """
        return 2.0 ** int(log2(self.n_samples))

    def _batch_of(self, chunk: slice) -> Batch:
        """Return consecutive rows of this process, as a part of all of them."""
        inputs = self._inputs.slice(chunk.start, chunk.stop)
        first = self._share.first
        numbers = slice(first + chunk.start, first + chunk.stop)
        weight = self.sample_weight[numbers] / self.n_samples
        return Batch(inputs, self.target[numbers], weight * self._unit)

    @single_threaded()
    def evaluate(self) -> tuple[Tensor, Tensor]:
        """Return loss and gradient, in eval mode, as new tensors.

        What optimality is judged by: exact, with the weight decay in the gradient but
        without penalty, and without a trace of earlier gradients.
        """
        was_training = self.network.module.training
        self.network.module.eval()
        self.restrict(self.network.parameters != 0, self.n_samples)
        loss = self._loss_gradient()
        self.restrict(None, self.n_samples)
        decaying, weight = self._decaying()
        decaying.add_(weight, alpha=self.weight_decay)
        self.network.module.train(was_training)
        return loss, self.network.gradient.clone()

    def live_units(self, support: Tensor) -> list[Tensor] | None:
        """Return the units with weights; see `sklearn_sparsenet.networks.backprop`."""
        return self._engine.live_units(support)

    def restrict(self, support: Tensor | None, n_rows: int) -> None:
        """Let gradients be computed as if the weights off a support were zero.

        They have to *be* zero off it until the next call; None: no such promise. A
        gradient is going to be asked of `n_rows` rows.
        """
        self._engine.restrict(support, n_rows)

    def input_sizes(self) -> InputSizes:
        """Tell how large the inputs are.

        Where they are not zero, that is; and, in terms of that, as whole rows.

        Columns that are about as large as the usual one have its size: in counts of
        words or in pixels, the frequent and the bright ones are to stay the larger
        ones. So have constant ones, of whose weights the samples say nothing. Sizes are
        powers of two, rounded towards 1: scaled columns have the size 1, and a factor
        of a power of two changes no digit of a product.
        """
        mean, square, filled = self._moments_of_columns()
        density = float(filled.mean())
        known = square - mean**2 > _ROUNDING * square  # constant ones are not
        filled = torch.where(known, filled, 0.0)
        size = torch.where(known, square / filled, 1.0).log2() / 2
        order = size.argsort()
        half = (1 - _ROUNDING) * filled.sum() / 2
        usual = size[order[int((filled[order].cumsum(0) < half).sum())]]
        apart = size - usual
        apart = apart.sign() * (apart.abs() - _ALIKE).clamp(min=0)
        exponent = (usual + torch.where(known, apart, 0.0)).trunc()
        columns = torch.exp2(exponent.clamp(-_MOST_EXPONENT, _MOST_EXPONENT))
        row = (square / columns**2).mean().sqrt()
        row = torch.exp2(torch.where(row > 0, row, 1.0).log2().trunc())
        return InputSizes(columns.to(self.sample_weight), density, float(row))

    def _moments_of_columns(self) -> Tensor:
        """Return the mean of each column, of its square, and where it is not zero.

        Of many rows, some tell.
        """
        columns, share = prod(self.rows.sample_shape), self._share
        n_elements = torch.tensor(share.rows.n_samples * self._inputs.row_size)
        share.sum(n_elements)
        stride = -(-int(n_elements) // _SIZED_ELEMENTS)
        some = torch.arange(0, self.n_samples, max(1, stride))
        some = some.to(self.sample_weight.device)
        sums = torch.zeros(3, columns, dtype=torch.float64)
        at_once = max(1, _CHUNK_ELEMENTS // max(1, self._inputs.row_size))
        for index in some[share.of_batches(some, [len(some)])[0]].split(at_once):
            inputs = self._inputs.take(index - share.first)
            sums += column_moments(inputs, self.sample_weight[index])
        share.sum(sums)
        return sums / float(self.sample_weight[some].sum())

    @torch.no_grad()
    def start_at_best_constant(self) -> None:
        """Set the output bias to the best output without inputs.

        Only for a chain that ends in a linear layer with free bias; leaves other
        networks as they are.
        """
        last = list(self.network.module.modules())[-1]
        constant = self.loss.fit_intercept_only(self.target, self.sample_weight)
        bias = getattr(last, "bias", None)
        if constant is not None and isinstance(last, torch.nn.Linear):
            if bias is not None and bias.shape == constant.shape:
                bias.copy_(constant)
