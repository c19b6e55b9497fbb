"""The small tables of the README and of the page that compares, from the measurements.

Usage, in the folder `examples`, after a benchmark has written its page or its JSON::

    python overview_tables.py
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import mean, median

import numpy as np
from generated_page import replace_part, table

__all__ = ["PARTS", "main"]

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
Record = dict

# How methods are called there, and what they are.
TABLE_METHODS = {
    "linear": "ridge or logistic regression, cross-validated",
    "mlp": "scikit-learn's MLP",
    "forest": "random forest",
    "boosting": "histogram boosting",
    "default": "**ours**, defaults",
    "cv": "**ours**, number of weights by cross-validation",
}
PROBLEMS = {
    "digits": "digits",
    "mg": "Mg",
    "california": "California housing",
    "madelon": "madelon",
    "pumadyn": "pumadyn32nm",
}
SUPPORT_METHODS = {
    "l1": "ours",
    "gmp_tuned": "pruning",
    "granet": "GraNet",
    "acdc": "AC/DC",
    "factors_2_mild": "factorised",
}
INPUT_METHODS = {
    "ours": "ours",
    "lassonet": "LassoNet",
    "gates": "stochastic gates",
    "trees": "elimination by trees",
    "l1": "ℓ1, linear",
}
INPUT_CELLS = [("madelon", 5), ("madelon", 20), ("digits", 10), ("pumadyn", 4)]


def read(name: str) -> list[Record]:
    """Return the records of a benchmark."""
    return json.loads((DOCS / f"{name}.json").read_text())


def chosen(records: Iterable[Record], **wanted: object) -> list[Record]:
    """Return the records that have these values."""
    return [r for r in records if all(r[key] == wanted[key] for key in wanted)]


def small_tables() -> str:
    """Return errors over the small tables, geometric means, and median seconds."""
    records = read("small_tables")
    kinds = {True: "log loss", False: "1 − R²"}
    header, rows = ["model"], [[name] for name in TABLE_METHODS.values()]
    for classes, what in kinds.items():
        of_kind = chosen(records, classes=classes)
        names = sorted({record["table"] for record in of_kind})
        header.append(f"{what}, {len(names)} tables")
        for method, row in zip(TABLE_METHODS, rows, strict=True):
            errors = [
                mean(r["error"] for r in chosen(of_kind, table=name, method=method))
                for name in names
            ]
            row.append(f"{np.exp(np.mean(np.log(errors))):.3f}")
    for method, row in zip(TABLE_METHODS, rows, strict=True):
        seconds = median(r["seconds"] for r in chosen(records, method=method))
        row.append(f"{seconds:.1f}")
    return table([*header, "seconds of a fit"], rows)


def _cells(methods: Iterable[str]) -> Iterable[tuple[str, dict[str, list[Record]]]]:
    """Yield the problems with 1 % of the weights left after 1000 steps."""
    records = chosen(read("supports"), density=0.01, steps=1000)
    for problem, title in PROBLEMS.items():
        of_problem = chosen(records, problem=problem)
        yield title, {m: chosen(of_problem, method=m) for m in methods}


def pruning() -> str:
    """Return errors at equal numbers of weights, and how many of these are live."""
    rows = []
    for title, found in _cells(["l1", "gmp_tuned"]):
        cells = []
        for records in found.values():
            live = median(r["n_live"] / r["n_nonzero"] for r in records)
            cells += [f"{median(r['error'] for r in records):.3f}", f"{live:.0%}"]
        rows.append([title, found["l1"][0]["target"], *cells])
    header = ["data", "weights", "ours", "on paths", "pruning", "on paths"]
    return table(header, rows)


def supports() -> str:
    """Return errors at equal numbers of weights, with the strongest methods."""
    rows = []
    for title, found in _cells(SUPPORT_METHODS):
        errors = [median(r["error"] for r in records) for records in found.values()]
        cells = [f"{error:.3f}" for error in errors]
        best = cells[int(np.argmin(errors))]
        rows.append([title, *(f"**{c}**" if c == best else c for c in cells)])
    return table(["data", *SUPPORT_METHODS.values()], rows)


def inputs() -> str:
    """Return what a support vector machine makes of k inputs that methods chose."""
    records, rows = read("inputs_k"), []
    for problem, k in INPUT_CELLS:
        row = [PROBLEMS[problem], k]
        for method in INPUT_METHODS:
            cells = [
                cell
                for record in chosen(records, problem=problem, method=method)
                for cell in chosen(record["cells"], k=k)
            ]
            error = median(cell["svm"] for cell in cells)
            seconds = median(cell["seconds"] for cell in cells)
            row.append(f"{error:.3f} ({seconds:.1f} s)")
        rows.append(row)
    return table(["data", "inputs", *INPUT_METHODS.values()], rows)


def cost() -> str:
    """Return the process time of fits over that of scikit-learn's MLP."""
    records, rows = chosen(read("costs"), rule="auto"), []
    for problem, title in PROBLEMS.items():
        found = chosen(records, problem=problem)
        ratios = [record["l1"] / record["sklearn"] for record in found]
        rows.append([title, found[0]["batch_size"], f"{median(ratios):.2f}"])
    return table(["data", "batch", "ours over scikit-learn's MLP"], rows)


def _table_of_page(page: str, first: str) -> list[dict[str, str]]:
    """Return the rows of the table of a page whose header has these columns."""
    lines = (DOCS / page).read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(first))
    cells = [line.strip("| ").split(" | ") for line in lines[start:]]
    end = next(i for i, line in enumerate(lines[start:]) if not line.startswith("|"))
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:end]]


def shipping() -> str:
    """Return files and predictions of MNIST's networks with 1 % of their weights."""
    timings = _table_of_page("shipping.md", "| network | left | rows |")
    rows = []
    for size in _table_of_page("shipping.md", "| network | left | accuracy |"):
        if size["left"] == "1 %":
            faster = [
                row["× the fastest dense"]
                for row in timings
                if row["left"] == "1 %" and row["network"] == size["network"]
            ]
            file = f"{size['save, KB']} KB, 1/{size['dense / save']}"
            times = [f"{ratio} × as fast" for ratio in faster]
            accuracy = f"{float(size['accuracy']):.1%}"
            rows.append([size["network"], accuracy, file, times[0], times[-1]])
    header = ["network", "accuracy", "file", "predicts a row", "10 000 rows"]
    return table(header, rows)


def linear() -> str:
    """Return errors of models without a hidden layer."""
    found = _table_of_page("benchmarks.md", "| cell | l1 | mcp | l0 | lars |")
    names = {"l1": "ours", "lars": "lars", "lars_refit": "lars, refitted"}
    names |= {"lasso": "lasso or ℓ1 logistic", "abess": "abess"}
    titles = {
        "lin_incoherent": "made, columns independent",
        "lin_correlated": "made, columns correlated",
        "lin_diabetes": "diabetes",
        "lin_cancer": "breast cancer",
    }
    rows = [
        [titles[row["cell"].split()[0]], *(row[name] for name in names)]
        for row in found
        if row["cell"].endswith(" 1000")
    ]
    return table(["data", *names.values()], rows)


Maker = Callable[[], str]
# Page, name of the part, and what writes it.
PARTS: list[tuple[Path, str, Maker]] = [
    (ROOT / "README.md", "small tables", small_tables),
    (ROOT / "README.md", "pruning", pruning),
    (ROOT / "README.md", "shipping", shipping),
    (DOCS / "comparison.md", "small tables", small_tables),
    (DOCS / "comparison.md", "supports", supports),
    (DOCS / "comparison.md", "inputs", inputs),
    (DOCS / "comparison.md", "cost", cost),
    (DOCS / "comparison.md", "linear", linear),
]


def main() -> None:
    """Write them."""
    for page, name, make in PARTS:
        replace_part(page, name, make())


if __name__ == "__main__":
    main()
