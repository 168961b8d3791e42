import pytest
import torch

from sklearn_kmfeat._core.workspace import Tiling, Workspace

CPU = torch.device("cpu")


def tiling(budget, map_size=(6, 8), patch_length=18, n_codes=20, **options):
    return Tiling.within(budget, map_size, patch_length, n_codes, 8, **options)


@pytest.mark.parametrize("budget", [(1, 1), (10**5, 10**5), (10**6, 10**4), (10**4, 10**6)])
@pytest.mark.parametrize("map_size", [(6, 8), (1, 1), (50, 3), (7, 1)])
@pytest.mark.parametrize("piece_bytes", [1, 10**4, 10**7])
def test_a_tiling_keeps_to_the_budget(budget, map_size, piece_bytes):
    piece, tile, block, n_columns, n_codes = tiling(budget, map_size, piece_bytes=piece_bytes)
    down, across = map_size
    row, one = 8 * across * 20, 2 * 8 * across * 20
    assert 8 * n_codes <= max(budget[1], row)
    assert 2 * 8 * n_columns <= max(budget[0], one)
    assert n_columns == tile[0] * tile[1] * across * 20
    assert n_codes == block[0] * block[1] * across * 20
    for outer, inner in ((piece, tile), (tile, block)):
        assert outer[0] >= inner[0] >= 1
        assert down >= outer[1] >= inner[1] >= 1
    for images, rows in (piece, tile):
        assert images == 1 or rows == down
    assert piece[0] * piece[1] * row <= max(piece_bytes, tile[0] * tile[1] * row)


def test_numbers_of_a_tiling():
    one_image = 6 * 8 * 8 * 20  # codes in bytes; its patches take as much twice
    found = tiling((2 * one_image * 3, one_image // 2), piece_bytes=7 * one_image)
    assert (found.piece, found.tile, found.block) == ((6, 6), (3, 6), (1, 3))
    few_codes = tiling((2 * one_image, 10**6), n_codes=2, piece_bytes=5 * 6 * 8 * 8 * 18)
    assert few_codes.piece == (5, 6)  # by its patches
    found = tiling((one_image, 2 * one_image), piece_bytes=5 * one_image)
    assert (found.piece, found.tile, found.block) == ((5, 6), (1, 3), (1, 3))
    found = tiling((one_image // 2, one_image), map_size=(60, 8), piece_bytes=one_image)
    assert (found.piece, found.tile, found.block) == ((1, 6), (1, 1), (1, 1))


def test_parts_of_a_map_have_about_the_same_size():
    assert tiling((10**6, 8 * 8 * 20 * 5)).block == (1, 3)  # not 5 + 1


def test_a_workspace_that_is_large_enough_is_used_again():
    sizes = ((1, 1), (1, 1), (1, 1))
    workspace = Workspace.empty(torch.float64, CPU).holding(Tiling(*sizes, 20, 30))
    assert (workspace.columns.shape, workspace.values.shape) == ((2, 20), (30,))
    again = workspace.holding(Tiling(*sizes, 10, 30))
    assert again.columns is workspace.columns
    assert again.values is workspace.values
    assert again.holding(Tiling(*sizes, 10, 31)).values is not workspace.values
    assert len(workspace.rounded) == 0
    reduced = workspace.holding(Tiling(*sizes, 10, 30), reduced=True)
    assert (reduced.rounded.shape, reduced.rounded.dtype) == ((30,), torch.bfloat16)
    assert reduced.holding(Tiling(*sizes, 10, 30), reduced=True).rounded is reduced.rounded


@pytest.mark.parametrize("reduced", [False, True])
def test_bytes_of_a_workspace(reduced):
    of_images = tiling((10**6, 10**5))
    workspace = Workspace.empty(torch.float64, CPU).holding(of_images, reduced)
    assert sum(part.nbytes for part in workspace) == of_images.n_bytes(8, reduced)


def test_a_pair_of_columns():
    workspace = Workspace.empty(torch.float32, CPU).holding(Tiling((1, 1), (1, 1), (1, 1), 20, 30))
    first, second = workspace.pair(3, 5)
    first.fill_(1)
    second.fill_(2)
    assert first.shape == second.shape == (3, 5)
    assert first.sum() == 15
