"""Proximal gradient methods for any loop, our own loop, and the certified solver."""

from sklearn_sparsenet.solvers.active_set import (
    ActiveSetOptions,
    check_supported,
    solve_active_set,
)
from sklearn_sparsenet.solvers.continuation import Continuation
from sklearn_sparsenet.solvers.loop import go_on, solve
from sklearn_sparsenet.solvers.newton_steps import Count
from sklearn_sparsenet.solvers.noise import (
    distinct_samples,
    mean_square,
    unexplained_share,
)
from sklearn_sparsenet.solvers.optimizers import (
    OPTIMIZERS,
    ProximalAdam,
    ProximalSGD,
    growth_factor,
)
from sklearn_sparsenet.solvers.options import Schedule, SolverOptions
from sklearn_sparsenet.solvers.proximal_optimizer import ProximalOptimizer
from sklearn_sparsenet.solvers.pruning import Pruning
from sklearn_sparsenet.solvers.run import Keeper
from sklearn_sparsenet.solvers.settling import Settling
from sklearn_sparsenet.solvers.solution import Solution, Status
from sklearn_sparsenet.solvers.stepper import Moments
from sklearn_sparsenet.solvers.stopping import EarlyStopping, Validation

__all__ = [
    "OPTIMIZERS",
    "ActiveSetOptions",
    "Continuation",
    "Count",
    "EarlyStopping",
    "Keeper",
    "Moments",
    "ProximalAdam",
    "ProximalOptimizer",
    "ProximalSGD",
    "Pruning",
    "Schedule",
    "Settling",
    "Solution",
    "SolverOptions",
    "Status",
    "Validation",
    "check_supported",
    "distinct_samples",
    "go_on",
    "growth_factor",
    "mean_square",
    "solve",
    "solve_active_set",
    "unexplained_share",
]
