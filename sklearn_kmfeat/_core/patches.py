"""Cutting patches out of images and putting images together again.

Inside a patch the order is (row, column, channel). Locations run row by row.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from .._utils.tracing import is_traced, static_size


class PatchGrid(NamedTuple):
    """Patches of one size on a regular grid.

    Attributes
    ----------
    size, stride : (int, int)
        Down and across, in pixels.
    """

    size: tuple[int, int]
    stride: tuple[int, int]

    def map_size(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Number of locations down and across in an image (H, W)."""
        return map_size(image_size, self.size, self.stride)

    def n_locations(self, image_sizes: np.ndarray) -> np.ndarray:
        """Number of locations in each image; sizes and result are int arrays, (n, 2) and (n,)."""
        return ((image_sizes - np.array(self.size)) // self.stride + 1).prod(axis=1)


def map_size(image_size, patch_size, stride):
    """Number of patch locations down and across.

    Parameters
    ----------
    image_size, patch_size, stride : (int, int)
        Height and width.

    Returns
    -------
    (int, int)
    """
    return tuple((i - p) // s + 1 for i, p, s in zip(image_size, patch_size, stride, strict=True))


def all_patches(images: torch.Tensor, grid: PatchGrid) -> torch.Tensor:
    """Every patch, as a view.

    Parameters
    ----------
    images : tensor of shape (n, H, W, C)
    grid : PatchGrid

    Returns
    -------
    tensor of shape (n, H', W', h, w, C)
        Shares its memory with `images`.
    """
    (h, w), (down, across) = grid
    return images.unfold(1, h, down).unfold(2, w, across).permute(0, 1, 2, 4, 5, 3)


def patch_columns(
    images: torch.Tensor, grid: PatchGrid, out: torch.Tensor | None = None
) -> torch.Tensor:
    """Every patch as a column over a one.

    Parameters
    ----------
    images : tensor of shape (n, H, W, C)
    grid : PatchGrid
    out : tensor of shape (h * w * C + 1, n * H' * W') or None, default=None
        Where to write. None: a new tensor.

    Returns
    -------
    tensor of shape (h * w * C + 1, n * H' * W')
        This layout copies long runs of pixels, three times faster than a
        patch a row; the ones at the bottom take the place of a bias in products.
    """
    view = all_patches(images, grid).permute(3, 4, 5, 0, 1, 2)
    width = grid.size[0] * grid.size[1] * static_size(images, 3)
    if is_traced():  # writing into a tensor becomes a scatter
        columns = view.reshape(width, -1)
        return torch.cat([columns, torch.ones_like(columns[:1])])
    columns = out
    if columns is None:
        columns = images.new_empty(width + 1, view.shape[3] * view.shape[4] * view.shape[5])
    columns[width] = 1
    columns[:width].view(view.shape).copy_(view)
    return columns


def patches_at(
    images: torch.Tensor, image_index: torch.Tensor, location: torch.Tensor, grid: PatchGrid
) -> torch.Tensor:
    """The patches at chosen places.

    Parameters
    ----------
    images : tensor of shape (n, H, W, C)
    image_index, location : int64 tensors of shape (m,)
        Which image, and which of its H' * W' locations.
    grid : PatchGrid

    Returns
    -------
    tensor of shape (m, h * w * C)
        A new tensor.
    """
    view = all_patches(images, grid)
    width = view.shape[2]
    row = torch.div(location, width, rounding_mode="floor")
    return view[image_index, row, location % width].flatten(1)


def overlap_average(
    patches: torch.Tensor, image_shape: tuple[int, int, int], grid: PatchGrid
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images from all their patches, averaged where patches overlap.

    Parameters
    ----------
    patches : tensor of shape (n * H' * W', h * w * C)
    image_shape : (int, int, int)
        H, W, C.
    grid : PatchGrid

    Returns
    -------
    images : tensor of shape (n, H, W, C)
    covered : bool tensor of shape (H, W)
        False where no patch lies; the pixels there are zero.
    """
    height, width, channels = image_shape
    down, across = grid.map_size((height, width))
    n = len(patches) // (down * across)
    columns = patches.reshape(n, down * across, -1, channels).permute(0, 3, 2, 1)
    columns = columns.reshape(n * channels, -1, down * across)
    fold = {"output_size": (height, width), "kernel_size": grid.size, "stride": grid.stride}
    total = F.fold(columns, **fold)
    times = F.fold(torch.ones_like(columns[:1]), **fold)
    images = (total / times.clamp(min=1)).reshape(n, channels, height, width)
    return images.permute(0, 2, 3, 1), times[0, 0] > 0
