"""Networks of users: instances, callables, images, layers that are shared."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from sklearn_sparsenet import SparseNetClassifier, SparseNetRegressor

QUICK = {"alpha": 1e-3, "max_iter": 40, "random_state": 0}


@pytest.fixture(scope="module")
def xy():
    X = np.random.default_rng(0).normal(size=(60, 4))
    return X, X[:, 0] - X[:, 1] ** 2


def regressor(**settings):
    return SparseNetRegressor(**{**QUICK, **settings})


def classifier(**settings):
    return SparseNetClassifier(**{**QUICK, **settings})


def settled(module):
    """Give a module weights that no global generator has a part in."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.uniform_(-0.5, 0.5, generator=generator)
    return module


class Skip(nn.Module):
    """A layer that is used twice, a norm, and a frozen layer beside them."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.norm = nn.LayerNorm(n_features)
        self.inner = nn.Linear(n_features, n_features)
        self.frozen = nn.Linear(n_features, n_features).requires_grad_(False)
        self.head = nn.Linear(n_features, n_outputs)

    def forward(self, x):
        x = self.inner(self.norm(x))
        return self.head(self.inner(torch.tanh(x)) + self.frozen(x))


def test_layers_are_trainable_matrices_once_each(xy):
    X, y = xy
    net = regressor(module=Skip, alpha=None, target_sparsity=8, tol=0.2).fit(X, y)
    assert net.layer_names_ == ["inner.weight", "head.weight"]
    parameters = dict(net.module_.named_parameters())
    counts = [int((parameters[name] != 0).sum()) for name in net.layer_names_]
    assert net.n_nonzero_per_layer_.tolist() == counts
    assert net.sparsity_ == pytest.approx(1 - sum(counts) / 20)
    assert bool((parameters["frozen.weight"] != 0).all())


def test_a_module_instance_is_never_changed(xy):
    X, y = xy
    module = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 1))
    module = settled(module)
    module.train()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    net = regressor(module=module).fit(X, y)
    net.predict(X)
    assert net.module is module
    assert module.training
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())
    assert not net.module_.training
    memory = {p.data_ptr() for p in module.parameters()}
    assert not memory & {p.data_ptr() for p in net.module_.parameters()}


def test_every_solve_starts_at_the_weights_of_the_instance(xy):
    """Pretrained weights: the result depends on them, not on the seed."""
    X, y = xy
    module = settled(nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)))
    nets = [
        regressor(module=module, random_state=seed, batch_size=60).fit(X, y)
        for seed in (0, 1)
    ]
    np.testing.assert_array_equal(nets[0].predict(X), nets[1].predict(X))
    with torch.no_grad():
        module[0].weight.mul_(2)
    other = regressor(module=module, batch_size=60).fit(X, y)
    assert not np.array_equal(other.predict(X), nets[0].predict(X))
    still = {"max_iter": 1, "learning_rate_init": 1e-12, "alpha": 0.0}
    stayed = regressor(module=module.double(), **still).fit(X, y)
    torch.testing.assert_close(stayed.module_[0].weight, module[0].weight)


def test_a_callable_gets_the_numbers_of_features_and_outputs(xy):
    X, y = xy
    asked = []

    def build(*sizes):
        asked.append(sizes)
        return nn.Linear(*sizes)

    regressor(module=build).fit(X, np.column_stack([y, y, y]))
    classifier(module=build).fit(X, y > 0)
    classifier(module=build).fit(X, np.arange(60) % 5)
    assert asked == [(4, 3), (4, 1), (4, 5)]


def test_statistics_of_batches_are_kept(xy):
    """predict runs in eval mode: a row's result does not depend on its company."""
    X, y = xy

    def build(p, k):
        return nn.Sequential(
            nn.Linear(p, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, k)
        )

    net = regressor(module=build, batch_size=59).fit(X, y)  # a single row is left over
    together = net.predict(X)
    alone = np.concatenate([net.predict(X[[i]]) for i in range(60)])
    np.testing.assert_allclose(alone, together, rtol=1e-12)
    assert float(net.module_[1].running_mean.abs().sum()) > 0


class Net(nn.Module):
    """A convolutional network with dropout and batch normalisation."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(36, n_outputs)

    def forward(self, x):
        return self.head(self.drop(self.features(x).flatten(1)))


def test_images_have_targets_and_support(convert_at_once):
    X, y = load_digits(return_X_y=True)
    images = X[:400].reshape(-1, 1, 8, 8).astype(np.uint8)
    convert_at_once(0)
    target = {"features*": 20, "*": 150}
    net = classifier(
        module=Net, alpha=None, target_sparsity=target, tol=0.1, dtype="float32"
    ).fit(images, y[:400])
    assert net.layer_names_ == ["features.0.weight", "head.weight"]
    assert net.converged_
    assert net.score(images, y[:400]) > 0.5
    assert net.support_.shape == (1, 8, 8)
    assert 0 < net.n_live_ <= net.n_nonzero_
    with pytest.raises(AttributeError, match="module_"):
        _ = net.coefs_


@pytest.mark.parametrize("at_once", [True, False])
def test_images_of_bytes_are_those_of_floats(convert_at_once, at_once):
    X, y = load_digits(return_X_y=True)
    images = X[:100].reshape(-1, 1, 8, 8)

    def build(n_features, n_outputs):
        return nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, n_outputs)
        )

    settings = {"module": build, "max_iter": 5}
    wanted = classifier(**settings).fit(images, y[:100]).predict_proba(images)
    if not at_once:
        convert_at_once(0)
    pixels = images.astype(np.uint8)
    got = classifier(**settings).fit(pixels, y[:100]).predict_proba(pixels)
    np.testing.assert_array_equal(got, wanted)


def test_two_outputs_for_two_classes_predict_as_one(xy):
    """Softmax over two outputs; the order of `classes_`."""
    X, _ = xy
    labels = np.where(X[:, 0] > 0, "up", "down")
    for k in (1, 2):
        net = classifier(module=settled(nn.Linear(4, k)), alpha=1e-4, max_iter=300)
        net.fit(X, labels)
        assert net.predict_proba(X).shape == (60, 2)
        up = net.predict_proba(X)[:, list(net.classes_).index("up")]
        np.testing.assert_array_equal(net.predict(X) == "up", up > 0.5)
        assert net.score(X, labels) > 0.9
