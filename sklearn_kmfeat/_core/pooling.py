"""Pooling of code maps over cells that cover every location exactly once."""

from itertools import pairwise
from typing import NamedTuple

import torch

from .._utils.tracing import constant, static_size

POOLS = ("sum", "mean", "max")


class Pooling(NamedTuple):
    """Which locations are pooled together, and how.

    Attributes
    ----------
    how : {"sum", "mean", "max"}
    grid : (int, int) or None
        Number of cells down and across; None leaves every location its own cell.
    window : (int, int) or None
        Locations of a cell down and across; comes before `grid`.
    """

    how: str
    grid: tuple[int, int] | None = None
    window: tuple[int, int] | None = None

    def edges(self, map_size: tuple[int, int]) -> tuple[list[int], list[int]]:
        """Edges of the cells down and across a map of this size.

        Raises
        ------
        ValueError
            When there are more cells than locations.
        """
        if self.window is not None or self.grid is None:
            sizes = self.window or (1, 1)
            return tuple(window_edges(n, size) for n, size in zip(map_size, sizes, strict=True))
        if any(cells > n for cells, n in zip(self.grid, map_size, strict=True)):
            raise ValueError(
                f"pool_grid={self.grid} is finer than the map of {map_size[0]} x {map_size[1]} "
                "locations."
            )
        return tuple(grid_edges(n, cells) for n, cells in zip(map_size, self.grid, strict=True))

    def n_cells(self, map_size: tuple[int, int]) -> tuple[int, int]:
        """Number of cells down and across in a map of this size."""
        rows, columns = self.edges(map_size)
        return len(rows) - 1, len(columns) - 1

    def cells(self, map_size: tuple[int, int]) -> "Cells":
        """The cells of maps of this size."""
        return Cells(self.how, *self.edges(map_size))

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
    row_edges, column_edges : list of int
        As `Pooling.edges` gives them.
    """

    def __init__(self, how: str, row_edges: list[int], column_edges: list[int]):
        self.how = how
        self.row_edges = row_edges
        self.column_edges = column_edges

    def reduce(self, codes: torch.Tensor, start: int) -> Strip:
        """Pool codes (n, rows, W', K) of the rows of locations from `start` on.

        Where each location is a cell, these are the codes themselves, in the same memory.
        """
        stop = start + static_size(codes, 1)
        pairs = list(pairwise(self.row_edges))
        touched = [i for i, (a, b) in enumerate(pairs) if a < stop and b > start]
        rows = [pairs[i] for i in touched]
        rows = [(max(a, start) - start, min(b, stop) - start) for a, b in rows]
        # Down first: sums of whole rows read the codes in order.
        values = _pool_axis(codes, rows, self.how, 1)
        columns = list(pairwise(self.column_edges))
        return Strip(touched[0], _pool_axis(values, columns, self.how, 2))

    def join(self, strips: list[Strip]) -> torch.Tensor:
        """Pooled cells (n, cell rows, cell columns, K) of maps from all their strips."""
        total = strips[0].values if len(strips) == 1 else self._total(strips)
        if self.how != "mean":
            return total
        heights, widths = (
            [b - a for a, b in pairwise(edges)] for edges in (self.row_edges, self.column_edges)
        )
        sizes = [[[height * width] for width in widths] for height in heights]
        return total / constant(sizes, total)

    def _total(self, strips):
        n, _, *shape = strips[0].values.shape
        nothing = -torch.inf if self.how == "max" else 0
        total = strips[0].values.new_full((n, len(self.row_edges) - 1, *shape), nothing)
        for first, values in strips:
            rows = total[:, first : first + values.shape[1]]
            rows.copy_(torch.maximum(rows, values) if self.how == "max" else rows + values)
        return total


def grid_edges(n_locations: int, n_cells: int) -> list[int]:
    """Edges of `n_cells` cells that differ by at most one location, larger ones first.

    >>> grid_edges(27, 2)
    [0, 14, 27]
    """
    size, longer = divmod(n_locations, n_cells)
    return [i * size + min(i, longer) for i in range(n_cells + 1)]


def window_edges(n_locations: int, size: int) -> list[int]:
    """Edges of cells of `size` locations; the last one holds what is left.

    >>> window_edges(7, 3)
    [0, 3, 6, 7]
    """
    return [*range(0, n_locations, size), n_locations]


def _pool_axis(codes, spans, how, axis):
    """One value for each span (start, stop) of an axis."""
    if all(b - a == 1 for a, b in spans):  # they cover it
        return codes
    if len(spans) == 1:
        return _reduce(codes, how, axis, keepdim=True)
    return torch.stack([_reduce(codes.narrow(axis, a, b - a), how, axis) for a, b in spans], axis)


def _reduce(codes, how, axis, keepdim=False):
    return codes.amax(axis, keepdim) if how == "max" else codes.sum(axis, keepdim)
