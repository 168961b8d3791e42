from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from naive import pool as naive_pool
from sklearn_kmfeat._core.pooling import POOLS, Cells, grid_edges, pooling_edges, window_edges

# Four cells are summed by one product, 1 and more than 16 are not.
EDGES = [
    (grid_edges(7, 1), grid_edges(6, 1)),
    (grid_edges(7, 2), grid_edges(6, 2)),
    (grid_edges(7, 3), grid_edges(6, 1)),
    (grid_edges(7, 1), grid_edges(6, 6)),
    (grid_edges(7, 5), grid_edges(6, 4)),
    (window_edges(7, 3), window_edges(6, 3)),
    (window_edges(7, 2), window_edges(6, 4)),
    (window_edges(7, 1), window_edges(6, 1)),
    (window_edges(7, 1), window_edges(6, 6)),
]
DTYPES = [torch.float32, torch.float64]


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


@pytest.mark.parametrize("edges", EDGES)
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows_at_once", [1, 2, 3, 4, 6, 7])
def test_any_strips_pool_as_the_loop(edges, pool, dtype, rows_at_once):
    codes = codes_of(7, 6, dtype=dtype)
    cells = Cells.of(*edges, pool, codes)
    strips = [
        cells.reduce(codes[:, start : start + rows_at_once], start)
        for start in range(0, 7, rows_at_once)
    ]
    pooled = cells.finish(strips)
    assert pooled.dtype == dtype
    np.testing.assert_allclose(pooled, naive_pool(codes.numpy(), *edges, pool), atol=1e-5)


@pytest.mark.parametrize(("pool", "torchs"), [("mean", F.avg_pool2d), ("max", F.max_pool2d)])
@pytest.mark.parametrize("size", [(2, 3), (4, 2), (8, 6), (1, 1)])
def test_windows_that_tile_are_torchs(pool, torchs, size):
    codes = codes_of(8, 6)
    cells = Cells.of(window_edges(8, size[0]), window_edges(6, size[1]), pool, codes)
    expected = torchs(codes.permute(0, 3, 1, 2), size).permute(0, 2, 3, 1)
    torch.testing.assert_close(cells.finish([cells.reduce(codes)]), expected)


@pytest.mark.parametrize("n_cells", [2, 5])
def test_the_last_row_and_column_count(n_cells):
    """27 locations are 14 + 13, not twice 13."""
    codes = torch.zeros(1, 27, 27, 1)
    codes[0, -1, -1] = 5
    edges = grid_edges(27, n_cells)
    for pool in ("sum", "max"):
        cells = Cells.of(edges, edges, pool, codes)
        pooled = cells.finish([cells.reduce(codes)])
        assert pooled[0, -1, -1] == 5
        assert pooled.sum() == 5


def test_quadrants_of_one_to_sixteen():
    codes = torch.arange(1.0, 17.0).view(1, 4, 4, 1)
    expected = {
        "sum": [[14, 22], [46, 54]],
        "mean": [[3.5, 5.5], [11.5, 13.5]],
        "max": [[6, 8], [14, 16]],
    }
    for pool, numbers in expected.items():
        cells = Cells.of([0, 2, 4], [0, 2, 4], pool, codes)
        np.testing.assert_array_equal(cells.finish([cells.reduce(codes)])[0, :, :, 0], numbers)


@pytest.mark.parametrize("edges", EDGES)
def test_cells_put_together_are_the_whole(edges):
    codes = codes_of(7, 6)
    for pool, join in (("sum", torch.sum), ("max", torch.amax)):
        cells = Cells.of(*edges, pool, codes)
        pooled = cells.finish([cells.reduce(codes)])
        torch.testing.assert_close(join(pooled, (1, 2)), join(codes, (1, 2)))


@pytest.mark.parametrize("pool", POOLS)
def test_negative_codes_of_cells_outside_a_strip(pool):
    codes = -1 - codes_of(6, 6).abs()
    edges = grid_edges(6, 3)
    cells = Cells.of(edges, edges, pool, codes)
    pooled = cells.finish([cells.reduce(codes[:, :1], 0), cells.reduce(codes[:, 1:], 1)])
    assert (pooled < 0).all()
    assert pooled.isfinite().all()


@pytest.mark.parametrize("pool", POOLS)
def test_a_cell_of_one_location(pool):
    codes = codes_of(1, 1)
    cells = Cells.of([0, 1], [0, 1], pool, codes)
    torch.testing.assert_close(cells.finish([cells.reduce(codes)]), codes)


@pytest.mark.parametrize("edges", EDGES)
@pytest.mark.parametrize("pool", POOLS)
def test_codes_are_left_alone(edges, pool):
    codes = codes_of(7, 6)
    before = codes.clone()
    cells = Cells.of(*edges, pool, codes)
    cells.finish([cells.reduce(codes)])
    assert torch.equal(codes, before)


@pytest.mark.parametrize("edges", EDGES)
@pytest.mark.parametrize("pool", POOLS)
def test_gradients_reach_what_was_pooled(edges, pool):
    codes = codes_of(7, 6, n_codes=1).requires_grad_()
    cells = Cells.of(*edges, pool, codes)
    cells.finish([cells.reduce(codes)]).sum().backward()
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
def test_pooling_edges(grid, window, expected):
    assert pooling_edges((27, 25), grid, window) == expected


@pytest.mark.parametrize("grid", [(4, 1), (1, 6), (10, 10)])
def test_more_cells_than_locations(grid):
    with pytest.raises(ValueError, match="finer than the map of 3 x 5 locations"):
        pooling_edges((3, 5), grid, None)
