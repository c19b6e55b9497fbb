"""What can go wrong, by name."""

__all__ = ["DataScaleWarning", "NonFiniteLossError", "ProcessLostError"]


class NonFiniteLossError(ValueError):
    """The training loss stayed infinite or NaN however small the step was made."""


class ProcessLostError(RuntimeError):
    """Another process of a fit that several share has ended, or did not come along."""


class DataScaleWarning(UserWarning):
    """Columns of X differ so much in scale that one penalty cannot suit them all."""
