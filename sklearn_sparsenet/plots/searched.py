"""Scores over targets, read from scikit-learn's searches over parameters."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from sklearn_sparsenet.plots.fitted import open_up
from sklearn_sparsenet.search.targets import n_nonzero_of
from sklearn_sparsenet.utils.arguments import as_number

__all__ = ["SearchedTargets"]

# What a curve can be drawn over, and the parameter that asks for so many.
_TARGETS = {
    "weights": "target_sparsity",
    "inputs": "target_inputs",
    "units": "target_units",
}


@dataclass(frozen=True)
class SearchedTargets:
    """A target that a search has searched over, with other parameters or alone.

    Attributes
    ----------
    search : estimator
        A fitted search of scikit-learn.
    over : {"weights", "inputs", "units"}
    parameter : str
        The target, as the search calls it.
    """

    search: Any
    over: str
    parameter: str

    @classmethod
    def of(cls, estimator: Any, over: str | None) -> SearchedTargets | None:
        """Return one, None for what is no fitted search over a target."""
        results = getattr(estimator, "cv_results_", {})
        searched = {name for params in results.get("params", ()) for name in params}
        found = {
            what: name
            for what, target in _TARGETS.items()
            for name in sorted(searched)
            if name.split("__")[-1] == target
        }
        if not found:
            return None
        if over is not None and over not in found:
            raise ValueError(
                f"over={over!r}: the search is one over {', '.join(sorted(searched))}, "
                f"which can be drawn over {' or '.join(map(repr, found))}."
            )
        over = over or next(iter(found))
        return cls(estimator, over, found[over])

    def data(self) -> dict[str, Any]:
        """Return what a `SparsityCurveDisplay` is made of.

        Of several candidates for a target that with the best mean score.
        """
        candidates, scores, remarks = self._candidates()
        counts = np.array([self._count(entry) for entry in candidates])
        best = {}
        for row in np.argsort(scores.mean(axis=1), kind="stable"):
            best[counts[row]] = row  # of equal counts the best is the last
        rows = [best[count] for count in sorted(best, reverse=True)]
        chosen = getattr(self.search, "best_params_", None)
        kept = None if chosen is None else self._count(chosen)
        return {
            "n_nonzeros": counts[rows],
            "test_scores": scores[rows],
            "chosen": rows.index(best[kept]) if kept in best else None,
            "score_name": self._score_name(),
            "counted": f"{self.over} asked for",
            "remark": ", ".join(remarks) or None,
        }

    def _candidates(self) -> tuple[list[dict], np.ndarray, list[str]]:
        """Return parameters, scores (n_candidates, n_folds), and words on them."""
        search, results = self.search, self.search.cv_results_
        n_splits = search.n_splits_
        name = search.refit if search.multimetric_ else "score"
        if not isinstance(name, str):
            raise ValueError(
                "the search has several scores: refit= must name the one to draw."
            )
        by_fold = [results[f"split{k}_test_{name}"] for k in range(n_splits)]
        scores, params = np.stack(by_fold, axis=1), results["params"]
        usable = np.isfinite(scores).all(axis=1)
        if not usable.any():
            raise ValueError("the search has no candidate with a score in each fold.")
        others = sorted({key for each in params for key in each} - {self.parameter})
        step = self.parameter.removesuffix(_TARGETS[self.over])
        names = ", ".join(name.removeprefix(step) for name in others)
        remarks = [f"best over {names}"] if others else []
        if "iter" in results:  # of successive halving: each with rows of its own
            last = self._last_comparison(params, np.asarray(results["iter"]), usable)
            usable &= results["iter"] == last
            n_rows = results["n_resources"][usable][0]
            remarks.append(f"iteration {last} with {search.resource} = {n_rows}")
        rows = np.flatnonzero(usable)
        return [params[row] for row in rows], scores[rows], remarks

    def _last_comparison(
        self, params: list[dict], numbers: np.ndarray, usable: np.ndarray
    ) -> int:
        """Return the last iteration that compares several targets, or the last one."""
        for number in sorted(set(numbers[usable]), reverse=True):
            there = np.flatnonzero(usable & (numbers == number))
            if len({self._count(params[row]) for row in there}) > 1:
                return int(number)
        return int(numbers[usable].max())

    def _count(self, params: dict[str, Any]) -> int:
        """Return how many weights, inputs or units a candidate asks for."""
        default = self.search.estimator.get_params().get(self.parameter)
        entry = params.get(self.parameter, default)
        number = as_number(entry)
        if isinstance(number, Integral):
            return int(number)
        if number is None or not hasattr(self.search, "best_estimator_"):
            raise ValueError(
                f"{self.parameter}={entry!r} cannot be drawn: a curve needs a number "
                "for each candidate, and for fractions a search with refit=True."
            )
        if self.over == "units" or self._sizes_differ():
            raise ValueError(
                f"{self.parameter}={entry!r} is a fraction, of sizes that cannot be "
                "told: search over numbers (int)."
            )
        net, _ = open_up(self.search)
        weights = sum(net.sparsity_report()["n_weights"])
        size = weights if self.over == "weights" else net.n_features_in_
        return n_nonzero_of(number, size, "the network")

    def _sizes_differ(self) -> bool:
        """Tell whether candidates may differ in what the target is a fraction of."""
        names = {key for params in self.search.cv_results_["params"] for key in params}
        fixed = {"hidden_layer_sizes", "module", "input_groups"}
        net, _ = open_up(self.search)
        is_grouped = self.over == "inputs" and net.input_groups is not None
        return is_grouped or any(name.split("__")[-1] in fixed for name in names)

    def _score_name(self) -> str:
        search = self.search
        if search.multimetric_:
            return str(search.refit)
        if search.scoring is None:
            return "accuracy" if is_classifier(search) else "R²"
        return search.scoring if isinstance(search.scoring, str) else "score"
