"""What an estimator asks of the input layer."""

from typing import Any, NamedTuple


class Request(NamedTuple):
    """What a form of X is checked for.

    Attributes
    ----------
    estimator : estimator
        Named in messages; fitted where `reset` is False.
    image_shape : (int, int, int) or None
        What the rows of a two-dimensional X are; of other forms, what the images must be.
    reset : bool
        Whether this is a first fit.
    needs_sizes : bool
        False where the estimator brings images to a size of its own.
    scan_bytes : int
        Bytes that are looked through for NaN at a time.
    """

    estimator: Any
    image_shape: tuple[int, int, int] | None
    reset: bool
    needs_sizes: bool
    scan_bytes: int

    @property
    def name(self) -> str:
        """The class of the estimator."""
        return type(self.estimator).__name__
