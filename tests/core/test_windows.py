import numpy as np
import pytest
import torch

from sklearn_kmfeat._core.conv_kmeans import best_offsets
from sklearn_kmfeat._core.preparation import Preparation
from sklearn_kmfeat._core.windows import Windows
from windows_machine import Machine, every_dtype, every_preparation, every_shape


@every_shape
@every_preparation
@every_dtype
@pytest.mark.parametrize("tile_bytes", [None, 40_000])
def test_windows_are_measured(shape, eps, whitening, dtype, tile_bytes):
    machine = Machine(shape, eps, whitening, dtype, n=300)
    windows = machine.windows(tile_bytes=tile_bytes)
    assert len(windows) == 300
    assert windows.offsets == machine.offsets
    assert windows.width == machine.filters.shape[1]
    assert windows.device.type == "cpu"
    norms = (machine.rows() ** 2).sum(-1)
    machine.close(windows.norms, norms.max(1))
    chosen = norms[np.arange(300), windows.largest.numpy()]
    machine.close(chosen, norms.max(1))
    if eps is None:
        assert windows.divisors is None
    else:
        spread = np.sqrt(machine.raw().var(-1, ddof=1) + eps)
        machine.close(windows.divisors, spread.T)


@every_shape
@every_preparation
@every_dtype
def test_patches_at_offsets(shape, eps, whitening, dtype):
    machine = Machine(shape, eps, whitening, dtype)
    windows, rows = machine.windows(), machine.rows()
    rng = np.random.RandomState(1)
    offsets = rng.randint(rows.shape[1], size=40)
    found = windows.at(torch.tensor(offsets))
    assert found.dtype == dtype
    machine.close(found, rows[np.arange(40), offsets])
    some = np.array([39, 0, 7, 7])
    machine.close(
        windows.at(torch.tensor(offsets[:4]), torch.tensor(some)), rows[some, offsets[:4]]
    )
    machine.close(windows.middle_patches(), rows[:, middle(machine.offsets)])


def middle(offsets):
    down, across = offsets
    return (down - 1) // 2 * across + (across - 1) // 2


@every_shape
@every_preparation
def test_patches_are_new_memory(shape, eps, whitening):
    windows = Machine(shape, eps, whitening).windows()
    before = windows.pixels.clone()
    windows.middle_patches().zero_()
    assert torch.equal(windows.pixels, before)


@every_shape
@every_preparation
def test_some_of_the_windows(shape, eps, whitening):
    machine = Machine(shape, eps, whitening)
    index = torch.tensor([5, 0, 39, 5])
    some = machine.windows()[index]
    alone = machine.windows(machine.pixels[..., index.numpy()])
    assert len(some) == 4
    torch.testing.assert_close(some.pixels, alone.pixels)
    torch.testing.assert_close(some.norms, alone.norms)
    assert torch.equal(some.largest, alone.largest)
    if eps is not None:
        torch.testing.assert_close(some.divisors, alone.divisors)
    offsets = [best_offsets(windows, machine.centers()) for windows in (some, alone)]
    assert torch.equal(*offsets)


def test_offsets_are_counted_row_by_row():
    windows = Machine("wide").windows()  # 2 x 5 places
    counts = windows.count(torch.tensor([0, 4, 4, 9, 5]))
    assert counts.tolist() == [[1, 0, 0, 0, 2], [1, 0, 0, 0, 1]]
    assert counts.dtype == torch.int64


def test_windows_without_contrast_are_left_alone():
    pixels = torch.rand(5, 5, 2, 8, generator=torch.manual_seed(0))
    before = pixels.clone()
    windows = Windows.of(pixels, (3, 3), Preparation())
    best_offsets(windows, torch.rand(3, 18))
    assert torch.equal(pixels, before)


def test_tiles_keep_to_the_budget():
    windows = Machine(n=300).windows(tile_bytes=40_000)
    sizes = [tile.stop - tile.start for tile in windows.tiles(35 * 16)]
    assert max(sizes) == 40_000 // (8 * 35 * 16)
    assert sum(sizes) == 300
    assert {t.stop - t.start for t in windows.tiles(10**9)} == {1}
