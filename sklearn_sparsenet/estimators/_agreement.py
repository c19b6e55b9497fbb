"""Data and parameters of one fit that several processes share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from torch import nn

from sklearn_sparsenet._version import __version__
from sklearn_sparsenet.estimators._identity import identify
from sklearn_sparsenet.estimators._settings import Settings
from sklearn_sparsenet.estimators._table import Table
from sklearn_sparsenet.utils.processes import Processes

__all__ = ["agreed", "check_module"]

# Parameters that may differ: what a process computes with, and tells.
_OF_A_PROCESS = ("checkpoint", "device", "n_jobs", "verbose")


@dataclass(frozen=True)
class _Facts:
    """What a process tells the others before they begin."""

    trouble: TypeError | ValueError | None = None  # with its data
    table: Table | None = None  # without X
    common: dict[str, str] | None = None  # what has to be the same in all of them


def agreed(
    processes: Processes, settings: Settings, previous: Any, check: Callable[[], Table]
) -> Table:
    """Return the targets and weights of all processes, and the X of this one.

    Parameters
    ----------
    processes : Processes
    settings : Settings
    previous : SparseNet or None
        The fit that this one goes on from.
    check : callable() -> Table
        Returns the data of this process, or refuses them.

    Raises
    ------
    ValueError
        In all processes, if one of them refuses its data, or if parameters or columns
        differ. The one that refuses its data has its own error, and the others have a
        TypeError where that is one.
    """
    try:
        table = check()
    except Exception as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        # Others may not know the class of the error itself.
        processes.gather(_Facts(kind(f"{type(error).__name__}: {error}")))
        raise
    return processes.joint(table, partial(_with_others, settings, previous))


def _with_others(
    settings: Settings, previous: Any, table: Table, processes: Processes
) -> Table:
    common = _common(settings, previous, table)
    found = processes.gather(_Facts(None, replace(table, X=None), common))
    _refuse_trouble(found)
    tables = [facts.table for facts in found]
    return replace(
        table,
        y=np.concatenate([one.y for one in tables]),
        weight=np.concatenate([one.weight for one in tables]),
        dtype=np.result_type(*(one.dtype for one in tables)),
        first=sum(len(one.y) for one in tables[: processes.rank]),
        processes=processes,
    )


def _refuse_trouble(found: list[_Facts]) -> None:
    for number, facts in enumerate(found):
        if facts.trouble is not None:
            raise type(facts.trouble)(f"Process {number} cannot fit: {facts.trouble}")
    expected = found[0].common
    for number, facts in enumerate(found):
        for what, value in expected.items():
            other = facts.common.get(what)
            if other != value:
                raise ValueError(
                    f"The processes of a fit need the same {what}. Process 0 has "
                    f"{_short(value)}, process {number} has {_short(other)}."
                )


def _common(settings: Settings, previous: Any, table: Table) -> dict[str, str]:
    """Return what has to be the same in all processes, by what it is called."""
    values = {k: v for k, v in settings.values.items() if k not in _OF_A_PROCESS}
    if not isinstance(values["random_state"], int | np.integer):
        del values["random_state"]  # the numbers of the first process are drawn
    names = table.features.get("feature_names_in_")
    start = None if previous is None else previous.module_
    values["checkpoint"] = settings.checkpoint is not None  # where is its own affair
    kind = {"estimator": f"{settings.kind.__name__} of version {__version__}"}
    parameters = {f"parameter {k}": identify(value) for k, value in values.items()}
    return {
        **kind,
        **parameters,
        "shape of samples": repr(table.X.shape[1:]),
        "names of columns": identify(names),
        "shape of targets": repr(table.y.shape[1:]),
        "network to go on from": hashlib.sha256(identify(start).encode()).hexdigest(),
    }


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


def check_module(processes: Processes, module: nn.Module) -> None:
    """Refuse a module whose statistics would be those of one process's samples."""
    for name, part in module.named_modules():
        if getattr(part, "track_running_stats", False):
            processes.refuse(
                f"module= has running statistics ({name}: {type(part).__name__}), "
                "which processes that share a fit would each have of their own. Use "
                "LayerNorm or GroupNorm."
            )
