"""What `target_sparsity` means."""

from itertools import pairwise

import numpy as np
import pytest

from sklearn_sparsenet.search.targets import match_layers, resolve_target, shared_out

SIZES = {"0.weight": 80, "2.weight": 20, "4.weight": 10}


@pytest.mark.parametrize(
    ("given", "kept"),
    [(0.9, 11), (0.0, 110), (0.98, 2), (0.9999, 1), (1, 1), (110, 110),
     (np.int64(7), 7), (np.float32(0.5), 55), (np.array(0.5), 55), (np.array(30), 30)],
)  # fmt: skip
def test_floats_are_zeros_ints_are_nonzeros(given, kept):
    target = resolve_target(given, SIZES)
    assert target.n_nonzero == (kept,)
    assert not target.per_layer
    assert target.layer_names == tuple(SIZES)


@pytest.mark.parametrize(
    "given",
    [1.0, True, np.True_, 0, -3, -0.1, float("nan"), 111, 1.5, float("inf"),
     np.array(True), np.array(1.0), np.float32(1.0)],
)  # fmt: skip
def test_impossible_targets_tell_how_many_weights_there_are(given):
    with pytest.raises(ValueError, match=r"which has 110 weights.*int from 1 to 110"):
        resolve_target(given, SIZES)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([0.9, 5, 0.5], (8, 5, 5)),
        (np.array([8, 5, 5]), (8, 5, 5)),
        ({"0.weight": 7, "*": 0.5}, (7, 10, 5)),
        ({"*": 0.5, "0.weight": 7}, (7, 10, 5)),
        ({"[24]*": 3}, {"2.weight": 3, "4.weight": 3}),
        ({"*.weight": 0.5, "4.weight": 1}, (40, 10, 1)),
        ({"2.weight": 4}, {"2.weight": 4}),
        # Names go before globs, these in their order, and the rest is last.
        ({"[02]*": 3, "[24]*": 4}, (3, 3, 4)),
        ({"[24]*": 4, "[02]*": 3}, (3, 4, 4)),
        ({"*": 9, "[24]*": 4, "2.weight": 1}, (9, 1, 4)),
        ({"*": 9, "4.weight": 2}, (9, 9, 2)),
    ],
)
def test_one_target_per_layer(given, kept):
    target = resolve_target(given, SIZES)
    assert target.per_layer
    if isinstance(kept, tuple):
        kept = dict(zip(SIZES, kept, strict=True))
    assert dict(zip(target.layer_names, target.n_nonzero, strict=True)) == kept


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([0.9, 0.9], "has 2 entries, the network has 3 layers"),
        ({"9.weight": 3}, "key '9.weight', which matches no layer"),
        ({}, "names no layer"),
        ([0.9, 21, 0.5], "layer '2.weight', which has 20 weights"),
    ],
)
def test_impossible_targets_per_layer(given, message):
    with pytest.raises(ValueError, match=message):
        resolve_target(given, SIZES)


def test_keys_are_strings():
    with pytest.raises(TypeError, match="keys are layer names"):
        match_layers({0: 3}, SIZES, "alpha")


def test_met_is_relative_and_inclusive():
    target = resolve_target(100, SIZES, tol=0.05)
    assert target.is_met([60, 30, 5])
    assert target.is_met([60, 30, 15])
    assert not target.is_met([60, 30, 4])
    exact = resolve_target(100, SIZES, tol=0)
    assert exact.is_met([100])
    assert not exact.is_met([101])


def test_enough_layers_on_target():
    goals = [40, 10, 5]
    assert not resolve_target(goals, SIZES).is_met([40, 10, 6])
    assert resolve_target(goals, SIZES, min_layers=2).is_met([40, 10, 6])
    with pytest.raises(ValueError, match="min_layers_on_target=4 exceeds the 3"):
        resolve_target(goals, SIZES, min_layers=4)
    with pytest.raises(ValueError, match="needs one target per layer"):
        resolve_target(0.5, SIZES, min_layers=1)


def test_distance_is_the_mean_relative_one():
    assert resolve_target([40, 10, 5], SIZES).distance([20, 10, 10]) == pytest.approx(
        0.5
    )
    assert resolve_target(50, SIZES).distance([20, 10, 10]) == pytest.approx(0.2)


@pytest.mark.parametrize("given", ["half", "0.5", 1j, object(), None, {3, 4}])
def test_what_is_no_target_is_told_what_one_is(given):
    message = "(?s)target_sparsity=.*the number of nonzero weights to keep"
    with pytest.raises(TypeError, match=message):
        resolve_target(given, SIZES)


@pytest.mark.parametrize("size", [1, 7, 1000, 266_200])
@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.25, 0.9, 0.98, 0.999999])
def test_a_fraction_keeps_the_nearest_count_and_at_least_one(size, sparsity):
    (kept,) = resolve_target(sparsity, {"weight": size}).n_nonzero
    assert 1 <= kept <= size
    assert kept == 1 or abs(kept - (1 - sparsity) * size) <= 0.5 + 1e-9


@pytest.mark.parametrize("bad", [True, 1.0, 0, -1, float("nan")])
def test_impossible_entries_name_their_layer(bad):
    for given in ({"4.weight": bad, "*": 0.5}, [3, 3, bad]):
        with pytest.raises(
            ValueError, match=r"layer '4\.weight', which has 10 weights"
        ):
            resolve_target(given, SIZES)


@pytest.mark.parametrize(
    ("n_nonzero", "shapes", "shared"),
    [
        (500, [(100, 22_567), (20, 100)], (460, 40)),  # two for each output
        (500, [(50, 20_000), (20, 50), (20, 20)], (420, 40, 40)),
        (60, [(50, 20_000), (20, 50)], (40, 20)),  # at most a third
        (2, [(20, 50), (1, 20)], (1, 1)),
        (100_000, [(500, 1980), (20, 500)], (98_000, 2000)),  # twice the usual part
        (40, [(3, 300), (1, 3)], (37, 3)),  # no more than there are
        (40, [(3, 300), (2, 3)], (34, 6)),
        (50, [(2, 24), (1, 2)], (48, 2)),
        (909, [(8, 400), (1, 8)], (901, 8)),
        (200, [(30, 160), (1, 30)], (186, 14)),  # the root of their number
        (49, [(2, 24), (1, 2)], (47, 2)),
        (51, [(2, 24), (1, 2)], None),  # all weights, and one more
        (300, [(4, 75)], (300,)),
    ],
)
def test_most_weights_go_to_inputs_that_are_mostly_zero(n_nonzero, shapes, shared):
    assert shared_out(n_nonzero, shapes) == shared


def test_what_is_shared_out_has_places_between_units_in_use():
    rng = np.random.default_rng(0)
    for _ in range(500):
        widths = rng.integers(1, 30, rng.integers(2, 5))
        shapes = [(int(b), int(a)) for a, b in pairwise(widths)]
        sizes = [a * b for a, b in shapes]
        n_nonzero = int(rng.integers(1, sum(sizes) + 1))
        goals = shared_out(n_nonzero, shapes)
        if goals is None:
            continue
        assert sum(goals) == n_nonzero
        assert all(1 <= goal <= size for goal, size in zip(goals, sizes, strict=True))
        above = [*goals[1:], shapes[-1][0]]
        for goal, (n_out, n_in), most in zip(goals, shapes, above, strict=True):
            assert goal <= n_in * min(n_out, most)
