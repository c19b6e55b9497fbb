"""What can go wrong, by name."""

__all__ = ["DataScaleWarning", "NonFiniteLossError"]


class NonFiniteLossError(ValueError):
    """The training loss stayed infinite or NaN however small the step was made."""


class DataScaleWarning(UserWarning):
    """Columns of X differ so much in scale that one penalty cannot suit them all."""
