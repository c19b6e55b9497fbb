"""What both estimators share: fit, prediction, fitted attributes."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace

import numpy as np
import torch
from sklearn.base import BaseEstimator, is_regressor
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from sklearn_sparsenet.deploy.predictor import predict_from
from sklearn_sparsenet.estimators import _build as build
from sklearn_sparsenet.estimators import _modules as modules
from sklearn_sparsenet.estimators import _outcome as outcome
from sklearn_sparsenet.estimators._callbacks import FitTasks
from sklearn_sparsenet.estimators._effects import warn_of_idle_parameters
from sklearn_sparsenet.estimators._holdout import hold_out
from sklearn_sparsenet.estimators._options import (
    build_limits,
    build_options,
    resolve_weight_decay,
)
from sklearn_sparsenet.estimators._probing import check_network
from sklearn_sparsenet.estimators._reports import ReportsMixin
from sklearn_sparsenet.estimators._scales import (
    check_finite,
    check_range,
    warn_about_scales,
)
from sklearn_sparsenet.estimators._shipping import DeployMixin
from sklearn_sparsenet.estimators._surprises import warn_of_surprises
from sklearn_sparsenet.estimators._table_rows import TableRows
from sklearn_sparsenet.estimators._validation import (
    COMMON_CONSTRAINTS,
    as_ratios,
    check_bounds,
    check_data,
    check_hidden_layers,
    check_objects,
    check_weights,
    fit_context,
    resolve_dtype,
)
from sklearn_sparsenet.estimators._warnings import to_be_told, warn_user
from sklearn_sparsenet.losses import Loss
from sklearn_sparsenet.networks.paths import Paths, find_paths
from sklearn_sparsenet.search.session import Session
from sklearn_sparsenet.search.trainer import Trainer
from sklearn_sparsenet.search.training import (
    TrainingResult,
    make_trainer,
    max_solves,
    train,
)
from sklearn_sparsenet.solvers import Validation
from sklearn_sparsenet.solvers.dataset import DatasetSubset, make_dataset
from sklearn_sparsenet.solvers.problem import Problem
from sklearn_sparsenet.solvers.stopping import forward
from sklearn_sparsenet.utils.arguments import as_number
from sklearn_sparsenet.utils.runtime import (
    forked_random_state,
    resolve_device,
    single_threaded,
)

__all__ = ["SparseNet"]


class SparseNet(
    CallbackSupportMixin, ReportsMixin, DeployMixin, BaseEstimator, metaclass=ABCMeta
):
    """Base of the estimators: everything but losses and targets."""

    _parameter_constraints: dict = COMMON_CONSTRAINTS
    # What y may lack: the networks of a cross-validation know the classes of all rows.
    _known_classes: np.ndarray | None = None

    def _validate_params(self) -> None:
        """Refuse values that parameters cannot have, whatever the data."""
        super()._validate_params()
        check_objects(self)
        check_hidden_layers(self.hidden_layer_sizes)
        check_bounds(self.alpha_bounds)
        resolve_device(self.device)

    @abstractmethod
    def _encode_target(self, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Learn the coding of y from rows of positive weight; return y encoded."""

    @abstractmethod
    def _n_outputs(self, encoded: np.ndarray) -> int:
        """Return how many outputs a network for this target has."""

    @abstractmethod
    def _make_loss(self, n_outputs: int) -> Loss:
        """Return the loss for a network with so many outputs."""

    @abstractmethod
    def _target_tensor(
        self, encoded: np.ndarray, n_outputs: int, dtype: torch.dtype
    ) -> Tensor:
        """Return the encoded target as the loss takes it."""

    @abstractmethod
    def _score_outputs(self, output: Tensor, encoded: np.ndarray, weight) -> float:
        """Return the validation score of outputs; larger is better."""

    def _adjust_weight(self, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return weight

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Find λ and the network with the prescribed number of weights.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            CSR rows are densified batch by batch; memory maps are read batch by
            batch. With `module=` also arrays of more than two dimensions.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None
            Rows of weight 0 are dropped before anything else.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For input or parameters that cannot be used, before any training, and
            if the loss stays infinite or NaN however small the steps.
        KeyboardInterrupt
            If the user interrupts it (Ctrl-C), with the network that there is kept;
            see Notes.

        Warns
        -----
        ConvergenceWarning
            If the target was not met; the closest network is kept.

        Notes
        -----
        Callbacks of `set_callbacks` see each solve and blocks of its epochs as tasks.
        One that returns True at the end of such a task ends the fit, with the best
        network so far; the one-pass search brings it to the target.

        An interruption (Ctrl-C) ends `fit`, and whatever it is a part of: a search, a
        pipeline. Before that the network in training is brought to the target, as after
        a stop by a callback, and stored, so that one can go on with it; `converged_` is
        False. A second interruption meanwhile, or one before training, leaves the
        estimator as it was.
        """
        message = self._fit(X, y, sample_weight)
        if message is not None:
            warn_user(message, ConvergenceWarning)
        return self

    @with_callbacks
    def _fit(self, X, y, sample_weight) -> str | None:
        """Fit; return what there is to warn of the outcome."""
        tasks = FitTasks(self, X, y, sample_weight)
        with (
            outcome.kept_on_errors(self),
            self._training(*self._check_fit_input(X, y, sample_weight)) as parts,
        ):
            trainer, search, limits = parts
            n_solves = max_solves(trainer, search, limits)
            trainer.session.progress.monitor = tasks.begin(trainer.problem, n_solves)
            result = train(trainer, search, limits)
            is_interrupted = self._keep(trainer, result)
            if not is_interrupted:
                message = self._message(trainer.problem, result)
        if is_interrupted:
            raise KeyboardInterrupt(outcome.interruption(self))
        tasks.end()
        return message

    def _keep(self, trainer: Trainer, result: TrainingResult) -> bool:
        """Store what was found; return whether the user interrupted anything so far.

        A second interruption is not held up.
        """
        is_interrupted = result.was_interrupted or trainer.session.progress.interrupted
        try:
            self._store(trainer, result)
        except KeyboardInterrupt:
            if is_interrupted:
                raise
            is_interrupted = True
            self._store(trainer, result)
        if is_interrupted:
            self.converged_ = False
        elif trainer.session.checkpoint is not None and not result.was_stopped:
            trainer.session.checkpoint.remove()
        return is_interrupted

    @contextmanager
    def _training(self, X, y, weight, numbers=None):
        """Build, from checked input, trainer, search and limits to train with.

        With the rows of these numbers alone, if any are given.
        """
        if numbers is None:
            numbers = np.arange(len(weight))
        y, weight = y[numbers], weight[numbers]
        weight = as_ratios(self._adjust_weight(y, weight))
        seed = as_number(self.random_state)
        random_state = self.random_state if seed is None else seed
        seeds = build.Seeds.draw(check_random_state(random_state))
        with torch.inference_mode(False), single_threaded():
            device = resolve_device(self.device)
            forked = forked_random_state(seeds.network, device)
            with forked if self._may_draw() else nullcontext():
                assembled = self._assemble(X, y, weight, numbers, seeds, device)
                with to_be_told(), closing(assembled[0].session):
                    yield assembled

    def _may_draw(self) -> bool:
        """Tell whether the fit may draw from the global generators of PyTorch.

        They are all that users' modules, losses and the like can draw from; a
        checkpoint sets them to what they were.
        """
        given = (self.module, self.loss, self.penalty, self.search)
        return self.checkpoint is not None or not all(map(build.is_ours, given))

    def __sklearn_is_fitted__(self) -> bool:
        return "module_" in vars(self)

    def _check_fit_input(self, X, y, sample_weight):
        X, y = check_data(
            self,
            X,
            y,
            accept_sparse=("csr", "csc"),
            allow_nd=self.module is not None,
            multi_output=True,
            y_numeric=is_regressor(self),
            dtype="numeric",
        )
        if y.ndim == 2 and y.shape[1] == 1:
            warn_user(
                "A column-vector y was passed when a 1d array was expected; it is "
                "taken as one.",
                DataConversionWarning,
            )
            y = y[:, 0]
        weight = check_weights(sample_weight, X)
        warn_about_scales(X)
        return X, y, weight

    def _assemble(self, X, y, weight, numbers, seeds, device):
        """Build everything that training needs."""
        dtype = resolve_dtype(self.dtype, X, device, self.solver)
        check_range(X, dtype)
        positive = weight > 0
        encoded = self._encode_target(y[positive], weight[positive])
        weight, numbers = weight[positive], numbers[positive]
        is_whole = np.array_equal(numbers, np.arange(X.shape[0]))
        rows = make_dataset(X, dtype, device, None if is_whole else numbers)
        module = self._start_module(rows, encoded, seeds.network, dtype, device)
        n_outputs = modules.count_outputs(module, rows)
        if self.module is not None:
            rows = modules.rows_to_give(module, rows)
        loss = self._make_loss(n_outputs)
        search, target, layers = build.build_search(self, module)
        samples = self._split(rows, encoded, weight, n_outputs, seeds.split)
        loss.check_target(samples.target)
        if not isinstance(self.loss, str):
            build.try_loss(loss, n_outputs, samples)
            build.check_loss(loss, samples.target, is_regressor(self))
        problem = build.build_problem(self, module, layers, loss, samples)
        options = build_options(self, rows.n_samples, samples.validation)
        if self.module is not None:
            check_network(problem.network, samples.rows, options.batch_size)
        else:
            self._fit_to_inputs(problem)
        decay = resolve_weight_decay(self, problem, options)
        problem = replace(problem, weight_decay=decay.final)
        report = print if self.verbose else None
        has_one_group = target is not None and not target.per_layer
        n_groups = 1 if has_one_group else len(problem.network.layers)
        guess = self._alpha_guess(n_groups) if self._continues() else None
        # Rows that are held out for early stopping are no part of the problem.
        data = (encoded, weight)
        checkpoint = build.build_checkpoint(self, problem, data, guess)
        session = Session(
            problem, options, seeds.shuffle, decay.searching, checkpoint, report
        )
        trainer = make_trainer(session, target)
        limits = build_limits(self, guess)
        warn_of_idle_parameters(self, search, limits, problem.penalty)
        warn_of_surprises(self, search, trainer)
        return trainer, search, limits

    def _fit_to_inputs(self, problem: Problem) -> None:
        """Size the steps by the inputs, and a new network by both."""
        network, is_new = problem.network, not self._continues()
        if self.solver != "lbfgs":
            sizes = problem.input_sizes()
            network.fit_steps(sizes.columns, sizes.density)
            if is_new:
                network.fit_start(sizes.row)
        if is_new:
            problem.start_at_best_constant()

    def _continues(self) -> bool:
        return self.warm_start and hasattr(self, "module_")

    def _start_module(self, rows, encoded, seed, dtype, device) -> nn.Module:
        n_outputs = self._n_outputs_asked = self._n_outputs(encoded)
        module = modules.build_module(self, rows, n_outputs, seed, dtype, device)
        if self._continues():
            modules.go_on_from(self.module_, module)
            if self.alpha is not None and self.module is None:
                # λ belongs to the penalised solution.
                layers = self.penalized_coefs_, self.penalized_intercepts_
                modules.set_linear_layers(module, *layers)
        return module

    def _alpha_guess(self, n_groups: int) -> tuple[float, ...] | None:
        known = np.atleast_1d(self.alpha_)
        usable = len(known) == n_groups and bool((known > 0).all())
        return tuple(known.tolist()) if usable else None

    def _split(self, rows, encoded, weight, n_outputs, seed) -> build.Samples:
        """Hold samples out if early stopping asks for it."""
        dtype = rows.slice(0, 1).dtype
        device = rows.slice(0, 1).device
        target = self._target_tensor(encoded, n_outputs, dtype).to(device)
        on_device = {"dtype": dtype, "device": device}
        if not self.early_stopping:
            return build.Samples(rows, target, torch.as_tensor(weight, **on_device))
        fraction = as_number(self.validation_fraction)
        kept, held = hold_out(self._strata(encoded), fraction, seed)

        def score(output: Tensor) -> float:
            return self._score_outputs(output, encoded[held], as_ratios(weight[held]))

        index = torch.from_numpy(kept).to(device)
        held_rows = DatasetSubset(rows, torch.from_numpy(held).to(device))
        patience = int(as_number(self.n_iter_no_change))
        validation = Validation(held_rows, score, patience)
        weights = torch.as_tensor(as_ratios(weight[kept]), **on_device)
        return build.Samples(
            DatasetSubset(rows, index), target[index], weights, validation
        )

    def _strata(self, encoded: np.ndarray) -> np.ndarray:
        """Return the class of each row, all zeros where there are none."""
        return np.zeros(len(encoded), dtype=int)

    def _store(self, trainer: Trainer, result: TrainingResult) -> None:
        """Set the fitted attributes; leave the network at the final solution."""
        network = trainer.problem.network
        rows = trainer.problem.rows
        penalized, final, found = result.penalized, result.final, result.search
        network.restore(penalized.state)
        self.certificate_ = penalized.certificate
        self.penalized_coefs_, self.penalized_intercepts_ = outcome.linear_layers(
            network.module
        )
        network.restore(final.state)
        self.layer_names_ = [layer.name for layer in network.layers]
        self.n_nonzero_per_layer_ = np.array(final.counts)
        self.n_nonzero_ = int(sum(final.counts))
        self.sparsity_ = 1 - self.n_nonzero_ / network.n_weights
        self.target_n_nonzero_ = outcome.unless_per_layer(trainer.target)
        alpha = np.array(found.best.alpha)
        self.alpha_ = alpha if self._has_alpha_per_layer(trainer) else float(alpha[0])
        self.weight_decay_ = float(trainer.problem.weight_decay)
        self.kkt_residual_ = penalized.kkt_residual
        self.loss_ = penalized.loss
        parts = result.stages
        self.loss_curve_ = [value for part in parts for value in part.loss_curve]
        scores = [value for part in parts for value in part.validation_scores]
        self.validation_scores_ = scores if self.early_stopping else None
        self.search_history_ = outcome.history(found.history)
        self.narrowing_history_ = outcome.narrowing(found.refitted)
        self.n_outer_iter_ = len(found.history)
        self.n_iter_ = result.n_epochs
        self.converged_ = result.converged
        self._loss_ = trainer.problem.loss
        self.module_ = network.copy_module()
        self._sample_shape = rows.sample_shape
        self._is_sparse = False
        if self.module is None and trainer.flow is not None:
            self._store_paths(trainer.flow.paths())
        else:  # a user's module may have changed by more than its weights
            self._store_paths(
                find_paths(self.module_, self.layer_names_, rows.sample_shape)
            )
        self._choose_route()

    def _has_alpha_per_layer(self, trainer: Trainer) -> bool:
        if trainer.target is not None:
            return trainer.target.per_layer
        return isinstance(self.alpha, dict) or np.ndim(self.alpha) > 0

    def _store_paths(self, paths: Paths | None) -> None:
        self.n_live_ = None if paths is None else paths.n_live
        if paths is None:
            self.support_ = self.feature_importances_ = None
        else:
            self.support_ = paths.input_support.numpy()
            self.feature_importances_ = paths.input_strength.numpy()

    def _message(self, problem: Problem, result: TrainingResult) -> str | None:
        """Return what to warn of: a target that was missed, a dead network."""
        searched = self.target_n_nonzero_ is not None
        is_missed = not (result.met and result.search.met)
        parts = []
        if is_missed and result.was_stopped:
            parts.append("a callback stopped the training; the best state is kept")
        elif is_missed:
            reason = result.search.reason or "the refit made weights exactly zero"
            parts.append(
                f"the reason: {reason}. Raise tol, max_outer_iter or max_iter, or "
                "widen alpha_bounds"
            )
        if searched and self.n_live_ != 0 and outcome.is_constant(problem):
            parts.append(
                "the output is constant, though there are paths to it: the units of a "
                "layer are dead. A smaller learning_rate_init may help"
            )
        if self.solver == "lbfgs" and self.kkt_residual_ > self.kkt_tol:
            parts.append(
                outcome.describe(self.certificate_, self.kkt_tol, self.module_)
            )
        if searched and self.n_live_ == 0:
            parts.append(
                "no weight lies on a path from an input to an output, so that the "
                f"output is constant. A path through the {len(self.layer_names_)} "
                "layers takes one weight in each: ask for more"
            )
        if not parts:
            return None
        if searched:
            goal, counts = self.target_n_nonzero_, self.n_nonzero_per_layer_
            kept = self.n_nonzero_ if np.ndim(goal) == 0 else counts
            parts.insert(0, f"asked for {goal} weights (tol={self.tol}), kept {kept}")
        return f"{type(self).__name__}: {'; '.join(parts)}."

    def _predictions(self, X) -> np.ndarray:
        """Return what the loss predicts for the outputs of the fitted network."""
        return predict_from(self._outputs(X), self._loss_)

    def _outputs(self, X) -> np.ndarray:
        """Return the outputs of the fitted network, of shape (n_samples, n_outputs)."""
        check_is_fitted(self)
        if isinstance(X, TableRows):
            return np.concatenate([self._outputs(rows) for rows in X.blocks()])
        X = check_data(
            self,
            X,
            accept_sparse=("csr", "csc"),
            allow_nd=self.module is not None,
            dtype="numeric",
            reset=False,
        )
        predictor = self._route_.predictor(self.module_)
        with np.errstate(all="ignore"):  # what overflows is refused below
            outputs = predictor(X) if predictor is not None else self._forward(X)
        return check_finite(outputs)

    @single_threaded()
    def _forward(self, X) -> np.ndarray:
        some = next(p for p in self.module_.parameters() if p.is_floating_point())
        rows = make_dataset(X, some.dtype, some.device)
        return forward(self.module_.eval(), rows).cpu().numpy()

    @property
    def coefs_(self) -> list[np.ndarray]:
        """Weights of the layers of a multilayer perceptron, (fan_in, fan_out) each.

        Arrays, or sparse ones after `sparsify`.
        """
        return self._as_stored(self._perceptron_layers()[0])

    @property
    def intercepts_(self) -> list[np.ndarray]:
        """Biases of the layers of a multilayer perceptron."""
        return self._perceptron_layers()[1]

    def _perceptron_layers(self):
        if "module_" not in vars(self) or self.module is not None:
            raise AttributeError(
                f"{type(self).__name__} has coefs_ and intercepts_ once it is fitted "
                "and only without module=; see module_."
            )
        return outcome.linear_layers(self.module_)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
