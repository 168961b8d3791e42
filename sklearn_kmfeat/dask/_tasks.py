"""Tasks of dask, and values as dask sees them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from dask import delayed
from dask.delayed import Delayed

from .._utils.device import matmul_precision
from .._utils.settings import standard_settings
from .._utils.threads import coarse_threads

_CPU = torch.device("cpu")


class Held:
    """A value as dask sees it: nothing to look for tasks in, and as large as its tensors.

    The scheduler leaves tasks where their largest arguments are. Of an object that it does not
    know it believes that it has 50 bytes, and would send rows around.
    """

    def __init__(self, value: Any):
        self.value = value

    def __sizeof__(self):
        return object.__sizeof__(self) + _n_bytes(self.value)


def _n_bytes(value):
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, list | tuple):
        return sum(map(_n_bytes, value))
    return sum(map(_n_bytes, vars(value).values())) if hasattr(value, "__dict__") else 0


def task(function: Callable, *args: Any) -> Delayed:
    """A task for dask.

    Parameters
    ----------
    function : callable
        Of plain values.
    *args : object
        Other tasks, blocks of a dask array, lists of these, or `Held` values.
    """
    return delayed(_computed, pure=False)(Held(function), *args)


def _computed(function, *args):
    """In full precision, without gradients and on one thread: workers share the processor."""
    with (
        torch.no_grad(),
        standard_settings(),
        matmul_precision("exact", _CPU),
        coarse_threads(1),
    ):
        return Held(function.value(*map(unwrapped, args)))


def unwrapped(value: Any) -> Any:
    """A value that may be held, or a list of such, as it is."""
    if isinstance(value, list):
        return [unwrapped(each) for each in value]
    return value.value if isinstance(value, Held) else value
