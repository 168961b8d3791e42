import numpy as np
import pytest
import torch
import torch.nn.functional as F

from naive import pool as naive_pool
from sklearn_kmfeat._core.pooling import POOLS, Pooling, grid_spans, window_spans

# Grid, window, stride, and the spans that follow for maps of 7 x 6.
CELLS = [
    ((1, 1), None, None, ([(0, 7)], [(0, 6)])),
    ((2, 2), None, None, ([(0, 4), (4, 7)], [(0, 3), (3, 6)])),
    ((3, 1), None, None, (grid_spans(7, 3), grid_spans(6, 1))),
    ((1, 6), None, None, (grid_spans(7, 1), grid_spans(6, 6))),
    ((5, 4), None, None, (grid_spans(7, 5), grid_spans(6, 4))),
    (None, (3, 3), None, ([(0, 3), (3, 6), (6, 7)], [(0, 3), (3, 6)])),
    (None, (2, 4), None, (window_spans(7, 2, 2), window_spans(6, 4, 4))),
    (None, None, None, (window_spans(7, 1, 1), window_spans(6, 1, 1))),
    (None, (1, 6), None, (window_spans(7, 1, 1), window_spans(6, 6, 6))),
    (None, (3, 4), (2, 2), ([(0, 3), (2, 5), (4, 7)], [(0, 4), (2, 6)])),
    (None, (4, 3), (3, 1), ([(0, 4), (3, 7)], window_spans(6, 3, 1))),
    (None, (2, 2), (1, 1), (window_spans(7, 2, 1), window_spans(6, 2, 1))),
    (None, (5, 9), (4, 9), ([(0, 5), (4, 7)], [(0, 6)])),
]
every_cells = pytest.mark.parametrize(("grid", "window", "stride", "spans"), CELLS)
DTYPES = [torch.float32, torch.float64]


def pooled(codes, how, grid=None, window=None, stride=None, rows_at_once=None):
    """Codes pooled in strips of so many rows."""
    pooling, height = Pooling(how, grid, window, stride), codes.shape[1]
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
        (27, 2, [(0, 14), (14, 27)]),
        (27, 1, [(0, 27)]),
        (8, 3, [(0, 3), (3, 6), (6, 8)]),
        (3, 3, [(0, 1), (1, 2), (2, 3)]),
        (23, 4, [(0, 6), (6, 12), (12, 18), (18, 23)]),
    ],
)
def test_grid_spans(n, cells, expected):
    assert grid_spans(n, cells) == expected


@pytest.mark.parametrize("n", [1, 2, 13, 27])
def test_grid_covers_every_location_evenly(n):
    for n_cells in range(1, n + 1):
        spans = np.array(grid_spans(n, n_cells))
        np.testing.assert_array_equal(spans[1:, 0], spans[:-1, 1])
        sizes = np.diff(spans)[:, 0]
        assert len(sizes) == n_cells
        assert sizes.sum() == n
        assert 1 <= sizes.min() <= sizes.max() <= sizes.min() + 1
        assert (np.diff(sizes) <= 0).all()


@pytest.mark.parametrize(
    ("n", "size", "stride", "expected"),
    [
        (7, 3, 3, [(0, 3), (3, 6), (6, 7)]),
        (6, 3, 3, [(0, 3), (3, 6)]),
        (2, 5, 5, [(0, 2)]),
        (2, 5, 3, [(0, 2)]),
        (3, 1, 1, [(0, 1), (1, 2), (2, 3)]),
        (27, 15, 6, [(0, 15), (6, 21), (12, 27)]),
        (28, 15, 6, [(0, 15), (6, 21), (12, 27), (18, 28)]),
        (4, 2, 1, [(0, 2), (1, 3), (2, 4)]),
    ],
)
def test_window_spans(n, size, stride, expected):
    assert window_spans(n, size, stride) == expected


@pytest.mark.parametrize("n", [1, 2, 13, 27])
def test_windows_cover_every_location(n):
    for size in range(1, n + 2):
        for stride in range(1, size + 1):
            spans = window_spans(n, size, stride)
            assert {i for a, b in spans for i in range(a, b)} == set(range(n))
            assert [a for a, _ in spans] == [i * stride for i in range(len(spans))]
            assert all(b - a == size for a, b in spans[:-1])
            assert all(b < n for _, b in spans[:-1])  # none that lies within the one before


@every_cells
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows_at_once", [1, 2, 3, 4, 6, 7])
def test_any_strips_pool_as_the_loop(grid, window, stride, spans, pool, dtype, rows_at_once):
    codes = codes_of(7, 6, dtype=dtype)
    found = pooled(codes, pool, grid, window, stride, rows_at_once)
    assert found.dtype == dtype
    assert Pooling(pool, grid, window, stride).spans((7, 6)) == spans
    np.testing.assert_allclose(found, naive_pool(codes.numpy(), *spans, pool), atol=1e-5)


@pytest.mark.parametrize("pool", POOLS)
def test_a_strip_holds_the_rows_of_cells_that_it_touches(pool):
    cells = Pooling(pool, (3, 2)).cells((7, 6))  # rows 0 to 2, 3 and 4, 5 and 6
    for start, stop, first, n_rows in ((0, 3, 0, 1), (2, 4, 0, 2), (4, 5, 1, 1), (2, 7, 0, 3)):
        strip = cells.reduce(codes_of(7, 6)[:, start:stop], start)
        assert (strip.first, strip.values.shape) == (first, (3, n_rows, 2, 5))


def test_a_row_in_several_windows():
    cells = Pooling("sum", None, (3, 6), (1, 6)).cells((7, 6))
    strip = cells.reduce(codes_of(7, 6)[:, 3:4], 3)  # in windows 1 to 3, 2 to 4 and 3 to 5
    assert (strip.first, strip.values.shape) == (1, (3, 3, 1, 5))


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
def test_cells_put_together_are_the_whole(grid, window, stride, spans):
    codes = codes_of(7, 6)
    for pool, join in (("sum", torch.sum), ("max", torch.amax)):
        if pool == "sum" and stride is not None:  # windows that overlap
            continue
        cells = pooled(codes, pool, grid, window, stride)
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
def test_codes_are_left_alone(grid, window, stride, spans, pool):
    codes = codes_of(7, 6)
    before = codes.clone()
    pooled(codes, pool, grid, window, stride)
    assert torch.equal(codes, before)


@every_cells
@pytest.mark.parametrize("pool", POOLS)
def test_gradients_reach_what_was_pooled(grid, window, stride, spans, pool):
    codes = codes_of(7, 6, n_codes=1).requires_grad_()
    pooled(codes, pool, grid, window, stride).sum().backward()
    sizes = [[b - a for a, b in each] for each in spans]
    expected = 3 * (np.outer(*sizes).sum() if pool == "sum" else np.outer(*sizes).size)
    np.testing.assert_allclose(codes.grad.sum(), expected)


@pytest.mark.parametrize(
    ("grid", "window", "stride", "expected"),
    [
        ((2, 2), None, None, ([(0, 14), (14, 27)], [(0, 13), (13, 25)])),
        ((1, 3), None, None, ([(0, 27)], [(0, 9), (9, 17), (17, 25)])),
        ((2, 2), (10, 25), None, ([(0, 10), (10, 20), (20, 27)], [(0, 25)])),
        (None, (30, 30), None, ([(0, 27)], [(0, 25)])),
        ((2, 2), (15, 13), (6, 12), ([(0, 15), (6, 21), (12, 27)], [(0, 13), (12, 25)])),
        (None, None, None, (grid_spans(27, 27), grid_spans(25, 25))),
        ((27, 25), None, None, (grid_spans(27, 27), grid_spans(25, 25))),
    ],
)
def test_spans(grid, window, stride, expected):
    pooling = Pooling("sum", grid, window, stride)
    assert pooling.spans((27, 25)) == expected
    assert pooling.n_cells((27, 25)) == tuple(len(spans) for spans in expected)


@pytest.mark.parametrize("grid", [(4, 1), (1, 6), (10, 10)])
def test_more_cells_than_locations(grid):
    with pytest.raises(ValueError, match="finer than the map of 3 x 5 locations"):
        Pooling("sum", grid).spans((3, 5))
