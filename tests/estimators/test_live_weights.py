"""Exact counts, and all of them on paths, however a default fit comes to its end."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor


def most_live(sizes, target):
    """Return how many weights can lie on paths: by numbers of units, one by one."""
    totals = {u: {0} for u in range(1, sizes[0] + 1)}
    for width in sizes[1:]:
        totals = {
            v: {
                t + k
                for u, before in totals.items()
                for t in before
                for k in range(max(u, v), u * v + 1)
                if t + k <= target
            }
            for v in range(1, width + 1)
        }
    return max((max(found) for found in totals.values() if found), default=0)


def draw(seed):
    """Draw a fit of few steps, of all kinds."""
    rng = np.random.default_rng(seed)
    n, p = rng.integers(20, 50), rng.integers(1, 8)
    hidden = tuple(map(int, rng.integers(1, 8, rng.integers(0, 4))))
    X = rng.normal(size=(n, p)) * (rng.random(p) < 0.8)
    kind = (SparseNetRegressor, SparseNetClassifier)[rng.integers(2)]
    y = (
        X @ rng.normal(size=p)
        if kind is SparseNetRegressor
        else rng.integers(3, size=n)
    )
    y[:3] = 0, 1, 2
    sizes = [int(p), *hidden, 1 if kind is SparseNetRegressor else 3]
    n_weights = [a * b for a, b in pairwise(sizes)]
    if rng.random() < 0.6:
        low = min(len(n_weights) + rng.integers(8), sum(n_weights))
        target = int(rng.integers(low, max(low + 1, sum(n_weights) // 2)))
    else:
        units = [rng.integers(1, size + 1) for size in sizes]  # what a path may use
        pairs = list(pairwise(units))
        target = [int(rng.integers(max(u, v), u * v + 1)) for u, v in pairs]
    settings = {
        "max_iter": int(rng.choice([1, 2, 3, 8])),
        "early_stopping": bool(rng.random() < 0.4),
        "n_iter_no_change": 1,
        "debias": ["auto", False][rng.integers(2)],
        "penalty": str(rng.choice(["l1", "mcp", "l0"])),
        "penalize_bias": bool(rng.random() < 0.2),
        "batch_size": ["auto", 4][rng.integers(2)],
        "dtype": str(rng.choice(["float32", "float64"])),
    }
    net = kind(hidden, target_sparsity=target, random_state=seed, **settings)
    return net, csr_matrix(X) if rng.random() < 0.3 else X, y, sizes


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_no_weight_is_dead_where_the_target_allows_it(first, n_live):
    for seed in range(first, first + 20):
        net, X, y, sizes = draw(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net.fit(X, y)
        target = net.target_sparsity
        layers = [coef.T != 0 for coef in net.coefs_]
        counts = [int(layer.sum()) for layer in layers]
        possible = most_live(sizes, target) if isinstance(target, int) else sum(target)
        assert (counts if np.ndim(target) else sum(counts)) == target, seed
        assert n_live(layers) == net.n_live_ == possible, seed
