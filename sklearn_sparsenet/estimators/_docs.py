"""The parts of the estimators' docstrings that they have in common."""

from __future__ import annotations

import re
from inspect import cleandoc, signature
from textwrap import fill
from typing import TypeVar

from sklearn_sparsenet.networks.activations import ACTIVATIONS

__all__ = ["add_common_docs"]

Estimator = TypeVar("Estimator", bound=type)

_ACTIVATIONS = ", ".join(f'"{name}"' for name in ACTIVATIONS)
# What most people set, and what the other parameters are for.
_USUAL = "hidden_layer_sizes target_sparsity target_sparsities selection max_iter"
_GROUPS = {
    "how targets are compared": "cv scoring",
    "which inputs and units stay in use": (
        "target_inputs target_units input_groups always_keep"
    ),
    "the problem and the network": (
        "loss class_weight normalize_y module activation weight_decay"
    ),
    "how the training goes": (
        "early_stopping validation_fraction n_iter_no_change warm_start solver "
        "learning_rate_init learning_rate batch_size shuffle"
    ),
    "the machine": "n_jobs device dtype checkpoint verbose",
    "the ℓ1 problem behind it, for those who study λ": (
        "tol alpha search penalty penalize_bias debias kkt_tol alpha_bounds "
        "max_outer_iter min_layers_on_target"
    ),
}
# What stands in braces in the docstrings, and its text.
_PARTS = {
    "target": """
`target_sparsity` says how many weights the network may keep:

- a float in [0, 1) is the fraction of weights that are **zero**: 0.98 keeps 2 %;
- an int from 1 is the number of **nonzero** weights: 500 keeps 500;
- a sequence (one entry per layer) or a dict from layer name to entry asks for that
  in each layer, with one λ per layer.

A larger int is a denser network, a larger float a sparser one. Put a StandardScaler in
front: the network learns best from columns of one scale.
""",
    "search": r"""
During one training run, the weights with the smallest scores become exactly 0.0, a few
at a time, until the asked number is left; these are then trained on. Afterwards `fit`
looks for a solution of the paper's problem with as many weights, the mean loss plus
:math:`\sum_j \lambda_j \|W_j\|_1` (or another `penalty`), and reports it and its
regularisation parameter(s) λ, `alpha` here. ``search="bracket"`` adjusts λ from the
beginning instead, as the paper does. Biases are not counted, and not penalised unless
you ask for it.
""",
    "cv_description": """
For each fold it fits a path of networks from dense to sparse (`sparsenet_path`) and
scores them on the rows that were left out. The target that does best is then fitted to
all data. It is a number of weights, or of inputs if `target_inputs` is a sequence.
""",
    "cv_parameters": """
target_sparsities : int or sequence, default=None
    What to choose from: a number of targets, which are spread evenly on a logarithmic
    scale from half of the weights to a two-hundredth of them; or the targets
    themselves, each a fraction of zeros (float), a number of weights (int), or a
    sequence or dict with an entry for each layer. None: 10 targets. If inputs are
    chosen, None keeps all weights between them, and a sequence has the one target on
    weights that holds with each number of inputs.
selection : {"min", "1se"} or callable, default="min"
    Which target is chosen. "min": the best mean score, and of equal ones the sparsest.
    "1se": the sparsest target that is worse than the best by no more than one standard
    error of their difference, over the folds. A function gets `cv_results_` and
    returns an index.
cv : int, cross-validation generator or iterable, default=None
    The folds: their number, an object that splits the rows, or pairs of row numbers
    for training and test. None: five folds, stratified by class.
scoring : str, callable or None, default=None
    How targets are compared. None: "neg_log_loss" for classes, weighted by
    `class_weight` as in the fit (with several labels their mean), and R² for
    regression. `score` returns it too, but for None the accuracy of classes. It gets
    `sample_weight` if `fit` does.
target_inputs : int, float or sequence, default=None
    How many inputs (columns of X) stay in use. One number holds with each target on
    weights. A sequence has what to choose from. An int is a number of inputs, a float
    the fraction that does **not** stay. None leaves all of them in any case.
n_jobs : int, default=None
    How many folds are fitted at the same time, each by one thread; the last fit, and
    predictions, take as many threads. None: one, unless `joblib.parallel_config` says
    more; -1: all cores. The result is the same to the last bit, whatever it is.
""",
    "cv_attributes": """
target_sparsity_ : int, float, sequence, dict or None
    The target on weights: the one that was chosen, or that holds with `target_inputs_`.
target_inputs_ : int, float or None
    The target on inputs: the one that was chosen, or given.
target_sparsities_, target_inputs_grid_ : list
    All that was tried, from dense to sparse.
best_index_ : int
    The place of the chosen target among them.
test_scores_, train_scores_ : ndarray of shape (n_targets, n_folds)
    Scores of each target in each fold. Larger is better.
best_score_ : float
    Mean test score of the chosen target.
n_nonzeros_, n_inputs_ : ndarray of shape (n_targets,)
    Weights that were left, and inputs in use, mean of the folds. Inputs that cannot be
    counted, with a `module=`, are -1.
alphas_ : ndarray of shape (n_targets, n_folds) or (n_targets, n_folds, n_layers)
    The λ of each target in each fold.
cv_results_ : dict
    The scores in the form of `GridSearchCV.cv_results_`.
""",
}
# What all estimators have. A class that has something else says so in its docstring.
_COMMON = f"""
Parameters
----------
hidden_layer_sizes : array-like of int, default=(100,)
    Widths of the hidden layers. ``()`` is a linear model. Without effect, like
    `activation`, if there is a `module`.
activation : str, default="relu"
    What the hidden units compute, one of {_ACTIVATIONS}.
    Only with smooth ones, such as "tanh", do the optimality conditions hold everywhere.
target_sparsity : float, int, sequence or dict, default=0.9
    How many weights stay: a float is the fraction of zeros, an int the number of
    nonzero weights. Keys of a dict are layer names (``"0.weight"``) or globs, ``"*"``
    for the rest; a layer that it does not cover is neither penalised nor counted. None,
    with a target on inputs or units, keeps all weights between what stays.
max_iter : int or "auto", default="auto"
    Epochs: passes over the rows. "auto" takes as many as make about 1000 steps. The
    default search trains once, and this is all of it; fewer than 100 steps are too few,
    and it warns. Other searches train several times, with so many epochs each. With
    "lbfgs" it is the number of iterations of each solve, "auto" being 3000; the starts
    that a solve begins with have no more either.
random_state : int, RandomState instance or None, default=None
    Seed of first weights, batches and held-out rows. The same int gives the same
    network to the last bit.
target_inputs : int or float, default=None
    How many inputs (columns of X) stay in use: an int is their number, a float the
    fraction that does **not** stay. It is met exactly, together with the target on
    weights. With targets on inputs or units a float `target_sparsity` is the least
    fraction of zeros: if the weights between what stays are fewer, all of them stay.
    None does not limit the inputs. Only the default search has it.
target_units : int, float or sequence, default=None
    How many hidden units stay in use, in all hidden layers or in each of them: an int
    is their number, a float the fraction that does not stay. `compact` makes a smaller
    dense network of what is left.
input_groups : array-like of shape (n_features,), default=None
    One label for each column of X; columns with the same label, such as the dummies of
    a category, stay or go together, and `target_inputs` counts the labels.
always_keep : int, str or sequence of them, default=None
    Columns, by number or name, that `target_inputs` never cuts.
module : nn.Module or callable, default=None
    A network of your own in place of the multilayer perceptron. It is copied, never
    trained in place, and its weights are the starting point. A callable gets
    (n_features, n_outputs) and returns one. Two classes need one output or two. Outputs
    are logits: no sigmoid or softmax at the end. One that does not compute with what is
    counted is refused.
weight_decay : float or "auto", default="auto"
    γ of the term ½ γ Σw² over the penalised weights, which keeps the network from
    fitting noise. It is a part of the objective, of its optimality conditions, and of
    both solutions. "auto": c (1 + 20 r²)/n, at most .05, for n different samples,
    times the mean square of X, at most 1, to the power 1 / (number of layers); r is the
    part of the loss that a short training leaves on some samples that it has not seen,
    c is 2 for squared errors, ½ for three and more classes, else 1. With more than 1500
    samples, 20 r² is multiplied by 1500/n. It is 0 with a given λ, with "lbfgs", above
    10 000 samples or 2²⁴ elements of X, and in trainings of less than 200 steps; with
    `warm_start` it is that of the fit before. Until its support is held, the default
    search uses γ/c, at most .005, and less, but not below 3/n, if the short training
    explains less than a quarter of the loss; of a number that you give, the same bound
    of .005 holds there.
early_stopping : bool, default=False
    Whether to hold rows out and keep the state that scores best on them. Only states
    that meet the target compete, so that the count is as asked for.
validation_fraction : float, default=0.1
    Fraction of the rows that `early_stopping` holds out.
n_iter_no_change : int, default=10
    Epochs on target without a better score after which `early_stopping` ends a solve.
warm_start : bool, default=False
    Whether `fit` starts from the fitted network. The searches "bracket" and
    "continuation" also try its `alpha_` first. A search may exchange weights;
    `partial_fit` keeps the ones there are.
solver : {{"adam", "sgd", "lbfgs"}}, default="adam"
    Proximal Adam, or proximal stochastic gradient descent (Algorithm 3 of the paper).
    "lbfgs", for small data and smooth activations, solves the ℓ1 problem in float64
    until `kkt_residual_` is at most `kkt_tol`; the solution is a function of λ and
    `random_state` alone, so that ``alpha=alpha_`` gives the same weights again. It
    has no batches and no early stopping; `learning_rate_init`, `learning_rate`
    and `shuffle` are without effect.
learning_rate_init : float or "auto", default="auto"
    First step size; "auto": 0.01 for "adam" (with more than 1000 steps smaller, as the
    root of their number), 0.1 for "sgd". Without `module`, steps and first weights
    are smaller where the columns of X are larger than 1, and larger where they
    are smaller, so that tables without a scaler, and TF-IDF, are learnt, too.
learning_rate : {{"cosine", "constant"}}, default="cosine"
    How the step size falls over each solve; the default search begins with that when
    70 % of its training is done. Algorithm 3 of the paper has a constant one.
batch_size : int or "auto", default="auto"
    Rows of a step. "auto": all of at most 256 rows, else 64 to 512. At least n_samples:
    full batches.
shuffle : bool, default=True
    Whether batches are drawn anew in each epoch. Without effect on full batches.
n_jobs : int, default=None
    Threads of `fit` and of predictions, where a network is large enough to be divided;
    small ones take one. None: one, unless `joblib.parallel_config` says more; -1: all
    cores. The network is the same to the last bit, whatever it is. In a worker of
    joblib's None is one, and a number is at most what joblib leaves to each worker.
device : str or torch.device, default="cpu"
    Where the network is trained. "auto": CUDA if there is any, else the CPU; with
    several GPUs the processes of joblib take one after the other, and any other process
    the current one of PyTorch.
dtype : "auto", "float32" or "float64", default="auto"
    Precision of the training. "auto": the type of X on the CPU (integers: float64),
    float32 elsewhere; float64 with "lbfgs".
checkpoint : str or path-like, default=None
    Directory where a fit keeps its state, from time to time and after each solve.
    The same fit (data, parameters, an int as `random_state`), in this process or
    another one, then goes on where it was stopped, and finds what it would have found.
    What it kept is removed once it is done. Fits may share a directory. With "lbfgs"
    finished solves are kept, and nothing of the present one.
verbose : int, default=0
    1: print a table of about 20 lines at most, each for a block of epochs, with the
    loss, the validation score, and the weights left (inputs and units where they have
    targets); and what was found. Of a path, and of each fold, a line for each target.
    2: more lines. 0: nothing, at no cost; the network is the same to the last bit.
tol : float, default=0.01
    The target is met if \\|n_nonzero - target\\| <= tol * target; 0: exactly. With
    the default search the count of the network is exact, and `tol` is how far that of
    the penalised solution may be from it. Without effect with a given λ.
alpha : float, sequence or dict, default=None
    λ, or one per layer. None searches for it. Given, there is no search, and
    `target_sparsity`, `search`, `tol`, `max_outer_iter`, `min_layers_on_target` and
    `alpha_bounds` are without effect.
search : {{"one_pass", "bracket", "continuation"}} or object, default="one_pass"
    How λ is found. "one_pass" needs one training run, which has the exact count
    whatever `tol`, and Newton steps to an ℓ1 solution near it (`OnePassSearch`).
    "bracket" takes several solves, as in the paper (`BracketSearch`). With
    ``solver="lbfgs"`` the default means "continuation", which goes with no other
    solver.
penalty : {{"l1", "mcp", "l0", "group_l2"}} or Penalty, default="l1"
    What makes weights zero. "mcp" (minimax concave) does not shrink large weights, "l0"
    none that stays; both are nonconvex. "group_l2" removes inputs and units as a whole,
    with a given λ or with "bracket". ``MCP(gamma=...)``, `GroupL2` and `SparseGroupL2`
    have options. The λ of "l0" is the loss that a weight must save, on another scale
    than that of the others. With "one_pass" and `debias`, "mcp" changes the penalised
    solution alone, not the network.
penalize_bias : bool, default=False
    Whether biases are penalised too. They are not counted in any case.
debias : bool or "auto", default="auto"
    Whether surviving weights are refitted without the ℓ1 penalty, but with
    `weight_decay`. "auto" does so after a search with "adam" or "sgd".
kkt_tol : float, default=1e-3
    Relative KKT residual at which a solve on full batches, or the steps to the ℓ1
    solution of "one_pass", end. With "lbfgs", a solution counts only then.
alpha_bounds : (float, float), default=(1e-7, 1e-2)
    First bracket of λ for "bracket"; widened where the target lies outside. Without
    effect on other searches.
max_outer_iter : int, default=20
    Most solves of "bracket" and "continuation"; without effect otherwise.
min_layers_on_target : int, default=None
    How many layers must meet their targets (the paper's N0). None: all of them. Without
    effect on "one_pass", where all do, and with a given λ.

Attributes
----------
alpha_ : float, or ndarray of shape (n_layers,)
    The λ found, or given.
n_nonzero_ : int
    Weights that are not exactly zero.
n_nonzero_per_layer_ : ndarray of shape (n_layers,)
    The same of each layer.
n_live_ : int or None
    Those of them on a path from an input to an output. None if a `module=` is such
    that paths cannot be followed.
sparsity_ : float
    Fraction of zeros.
layer_names_ : list of str
    Penalised layers, in the order of the per-layer attributes.
target_n_nonzero_ : int, ndarray of shape (n_layers,) or None
    The target in numbers of weights. None with a given `alpha`.
converged_ : bool
    True if the search itself met the target to `tol` (in at least
    `min_layers_on_target` layers, if that is given). With "lbfgs" or a given `alpha`,
    `kkt_residual_` has to be at most `kkt_tol`, too. False if a callback or an
    interruption forced the network to the target.
weight_decay_ : float
    γ of the fit, to which `alpha_` and the certificate belong: `weight_decay`, or what
    "auto" stood for. It stays where `partial_fit` trains on with another one.
kkt_residual_ : float
    Largest violation of the optimality conditions, relative to λ, of the penalised
    solution, biases included. Above 1 it is no solution. With "one_pass" it is mostly
    below `kkt_tol` for smooth activations and a few dozen weights, and mostly above 1
    otherwise; see "λ and the theory".
certificate_ : Certificate
    The residual in more detail: ``largest``, ``root_mean_square``, ``violations`` (the
    share of weights with more than 0.01) and ``per_layer``.
loss_ : float
    Mean loss of that solution on the training data, without penalty and weight decay.
loss_curve_ : list of float
    Loss per epoch of the solve that was kept and of the refit, in their order.
validation_scores_ : list of float or None
    Accuracy or R² per epoch, with early stopping.
search_history_ : dict of ndarray
    alpha, n_nonzero, n_nonzero_per_layer, loss, kkt_residual, epochs, seconds and
    status of each solve. The status is "budget" (all epochs done), "stationary",
    "on_target" (ended by meeting the target on its way), "early", "interrupted" or
    "stopped" (by a callback).
narrowing_history_ : dict of ndarray, or None
    Of the one-pass search: the epochs at which weights were cut, the weights that were
    left, n_nonzero, and the alpha that leaves so many, of shape (n_cuts, 1) or
    (n_cuts, n_layers). This alpha depends on the step size; `alpha_` does not.
n_outer_iter_ : int
    Solves of the search.
n_iter_ : int
    Epochs in all.
module_ : nn.Module
    The fitted network; owns the state.
coefs_, intercepts_ : list of ndarray
    Weights (fan_in, fan_out) and biases per layer, without `module=`.
penalized_coefs_, penalized_intercepts_ : list of ndarray
    The same of the linear layers of the penalised solution, to which `alpha_`, `loss_`
    and `kkt_residual_` belong. Before debiasing, or, with "one_pass", the ℓ1 solution
    near the network: with a count within `tol`, and weights of its own.
support_ : ndarray of bool, shape (n_features,)
    Inputs with a path of nonzero weights to an output. They are what
    ``SelectFromModel(net, importance_getter="support_")`` keeps. With a `module=` it
    has the shape of a sample, and is None if paths cannot be followed.
feature_importances_ : ndarray of shape (n_features,)
    Geometric mean size of the weights on the paths of an input, relative to the
    largest; zero exactly for inputs without a path. `SelectFromModel` by itself keeps
    those of at least 1e-5 if `penalty` is "l1", else those of at least the mean.
n_features_in_ : int
    Columns of X.
feature_names_in_ : ndarray of str
    Names of the columns, if X has names.
"""


def _entries(doc: str, section: str) -> dict[str, str]:
    """Return what a docstring says of each name in one of its sections."""
    found = re.search(rf"^{section}\n-+\n(.+?)(?=\n\n|\Z)", doc, re.M | re.S)
    entries = re.split(r"\n(?=\S)", found[1]) if found else []
    return {entry.partition(" : ")[0]: entry for entry in entries}


def _overview(names: list[str]) -> str:
    """Return which parameters most people set, and what the others are for."""

    def listed(group: str) -> str:
        return ", ".join(f"`{name}`" for name in group.split() if name in names)

    found = [(purpose, listed(group)) for purpose, group in _GROUPS.items()]
    usual = (
        f"Most people set {listed(_USUAL)} and `random_state`, and nothing else. The "
        "other parameters have defaults that suit most data. By what they are for:"
    )
    items = [
        f"- {purpose}: {parameters}" for purpose, parameters in found if parameters
    ]
    text = ";\n".join(fill(item, 86, subsequent_indent="  ") for item in items)
    return f"{fill(usual, 86)}\n\n{text}."


def add_common_docs(estimator: Estimator) -> Estimator:
    """Complete its docstring: the parts it names, and what it shares with others.

    Its sections of parameters and attributes have what is its own. What its bases, or
    all estimators, have is added, the parameters in the order of the signature.
    """
    if estimator.__doc__ is None:  # as it is with python -OO
        return estimator
    names = list(signature(estimator).parameters)
    parts = {key: text.strip("\n") for key, text in _PARTS.items()}
    doc = cleandoc(estimator.__doc__).format(overview=_overview(names), **parts)
    others = [cleandoc(base.__doc__ or "") for base in estimator.__mro__[1:]]
    for section in ("Parameters", "Attributes"):
        own = _entries(doc, section)
        known = dict(own)
        for text in (*others, _COMMON):
            known |= _entries(text, section) | known
        chosen = names if section == "Parameters" else known
        entries = "\n".join(known[name] for name in chosen)
        doc = doc.replace("\n".join(own.values()), entries)
    estimator.__doc__ = doc
    return estimator
