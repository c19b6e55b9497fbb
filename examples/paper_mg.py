"""Section 6.1 of the paper: regression on the Mg data, Algorithms 1 and 2.

The network 6-128-128-64-1 (25408 weights), the first 1000 rows for training and the
other 385 for testing, squared error on the unscaled target, full-batch proximal
gradient steps of 0.1 for 50000 epochs, and the target tested after every step ("in
flight"), as in the authors' code. Next to it the same targets with the library's
defaults for the solver and the search.

Usage::

    python examples/paper_mg.py --data mg.libsvm                 # about an hour
    python examples/paper_mg.py --data mg.libsvm --epochs 5000   # a few minutes
    python examples/paper_mg.py --data mg.libsvm --only ours     # under a minute

The data: LIBSVM's "mg" (Flake and Lawrence), features as they are; they are scaled to
[-1, 1] here. Counts, λ, and errors are printed as they are found; no file is written.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from sklearn.datasets import load_svmlight_file
from sklearn.metrics import mean_squared_error
from sklearn.preprocessing import MinMaxScaler

from sklearn_sparsenet import SparseNetRegressor
from sklearn_sparsenet.search import BracketSearch

HIDDEN = (128, 128, 64)
N_TRAIN = 1000
TARGETS = {
    "Algorithm 1": {"target_sparsity": 2000, "tol": 0.001},
    "Algorithm 2": {
        "target_sparsity": [650, 1200, 1000, 45],
        "tol": 0.05,
        "min_layers_on_target": 3,
    },
}
PAPER = {
    "solver": "sgd",
    "learning_rate": "constant",
    "learning_rate_init": 0.1,
    "alpha_bounds": (1e-7, 1e-3),
    "normalize_y": False,
    "debias": False,
    "kkt_tol": 0.0,
    "batch_size": N_TRAIN,
    "max_outer_iter": 40,
}
PAPER_SEARCH = BracketSearch(
    rule="median", stop="in_flight", restart="cold", midpoint="arithmetic"
)
OURS = {"max_outer_iter": 40}


def load(path: str):
    """Return training and test data in the authors' split, features in [-1, 1]."""
    X, y = load_svmlight_file(path)
    X = MinMaxScaler((-1, 1)).fit_transform(X.toarray()).astype(np.float32)
    return X[:N_TRAIN], X[N_TRAIN:], y[:N_TRAIN], y[N_TRAIN:]


def run(name: str, settings: dict, data, seed: int, verbose: int) -> None:
    """Fit once and print a row."""
    X_train, X_test, y_train, y_test = data
    network = SparseNetRegressor(
        HIDDEN, random_state=seed, verbose=verbose, **TARGETS[name], **settings
    )
    started = time.process_time()
    network.fit(X_train, y_train)
    seconds = time.process_time() - started
    errors = [
        mean_squared_error(y, network.predict(X))
        for X, y in ((X_train, y_train), (X_test, y_test))
    ]
    alphas = ", ".join(f"{alpha:.3g}" for alpha in np.atleast_1d(network.alpha_))
    print(
        f"{seed:>4} {network.n_outer_iter_:>7} {network.n_iter_:>8} "
        f"{network.n_nonzero_:>6} {network.n_nonzero_per_layer_!s:>24} "
        f"{'yes' if network.converged_ else 'no':>4} "
        f"{network.kkt_residual_:>8.1f} {errors[0]:>8.5f} {errors[1]:>8.5f} "
        f"{seconds:>8.1f}  {alphas}",
        flush=True,
    )


def main() -> None:
    """Parse the command line and run both algorithms."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="mg in LIBSVM format")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=50_000)
    parser.add_argument("--only", choices=["paper", "ours"])
    parser.add_argument("--verbose", type=int, default=0)
    arguments = parser.parse_args()
    data = load(arguments.data)
    paper = {**PAPER, "search": PAPER_SEARCH, "max_iter": arguments.epochs}
    for title, settings in (("paper", paper), ("ours", OURS)):
        if arguments.only not in (None, title):
            continue
        for name, target in TARGETS.items():
            print(f"\n{name}, {title}: {target}")
            print(
                f"{'seed':>4} {'solves':>7} {'epochs':>8} {'count':>6} "
                f"{'per layer':>24} {'met':>4} {'KKT/λ':>8} {'TrMSE':>8} "
                f"{'TeMSE':>8} {'seconds':>8}  λ"
            )
            for seed in range(arguments.seeds):
                run(name, settings, data, seed, arguments.verbose)


if __name__ == "__main__":
    main()
