"""Inputs that fits to many halves of the rows agree on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import is_classifier
from sklearn.utils import check_random_state

from sklearn_sparsenet.estimators._halves import draw_halves, fit_half, make_strata
from sklearn_sparsenet.estimators._inputs_in_use import inputs_in_use
from sklearn_sparsenet.estimators._jobs import as_here
from sklearn_sparsenet.estimators._selection_bounds import Situation, error_bound
from sklearn_sparsenet.estimators._validation import (
    count_samples,
    feature_names_of,
    indexable,
)
from sklearn_sparsenet.estimators._weights import check_weights
from sklearn_sparsenet.utils.arguments import checked_number

__all__ = ["StabilityResult", "stability_selection"]


@dataclass(frozen=True)
class StabilityResult:
    """How often fits to halves of the rows used each input.

    Attributes
    ----------
    frequencies : ndarray of shape (n_features,)
        The share of the fits that used an input, from 0 to 1.
    threshold : float
        The frequency from which an input is selected.
    n_pairs : int
        Pairs of halves; there were twice as many fits.
    feature_names : ndarray of shape (n_features,)
        Names of the columns; x0, x1, ... if X had none.
    """

    frequencies: np.ndarray
    threshold: float
    n_pairs: int
    feature_names: np.ndarray

    @property
    def selected(self) -> np.ndarray:
        """Which inputs are selected, a mask of shape (n_features,)."""
        return self.select(self.threshold)

    @property
    def n_selected_mean(self) -> float:
        """Inputs that one fit used, on average over the fits."""
        return float(self.frequencies.sum())

    def select(self, threshold: float) -> np.ndarray:
        """Return which inputs at least this share of the fits used.

        Parameters
        ----------
        threshold : float
            Above 0 and at most 1.

        Returns
        -------
        ndarray of bool, shape (n_features,)

        Raises
        ------
        ValueError
            If the threshold is out of range.
        """
        return self.frequencies >= _checked_threshold(threshold)

    def error_bound(
        self, threshold: float | None = None, *, assumption: str = "none"
    ) -> float:
        """Return how many unlikely inputs are selected in expectation, at most.

        Let p_k be the probability that a fit to half of the rows uses input k, q the
        expected number of inputs that such a fit uses, and p the number of inputs.
        *Unlikely* are the inputs with p_k ≤ q/p: those that a fit uses no more often
        than if it drew its inputs blindly. For a threshold τ > 1/2 the expected number
        of unlikely inputs among the selected ones is at most q² / ((2τ - 1) p). This
        is Theorem 1 of [1]_. It holds for any estimator and any number of pairs, if
        the rows are drawn independently of each other (with stratified halves: given
        the labels). No exchangeability is needed.

        An unlikely input need not be one of noise, nor the other way round: where a fit
        prefers an input of noise that is correlated with true ones, it is a likely one,
        and no bound counts it. The bounds are also about expectations over samples,
        not about this sample. And q is not known: `n_selected_mean` takes its place,
        so that the bound is exact for estimators that use a fixed number of inputs, and
        an estimate for others.

        Smaller bounds hold if more is assumed. Let B be the number of pairs, and Π̃_k
        the share of the pairs of which both fits use k.

        Parameters
        ----------
        threshold : float, default=None
            Above 1/2 and at most 1; None: that of the selection.
        assumption : {"none", "unimodal", "r_concave"}, default="none"
            "unimodal": for each unlikely input the distribution of Π̃_k has one mode.
            By Theorem 2 the bound is then C q²/p with C = 1/(2 (2τ - 1 - 1/(2B))) for
            τ ≤ 3/4 and 4 (1 - τ + 1/(2B)) / (1 + 1/B) above: about half of it and less.
            It is for q/p ≤ 1/√3 and τ > 1/2 + min(θ², 1/(2B) + 3θ²/4), θ = q/p;
            elsewhere it is that of Theorem 1.

            "r_concave": it is -1/2-concave, and the distribution of the frequency is
            -1/4-concave, as it is in the simulations of [1]_, section 3.3. The smallest
            bound, which is computed.

        Returns
        -------
        float
            A number of inputs.

        Raises
        ------
        ValueError
            For a threshold of at most 1/2, or above 1; for another assumption.

        References
        ----------
        .. [1] R. D. Shah and R. J. Samworth, "Variable selection with error control:
           another look at stability selection", Journal of the Royal Statistical
           Society B 75 (2013), 55-80.
        """
        wanted = self.threshold if threshold is None else threshold
        situation = Situation(
            n_wanted=_fits_wanted(_checked_threshold(wanted), 2 * self.n_pairs),
            n_pairs=self.n_pairs,
            n_selected=self.n_selected_mean,
            n_features=len(self.frequencies),
        )
        return error_bound(situation, assumption)


def stability_selection(
    estimator,
    X,
    y,
    *,
    sample_weight=None,
    n_pairs=50,
    threshold=0.75,
    stratify="auto",
    selected=None,
    n_jobs=None,
    random_state=None,
) -> StabilityResult:
    """Select the inputs that fits to many halves of the rows agree on.

    One fit uses some inputs by chance, and another one others. The inputs that most of
    many fits use are there for a reason, and there is a bound on how many are not
    (`StabilityResult.error_bound`). The halves come in pairs without a common row
    (complementary pairs stability selection, [1]_): only then does the bound need no
    assumption.

    Parameters
    ----------
    estimator : estimator
        Any of scikit-learn's or of this library that selects inputs when it is fitted,
        or a Pipeline or a search with such a one at its end. Not changed. Choose its
        target, or penalty, so that a fit uses few inputs: the bound grows with the
        square of their number. All its parameters called `random_state` are drawn
        anew for each fit, as the halves of a pair must have nothing in common.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows of frames stay frames, those of sparse matrices CSR. Values are for the
        estimator to check.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Target of the rows.
    sample_weight : array-like of shape (n_samples,), default=None
        Handed to `fit`, in a Pipeline to that of its last step. Rows of weight 0 are
        in no half.
    n_pairs : int, default=50
        Pairs of halves. There are twice as many fits.
    threshold : float, default=0.75
        The share of the fits, above 0 and at most 1, that have to use an input for it
        to be selected. There are bounds from above 1/2 on.
    stratify : "auto", None or array-like of shape (n_samples,), default="auto"
        Labels that all halves have in the same proportion: each half has half of the
        rows of each label, rounded down, and the odd row is in neither. "auto": the
        classes for a classifier with a single output, none for others. None: halves of
        all rows, without labels.
    selected : callable(estimator) -> ndarray of bool, shape (n_features,), default=None
        Tells which inputs a fitted estimator uses. None: `get_support()`, a mask
        `support_`, nonzero `coef_` or nonzero `feature_importances_`, the first that
        there is. Steps of a Pipeline that select inputs or transform them one by one
        are followed by the names of the inputs.
    n_jobs : int, default=None
        Jobs of joblib, one unless a `joblib.parallel_config` says more. The result does
        not depend on it.
    random_state : int, RandomState instance or None, default=None
        For the halves and the seeds of the fits.

    Returns
    -------
    StabilityResult

    Raises
    ------
    TypeError, ValueError
        For parameters out of range; for less than two rows of positive weight, or of
        one label; for an estimator that does not tell which inputs it uses.
    Exception
        As raised by a fit; a note says to which half.

    See Also
    --------
    sklearn_sparsenet.plots.StabilityDisplay : Shows the frequencies.

    References
    ----------
    .. [1] R. D. Shah and R. J. Samworth, "Variable selection with error control:
       another look at stability selection", Journal of the Royal Statistical Society B
       75 (2013), 55-80.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_sparsenet import SparseNetRegressor, stability_selection
    >>> X = np.random.default_rng(0).normal(size=(200, 20))
    >>> y = X[:, 0] + np.abs(X[:, 1])
    >>> net = SparseNetRegressor((10,), target_sparsity=20)
    >>> result = stability_selection(net, X, y, n_pairs=5, random_state=0)
    >>> result.feature_names[result.selected]
    array(['x0', 'x1'], dtype=object)
    """
    number = checked_number(
        "n_pairs", n_pairs, lambda n: isinstance(n, int) and n > 0, "a positive int"
    )
    level = _checked_threshold(threshold)
    labels = None
    if not isinstance(stratify, str):
        labels = stratify
    elif stratify != "auto":
        raise ValueError(f"stratify={stratify!r} must be 'auto', None or labels.")
    elif is_classifier(estimator) and np.shape(y)[1:] in ((), (1,)):
        labels = y
    has_weight = None
    if sample_weight is not None:
        has_weight = check_weights(sample_weight, X) > 0
    X, y, sample_weight, labels = indexable(X, y, sample_weight, labels)
    strata = make_strata(count_samples(X), has_weight, labels)
    halves = draw_halves(strata, number, check_random_state(random_state))
    work = as_here(fit_half)
    what = (estimator, (X, y, sample_weight), selected or inputs_in_use)
    masks = Parallel(n_jobs=n_jobs)(delayed(work)(half, *what) for half in halves)
    names = feature_names_of(X)
    if names is None:
        names = np.array([f"x{i}" for i in range(len(masks[0]))], dtype=object)
    return StabilityResult(np.mean(masks, axis=0), level, number, names)


def _checked_threshold(threshold: object) -> float:
    accepted = "a number above 0 and at most 1"
    return checked_number("threshold", threshold, lambda t: 0 < t <= 1, accepted)


def _fits_wanted(threshold: float, n_fits: int) -> int:
    """Return how many of the fits are at least that share, compared as by `select`."""
    return int(np.searchsorted(np.arange(n_fits + 1) / n_fits, threshold))
