"""Are folds and targets of one shape faster as one batched network?

A step of B networks, one after the other, against a step of all of them as one with a
leading axis (`torch.baddbmm`, one Adam and one prox for the whole vector): process time
on one thread, the median ratio over turns in which the two alternate. Both gather their
rows; both end at the same parameters, up to rounding.

Usage::

    python -m benchmarks.batched_folds --json ../docs/batched_folds.json
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from sklearn_sparsenet import ProximalAdam
from sklearn_sparsenet.losses import LOSSES
from sklearn_sparsenet.networks.network import Network, build_mlp
from sklearn_sparsenet.solvers import SolverOptions
from sklearn_sparsenet.solvers.dataset import make_dataset
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.solvers.pruning import Pruning
from sklearn_sparsenet.solvers.stepper import Stepper

ALPHA, RATE = 1e-4, 1e-3
CASES = {  # rows in a fold, the widths of the network, and the batch size
    "diabetes, 200 rows": (353, (10, 100, 1), 200),
    "digits, 200 rows": (1437, (64, 100, 10), 200),
    "digits, 64 rows": (1437, (64, 100, 10), 64),
    "digits, two layers": (1437, (64, 100, 100, 10), 200),
}


@dataclass(frozen=True)
class Case:
    """Networks of one shape, each with rows of its own."""

    rows: Tensor  # of shape (n_networks, n_rows, n_inputs)
    target: Tensor  # of shape (n_networks, n_rows, 1), or of classes
    widths: tuple[int, ...]
    batch_size: int

    @classmethod
    def drawn(cls, n_networks, n_rows, widths, batch_size, dtype) -> Case:
        """Draw rows and targets; a step costs the same whatever they are."""
        generator = torch.Generator().manual_seed(0)
        shape = (n_networks, n_rows, widths[0])
        rows = torch.randn(shape, generator=generator, dtype=dtype)
        target = torch.randn((n_networks, n_rows, 1), generator=generator, dtype=dtype)
        if widths[-1] > 1:
            shape = (n_networks, n_rows)
            target = torch.randint(widths[-1], shape, generator=generator)
        return cls(rows, target, widths, batch_size)

    def modules(self) -> list[torch.nn.Sequential]:
        """Return the networks at their start."""
        generator = torch.Generator().manual_seed(1)
        n_in, *hidden, n_out = self.widths
        dtype, count = self.rows.dtype, len(self.rows)
        made = (build_mlp(n_in, hidden, n_out, "relu", generator) for _ in range(count))
        return [module.to(dtype) for module in made]


class Separate:
    """The networks one after the other, by the steps of the library."""

    def __init__(self, case: Case) -> None:
        options = SolverOptions(learning_rate=RATE, batch_size=case.batch_size)
        self.steppers, self.problems = [], []
        for module, rows, target in zip(
            case.modules(), case.rows, case.target, strict=True
        ):
            names = [name for name, _ in module.named_parameters() if "weight" in name]
            n_out = case.widths[-1]
            loss = LOSSES["real"]["squared_error"]()
            if n_out > 1:
                loss = LOSSES["classes"]["log_loss"](n_out)
            dataset = make_dataset(rows.numpy(), rows.dtype, rows.device)
            data = (dataset, target, torch.ones(len(rows), dtype=rows.dtype))
            problem = Problem(Network(module, names), loss, *data)
            alphas = [ALPHA] * len(names)
            self.problems.append(problem)
            self.steppers.append(Stepper(problem, alphas, options, Pruning()))

    def step(self, index: Tensor) -> None:
        """Take a step of each with the rows of these numbers."""
        for problem, stepper in zip(self.problems, self.steppers, strict=True):
            (batch,) = problem.batches(index, [len(index)])
            stepper.take_gradient(batch)
            stepper.step()

    def parameters(self) -> Tensor:
        """Return the weights of the first layers."""
        networks = [problem.network for problem in self.problems]
        return torch.stack([n.split(n.weights)[0] for n in networks])


class Batched:
    """The networks as one, with a leading axis."""

    def __init__(self, case: Case) -> None:
        self.case, modules = case, case.modules()
        layers = [[m for m in net if hasattr(m, "weight")] for net in modules]
        stacks = [
            torch.stack([m.weight for m in each]) for each in zip(*layers, strict=True)
        ]
        n_weights = sum(map(Tensor.numel, stacks))
        stacks += [
            torch.stack([m.bias for m in each]) for each in zip(*layers, strict=True)
        ]
        leaf = torch.nn.Parameter(torch.cat([s.detach().flatten() for s in stacks]))
        leaf.grad = torch.zeros_like(leaf)
        sizes, depth = [s.numel() for s in stacks], len(stacks) // 2
        flat, slopes = leaf.detach().split(sizes), leaf.grad.split(sizes)
        values = [v.view(s.shape) for v, s in zip(flat, stacks, strict=True)]
        slopes = [g.view(s.shape) for g, s in zip(slopes, stacks, strict=True)]
        self.weights, self.biases = values[:depth], values[depth:]
        self.of_weights, self.of_biases = slopes[:depth], slopes[depth:]
        self.optimizer = ProximalAdam(
            [{"params": [leaf], "alpha": ALPHA, "n_penalized": n_weights}], lr=RATE
        )

    def step(self, index: Tensor) -> None:
        """Take a step of all with the rows of these numbers."""
        inputs = self.case.rows.index_select(1, index)
        target = self.case.target.index_select(1, index)
        values = [inputs]
        for weight, bias in zip(self.weights, self.biases, strict=True):
            values.append(
                torch.baddbmm(bias[:, None], values[-1], weight.transpose(1, 2))
            )
            if weight is not self.weights[-1]:
                values[-1].relu_()
        slope = _slope_of_loss(values.pop(), target).div_(len(index))
        for depth in reversed(range(len(self.weights))):
            torch.bmm(slope.transpose(1, 2), values[depth], out=self.of_weights[depth])
            torch.sum(slope, 1, out=self.of_biases[depth])
            if depth:
                slope = torch.bmm(slope, self.weights[depth])
                slope.mul_(values[depth] > 0)
        self.optimizer.update()

    def parameters(self) -> Tensor:
        """Return the weights of the first layers."""
        return self.weights[0]


def _slope_of_loss(output: Tensor, target: Tensor) -> Tensor:
    if target.is_floating_point():
        return (output - target).mul_(2)
    slope = output.softmax(-1)
    one = slope.new_ones(()).expand(*target.shape, 1)
    return slope.scatter_add_(-1, target[..., None], -one)


@torch.no_grad()
def compare(case: Case, n_steps: int, n_turns: int) -> dict[str, float]:
    """Return microseconds of process time of a step of one network, and the gain."""
    sides = {"separate": Separate(case), "batched": Batched(case)}
    order = torch.arange(case.rows.shape[1]).flip(0)
    batches = order[: len(order) // case.batch_size * case.batch_size]
    batches = batches.split(case.batch_size)
    times = {name: [] for name in sides}
    for side in sides.values():
        side.step(batches[0])
    found = [side.parameters() for side in sides.values()]
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-4)
    for _ in range(n_turns):
        for name, side in sides.items():
            begin = time.process_time()
            for step in range(n_steps):
                side.step(batches[step % len(batches)])
            times[name].append(time.process_time() - begin)
    each = n_steps * len(case.rows) / 1e6
    gains = (a / b for a, b in zip(*times.values(), strict=True))
    micro = {name: round(median(t) / each, 1) for name, t in times.items()}
    return micro | {"gain": round(median(gains), 2)}


def main() -> None:
    """Measure all cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = []
    for name, shape in CASES.items():
        for dtype in (torch.float32, torch.float64):
            for n_networks in (5, 50):
                case = Case.drawn(n_networks, *shape, dtype)
                found = compare(case, options.steps, options.turns)
                row = {"case": name, "dtype": str(dtype)[6:], "networks": n_networks}
                results.append(row | found)
                print(results[-1], flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
