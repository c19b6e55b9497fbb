"""The rivals' own steps, p ≫ n, and the page of ratios."""

from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks import mlpnet, supports
from benchmarks.methods import METHODS
from benchmarks.methods.base import build_network
from benchmarks.methods.chita import gradients_of, sparsest
from benchmarks.methods.factorised import Product
from benchmarks.problems import PROBLEMS, Data, Schedule


def make_data(n_classes=2, bias=True):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((60, 6)).astype(np.float32)
    if n_classes:
        y = (X[:, 0] > 0).astype(np.int64)
    else:
        y = X[:, 0] + 1
    return Data(X, y, X, y, (4, 3), n_classes, bias=bias)


def test_chita_moves_onto_the_support_what_it_cuts():
    # Columns 0 and 2 are the same: the weight of the one that goes is added.
    torch.manual_seed(0)
    gradients = torch.randn(40, 3)
    gradients[:, 2] = gradients[:, 0]
    found = sparsest(gradients, torch.tensor([2.0, 1.0, 0.1]), 2, 1e-6, 20)
    torch.testing.assert_close(
        found, torch.tensor([2.1, 1.0, 0.0]), rtol=1e-3, atol=1e-3
    )


def test_chita_reads_the_gradients_of_single_samples():
    data = make_data()
    network = build_network(data.sizes, 0)
    found = gradients_of(network, data, torch.arange(60))
    X, y = torch.from_numpy(data.X_train), torch.from_numpy(data.y_train).float()
    output = network(X)[:, 0]
    torch.nn.functional.binary_cross_entropy_with_logits(output, y).backward()
    mean = torch.cat([p.grad.flatten() for p in network.parameters() if p.dim() == 2])
    torch.testing.assert_close(found.mean(0), mean)


@pytest.mark.parametrize("depth", [2, 3])
def test_factors_are_drawn_like_the_weights_they_replace(depth):
    product = Product(depth, torch.Generator().manual_seed(0))
    weight = 0.1 * torch.randn(200, 300, generator=torch.Generator().manual_seed(1))
    factors = product.right_inverse(weight)
    assert len(factors) == depth
    assert float(product(*factors).std()) == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("method", ["gmp", "acdc", "granet", "factors_2", "chita"])
def test_rivals_train_layers_without_biases(method):
    data = make_data(n_classes=0, bias=False)
    found = METHODS[method].fit(data, 15, Schedule.for_rows(60, 60), 0)
    assert sum(found.counts) == 15
    assert found.predict(np.zeros((1, 6), np.float32)) == 0  # f(0) = 0


def test_ours_trains_layers_without_biases():
    data = make_data(bias=False)
    found = mlpnet.fit_ours(data, 15, Schedule.for_rows(60, 200), 0)
    assert sum(found.counts) == 15


def test_genes_have_more_columns_than_rows_and_can_be_learned():
    data = PROBLEMS["genes"].load(Path(), 0)
    assert data.X_train.shape == (70, 6000)
    assert data.X_test.shape == (1000, 6000)
    assert round(PROBLEMS["genes"].densities[0] * sum(data.layer_sizes)) == 298
    neighbours = np.corrcoef(data.X_test[:, :2].T)[0, 1]
    assert abs(neighbours) > 0.7
    centre = [data.X_train[data.y_train == k].mean(0) for k in (0, 1)]
    guess = data.X_test @ (centre[1] - centre[0]) > 0
    assert data.error(guess) < 0.5


def record(method, seed, error, density):
    return {
        "problem": "digits",
        "steps": 1000,
        "density": density,
        "method": method,
        "seed": seed,
        "error": error,
        "per_layer": False,
    }


def test_page_compares_with_the_best_rival_of_each_cell():
    records = [
        record(method, seed, error + 0.001 * seed, density)
        for seed in range(3)
        for method, density, error in [
            ("l1", 0.02, 0.02),
            ("acdc", 0.02, 0.04),
            ("chita", 0.02, 0.05),
            ("l1", 0.05, 0.03),
            ("chita", 0.05, 0.02),
        ]
    ]
    text = supports.page(records)
    assert "geometric mean of the 1 cells" in text
    assert ": 0.51 (bar" in text
    assert "1: digits 5 % 1000" in text
    assert "**not met**" in text
    assert "acdc" in text.split("digits 2 % 1000")[1].splitlines()[0]
