"""Early stopping that keeps the best state among those that are on target."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_sparsenet.networks.network import Network, outputs_of
from sklearn_sparsenet.networks.row_blocks import predicts_each_row
from sklearn_sparsenet.solvers.rows import Rows
from sklearn_sparsenet.solvers.shares import Share
from sklearn_sparsenet.utils.workers import run_tasks

__all__ = ["EarlyStopping", "Validation", "forward"]

# Rows that are passed through a network at once, fewer where they have more elements
# than this in all: CSR rows are densified then.
_CHUNK_ROWS = 1024
_CHUNK_ELEMENTS = 2**23
_STATE = ("scores", "best_score", "best_state", "best_epoch")


@torch.no_grad()
def forward(module: nn.Module, rows: Rows) -> Tensor:
    """Return the outputs for all rows, chunk by chunk."""
    n_elements = max(1, prod(rows.sample_shape))
    size = max(1, min(_CHUNK_ROWS, _CHUNK_ELEMENTS // n_elements))
    share = Share.of(rows)
    here, n_rows = share.rows, share.rows.n_samples
    starts = range(0, n_rows, size)
    shares = predicts_each_row(module)
    n_together = max(1, _CHUNK_ELEMENTS // (size * n_elements)) if shares else 1
    outputs: list[Tensor] = []
    for number in range(0, len(starts), n_together):
        together = starts[number : number + n_together]
        chunks = [here.slice(i, min(i + size, n_rows)) for i in together]
        outputs += _outputs_of_chunks(module, chunks)
    return share.whole(outputs)


def _outputs_of_chunks(module: nn.Module, chunks: list[Tensor]) -> list[Tensor]:
    found: list[Tensor] = chunks.copy()

    def compute(number: int) -> None:
        chunk = chunks[number]
        found[number] = outputs_of(module, chunk).to(chunk.dtype)

    run_tasks([partial(compute, number) for number in range(len(chunks))])
    return found


@dataclass(frozen=True)
class Validation:
    """Samples held out, and how to score outputs on them."""

    rows: Rows
    score: Callable[[Tensor], float]  # Of outputs; larger is better.
    patience: int  # Epochs without a better score after which training ends.

    def evaluate(self, network: Network) -> float:
        """Return the score of the network as it is, in eval mode.

        Minus infinity where outputs or score are no finite numbers.
        """
        was_training = network.module.training
        network.module.eval()
        outputs = forward(network.module, self.rows)
        network.module.train(was_training)
        if not bool(outputs.isfinite().all()):
            return -math.inf
        with np.errstate(over="ignore", invalid="ignore"):
            score = self.score(outputs)
        return score if math.isfinite(score) else -math.inf


@dataclass
class EarlyStopping:
    """The best state since the count was last off target.

    While λ is searched, a network that is still dense scores best but is of no use,
    and a count that only passes through the target is not a solution. Hence only
    the unbroken run of epochs on target up to the present one competes; where the
    count cannot be off target (fixed λ, fixed support) that is every epoch.
    """

    validation: Validation
    is_on_target: Callable[[Tensor], bool]
    scores: list[float] = field(default_factory=list)
    best_score: float = -float("inf")
    best_state: tuple[Tensor, dict[str, Tensor]] | None = None
    best_epoch: int = 0

    @property
    def score(self) -> float | None:
        """Of the best state, or of the last one where there is no best."""
        if self.best_state is not None:
            return self.best_score
        return self.scores[-1] if self.scores else None

    def rewind(self, epoch: int) -> None:
        """Forget what came after an epoch that training goes back to."""
        del self.scores[epoch:]
        if self.best_epoch > epoch:
            self.best_score, self.best_state = -float("inf"), None

    def state(self) -> dict[str, Any]:
        """Return what is needed to go on in another process."""
        return {name: getattr(self, name) for name in _STATE}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        for name in _STATE:
            setattr(self, name, state[name])

    def update(self, network: Network, epoch: int) -> bool:
        """Record an epoch; return True if training should end."""
        self.scores.append(self.validation.evaluate(network))
        if self.scores[-1] == -math.inf:  # what the loss says of it comes to light soon
            return False
        if not self.is_on_target(network.weights):
            self.best_score, self.best_state = -float("inf"), None
            return False
        if self.best_state is None or self.scores[-1] > self.best_score:
            self.best_score, self.best_epoch = self.scores[-1], epoch
            self.best_state = network.snapshot()
        return epoch - self.best_epoch >= self.validation.patience
