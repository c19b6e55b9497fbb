"""Write the tables and figures of docs/paper.md from the JSON files.

In the folder `examples`::

    python -m paper.report --mg build/paper_mg.json --mnist build/paper_mnist.json \\
        --write ../docs/paper.md --figures ../docs
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cached_runs import Record, load_records
from generated_page import replace_part, table

from paper import mg, mnist

Group = list[Record]  # the seeds of one run

PAPER = "in_flight, cold"
NAMES = {PAPER: "the paper", "one_pass": "one pass", "l2": "squared ℓ2"}
COLUMNS = [
    "search", "target", "epochs a solve", "seeds", "met", "train", "test", "SL",
    "ratio", "NUM", "λ*", "epochs in all", "seconds", "residual / λ",
]  # fmt: skip


def groups(
    records: Iterable[Record], keep: Callable[[Record], bool]
) -> dict[tuple, Group]:
    """Return the records that are kept, the seeds of a run together."""
    found: dict[tuple, Group] = {}
    for record in filter(keep, records):
        key = (record["method"], repr(record["target"]), record["epochs"])
        found.setdefault(key, []).append(record)
    return found


def spread(values: Iterable[float], digits: str) -> str:
    """Return the median and, of several values, the range."""
    listed = sorted(values)
    middle = format(float(np.median(listed)), digits)
    if len(listed) == 1 or listed[0] == listed[-1]:
        return middle
    return f"{middle} ({listed[0]:{digits}} – {listed[-1]:{digits}})"


def each(values: Iterable[Any]) -> str:
    """Return a value for each seed, once if all are the same."""
    listed = list(dict.fromkeys(map(str, values)))
    return "; ".join(listed)


def alphas(record: Record) -> str:
    """Return λ of the network, or of each layer."""
    return ", ".join(f"{value:.2e}" for value in np.atleast_1d(record["alpha"]))


def counts(record: Record) -> str:
    """Return the counts that the target is about."""
    if isinstance(record["target"], list):
        return ", ".join(map(str, record["n_nonzero_per_layer"]))
    return str(record["n_nonzero"])


def ratio(record: Record) -> float:
    """Return the share of weights that is left, in percent."""
    return 100 * record["n_nonzero"] / record["n_weights"]


def row(group: Group, score: str) -> list[Any]:
    """Return the row of a run; `score` is the format of errors or accuracies."""
    first = group[0]
    target = first["target"]
    named = ", ".join(map(str, target)) if isinstance(target, list) else f"{target:g}"
    return [
        NAMES.get(first["method"], first["method"]),
        named,
        first["epochs"],
        len(group),
        f"{sum(bool(record['met']) for record in group)}/{len(group)}",
        spread((record["train"] for record in group), score),
        spread((record["test"] for record in group), score),
        each(counts(record) for record in group),
        f"{np.median([ratio(record) for record in group]):.2f} %",
        each(record["solves"] for record in group),
        each(alphas(record) for record in group),
        spread((record["epochs_in_all"] for record in group), ".0f"),
        spread((record["seconds"] for record in group), ".0f"),
        spread((record["kkt_residual"] for record in group), ".2g"),
    ]


def dense(records: list[Record], score: str) -> str:
    """Return Table 1 or 5: a column for each λ of the squared-ℓ2 model."""
    found = sorted(
        groups(records, lambda r: r["method"] == "l2").values(),
        key=lambda group: (group[0]["epochs"], group[0]["target"]),
    )
    if not found:
        return "Not run."
    header = ["λ", *(f"{group[0]['target']:g}" for group in found)]
    lines = [
        ["epochs", *(group[0]["epochs"] for group in found)],
        ["seeds", *(len(group) for group in found)],
        ["train", *(spread((r["train"] for r in g), score) for g in found)],
        ["test", *(spread((r["test"] for r in g), score) for g in found)],
        ["ratio", *(f"{ratio(g[0]):g} %" for g in found)],
        ["seconds", *(spread((r["seconds"] for r in g), ".0f") for g in found)],
    ]
    return table(header, lines)


def sparse(records: list[Record], targets: Iterable[Any], score: str) -> str:
    """Return Tables 2, 3, 6 or 7, both searches."""
    wanted = [list(t) if isinstance(t, tuple) else t for t in targets]
    rows = []
    for target in wanted:
        for method in (PAPER, "one_pass"):
            found = groups(
                records,
                lambda r, t=target, m=method: r["target"] == t and r["method"] == m,
            )
            rows += [row(group, score) for group in found.values()]
    return table(COLUMNS, rows) if rows else "Not run."


def readings(records: list[Record]) -> str:
    """Return what each reading of the paper's algorithm costs and gives on Mg."""
    few = mg.QUICK_EPOCHS
    target = mg.TARGETS[0]
    found = groups(
        records,
        lambda r: (
            r["method"] not in ("l2", "one_pass")
            and r["target"] == target
            and r["epochs"] == few
        ),
    )
    rows = [[g[0]["method"], *row(g, ".5f")[1:]] for g in found.values()]
    return table(COLUMNS, rows) if rows else "Not run."


def best_dense(records: list[Record]) -> list[float]:
    """Return the test figures of the best λ of the longest squared-ℓ2 runs."""
    found = groups(records, lambda r: r["method"] == "l2")
    if not found:
        return []
    longest = max(epochs for _, _, epochs in found)
    runs = [[r["test"] for r in g] for k, g in found.items() if k[2] == longest]
    is_error = np.median(runs[0]) < 0.5
    return (min if is_error else max)(runs, key=np.median)


def architecture() -> str:
    """Return Table 4, read off the module."""
    shapes, size = [], (1, 28, 28)
    module = mnist.build_cnn(1, 10)
    values = torch.zeros(1, *size)
    for layer in module:
        values = layer(values)
        weight = getattr(layer, "weight", None)
        shapes.append(
            [
                str(layer),
                " × ".join(map(str, values.shape[1:])),
                "" if weight is None else weight.numel(),
            ]
        )
    total = sum(p.numel() for p in module.parameters() if p.ndim > 1)
    return table(["layer", "output", "weights"], [*shapes, ["all", "", total]])


def build(mg_records: list[Record], mnist_records: list[Record]) -> str:
    """Return the generated part of the page."""
    mse, share = ".5f", ".4f"
    parts = {
        "Table 1: Mg, the dense references (55)": dense(mg_records, mse),
        "Table 2: Mg, one λ": sparse(mg_records, mg.TARGETS[:2], mse),
        "Table 3: Mg, one λ per layer": sparse(mg_records, mg.TARGETS[2:], mse),
        "What the readings of the stopping rule cost and give": readings(mg_records),
        "Table 4: the network for MNIST": architecture(),
        "Table 5: MNIST, the dense references (56)": dense(mnist_records, share),
        "Table 6: MNIST, one λ": sparse(
            mnist_records, (*mnist.TARGETS[:2], mnist.FEWEST), share
        ),
        "Table 7: MNIST, one λ per layer": sparse(
            mnist_records, mnist.TARGETS[2:], share
        ),
    }
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in parts.items())


def main() -> None:
    """Parse the command line, print or write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mg", type=Path, default=Path("build/paper_mg.json"))
    parser.add_argument("--mnist", type=Path, default=Path("build/paper_mnist.json"))
    parser.add_argument("--write", type=Path, help="page whose tables are replaced")
    parser.add_argument("--figures", type=Path, help="directory for the figures")
    arguments = parser.parse_args()
    mg_records, mnist_records = map(load_records, (arguments.mg, arguments.mnist))
    text = build(mg_records, mnist_records)
    if arguments.write:
        replace_part(arguments.write, "paper", text)
    else:
        print(text)
    if arguments.figures:
        from paper.figures import draw_all

        draw_all(mg_records, mnist_records, arguments.figures)


if __name__ == "__main__":
    main()
