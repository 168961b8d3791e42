"""What several estimators ask of their parameters."""

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

from sklearn.utils._param_validation import Interval, StrOptions

POSITIVE_INT = Interval(Integral, 1, None, closed="left")
NON_NEGATIVE = Interval(Real, 0, None, closed="left")


def names_in(table: Mapping[str, Any]) -> StrOptions:
    """The constraint that a parameter is a name in a table, also one that is entered later."""
    # A view and not a set: whoever adds an entry need not touch the estimators.
    return StrOptions(table.keys())


def as_pair(value: Any, name: str) -> tuple[int, int]:
    """An int, or two ints, as (height, width).

    Parameters
    ----------
    value : int or (int, int)
        Positive.
    name : str
        Of the parameter, for the message.

    Returns
    -------
    (int, int)

    Raises
    ------
    ValueError
        For anything else.
    """
    values = (value, value) if isinstance(value, Integral) else tuple(value)
    if len(values) != 2 or not all(isinstance(v, Integral) and v >= 1 for v in values):
        raise ValueError(f"{name} must be a positive int or two of them, got {value!r}.")
    height, width = (int(v) for v in values)
    return height, width
