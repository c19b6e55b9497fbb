"""What both experiments share: a run, what is measured of it, the command line."""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cached_runs import Record, run_jobs
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from sklearn_sparsenet.optimality import gradient_magnitudes
from sklearn_sparsenet.search import BracketSearch

__all__ = [
    "PAPER_SEARCHES",
    "Run",
    "SquaredL2",
    "fit",
    "parser",
    "run_experiment",
    "sorted_gradients",
]

Target = float | tuple[float, ...]

# Two readings of the stopping rule, two restarts; the first is the authors' code.
PAPER_SEARCHES = {
    f"{stop}, {restart}": BracketSearch("median", stop, restart, "arithmetic")
    for stop in ("in_flight", "converged")
    for restart in ("cold", "warm")
}
_CURVE = 300  # points that are kept of a sorted sequence
_HISTORY = ("alpha", "n_nonzero", "n_nonzero_per_layer", "epochs", "status")


@dataclass(frozen=True)
class Run:
    """One fit of an experiment.

    Attributes
    ----------
    method : str
        ``"l2"``, ``"one_pass"`` or a key of `PAPER_SEARCHES`.
    target : int, tuple of int, or float
        Weights to be left, in all or per layer; of ``"l2"`` the λ.
    epochs : int
        Of a solve; of ``"one_pass"`` in all.
    seed : int
    """

    method: str
    target: Target
    epochs: int
    seed: int


class SquaredL2:
    r"""The penalty of the dense reference models (55), (56): α/2 ‖w‖²."""

    separable = True

    def value(self, weight: Tensor, alpha: float) -> Tensor:
        """Return the penalty."""
        return alpha / 2 * weight.square().sum()

    def prox(self, weight: Tensor, step: float, alpha: float) -> Tensor:
        """Return the proximity operator, a multiplication."""
        return weight / (1 + step * alpha)

    def subdifferential_distance(
        self, weight: Tensor, gradient: Tensor, alpha: float
    ) -> Tensor:
        """Return the size of the gradient of the whole objective."""
        return (gradient + alpha * weight).abs()


def fit(
    run: Run, estimator: Any, X: np.ndarray, y: np.ndarray, directory: Path
) -> Record:
    """Fit and return what the tables have in common.

    A fit that was interrupted goes on from what is kept in `directory`. Seconds are
    wall time on one thread, that before an interruption included.
    """
    estimator.set_params(checkpoint=directory / "unfinished")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        started = time.perf_counter()
        estimator.fit(X, y)
        seconds = time.perf_counter() - started
    said = [str(w.message) for w in caught if w.category is ConvergenceWarning]
    sizes = [p.numel() for p in estimator.module_.parameters() if p.ndim > 1]
    history = estimator.search_history_
    return {
        **asdict(run),
        "n_nonzero": estimator.n_nonzero_,
        "n_nonzero_per_layer": estimator.n_nonzero_per_layer_,
        "n_weights": sum(sizes),
        "n_live": estimator.n_live_,
        "alpha": estimator.alpha_,
        "kkt_residual": estimator.kkt_residual_,
        "met": estimator.converged_,
        "solves": estimator.n_outer_iter_,
        "epochs_in_all": estimator.n_iter_,
        "seconds": max(seconds, float(history["seconds"].sum())),
        "history": {name: history[name] for name in _HISTORY},
        "warning": "; ".join(said),
    }


def sorted_gradients(gradients: list[Tensor]) -> list[float]:
    """Return the sorted a_i of (34), thinned out evenly to a few hundred."""
    a = gradient_magnitudes(torch.cat([g.flatten() for g in gradients]))
    where = np.linspace(0, len(a) - 1, _CURVE).round().astype(int)
    return [float(value) for value in a[where]]


def run_experiment(
    arguments: argparse.Namespace,
    runs: Callable[[int], list[Run]],
    measure: Callable[[Run], Record],
    describe: Callable[[Record], str],
) -> None:
    """Run what is asked for and missing; `runs` takes a number of seeds."""
    n_seeds = arguments.seeds or (1 if arguments.quick else 3)
    every = runs(n_seeds)
    wanted = [run for run in every if run.method in (arguments.only or [run.method])]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    run_jobs(wanted, measure, arguments.out, arguments.jobs, describe)


def parser(doc: str, default_out: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every experiment has."""
    made = argparse.ArgumentParser(description=doc.splitlines()[0])
    made.add_argument("--data", type=Path, required=True)
    made.add_argument("--out", type=Path, default=Path(default_out))
    made.add_argument("--seeds", type=int, help="3, with --quick 1")
    made.add_argument("--jobs", type=int, default=2, help="processes")
    made.add_argument("--epochs", type=int, help="of every solve of the paper's")
    made.add_argument(
        "--quick", action="store_true", help="one seed, a tenth of the epochs"
    )
    made.add_argument("--only", nargs="+", help="methods")
    return made
