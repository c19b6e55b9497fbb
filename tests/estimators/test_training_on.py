"""A network that was saved, and is trained on or pruned further."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_sparsenet import SparseNetClassifier
from tests.comparisons import assert_same_network, pickled, reloaded
from tests.estimators.tables import classification

X, Y = classification(3)
WAYS = {
    "file": reloaded,
    "compressed file": lambda net: reloaded(net, saving={"compress": True}),
    "pickle": pickled,
    "small pickle": lambda net: pickled(pickled(net).sparsify()).densify(),
}
SETTINGS = {
    "same target": {},
    "smaller target": {"target_sparsity": 25},
    "other target": {"target_sparsity": 60},
    "same alpha": {"alpha": 1e-3},
    "other type": {"dtype": "float32"},
}


def fitted(hidden=(12, 8), **settings):
    settings = {"target_sparsity": 50, "max_iter": 10, **settings}
    return SparseNetClassifier(hidden, random_state=0, **settings).fit(X, Y)


@pytest.fixture(scope="module", params=["fitted", "trained on"])
def net(request):
    net = fitted(activation="tanh")
    return net.partial_fit(X, Y) if request.param == "trained on" else net


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_partial_fit_keeps_the_support(net, way):
    for change in (lambda net: net, lambda net: net.compact()):
        before = change(pickled(net))
        after = way(before).partial_fit(X, Y).partial_fit(X, Y)
        assert after.n_nonzero_ == before.n_nonzero_
        for ours, theirs in zip(after.coefs_, before.coefs_, strict=True):
            assert_array_equal(ours != 0, theirs != 0)
            assert (ours != theirs).any()
        assert_same_network(after, before.partial_fit(X, Y).partial_fit(X, Y))


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_warm_start_goes_on_as_without_the_file(net, way, settings):
    settings = {"warm_start": True, "max_iter": 4} | settings
    ours, theirs = (each.set_params(**settings) for each in (way(net), pickled(net)))
    assert_same_network(ours.fit(X, Y), theirs.fit(X, Y))
    if "alpha" not in settings:
        assert ours.n_nonzero_ == settings.get("target_sparsity", 50)


def test_a_warm_start_has_learned():
    """Pruned further, a network is better than one that begins anew."""
    net = fitted(max_iter=200)
    further = {"target_sparsity": 25, "max_iter": 10, "batch_size": 20}
    warm = reloaded(net).set_params(warm_start=True, **further).fit(X, Y)
    anew = reloaded(net).set_params(**further).fit(X, Y)
    assert warm.n_nonzero_ == anew.n_nonzero_ == 25
    assert warm.score(X, Y) > anew.score(X, Y) + 0.05


@pytest.mark.parametrize(
    ("change", "data", "message"),
    [
        (lambda net: net.compact(), (X, Y), r"another shape.*After compact\(\)"),
        (
            lambda net: net.set_params(hidden_layer_sizes=(6,)),
            (X, Y),
            r"2\.weight \(8, 12\) instead of \(3, 6\)",
        ),
        (lambda net: net, (X[:, 1:], Y), r"0\.weight \(12, 20\) instead of \(12, 19\)"),
        (lambda net: net, (X, np.char.upper(Y)), "the same classes"),
    ],
)
def test_another_network_or_other_classes_are_told(net, change, data, message):
    with pytest.raises(ValueError, match=message):
        change(reloaded(net)).set_params(warm_start=True).fit(*data)
