"""Pooling of code maps over cells, which cover every location: once, or overlapping."""

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import torch

from .._utils.tracing import constant, static_size

POOLS = ("sum", "mean", "max")
#: The locations of a cell along one axis: from the first to before the last number.
Span = tuple[int, int]
# So many cells are summed by one product, which reads the codes once and in order: with locations
# last, `transform` with slices takes 1.05 times as long for 100 filters, 1.4 times for 1,600. With
# more cells the product multiplies more zeros.
_FEW_CELLS = 16


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

    def pool(
        self, strips: Iterable[tuple[int, Iterable[torch.Tensor]]], map_size: tuple[int, int]
    ) -> torch.Tensor:
        """Pool maps that come in strips.

        Parameters
        ----------
        strips : iterable of (int, iterable of tensor)
            The row of locations that a strip begins with, and its codes, some images at a time:
            tensors (some images, rows, W', K), used before the next one is asked for.
        map_size : (int, int)
            H', W'.

        Returns
        -------
        tensor of shape (n, cell rows, cell columns, K)
        """
        cells = Cells(self.how, *self.spans(map_size))
        pooled = [torch.cat([cells.reduce(codes, row) for codes in some]) for row, some in strips]
        return cells.finish(pooled)


class Cells:
    """The cells of maps of one size."""

    def __init__(self, how, rows, columns):
        self.how = how
        self.rows = rows
        self.columns = columns
        self.shape = len(rows), len(columns)
        n_cells = self.shape[0] * self.shape[1]
        self.by_product = how != "max" and 1 < n_cells <= _FEW_CELLS
        self.weights = None

    def reduce(self, codes, start):
        """Codes (n, rows, W', K) of the strip that begins at row `start`, pooled.

        A cell outside the strip is zero, or minus infinity for the maximum. A mean is a sum until
        `finish`.
        """
        height, width = static_size(codes, 1), static_size(codes, 2)
        if self.shape == (1, 1):
            return _reduce(codes, self.how, (1, 2))[:, None, None]
        if self.by_product:
            weights = self._weights(codes)[:, start * width : (start + height) * width]
            pooled = torch.bmm(weights.expand(codes.shape[0], -1, -1), codes.flatten(1, 2))
            return pooled.unflatten(1, self.shape)
        rows = [[min(max(edge - start, 0), height) for edge in span] for span in self.rows]
        return _pool_axis(_pool_axis(codes, rows, self.how, 1), self.columns, self.how, 2)

    def finish(self, strips):
        """Pooled cells of maps from those of their strips."""
        pooled = strips[0] if len(strips) == 1 else _reduce(torch.stack(strips), self.how, 0)
        if self.how != "mean":
            return pooled
        heights, widths = ([b - a for a, b in spans] for spans in (self.rows, self.columns))
        sizes = [[[height * width] for width in widths] for height in heights]
        return pooled / constant(sizes, pooled)

    def _weights(self, like):
        """What each location counts in each cell, (cells, H' * W')."""
        if self.weights is None:
            rows, columns = _members(self.rows, like), _members(self.columns, like)
            both = rows[:, None, :, None] * columns[:, None]
            self.weights = both.flatten(2).flatten(0, 1)
        return self.weights


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


def _members(spans, like):
    """Which location lies in which cell along one axis, (cells, locations) of 0 and 1."""
    n_locations = spans[-1][1]
    return constant([[a <= i < b for i in range(n_locations)] for a, b in spans], like)


def _pool_axis(codes, spans, how, axis):
    if len(spans) == static_size(codes, axis) and all(b - a == 1 for a, b in spans):
        return codes
    parts = []
    for a, b in spans:
        if a == b and how == "max":
            parts.append(torch.full_like(codes.select(axis, 0), -torch.inf))
        else:
            parts.append(_reduce(codes.narrow(axis, a, b - a), how, axis))
    return torch.stack(parts, axis)


def _reduce(codes, how, axis):
    return codes.amax(axis) if how == "max" else codes.sum(axis)
