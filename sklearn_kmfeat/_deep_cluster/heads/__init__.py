"""Heads: what a network learns pseudo-labels with.

A new head is a file here, with a class that keeps the contract of `base.Head`, and an entry below.
"""

from .base import Head
from .prototypes import PrototypesHead
from .reset import ResetHead

#: From the values of `DeepClusterEstimator(head=...)` to the classes.
HEADS: dict[str, type[Head]] = {"reset": ResetHead, "prototypes": PrototypesHead}


def heads_that(declare: str) -> str:
    """The names of the heads that declare something, such as ``"projects"``, for messages."""
    return " or ".join(repr(name) for name, head in HEADS.items() if getattr(head, declare))
