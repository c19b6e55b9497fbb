"""Write the tables of docs/benchmarks.md from the JSON files.

Usage, in the folder `examples`::

    python -m benchmarks.report --results results.json --costs costs.json \\
        --certificates lbfgs.json adam.json --mg mg.json --write ../docs/benchmarks.md

The text between the markers of the page is replaced; what falls short says so.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from cached_runs import Record, load_records
from generated_page import replace_part, table

from benchmarks.certificate import LARGE, accuracy_table, cells_table
from benchmarks.comparisons import Comparison, Results, is_exact
from benchmarks.methods import METHODS

OURS = ("l1", "mcp", "l0", "l1_bracket")
RIVALS = ("lars", "lars_refit", "lasso", "abess")
WORSE = "worse than the spread"
PRUNING = ["ours", "other", "cells", "lower", WORSE, "ratio at ≤ 2 %", "bar"]
OTHERS = ["other", "cells", "lower", "ratio", "exact count", WORSE, "bar"]
COUNT = ["method", "target", "fits", "exact", "warned", "silent", "bar"]
LIVE = ["cell", *OURS[:3], "gmp", "bar"]
LINEAR = ["cell", *OURS[:3], *RIVALS, "bar"]
COST = ["problem", "batch", "seconds", "against", "ratio", "at most", "bar"]


def verdict(met: bool, is_known: bool = True) -> str:
    """Return the word for a bar that is met or not, or cannot be judged."""
    if not is_known:
        return "–"
    return "met" if met else "**not met**"


def name(cell) -> str:
    """Return the name of a cell."""
    return f"{cell.problem} {100 * cell.density:.3g} % {cell.steps}"


def listed(names: list[str]) -> str:
    """Return how many there are, and which."""
    return f"{len(names)}: {', '.join(names)}" if names else "0"


def geometric_mean(comparisons: list[Comparison]) -> float:
    """Return that of the error ratios; NaN without any."""
    if not comparisons:
        return float("nan")
    return float(np.exp(np.mean([np.log(c.ratio) for c in comparisons])))


def against_pruning(results: Results) -> list[list[Any]]:
    """Return the bar against gradual pruning, a row for each of our methods."""
    rows = []
    for ours in OURS:
        for other in ("gmp", "gmp_steady", "gmp_tuned"):
            found = results.compare_all(ours, other)
            if not found:
                continue
            lower = np.mean([c.is_lower for c in found])
            worse = [name(c.cell) for c in found if c.is_worse]
            ratio = geometric_mean([c for c in found if c.cell.density <= 0.02])
            met = lower >= 0.7 and not worse and ratio <= 0.85
            rows.append(
                [
                    ours,
                    other,
                    len(found),
                    f"{lower:.0%}",
                    listed(worse),
                    f"{ratio:.2f}",
                    verdict(met),
                ]
            )
    return rows


def against_others(results: Results) -> list[list[Any]]:
    """Return the default against every other method with a count."""
    rows = []
    for other, method in METHODS.items():
        if other == "l1" or not method.has_count or "network" not in method.kinds:
            continue
        found = results.compare_all("l1", other)
        if not found:
            continue
        worse = [name(c.cell) for c in found if c.is_worse]
        exact = np.mean(
            [is_exact(r) for c in found for r in results.runs(c.cell, other).values()]
        )
        rows.append(
            [
                other,
                len(found),
                f"{np.mean([c.is_lower for c in found]):.0%}",
                f"{geometric_mean(found):.2f}",
                f"{exact:.0%}",
                listed(worse),
                verdict(not worse),
            ]
        )
    return rows


def linear(results: Results) -> list[list[Any]]:
    """Return the errors without a hidden layer, and the bar of 5 %."""
    rows = []
    for cell in results.cells("linear"):
        shown = {m: results.column(cell, m, "error") for m in (*OURS[:3], *RIVALS)}
        medians = {m: float(np.median(e)) for m, e in shown.items() if len(e)}
        best = min((medians[m] for m in RIVALS if m in medians), default=np.nan)
        met = medians.get("l1", np.inf) <= 1.05 * best
        judged = verdict(met, "l1" in medians and not np.isnan(best))
        rows.append([name(cell), *(_shown(medians.get(m)) for m in shown), judged])
    return rows


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def counts(records: list[Record]) -> list[list[Any]]:
    """Return how often the count was exact, or a warning told the reason."""
    rows = []
    for method in OURS[:3]:
        for per_layer in (False, True):
            runs = [
                r
                for r in records
                if r["method"] == method and r["per_layer"] == per_layer
            ]
            if not runs:
                continue
            missed = [r for r in runs if not is_exact(r)]
            silent = sum(not r["warning"] for r in missed)
            met = not silent and len(missed) <= 0.01 * len(runs)
            rows.append(
                [
                    method,
                    "per layer" if per_layer else "single",
                    len(runs),
                    len(runs) - len(missed),
                    len(missed) - silent,
                    silent,
                    verdict(met),
                ]
            )
    return rows


def live(results: Results) -> list[list[Any]]:
    """Return the shares of live weights at 1 % and below, pruning's beside it."""
    rows = []
    for cell in results.cells():
        if cell.density > 0.01:
            continue
        shares = [results.live_share(cell, method) for method in (*OURS[:3], "gmp")]
        shown = ["–" if np.isnan(share) else f"{share:.1%}" for share in shares]
        rows.append(
            [name(cell), *shown, verdict(shares[0] >= 0.99, not np.isnan(shares[0]))]
        )
    return rows


def errors(results: Results, problem: str) -> str:
    """Return the table of one problem: median error ± half the spread, live share."""
    cells = [cell for cell in results.cells() if cell.problem == problem]
    methods = [
        m for m in METHODS if any(len(results.column(c, m, "error")) for c in cells)
    ]
    rows = []
    for cell in cells:
        row = [str(cell.steps), f"{100 * cell.density:.3g} %"]
        for method in methods:
            found = results.column(cell, method, "error")
            if not len(found):
                row.append("–")
                continue
            low, median, high = np.quantile(found, [0.25, 0.5, 0.75])
            share = results.live_share(cell, method)
            row.append(f"{median:.4f} ± {(high - low) / 2:.4f}, {share:.0%}")
        rows.append(row)
    return table(["steps", "left", *methods], rows)


def costs(records: list[Record]) -> list[list[Any]]:
    """Return the median ratios of process times, over the seeds."""
    groups: dict[tuple, list[Record]] = {}
    for record in records:
        key = (record["problem"], record["rule"], record.get("batch_size", 0))
        groups.setdefault(key, []).append(record)
    rows = []
    bars = {"dense": 1.3, "sklearn": 1.0, "bracket": 0.05, "paper": 0.05}
    for (problem, rule, batch_size), group in groups.items():
        for other, bar in bars.items():
            if other not in group[0]:
                continue
            ratio = float(np.median([r["l1"] / r[other] for r in group]))
            seconds = float(np.median([r["l1"] for r in group]))
            # The bar against scikit-learn is for its default batch size.
            judged = verdict(ratio <= bar, other != "sklearn" or batch_size == 200)
            batch = f"{batch_size} ({rule})" if batch_size else "all rows"
            rows.append(
                [
                    problem,
                    batch,
                    f"{seconds:.2f}",
                    other,
                    f"{ratio:.2f}",
                    f"{bar:g}",
                    judged,
                ]
            )
    return rows


def certificates(records: list[Record], accuracies: list[Record]) -> dict[str, str]:
    """Return the tables of the fits with a certificate, and what they are called."""
    titles = {
        ("lbfgs", False): "Certificates, solver lbfgs",
        ("lbfgs", True): "Certificates, networks that the samples cannot fill",
        ("adam", False): "Residual of the default, solver adam (the count is exact)",
    }
    groups = {
        title: [r for r in records if (r["solver"], r["problem"] in LARGE) == kind]
        for kind, title in titles.items()
    }
    parts = {title: cells_table(rows) for title, rows in groups.items() if rows}
    if accuracies:
        parts["Mg, authors' split"] = accuracy_table(accuracies)
    return parts


def build(
    records: list[Record],
    cost_records: list[Record],
    certificate_records: list[Record],
    accuracies: list[Record],
) -> str:
    """Return the generated part of the page."""
    results = Results(records)
    parts = {
        "Against gradual magnitude pruning": table(PRUNING, against_pruning(results)),
        "The default against every other method": table(
            OTHERS, against_others(results)
        ),
        "Count": table(COUNT, counts(records)),
        "Live weights": table(LIVE, live(results)),
        "Without a hidden layer": table(LINEAR, linear(results)),
        "Cost": table(COST, costs(cost_records)),
        **certificates(certificate_records, accuracies),
    }
    for problem in dict.fromkeys(cell.problem for cell in results.cells()):
        parts[f"Test error and live share: {problem}"] = errors(results, problem)
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in parts.items())


def main() -> None:
    """Parse the command line, print or write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("results.json"))
    parser.add_argument("--costs", type=Path, default=Path("costs.json"))
    parser.add_argument("--certificates", type=Path, nargs="+", default=[])
    parser.add_argument("--mg", type=Path, default=Path("mg.json"))
    parser.add_argument("--write", type=Path, help="page whose tables are replaced")
    arguments = parser.parse_args()
    text = build(
        load_records(arguments.results),
        load_records(arguments.costs),
        [r for file in arguments.certificates for r in load_records(file)],
        load_records(arguments.mg),
    )
    if not arguments.write:
        print(text)
        return
    replace_part(arguments.write, "benchmarks", text)


if __name__ == "__main__":
    main()
