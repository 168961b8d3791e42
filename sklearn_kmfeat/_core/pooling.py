"""Pooling of code maps over cells, which cover every location: once, or overlapping."""

from itertools import pairwise
from typing import NamedTuple

import torch

from .._utils.tracing import constant, static_size

POOLS = ("sum", "mean", "max")
#: The locations of a cell along one axis: from the first to before the last number.
Span = tuple[int, int]


class Pooling(NamedTuple):
    """Which locations are pooled together, and how.

    Attributes
    ----------
    how : {"sum", "mean", "max"}
    grid : (int, int) or None
        Number of cells down and across; None leaves every location its own cell.
    window : (int, int) or None
        Locations of a cell down and across; comes before `grid`.
    stride : (int, int) or None
        Steps from window to window down and across; None: that of a window.
    """

    how: str
    grid: tuple[int, int] | None = None
    window: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None

    def spans(self, map_size: tuple[int, int]) -> tuple[list[Span], list[Span]]:
        """Where the cells begin and end, down and across a map of this size.

        Raises
        ------
        ValueError
            When there are more cells than locations.
        """
        if self.window is not None or self.grid is None:
            sizes = self.window or (1, 1)
            strides = self.stride or sizes
            return tuple(map(window_spans, map_size, sizes, strides))
        if any(cells > n for cells, n in zip(self.grid, map_size, strict=True)):
            raise ValueError(
                f"pool_grid={self.grid} is finer than the map of {map_size[0]} x {map_size[1]} "
                "locations."
            )
        return tuple(map(grid_spans, map_size, self.grid))

    def n_cells(self, map_size: tuple[int, int]) -> tuple[int, int]:
        """Number of cells down and across in a map of this size."""
        rows, columns = self.spans(map_size)
        return len(rows), len(columns)

    def cells(self, map_size: tuple[int, int]) -> "Cells":
        """The cells of maps of this size."""
        return Cells(self.how, *self.spans(map_size))

    def pool(self, codes: torch.Tensor) -> torch.Tensor:
        """Pool whole maps (n, H', W', K) to (n, cell rows, cell columns, K)."""
        cells = self.cells((static_size(codes, 1), static_size(codes, 2)))
        return cells.join([cells.reduce(codes, 0)])


class Strip(NamedTuple):
    """What some rows of maps add to their cells.

    Attributes
    ----------
    first : int
        The first row of cells that they touch.
    values : tensor of shape (n, rows of cells that they touch, cell columns, K)
        Of a mean, the sums.
    """

    first: int
    values: torch.Tensor


class Cells:
    """The cells of maps of one size; pools maps that come in strips.

    Parameters
    ----------
    how : {"sum", "mean", "max"}
    rows, columns : list of Span
        As `Pooling.spans` gives them.
    """

    def __init__(self, how: str, rows: list[Span], columns: list[Span]):
        self.how = how
        self.rows = rows
        self.columns = columns

    def reduce(self, codes: torch.Tensor, start: int) -> Strip:
        """Pool codes (n, rows, W', K) of the rows of locations from `start` on.

        Where each location is a cell, these are the codes themselves, in the same memory.
        """
        stop = start + static_size(codes, 1)
        touched = [i for i, (a, b) in enumerate(self.rows) if a < stop and b > start]
        rows = [self.rows[i] for i in touched]
        rows = [(max(a, start) - start, min(b, stop) - start) for a, b in rows]
        # Down first: sums of whole rows read the codes in order.
        values = _pool_axis(codes, rows, self.how, 1)
        return Strip(touched[0], _pool_axis(values, self.columns, self.how, 2))

    def join(self, strips: list[Strip]) -> torch.Tensor:
        """Pooled cells (n, cell rows, cell columns, K) of maps from all their strips."""
        total = strips[0].values if len(strips) == 1 else self._total(strips)
        if self.how != "mean":
            return total
        heights, widths = ([b - a for a, b in spans] for spans in (self.rows, self.columns))
        sizes = [[[height * width] for width in widths] for height in heights]
        return total / constant(sizes, total)

    def _total(self, strips):
        n, _, *shape = strips[0].values.shape
        nothing = -torch.inf if self.how == "max" else 0
        total = strips[0].values.new_full((n, len(self.rows), *shape), nothing)
        for first, values in strips:
            rows = total[:, first : first + values.shape[1]]
            rows.copy_(torch.maximum(rows, values) if self.how == "max" else rows + values)
        return total


def grid_spans(n_locations: int, n_cells: int) -> list[Span]:
    """Spans of `n_cells` cells that differ by at most one location, larger ones first.

    >>> grid_spans(27, 2)
    [(0, 14), (14, 27)]
    """
    size, longer = divmod(n_locations, n_cells)
    edges = [i * size + min(i, longer) for i in range(n_cells + 1)]
    return list(pairwise(edges))


def window_spans(n_locations: int, size: int, stride: int) -> list[Span]:
    """Spans of cells of `size` locations; the last one holds what is left.

    >>> window_spans(7, 3, 3)
    [(0, 3), (3, 6), (6, 7)]
    >>> window_spans(27, 15, 6)
    [(0, 15), (6, 21), (12, 27)]
    """
    starts = range(0, max(n_locations - size, 0) + stride, stride)
    return [(start, min(start + size, n_locations)) for start in starts]


def _pool_axis(codes, spans, how, axis):
    """One value for each span (start, stop) of an axis."""
    if spans == [(i, i + 1) for i in range(static_size(codes, axis))]:
        return codes
    if len(spans) == 1:
        return _reduce(codes, how, axis, keepdim=True)
    return torch.stack([_reduce(codes.narrow(axis, a, b - a), how, axis) for a, b in spans], axis)


def _reduce(codes, how, axis, keepdim=False):
    return codes.amax(axis, keepdim) if how == "max" else codes.sum(axis, keepdim)
