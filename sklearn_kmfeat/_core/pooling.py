"""Pooling of code maps over cells that cover every location exactly once."""

from itertools import pairwise
from typing import NamedTuple

import torch

POOLS = ("sum", "mean", "max")
_FEW_CELLS = 16


def grid_edges(n_locations, n_cells):
    """Edges of `n_cells` cells that differ by at most one location, larger ones first.

    >>> grid_edges(27, 2)
    [0, 14, 27]
    """
    size, longer = divmod(n_locations, n_cells)
    return [i * size + min(i, longer) for i in range(n_cells + 1)]


def window_edges(n_locations, size):
    """Edges of cells of `size` locations; the last one holds what is left.

    >>> window_edges(7, 3)
    [0, 3, 6, 7]
    """
    return [*range(0, n_locations, size), n_locations]


class Cells(NamedTuple):
    """The pooling cells of maps of one size.

    Attributes
    ----------
    row_edges, column_edges : list of int
        In locations.
    pool : {"sum", "mean", "max"}
    matrix : tensor of shape (cells, H' * W') or None
        Where few cells are summed, one product reads the codes once and in order: a row
        holds a cell's weights. A mean is a sum until `finish`.
    """

    row_edges: list
    column_edges: list
    pool: str
    matrix: torch.Tensor | None

    @classmethod
    def of(cls, row_edges, column_edges, pool, like):
        """Cells for codes of the dtype and on the device of the tensor `like`."""
        matrix = None
        n_cells = (len(row_edges) - 1) * (len(column_edges) - 1)
        if pool != "max" and 1 < n_cells <= _FEW_CELLS:
            matrix = torch.kron(_members(row_edges, like), _members(column_edges, like))
        return cls(row_edges, column_edges, pool, matrix)

    def reduce(self, codes, start=0):
        """Pool a map, or the strip of it that begins at row `start`.

        Parameters
        ----------
        codes : tensor of shape (n, rows, W', K)
        start : int, default=0

        Returns
        -------
        tensor of shape (n, cell rows, cell columns, K)
            A cell outside the strip is zero, or minus infinity for the maximum.
        """
        n, height, width, _ = codes.shape
        shape = len(self.row_edges) - 1, len(self.column_edges) - 1
        if shape == (1, 1):
            return _reduce(codes, self.pool, (1, 2))[:, None, None]
        if self.matrix is not None:
            weights = self.matrix[:, start * width : (start + height) * width]
            pooled = torch.bmm(weights.expand(n, -1, -1), codes.flatten(1, 2))
            return pooled.view(n, *shape, -1)
        edges = [min(max(edge - start, 0), height) for edge in self.row_edges]
        return _pool_axis(_pool_axis(codes, edges, self.pool, 1), self.column_edges, self.pool, 2)

    def finish(self, strips):
        """Pooled cells of a map from those of its strips."""
        pooled = strips[0] if len(strips) == 1 else _reduce(torch.stack(strips), self.pool, 0)
        if self.pool != "mean":
            return pooled
        heights = torch.tensor(self.row_edges).diff()
        sizes = heights[:, None] * torch.tensor(self.column_edges).diff()
        return pooled / sizes[:, :, None].to(pooled)


def _members(edges, like):
    """Which location lies in which cell along one axis, (cells, locations) of 0 and 1."""
    cells = like.new_zeros(len(edges) - 1, edges[-1])
    for cell, (a, b) in enumerate(pairwise(edges)):
        cells[cell, a:b] = 1
    return cells


def _pool_axis(codes, edges, pool, axis):
    if edges == list(range(codes.shape[axis] + 1)):
        return codes
    parts = [codes.narrow(axis, a, b - a) for a, b in pairwise(edges)]
    return torch.stack([_reduce(part, pool, axis) for part in parts], axis)


def _reduce(codes, pool, axis):
    if pool != "max":
        return codes.sum(axis)
    if not codes.numel():
        shape = [n for i, n in enumerate(codes.shape) if i != axis]
        return codes.new_full(shape, -torch.inf)
    return codes.amax(axis)


def pooling_edges(locations, pool_grid, pool_size):
    """Edges of the pooling cells down and across.

    Parameters
    ----------
    locations : (int, int)
        Size of the map.
    pool_grid : (int, int) or None
        Number of cells; None leaves every location its own cell.
    pool_size : (int, int) or None
        Size of local windows; comes before `pool_grid`.

    Returns
    -------
    list of int, list of int

    Raises
    ------
    ValueError
        When there are more cells than locations.
    """
    if pool_size is not None:
        return tuple(window_edges(n, size) for n, size in zip(locations, pool_size, strict=True))
    if pool_grid is None:
        return tuple(window_edges(n, 1) for n in locations)
    if any(cells > n for cells, n in zip(pool_grid, locations, strict=True)):
        raise ValueError(
            f"pool_grid={pool_grid} is finer than the map of {locations[0]} x {locations[1]} "
            "locations."
        )
    return tuple(grid_edges(n, cells) for n, cells in zip(locations, pool_grid, strict=True))
