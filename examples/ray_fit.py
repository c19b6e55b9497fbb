"""One network, fitted by the workers of Ray Train, each with samples of its own.

On this machine, or on the cluster that Ray is connected to:

    python examples/ray_fit.py --workers 2 --data rows.npy

``rows.npy`` is a table whose last column is the target, where all workers can read it.
Ray's TorchTrainer has made a process group before it calls `fit_share`, so that
`data_parallel` is all that is needed there.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from distributed_fit import make_table
from ray import train
from ray.train.torch import TorchTrainer

from sklearn_sparsenet import SparseNetRegressor, load
from sklearn_sparsenet.distributed import data_parallel


def fit_share(config: dict) -> None:
    """Fit, in a worker, to its part of the rows; the first one keeps the network."""
    context = train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    table = np.load(config["data"], mmap_mode="r")
    first, stop = (len(table) * number // size for number in (rank, rank + 1))
    net = SparseNetRegressor(
        (32,), target_sparsity=60, max_iter=config["epochs"], random_state=0
    )
    with data_parallel(timeout=60):
        net.fit(table[first:stop, :-1], table[first:stop, -1])
    with tempfile.TemporaryDirectory() as folder:
        if rank == 0:
            net.save(Path(folder) / "net.safetensors")
        kept = train.Checkpoint(folder) if rank == 0 else None
        train.report({"loss": float(net.loss_)}, checkpoint=kept)


def main() -> None:
    """Fit, and tell of the network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="an .npy file; made up without one")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--save", type=Path, help="where the network is to be written")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        data = options.data or Path(folder) / "rows.npy"
        if options.data is None:
            np.save(data, make_table())
        trainer = TorchTrainer(
            fit_share,
            train_loop_config={"data": str(data.resolve()), "epochs": options.epochs},
            scaling_config=train.ScalingConfig(num_workers=options.workers),
            run_config=train.RunConfig(storage_path=folder),
        )
        result = trainer.fit()
        with result.checkpoint.as_directory() as kept:
            net = load(Path(kept) / "net.safetensors")
    print(f"{options.workers} workers: {net.n_nonzero_} weights")
    if options.save:
        net.save(options.save)


if __name__ == "__main__":
    main()
