"""Random fits, and what is promised of each of them."""

import pickle
import re
import signal
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from sklearn_sparsenet import SparseNetClassifier, load
from tests.trust.campaigns import attack
from tests.trust.cases import make_case
from tests.trust.recount import count_live, live_is_possible, wanted_counts

_NAMES = sorted({"X", "y", "sample_weight", *SparseNetClassifier().get_params()} | {
    "normalize_y", "n_samples", "n_features",
})  # fmt: skip
_NAMED = re.compile(rf"(?<!\w)({'|'.join(map(re.escape, _NAMES))})(?!\w)")
_EXPECTED = (ConvergenceWarning, UserWarning)  # kinds of warnings that a fit may give


def _global_state():
    numpy_state = np.random.get_state()  # noqa: NPY002 - it must not move
    return (
        numpy_state[1].tobytes(), numpy_state[2],
        torch.get_rng_state().numpy().tobytes(), torch.get_default_dtype(),
        torch.get_num_threads(), torch.is_grad_enabled(), tuple(np.geterr().items()),
        signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM),
    )  # fmt: skip


@contextmanager
def _nothing_global_moves(found):
    """Collect warnings; note what a block changes in the process."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        filters, before = list(warnings.filters), _global_state()
        yield caught
        found.check(warnings.filters == filters, "warnings.filters were changed")
    found.check(_global_state() == before, "global state was changed")


@attack
def check_fit(rng, found):
    """Make a random fit and hold it against every promise."""
    case = make_case(rng)
    estimator = case.estimator
    given = dict(estimator.get_params(deep=False))
    fitted = False
    with _nothing_global_moves(found) as caught:
        try:
            estimator.fit(case.X, case.y, case.sample_weight)
            fitted = True
        except (ValueError, TypeError) as error:
            found.facts["refused"] += 1
            found.check(_NAMED.search(str(error)), f"names nothing: {error!r}")
        except Exception as error:
            found.failures.append(f"raised {error!r}")
    after = estimator.get_params(deep=False)
    unchanged = all(after[name] is value for name, value in given.items())
    found.check(unchanged, "fit changed a parameter")
    for warning in caught:
        known = issubclass(warning.category, _EXPECTED)
        found.check(known, f"warned {warning.category.__name__}: {warning.message}")
    if fitted:
        found.facts["fits"] += 1
        _check_fitted(case, found, caught)
    else:
        left = [k for k in vars(estimator) if k.endswith("_") and k[0] != "_"]
        found.check(not left, f"a refused fit left {left}")
    return case.describe()


def _check_fitted(case, found, caught):
    estimator = case.estimator
    told = any(
        issubclass(w.category, ConvergenceWarning) and "asked for" in str(w.message)
        for w in caught
    )
    with _nothing_global_moves(found):
        _check_counts(estimator, found, told)
        try:
            predicted = _check_predictions(estimator, case.X, found)
        except ValueError as error:  # y beyond all numbers, X that was not scaled
            found.facts["fits that refuse to predict"] += 1
            found.check(_NAMED.search(str(error)), f"names nothing: {error!r}")
            return
        _check_again(case, found, predicted)
        _check_copies(estimator, case.X, found, predicted)


def _layers(estimator):
    """Return the weights that may be penalised, by name."""
    normal = {
        f"{name}.weight"
        for name, child in estimator.module_.named_modules()
        if isinstance(child, nn.BatchNorm1d)
    }
    return {
        name: parameter.detach().numpy()
        for name, parameter in estimator.module_.named_parameters()
        if parameter.ndim >= 2 and name not in normal
    }


def _check_counts(estimator, found, told):
    layers = _layers(estimator)
    counts = {name: int(np.count_nonzero(w)) for name, w in layers.items()}
    sizes = {name: w.size for name, w in layers.items()}
    finite = all(np.isfinite(p.detach()).all() for p in estimator.module_.parameters())
    found.check(finite, "a parameter is not finite")
    found.check(np.isfinite(estimator.kkt_residual_), "kkt_residual_ is not finite")
    names = estimator.layer_names_
    own = estimator.n_nonzero_per_layer_.tolist()
    found.check(own == [counts[n] for n in names], "n_nonzero_per_layer_ is wrong")
    found.check(estimator.n_nonzero_ == sum(own), "n_nonzero_ is no sum of the layers")
    wanted = None
    if estimator.alpha is None:
        wanted = wanted_counts(estimator.target_sparsity, sizes)
        _check_target(estimator, found, counts, wanted, told)
    if estimator.module is None:
        live = count_live([w.T for w in layers.values()])
        found.check(estimator.n_live_ == live, "n_live_ is wrong")
        if live < sum(counts.values()):
            _check_dead(estimator, found, layers, wanted)


def _check_target(estimator, found, counts, wanted, told):
    goals = wanted if isinstance(wanted, dict) else {"": wanted}
    kept = counts | {"": sum(counts.values())}
    off = [abs(kept[name] - goal) / goal for name, goal in goals.items()]
    needed = estimator.min_layers_on_target or len(off)

    def is_met(tol):
        return sum(distance <= tol for distance in off) >= needed

    one_pass = len(estimator.narrowing_history_ or ()) > 0
    met = is_met(0.0 if one_pass else estimator.tol)
    found.facts["on target" if met else "off target, warned"] += 1
    found.check(met or told, f"silent miss: {kept} instead of {goals}")
    on_target = is_met(estimator.tol) or not estimator.converged_
    found.check(on_target, "converged_, but off target")


def _check_dead(estimator, found, layers, wanted):
    """Dead weights may stay only where no live ones could be kept instead."""
    if estimator.narrowing_history_ is None or wanted is None:
        found.facts["fits with dead weights, by other searches"] += 1
        return
    shapes = [w.shape for w in layers.values()]
    widths = [shapes[0][1], *(rows for rows, _ in shapes)]
    per_layer = list(wanted.values()) if isinstance(wanted, dict) else wanted
    if isinstance(per_layer, list) and len(per_layer) < len(shapes):
        found.facts["fits with dead weights, some layers not asked for"] += 1
        return
    possible = live_is_possible(widths, per_layer)
    found.facts["fits with dead weights, no live ones possible"] += not possible
    found.check(
        not possible,
        f"dead weights: {estimator.n_live_} of {estimator.n_nonzero_} live, {widths}",
    )


def _check_predictions(estimator, X, found):
    predicted = np.asarray(estimator.predict(X))
    if predicted.dtype.kind == "f":
        found.check(np.isfinite(predicted).all(), "predictions are not finite")
    if hasattr(estimator, "predict_proba"):
        chances = np.asarray(estimator.predict_proba(X))
        found.check(np.isfinite(chances).all(), "probabilities are not finite")
        add_up = predicted.ndim == 2 or np.allclose(chances.sum(axis=-1), 1, atol=1e-3)
        found.check(add_up, "probabilities do not add up")
        logs = np.asarray(estimator.predict_log_proba(X))
        found.check(np.isfinite(logs).all(), "log probabilities are not finite")
    return predicted


def _same_bits(a, b):
    a, b = np.asarray(a), np.asarray(b)
    same = a.dtype == b.dtype and a.shape == b.shape
    if a.dtype.kind == "f":
        return same and bool(np.array_equal(a, b, equal_nan=True))
    return same and bool((a == b).all())


def _check_again(case, found, predicted):
    again = clone(case.estimator)
    again.fit(case.X, case.y, case.sample_weight)
    found.facts["fits"] += 1
    states = (net.module_.state_dict().values() for net in (case.estimator, again))
    same = all(_same_bits(a, b) for a, b in zip(*states, strict=True))
    found.check(same, "the same fit has other bits")
    found.check(_same_bits(predicted, again.predict(case.X)), "other predictions")


def _check_copies(estimator, X, found, predicted):
    """Pickled, saved, sparsified and compact, it says the same."""

    def check(name, copied):
        same = _same_bits(predicted, copied.predict(X))
        found.check(same, f"{name}: other predictions")

    pickled = pickle.loads(pickle.dumps(estimator))
    check("pickled", pickled)
    if not callable(estimator.module) or isinstance(estimator.module, type):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net"
            estimator.save(path)
            check("loaded", load(path, module=estimator.module))
        found.facts["saved and loaded"] += 1
    check("sparsify", pickled.sparsify())
    try:
        compact = pickled.compact()
    except TypeError:
        found.check(estimator.module is not None, "compact() refused an MLP")
        return
    found.facts["made compact"] += 1
    small = np.asarray(compact.predict(X))
    if small.dtype.kind == "f":
        size = np.abs(predicted).max(initial=0.0)
        near = np.abs(small - predicted).max(initial=0.0) <= 1e-3 * size
    else:  # a label may change where two are equally probable, up to rounding
        near = np.mean(small != predicted) <= 0.02 or len(small) < 50
    found.check(near, "compact: other predictions")
