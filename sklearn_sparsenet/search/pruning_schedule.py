"""When weights are pruned, as parts of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sklearn_sparsenet.utils.arguments import keep_number
from sklearn_sparsenet.utils.renamed_fields import RenamedFields

__all__ = ["PruningSchedule"]

_POWER = 3  # k falls as the cube of the remaining time (Zhu, Gupta 2017)
# Steps of a usual run: from, to. The parts of longer and shorter runs change as powers.
_USUAL = (800, 1000)
_LONG_POWER, _SHORT_POWER = 0.4, 0.17


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

        A long run can do with a smaller part for the cuts: more of it is left for
        training what they leave, before the loss has nothing to tell any more. A short
        one needs a larger part: the weights must have learned something to be judged.
        """
        return cls().scaled_to(n_steps)

    def scaled_to(self, n_steps: int) -> PruningSchedule:
        """Return the schedule for a run of that many steps, of that for 1000."""
        low, high = _USUAL
        longer, shorter = max(n_steps / high, 1.0), min(max(n_steps, 100) / low, 1.0)
        part = longer**-_LONG_POWER * shorter**-_SHORT_POWER
        return PruningSchedule(
            part * self.begin, part * self.target_at, part * self.freeze_at
        )

    def kept(self, progress: float, size: int, goal: int) -> int:
        """Return k of a group of `size` weights; cubic from all to `goal`."""
        done = (progress - self.begin) / (self.target_at - self.begin)
        left = (1 - min(max(done, 0.0), 1.0)) ** _POWER
        return round(goal + (size - goal) * left)
