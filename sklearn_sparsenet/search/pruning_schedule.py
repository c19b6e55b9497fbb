"""When weights are pruned, as parts of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sklearn_sparsenet.utils.arguments import keep_number
from sklearn_sparsenet.utils.renamed_fields import RenamedFields

__all__ = ["PruningSchedule"]

_POWER = 3  # k falls as the cube of the remaining time (Zhu, Gupta 2017)
# Of a run of fewer steps, all parts are larger, by a power (docs/design_notes.md).
_USUAL, _SHORT_POWER = 800, 0.17


@dataclass(frozen=True)
class PruningSchedule(RenamedFields):
    """When what happens, as parts of a training run.

    Attributes
    ----------
    begin : float
        The first order statistic; dense training before.
    target_at : float
        From here on k is the target; the support may still change.
    freeze_at : float
        From here on it may not.
    """

    begin: float = 0.05
    target_at: float = 0.55
    freeze_at: float = 0.6
    former_names: ClassVar[dict[str, str]] = {
        "reach": "target_at",
        "hold": "freeze_at",
    }

    def __post_init__(self) -> None:
        for name in ("begin", "target_at", "freeze_at"):
            keep_number(self, name, lambda part: 0 <= part < 1, "in [0, 1)")
        if not self.begin < self.target_at <= self.freeze_at:
            raise ValueError(f"{self} is not in order within [0, 1).")

    @classmethod
    def for_steps(cls, n_steps: int) -> PruningSchedule:
        """Return the schedule for a run of that many steps.

        A short one needs a larger part for the cuts: the weights must have learned
        something to be judged.
        """
        part = min(max(n_steps, 100) / _USUAL, 1.0) ** -_SHORT_POWER
        usual = cls()
        return cls(part * usual.begin, part * usual.target_at, part * usual.freeze_at)

    def kept(self, progress: float, size: int, goal: int) -> int:
        """Return k of a group of `size` weights; cubic from all to `goal`."""
        done = (progress - self.begin) / (self.target_at - self.begin)
        left = (1 - min(max(done, 0.0), 1.0)) ** _POWER
        return round(goal + (size - goal) * left)
