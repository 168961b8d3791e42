"""Rows in parts, wherever these are: in memory, on the workers of a cluster, in other processes.

    rows.map(function, ...)     part -> value that stays where the part is
    rows.each(function, ...)    part -> result that comes here
    rows.added(function, ...)   part -> result that is added to those of the other parts
    rows[index]                 some rows, here

K-means asks its rows for no more than that, so one and the same iteration runs over a tensor, over
the blocks of an array on a cluster, and over the shares of several processes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial, reduce
from operator import add
from typing import Any, NamedTuple

import numpy as np
import torch

from .._utils.threads import in_threads


class ForEach(NamedTuple):
    """An argument of which each part gets its own value."""

    values: Sequence[Any]


class Rows(ABC):
    """Rows, or windows, in parts; or values of any kind, one for each part.

    The contract for a new one: functions are pure, can be pickled, and give the same whenever and
    wherever they are called, so that a part that was lost can be computed again. Of `args`, those
    that are `Rows` or a `ForEach` are handed over part by part.

    Attributes
    ----------
    lengths : list of int
        Rows in each part.
    dtype : torch.dtype
    device : torch.device
        On which rows come here.
    """

    lengths: Sequence[int]
    dtype: torch.dtype
    device: torch.device

    def __len__(self) -> int:
        return sum(self.lengths)

    @abstractmethod
    def __getitem__(self, index: torch.Tensor | slice) -> Any:
        """The rows at an int64 tensor, or a slice, in its order; a tensor, or windows."""

    @abstractmethod
    def map(self, function: Callable, *args: Any) -> "Rows":
        """The values of ``function(part, *args)``, which stay where the parts are.

        They count as rows of the same lengths.
        """

    def map_own(self, function: Callable, *args: Any) -> "Rows":
        """As `map`, for a function that may change the part: nobody needs it afterwards."""
        return self.map(partial(_of_copy, function), *args)

    @abstractmethod
    def each(self, function: Callable, *args: Any) -> list:
        """The results of ``function(part, *args)``, in the order of the parts."""

    def added(self, function: Callable, *args: Any, packed: Callable | None = None) -> Any:
        """The sum of the results of ``function(part, *args)``, added in a fixed order.

        Parameters
        ----------
        function, *args
            As in `each`; the results have a ``+``.
        packed : callable or None, default=None
            Makes of a sum one that takes less memory, before it comes here.
        """
        return reduce(add, self.each(function, *args))

    @abstractmethod
    def grouped(
        self, function: Callable, indices: Sequence[np.ndarray], arguments: Sequence[tuple]
    ) -> list:
        """``function(rows[index], *arguments)`` for each group, in order, computed anywhere.

        Parameters
        ----------
        function : callable
            May change the rows that it is given.
        indices : sequence of int arrays
        arguments : sequence of tuples
            Of each group.
        """


class OnePart(Rows):
    """Rows in memory.

    Parameters
    ----------
    rows : tensor of shape (n, d), or Windows
    """

    def __init__(self, rows: Any):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    @property
    def lengths(self):
        return [len(self.rows)]

    @property
    def dtype(self):
        return self.rows.dtype

    @property
    def device(self):
        return self.rows.device

    def __getitem__(self, index):
        return self.rows[index]

    def map(self, function, *args):
        return OnePart(function(self.rows, *map(_only, args)))

    def map_own(self, function, *args):
        return self.map(function, *args)

    def each(self, function, *args):
        return [function(self.rows, *map(_only, args))]

    def grouped(self, function, indices, arguments):
        def worker():
            def of_group(i):
                index = torch.from_numpy(indices[i]).to(self.device)
                return function(self.rows[index], *arguments[i])

            return of_group

        return list(in_threads(worker, range(len(indices)), self.device))


def in_parts(rows: Any) -> Rows:
    """Rows as they are, or a tensor (n, d) or windows as one part."""
    return rows if isinstance(rows, Rows) else OnePart(rows)


def plain(rows: Rows) -> Any:
    """What one part in memory holds, or rows as they are."""
    return rows.rows if isinstance(rows, OnePart) else rows


def by_part(index: np.ndarray, lengths: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Where the rows at an index are.

    Parameters
    ----------
    index : int array of shape (m,)
        In any order.
    lengths : sequence of int
        Rows in each part.

    Returns
    -------
    list of (int array, int array)
        Of each part, which of the `index` lie in it, and where.
    """
    ends = np.cumsum(lengths)
    part = np.searchsorted(ends, index, side="right")
    places = [np.flatnonzero(part == p) for p in range(len(ends))]
    starts = ends - np.asarray(lengths)
    return [(which, index[which] - start) for which, start in zip(places, starts, strict=True)]


def shifted(rows: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """Rows (n, d) less an offset (d,)."""
    return rows - offset


def _of_copy(function, part, *args):
    return function(part.clone(), *args)


def _only(value):
    if isinstance(value, ForEach):
        (value,) = value.values
    return value.rows if isinstance(value, OnePart) else value
