"""Proximal gradient methods: optimisers for any loop, and the loop of the library."""

from sklearn_sparsenet.solvers.loop import (
    Schedule,
    Solution,
    SolverOptions,
    Status,
    solve,
)
from sklearn_sparsenet.solvers.optimizers import (
    OPTIMIZERS,
    ProximalAdam,
    ProximalOptimizer,
    ProximalSGD,
)
from sklearn_sparsenet.solvers.stopping import EarlyStopping, Validation

__all__ = [
    "OPTIMIZERS",
    "EarlyStopping",
    "ProximalAdam",
    "ProximalOptimizer",
    "ProximalSGD",
    "Schedule",
    "Solution",
    "SolverOptions",
    "Status",
    "Validation",
    "solve",
]
