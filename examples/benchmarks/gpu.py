"""All measurements that need a GPU, in less than ten minutes: `make bench-gpu`.

Where no GPU is at hand it says so, and ends without an error. In the folder
`examples`::

    python -m benchmarks.gpu --data ../../shared/data/mnist --out ../build/gpu.json
    python -m benchmarks.gpu --device cpu        # tiny sizes: does the command run?

Without `--data` the images are drawn: the seconds are those of MNIST, the accuracies
say nothing. What a measurement raises is its result; the others go on.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from generated_page import table
from paper import mnist, speed
from paper.experiment import Run
from sklearn.exceptions import ConvergenceWarning

from sklearn_sparsenet import SparseNetClassifier
from sklearn_sparsenet.losses import LOSSES
from sklearn_sparsenet.networks.network import Network, build_mlp, find_layers
from sklearn_sparsenet.solvers import SolverOptions
from sklearn_sparsenet.solvers.dataset import make_dataset
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.solvers.pruning import Pruning
from sklearn_sparsenet.solvers.stepper import Stepper

Result = dict[str, Any]
MOST_SECONDS = 540  # after which no measurement begins
ALPHA = 1e-5
WIDTHS = {"MLP 784-300-100": (300, 100), "MLP 784-1024-1024": (1024, 1024)}
BATCH = 256


@dataclass(frozen=True)
class Setting:
    """Where and with what is measured."""

    device: str
    data: tuple[np.ndarray, ...]  # images and labels, to train with and to test with
    epochs: int  # of a fit
    steps: int  # of a training loop that is timed

    @classmethod
    def of(cls, device: str, directory: Path | None) -> Setting:
        """Return the full sizes, or tiny ones for the CPU."""
        if device == "cpu":
            return cls(device, drawn(300, 100), epochs=4, steps=3)
        data = drawn(60_000, 10_000) if directory is None else mnist.load(directory)
        return cls(device, data, mnist.ONE_PASS_EPOCHS, steps=300)

    def wait(self) -> None:
        """Wait until the device has done what it was told."""
        if self.device != "cpu":
            torch.cuda.synchronize()

    def seconds(self, work: Callable[[], Any]) -> float:
        """Return how long some work takes, its end on the device included."""
        self.wait()
        started = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - started


def drawn(n_train: int, n_test: int) -> tuple[np.ndarray, ...]:
    """Return images like those of MNIST in type and shape, and labels."""
    rng = np.random.default_rng(0)
    sizes = (n_train, n_test)
    images = [rng.integers(0, 256, (n, 1, 28, 28), dtype=np.uint8) for n in sizes]
    return *images, *(rng.integers(0, 10, n, dtype=np.uint8) for n in sizes)


def paper_search(setting: Setting) -> Result:
    """The one-pass search for 50000 of the 687392 weights of the paper's network."""
    X, X_test, y, y_test = setting.data
    estimator = mnist.make_estimator(
        Run("one_pass", mnist.TARGETS[0], setting.epochs, 0), setting.device
    )
    seconds = setting.seconds(lambda: estimator.fit(X, y))
    return {
        "seconds": seconds,
        "epochs": setting.epochs,
        "weights": estimator.n_nonzero_,
        "accuracy": estimator.score(X_test, y_test),
    }


def authors_loop(setting: Setting) -> Result:
    """One epoch of the authors' eager loop on the same images."""
    X, _, y, _ = setting.data
    return {"seconds": speed.authors_epoch(X, y, setting.device), "epochs": 1}


def fits_of_perceptrons(setting: Setting) -> Result:
    """Seconds of a whole fit of perceptrons, a tenth of their weights left."""
    X, _, y, _ = setting.data
    X = (X.reshape(len(X), -1) / 255).astype(np.float32)
    found = {}
    for name, hidden in WIDTHS.items():
        estimator = SparseNetClassifier(
            hidden, max_iter=setting.epochs, device=setting.device, random_state=0
        )
        found[name] = setting.seconds(lambda e=estimator: e.fit(X, y))
    return found


def steps(setting: Setting) -> Result:
    """Microseconds of a proximal Adam step, as the library takes it."""
    found = {}
    for name, module in _modules().items():
        found[name] = _microseconds(_step(module, setting), setting)
    return found


def steps_as_graphs(setting: Setting) -> Result:
    """Microseconds of the same steps as CUDA graphs, which the library does not use.

    A replayed step has the bias correction of the one that was captured; its time is
    what is asked for.
    """
    if setting.device == "cpu":
        return {"left out": "there are none on a CPU"}
    found = {}
    for name, module in _modules().items():
        found[name] = _microseconds(_captured(_step(module, setting)).replay, setting)
    return found


def _modules() -> dict[str, torch.nn.Module]:
    made: dict[str, torch.nn.Module] = {"CNN of the paper": mnist.build_cnn(1, 10)}
    for name, hidden in WIDTHS.items():
        generator = torch.Generator().manual_seed(0)
        made[name] = build_mlp(784, hidden, 10, "relu", generator)
    return made


def _step(module: torch.nn.Module, setting: Setting) -> Callable[[], None]:
    """Return what takes a step with always the same rows."""
    X, _, y, _ = setting.data
    if not isinstance(module[0], mnist.Pixels):
        X = X.reshape(len(X), -1)
    device = torch.device(setting.device)
    module = module.to(device=device, dtype=torch.float32)
    rows = make_dataset(X[:BATCH], torch.float32, device)
    target = torch.as_tensor(y[:BATCH].astype(np.int64), device=device)
    weight = torch.ones(len(target), device=device)
    network = Network(module, find_layers(module))
    loss = LOSSES["classes"]["log_loss"](10)
    problem = Problem(network, loss, rows, target, weight)
    options = SolverOptions(learning_rate=1e-4, batch_size=BATCH)
    stepper = Stepper(problem, [ALPHA] * len(network.layers), options, Pruning())
    index = torch.arange(len(target), device=device)
    (batch,) = problem.batches(index, [len(target)])

    @torch.no_grad()
    def step() -> None:
        stepper.take_gradient(batch)
        stepper.step()

    return step


def _captured(step: Callable[[], None]) -> torch.cuda.CUDAGraph:
    """Return a step as a graph, after some on a stream of their own, as is required."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph


def _microseconds(step: Callable[[], None], setting: Setting) -> float:
    def work() -> None:
        for _ in range(setting.steps):
            step()

    work()  # what is done once
    return 1e6 * setting.seconds(work) / setting.steps


MEASUREMENTS = {
    "search of the paper": paper_search,
    "loop of the authors": authors_loop,
    "fits of perceptrons": fits_of_perceptrons,
    "microseconds of a step": steps,
    "the same as a CUDA graph": steps_as_graphs,
    # Data-parallel fits with nccl belong here, once there are such.
}


def measure(setting: Setting) -> dict[str, Result]:
    """Return all results, with what was raised in place of those that failed."""
    started, results = time.perf_counter(), {}
    for name, measurement in MEASUREMENTS.items():
        if time.perf_counter() - started > MOST_SECONDS:
            results[name] = {"left out": "no time was left"}
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                results[name] = measurement(setting)
        except (RuntimeError, ValueError) as error:
            results[name] = {"failed": f"{type(error).__name__}: {error}"}
        print(f"{name}: {results[name]}", flush=True)
    return results


def name_of(device: str) -> str:
    """Return what the device is called."""
    if device == "cpu":
        return f"{platform.machine()}, a stand-in with tiny sizes"
    return torch.cuda.get_device_name(device)


def page_of(found: dict[str, Any]) -> str:
    """Return the results as a page."""
    rows = [
        [measurement, name, f"{value:.4g}" if isinstance(value, float) else value]
        for measurement, result in found["results"].items()
        for name, value in result.items()
    ]
    head = f"# {found['device']}, PyTorch {found['torch']}, {found['images']} images"
    return f"{head}\n\n{table(['measurement', 'what', 'value'], rows)}\n"


def main() -> None:
    """Measure, and write both files; or say that there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--data", type=Path, help="folder with MNIST's four files")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("There is no GPU here that PyTorch can use: nothing was measured.")
        return
    has_data = arguments.data is not None and arguments.data.is_dir()
    setting = Setting.of(arguments.device, arguments.data if has_data else None)
    found = {
        "device": name_of(arguments.device),
        "torch": torch.__version__,
        "images": "drawn" if arguments.device == "cpu" or not has_data else "MNIST's",
        "results": measure(setting),
    }
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    arguments.out.with_suffix(".md").write_text(page_of(found))
    print(f"Written: {arguments.out} and {arguments.out.with_suffix('.md')}.")


if __name__ == "__main__":
    main()
