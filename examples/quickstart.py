"""Networks with as many weights as asked for, on two data sets of scikit-learn.

A classifier on handwritten digits and a regressor on the diabetes data, each with a
fraction of zeros, with a number of weights, and with a number for every layer.

Run with ``make demo``, or ``python examples/quickstart.py``.
"""

from __future__ import annotations

import time

import numpy as np
from sklearn.datasets import load_diabetes, load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor

HEADER = (
    f"{'target':>22} {'weights left':>13} {'per layer':>16} {'lambda':>24} "
    f"{'KKT':>6} {'test':>6} {'dense':>6} {'seconds':>8}"
)


def fit(estimator, data) -> tuple[float, float]:
    """Fit a pipeline with scaled inputs; return its test score and the seconds."""
    X_train, X_test, y_train, y_test = data
    pipeline = make_pipeline(StandardScaler(), estimator)
    started = time.perf_counter()
    pipeline.fit(X_train, y_train)
    return pipeline.score(X_test, y_test), time.perf_counter() - started


def line(target, estimator, score: float, dense: float, seconds: float) -> str:
    """Format what a user wants to know of a fitted network."""
    alphas = ", ".join(f"{alpha:.2g}" for alpha in np.atleast_1d(estimator.alpha_))
    layers = ", ".join(map(str, estimator.n_nonzero_per_layer_))
    return (
        f"{target!s:>22} {estimator.n_nonzero_:>13} {layers:>16} {alphas:>24} "
        f"{estimator.kkt_residual_:>6.2f} {score:>6.3f} {dense:>6.3f} {seconds:>8.1f}"
    )


def show(title: str, make, data, targets) -> None:
    """Fit one dense network, then one sparse network for each target."""
    print(f"\n{title}\n  the dense network ...", flush=True)
    dense, seconds = fit(make(alpha=0.0), data)
    print(f"  ... scores {dense:.3f} in {seconds:.1f} s", flush=True)
    lines = [HEADER]
    for target in targets:
        print(f"\n  target_sparsity={target!r}", flush=True)
        estimator = make(target_sparsity=target, verbose=1)
        score, seconds = fit(estimator, data)
        lines.append(line(target, estimator, score, dense, seconds))
    print("\n" + "\n".join(lines), flush=True)


def main() -> None:
    """Run both parts."""
    digits = train_test_split(*load_digits(return_X_y=True), random_state=0)
    show(
        "Digits, classifier 64-100-10 (7400 weights); test: accuracy",
        lambda **kw: SparseNetClassifier((100,), random_state=0, **kw),
        digits,
        [0.9, 500, [600, 300]],
    )
    diabetes = train_test_split(*load_diabetes(return_X_y=True), random_state=0)
    show(
        "Diabetes, regressor 10-50-20-1 (1520 weights); test: R²",
        lambda **kw: SparseNetRegressor((50, 20), random_state=0, **kw),
        diabetes,
        [0.95, 30, {"0.weight": 40, "*": 0.9}],
    )
    print(
        "\ntarget: a float is the fraction of zeros, an int the number of weights to "
        "keep,\na list or dict asks for them layer by layer. KKT: largest violation of "
        "the\noptimality conditions in units of lambda, before the refit (debias)."
    )


if __name__ == "__main__":
    main()
