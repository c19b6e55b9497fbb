"""One network, fitted by several processes, each with samples of its own.

On one machine:

    torchrun --nproc-per-node=2 examples/distributed_fit.py

and on two, with four processes on each, the same command on both:

    torchrun --nnodes=2 --nproc-per-node=4 --rdzv-backend=c10d \
        --rdzv-endpoint=first-machine:29400 examples/distributed_fit.py --data rows.npy

``rows.npy`` is a table whose last column is the target. Each process maps it into
memory and reads no rows but its own. Without ``torchrun``, one process fits all of
them, to the same network but for rounding.
"""

from __future__ import annotations

import argparse
import os
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from torch import distributed

from sklearn_sparsenet import SparseNetRegressor
from sklearn_sparsenet.distributed import data_parallel


def make_table(n_samples: int = 2000) -> np.ndarray:
    """Return samples of a function of three of ten columns; it is the last one."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, 10))
    y = X[:, 0] * X[:, 1] + np.sin(X[:, 2]) + 0.1 * rng.normal(size=n_samples)
    return np.column_stack([X, y])


def main() -> None:
    """Fit, and let the first process tell of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="an .npy file; made up without one")
    parser.add_argument("--target-sparsity", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--save", type=Path, help="where the network is to be written")
    options = parser.parse_args()

    rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if size > 1:
        distributed.init_process_group("gloo")
    table = np.load(options.data, mmap_mode="r") if options.data else make_table()
    first, stop = (len(table) * number // size for number in (rank, rank + 1))
    mine = table[first:stop]

    net = SparseNetRegressor(
        (32,),
        target_sparsity=options.target_sparsity,
        max_iter=options.epochs,
        random_state=0,
    )
    with data_parallel(timeout=60) if size > 1 else nullcontext():
        net.fit(mine[:, :-1], mine[:, -1])
    if rank == 0:
        print(f"{size} processes: {net.n_nonzero_} weights, loss {net.loss_:.4g}")
        if options.save:
            net.save(options.save)
    if size > 1:
        distributed.destroy_process_group()


if __name__ == "__main__":
    main()
