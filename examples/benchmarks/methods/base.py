"""What every method returns, and the one training loop of those in plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from math import cos, pi
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.problems import Data, Schedule
from sklearn_sparsenet.networks.paths import find_paths

__all__ = [
    "Fitted",
    "Target",
    "build_network",
    "cosine",
    "fitted",
    "linear_layers",
    "loss_of",
    "soft_threshold",
    "steady",
    "top_k",
    "train",
    "weights_of",
]

Target = int | tuple[int, ...]
ROWS_AT_ONCE = 4096
STEADY = 0.7


@dataclass(frozen=True)
class Fitted:
    """A fitted network.

    Attributes
    ----------
    predict : callable(X) -> ndarray
        Classes or values.
    weights : list of ndarray of shape (fan_out, fan_in)
    epochs : int
        Of training, all in all.
    extra : dict
        What is worth a note, such as the λ found.
    """

    predict: Callable[[np.ndarray], np.ndarray]
    weights: list[np.ndarray]
    epochs: int
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def counts(self) -> list[int]:
        """Numbers of nonzero weights per layer."""
        return [int(np.count_nonzero(weight)) for weight in self.weights]

    @property
    def n_live(self) -> int:
        """Number of nonzero weights on a path from an input to an output."""
        sizes = [self.weights[0].shape[1], *(len(weight) for weight in self.weights)]
        network = build_network(sizes, 0)
        layers = linear_layers(network)
        with torch.no_grad():
            for layer, weight in zip(layers, self.weights, strict=True):
                layer.weight.copy_(torch.from_numpy(weight))
        names = [f"{2 * i}.weight" for i in range(len(layers))]
        paths = find_paths(network, names, (sizes[0],))
        assert paths is not None
        return paths.n_live


def build_network(sizes: list[int], seed: int, bias: bool = True) -> nn.Sequential:
    """Return a perceptron with ReLU, drawn as PyTorch draws it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [nn.Linear(*pair, bias=bias) for pair in pairwise(sizes)]
    return nn.Sequential(*[m for layer in layers for m in (layer, nn.ReLU())][:-1])


def linear_layers(network: nn.Sequential) -> list[nn.Linear]:
    """Return the layers with weights."""
    return [module for module in network if isinstance(module, nn.Linear)]


def loss_of(data: Data) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss of a batch, a mean over its rows."""
    if data.n_classes > 2:
        return functional.cross_entropy
    single = (
        functional.binary_cross_entropy_with_logits
        if data.n_classes
        else functional.mse_loss
    )
    return lambda output, target: single(output[:, 0], target)


def cosine(step: int, steps: int) -> float:
    """Return the share of the first step size that is used at a step."""
    return 0.5 * (1 + cos(pi * step / steps))


def steady(step: int, steps: int) -> float:
    """Return 1 for 70 % of the run, then half a cosine, as the one-pass search does."""
    first = round(STEADY * steps)
    return cosine(max(step - first, 0), steps - first)


def train(
    network: nn.Sequential,
    data: Data,
    schedule: Schedule,
    optimizer: torch.optim.Optimizer,
    seed: int,
    after_step: Callable[[int], None] | None = None,
    shape: Callable[[int, int], float] | None = None,
) -> None:
    """Train with shuffled batches.

    Parameters
    ----------
    shape : callable(step, steps), optional
        Factor on the step size; by default half a cosine over the whole run.
    after_step : callable(step), optional
        Called after every step of the optimizer, from step 0, without gradients.
    """
    X = torch.from_numpy(data.X_train)
    y = torch.from_numpy(data.y_train)
    y = y if data.n_classes > 2 else y.float()
    loss = loss_of(data)
    rates = [group["lr"] for group in optimizer.param_groups]
    generator = torch.Generator().manual_seed(seed)
    step = 0
    shape = shape or cosine
    for _ in range(schedule.epochs):
        order = torch.randperm(len(X), generator=generator)
        for rows in order.split(schedule.batch_size):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * shape(step, schedule.steps)
            optimizer.zero_grad()
            loss(network(X[rows]), y[rows]).backward()
            optimizer.step()
            if after_step is not None:
                with torch.no_grad():
                    after_step(step)
            step += 1


def weights_of(network: nn.Sequential) -> list[Tensor]:
    """Return the weight matrices, detached but shared with the network."""
    return [layer.weight.detach() for layer in linear_layers(network)]


def soft_threshold(values: Tensor, threshold: float) -> Tensor:
    """Return the proximal point of the absolute value times the threshold."""
    return functional.softshrink(values, threshold)


def top_k(scores: list[Tensor], k: int) -> list[Tensor]:
    """Return 0-1 masks of the `k` largest entries in all, ties broken by index."""
    flat = torch.cat([score.reshape(-1) for score in scores])
    mask = torch.zeros_like(flat)
    first = len(flat) - k
    mask[np.argpartition(flat.numpy(), min(first, len(flat) - 1))[first:]] = 1
    pieces = mask.split([score.numel() for score in scores])
    return [piece.view_as(s) for piece, s in zip(pieces, scores, strict=True)]


def fitted(network: nn.Sequential, data: Data, epochs: int, **extra: Any) -> Fitted:
    """Wrap a trained network."""

    @torch.no_grad()
    def predict(X: np.ndarray) -> np.ndarray:
        chunks = torch.from_numpy(X).split(ROWS_AT_ONCE)
        output = torch.cat([network(chunk) for chunk in chunks])
        if data.n_classes > 2:
            return output.argmax(1).numpy()
        values = output[:, 0].numpy()
        return (values > 0).astype(np.int64) if data.n_classes else values

    weights = [weight.numpy() for weight in weights_of(network)]
    return Fitted(predict, weights, epochs, extra)
