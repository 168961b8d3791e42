from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from naive import pool as naive_pool
from sklearn_kmfeat._core.pooling import POOLS, Pooling, grid_edges, window_edges

# Grid, window, and the edges that follow for maps of 7 x 6.
CELLS = [
    ((1, 1), None, (grid_edges(7, 1), grid_edges(6, 1))),
    ((2, 2), None, (grid_edges(7, 2), grid_edges(6, 2))),
    ((3, 1), None, (grid_edges(7, 3), grid_edges(6, 1))),
    ((1, 6), None, (grid_edges(7, 1), grid_edges(6, 6))),
    ((5, 4), None, (grid_edges(7, 5), grid_edges(6, 4))),
    (None, (3, 3), (window_edges(7, 3), window_edges(6, 3))),
    (None, (2, 4), (window_edges(7, 2), window_edges(6, 4))),
    (None, None, (window_edges(7, 1), window_edges(6, 1))),
    (None, (1, 6), (window_edges(7, 1), window_edges(6, 6))),
]
every_cells = pytest.mark.parametrize(("grid", "window", "edges"), CELLS)
DTYPES = [torch.float32, torch.float64]


def pooled(codes, how, grid=None, window=None, rows_at_once=None):
    """Codes pooled in strips of so many rows."""
    pooling, height = Pooling(how, grid, window), codes.shape[1]
    if rows_at_once is None:
        return pooling.pool(codes)
    cells = pooling.cells(tuple(codes.shape[1:3]))
    starts = range(0, height, rows_at_once)
    return cells.join([cells.reduce(codes[:, row : row + rows_at_once], row) for row in starts])


def codes_of(height, width, n_codes=5, dtype=torch.float64):
    return torch.randn(3, height, width, n_codes, generator=torch.manual_seed(0)).to(dtype)


@pytest.mark.parametrize(
    ("n", "cells", "expected"),
    [
        (27, 2, [0, 14, 27]),
        (27, 1, [0, 27]),
        (8, 3, [0, 3, 6, 8]),
        (5, 5, [0, 1, 2, 3, 4, 5]),
        (23, 4, [0, 6, 12, 18, 23]),
    ],
)
def test_grid_edges(n, cells, expected):
    assert grid_edges(n, cells) == expected


@pytest.mark.parametrize("n", [1, 2, 13, 27])
def test_grid_covers_every_location_evenly(n):
    for n_cells in range(1, n + 1):
        sizes = np.diff(grid_edges(n, n_cells))
        assert len(sizes) == n_cells
        assert sizes.sum() == n
        assert 1 <= sizes.min() <= sizes.max() <= sizes.min() + 1
        assert (np.diff(sizes) <= 0).all()


@pytest.mark.parametrize(
    ("n", "size", "expected"),
    [(7, 3, [0, 3, 6, 7]), (6, 3, [0, 3, 6]), (2, 5, [0, 2]), (3, 1, [0, 1, 2, 3])],
)
def test_window_edges(n, size, expected):
    assert window_edges(n, size) == expected


@every_cells
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows_at_once", [1, 2, 3, 4, 6, 7])
def test_any_strips_pool_as_the_loop(grid, window, edges, pool, dtype, rows_at_once):
    codes = codes_of(7, 6, dtype=dtype)
    found = pooled(codes, pool, grid, window, rows_at_once)
    assert found.dtype == dtype
    assert Pooling(pool, grid, window).edges((7, 6)) == edges
    np.testing.assert_allclose(found, naive_pool(codes.numpy(), *edges, pool), atol=1e-5)


@pytest.mark.parametrize("pool", POOLS)
def test_a_strip_holds_the_rows_of_cells_that_it_touches(pool):
    cells = Pooling(pool, (3, 2)).cells((7, 6))  # rows 0 to 2, 3 and 4, 5 and 6
    for start, stop, first, n_rows in ((0, 3, 0, 1), (2, 4, 0, 2), (4, 5, 1, 1), (2, 7, 0, 3)):
        strip = cells.reduce(codes_of(7, 6)[:, start:stop], start)
        assert (strip.first, strip.values.shape) == (first, (3, n_rows, 2, 5))


@pytest.mark.parametrize(("pool", "torchs"), [("mean", F.avg_pool2d), ("max", F.max_pool2d)])
@pytest.mark.parametrize("size", [(2, 3), (4, 2), (8, 6), (1, 1)])
def test_windows_that_tile_are_torchs(pool, torchs, size):
    codes = codes_of(8, 6)
    expected = torchs(codes.permute(0, 3, 1, 2), size).permute(0, 2, 3, 1)
    torch.testing.assert_close(pooled(codes, pool, window=size), expected)


@pytest.mark.parametrize("n_cells", [2, 5])
def test_the_last_row_and_column_count(n_cells):
    """27 locations are 14 + 13, not twice 13."""
    codes = torch.zeros(1, 27, 27, 1)
    codes[0, -1, -1] = 5
    for pool in ("sum", "max"):
        cells = pooled(codes, pool, (n_cells, n_cells))
        assert cells[0, -1, -1] == 5
        assert cells.sum() == 5


def test_quadrants_of_one_to_sixteen():
    codes = torch.arange(1.0, 17.0).view(1, 4, 4, 1)
    expected = {
        "sum": [[14, 22], [46, 54]],
        "mean": [[3.5, 5.5], [11.5, 13.5]],
        "max": [[6, 8], [14, 16]],
    }
    for pool, numbers in expected.items():
        np.testing.assert_array_equal(pooled(codes, pool, (2, 2))[0, :, :, 0], numbers)


@every_cells
def test_cells_put_together_are_the_whole(grid, window, edges):
    codes = codes_of(7, 6)
    for pool, join in (("sum", torch.sum), ("max", torch.amax)):
        cells = pooled(codes, pool, grid, window)
        torch.testing.assert_close(join(cells, (1, 2)), join(codes, (1, 2)))


@pytest.mark.parametrize("pool", POOLS)
def test_negative_codes_of_cells_outside_a_strip(pool):
    codes = -1 - codes_of(6, 6).abs()
    cells = pooled(codes, pool, (3, 3), rows_at_once=1)
    assert (cells < 0).all()
    assert cells.isfinite().all()


@pytest.mark.parametrize("pool", POOLS)
def test_a_cell_of_one_location(pool):
    codes = codes_of(1, 1)
    torch.testing.assert_close(pooled(codes, pool, (1, 1)), codes)


@every_cells
@pytest.mark.parametrize("pool", POOLS)
def test_codes_are_left_alone(grid, window, edges, pool):
    codes = codes_of(7, 6)
    before = codes.clone()
    pooled(codes, pool, grid, window)
    assert torch.equal(codes, before)


@every_cells
@pytest.mark.parametrize("pool", POOLS)
def test_gradients_reach_what_was_pooled(grid, window, edges, pool):
    codes = codes_of(7, 6, n_codes=1).requires_grad_()
    pooled(codes, pool, grid, window).sum().backward()
    n_cells = np.prod([len(list(pairwise(edge))) for edge in edges])
    expected = 3 * (42 if pool == "sum" else n_cells)
    np.testing.assert_allclose(codes.grad.sum(), expected)


@pytest.mark.parametrize(
    ("grid", "window", "expected"),
    [
        ((2, 2), None, ([0, 14, 27], [0, 13, 25])),
        ((1, 3), None, ([0, 27], [0, 9, 17, 25])),
        ((2, 2), (10, 25), ([0, 10, 20, 27], [0, 25])),
        (None, (30, 30), ([0, 27], [0, 25])),
        (None, None, ([*range(28)], [*range(26)])),
        ((27, 25), None, ([*range(28)], [*range(26)])),
    ],
)
def test_edges(grid, window, expected):
    pooling = Pooling("sum", grid, window)
    assert pooling.edges((27, 25)) == expected
    assert pooling.n_cells((27, 25)) == tuple(len(edges) - 1 for edges in expected)


@pytest.mark.parametrize("grid", [(4, 1), (1, 6), (10, 10)])
def test_more_cells_than_locations(grid):
    with pytest.raises(ValueError, match="finer than the map of 3 x 5 locations"):
        Pooling("sum", grid).edges((3, 5))
