"""The ℓ1 solution beside the network: is it one, and what does it cost?

Default search and solver; digits, wine, breast cancer, diabetes (scikit-learn's), Mg;
targets of 90 % zeros and of 50 weights; (100,), tanh and ReLU. For each fit the largest
violation of (26), (27) and ∂L/∂b = 0 in units of λ, computed here by autograd in double
precision; the number of weights of the penalised solution; the part of the time of the
fit that it took; and the number of weights after a refit that goes on from there with
``alpha=alpha_``.

Usage, in the folder `examples`::

    python -m benchmarks.l1_solutions --data DIR --json FILE --write PAGE
    python -m benchmarks.l1_solutions --only diabetes --seeds 1
    python -m benchmarks.l1_solutions --data DIR --only california --json FILE

DIR holds LIBSVM's "mg" as mg.libsvm, and cal_housing.data. What FILE has stays there.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from cached_runs import load_records, save_records
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_svmlight_file,
    load_wine,
)
from sklearn.preprocessing import StandardScaler
from torch.nn import functional

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor

__all__ = ["page", "residual", "run_cell"]

CLASSES = {
    "digits": load_digits,
    "wine": load_wine,
    "breast cancer": load_breast_cancer,
}
PROBLEMS = (*CLASSES, "diabetes", "mg")
LARGE = ("california",)  # more than 10 000 rows, where the solution may cost less
TARGETS = (0.9, 50)
ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu}


def load(name: str, folder: Path):
    """Return scaled features, target and estimator of a problem."""
    if name == "mg":
        X, y = load_svmlight_file(str(folder / "mg.libsvm"))
        X = X.toarray()
    elif name == "california":
        table = np.loadtxt(folder / "cal_housing.data", delimiter=",")
        X, y = table[:, :-1], table[:, -1]
    else:
        X, y = CLASSES.get(name, load_diabetes)(return_X_y=True)
    kind = SparseNetClassifier if name in CLASSES else SparseNetRegressor
    return StandardScaler().fit_transform(X), y, kind


def residual(net, X, y) -> float:
    """Return the largest violation of the optimality conditions, in units of λ."""
    layers = zip(net.penalized_coefs_, net.penalized_intercepts_, strict=True)
    layers = [
        [torch.tensor(array, dtype=torch.float64).requires_grad_() for array in layer]
        for layer in layers
    ]
    value = torch.tensor(X, dtype=torch.float64)
    for k, (coef, intercept) in enumerate(layers):
        value = (ACTIVATIONS[net.activation](value) if k else value) @ coef + intercept
    if isinstance(net, SparseNetRegressor):
        target = torch.tensor((y - net.y_mean_[0]) / net.y_scale_[0])
        loss = (value[:, 0] - target).square().mean()
    elif value.shape[1] == 1:
        target = torch.tensor(y, dtype=torch.float64)
        loss = functional.binary_cross_entropy_with_logits(value[:, 0], target)
    else:
        loss = functional.cross_entropy(value, torch.tensor(y))
    loss = loss + net.weight_decay_ / 2 * sum(coef.square().sum() for coef, _ in layers)
    loss.backward()
    worst = 0.0
    for coef, intercept in layers:
        weight, slope = coef.detach(), coef.grad
        on_support = (slope + net.alpha_ * weight.sign()).abs()
        off_support = (slope.abs() - net.alpha_).clamp(min=0)
        found = torch.where(weight != 0, on_support, off_support)
        worst = max(worst, float(found.max()), float(intercept.grad.abs().max()))
    return worst / net.alpha_


def run_cell(
    name: str, target: float, activation: str, seed: int, folder: Path
) -> dict:
    """Fit, and go on from the penalised solution with its λ."""
    X, y, kind = load(name, folder)
    net = kind(
        target_sparsity=target,
        activation=activation,
        random_state=seed,
        warm_start=True,
    )
    started = time.perf_counter()
    net.fit(X, y)
    seconds = time.perf_counter() - started
    record = {
        "problem": name,
        "target": target,
        "activation": activation,
        "seed": seed,
        "asked": int(net.target_n_nonzero_),
        "kept": net.n_nonzero_,
        "penalized": sum(int(np.count_nonzero(c)) for c in net.penalized_coefs_),
        "residual": residual(net, X, y),
        "alpha": net.alpha_,
        "part": float(net.search_history_["seconds"][-1]) / seconds,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = net.set_params(alpha=net.alpha_).fit(X, y)
    return record | {"again": again.n_nonzero_}


_HEAD = """# The ℓ1 solution beside the network

A fit finds a network with exactly the weights that you asked for, and beside it tries
to solve the ℓ1 problem with so many weights (`penalized_coefs_`, `alpha_`). This page
says how near it comes. With a smooth activation, such as tanh, and about 50 weights
it often finds a solution, and then a refit with the same λ keeps the number of
weights. With ReLU or many weights it finds none. `kkt_residual_` tells which of the
two you have ([how to read it](theory.md#reading-the-certificate)).

A residual is the largest violation of the optimality conditions in units of λ, biases
included, computed by autograd in double precision: 0.001 is a solution, 1 is none.
The columns have a figure for each seed. *Part of the time* is what the ℓ1 solution
takes of a fit. *After the refit* are the weights that are left by a fit with
`alpha=alpha_` that goes on from the penalised solution. Search and solver are the
defaults, with 100 hidden units.

Made by `python -m benchmarks.l1_solutions --data DIR --json FILE --write
../docs/certificate.md`, in the folder `examples`."""


def page(records: list[dict]) -> str:
    """Return the page: what the figures are, a table and a summary per activation."""
    lines = [_HEAD]
    for activation in dict.fromkeys(r["activation"] for r in records):
        of_it = [r for r in records if r["activation"] == activation]
        some = [r for r in of_it if r["problem"] not in LARGE]
        large = [r for r in of_it if r["problem"] in LARGE]
        lines += ["", f"## {activation}", ""]
        if some:
            lines += [*_table(some), "", _summary(some)]
        if large:
            lines += ["", "With more than 10 000 rows:", "", *_table(large)]
    return "\n".join(lines) + "\n"


def _table(records: list[dict]) -> list[str]:
    lines = [
        "| problem | weights | of the ℓ1 solution | residual / λ | λ "
        "| part of the time | after the refit |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, asked in dict.fromkeys((r["problem"], r["asked"]) for r in records):
        cell = [r for r in records if (r["problem"], r["asked"]) == (name, asked)]
        columns = (
            ", ".join(str(r["penalized"]) for r in cell),
            ", ".join(f"{r['residual']:.1g}" for r in cell),
            ", ".join(f"{r['alpha']:.2g}" for r in cell),
            f"{np.mean([r['part'] for r in cell]):.0%}",
            ", ".join(str(r["again"]) for r in cell),
        )
        lines.append(f"| {name} | {asked} | {' | '.join(columns)} |")
    return lines


def _summary(records: list[dict]) -> str:
    found = [r["residual"] for r in records]
    near = sum(abs(r["penalized"] - r["asked"]) <= 0.01 * r["asked"] for r in records)
    same = sum(r["again"] == r["penalized"] for r in records)
    small = [r for r in records if r["residual"] <= 0.2]
    kept = sum(r["again"] == r["penalized"] for r in small)
    text = (
        f"The median residual is {np.median(found):.1g}, and nine of ten are at most "
        f"{np.quantile(found, 0.9):.1g}. The count is within 1 % of the target in "
        f"{near} of {len(found)} fits. The refit has the same count in {same}. The ℓ1 "
        f"solution takes {np.mean([r['part'] for r in records]):.0%} of the time on "
        "average."
    )
    if not small:
        return f"{text} No residual is at most .2."
    return (
        f"{text} Residuals of at most .2 are reached in {len(small)} fits, and "
        f"{kept} of these have the same count after the refit."
    )


def _cell(record: dict) -> tuple:
    return tuple(record[name] for name in ("problem", "target", "activation", "seed"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("."))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=PROBLEMS)
    parser.add_argument("--activations", nargs="*", default=tuple(ACTIVATIONS))
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--write", type=Path, default=None)
    options = parser.parse_args()
    records = []
    for activation in options.activations:
        for name in options.only:
            for target in TARGETS:
                for seed in range(options.seeds):
                    records.append(
                        run_cell(name, target, activation, seed, options.data)
                    )
    if options.json is not None:
        again = {_cell(record) for record in records}
        before = load_records(options.json)
        records = [r for r in before if _cell(r) not in again] + records
        save_records(records, options.json)
    text = page(records)
    if options.write is not None:
        options.write.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
