"""Convolutional k-means: each window gives the patch to which a filter responds most."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch

from .assign import nearest
from .contrast import centre_and_scale, contrast_normalize
from .kmeans import Coding, gain_shape
from .patches import map_size
from .whitening import affine_rows

_CPU_TILE_BYTES = 5 * 2**20
_GPU_TILE_BYTES = 256 * 2**20


class Preparation(NamedTuple):
    """What is done to a patch before a filter sees it.

    Attributes
    ----------
    contrast_eps : float or None
        None: no normalisation of the contrast of patches.
    whitening, mean : float64 tensors of shape (d, d) and (d,), or None
        A patch x is whitened as ``(x - mean) @ whitening``.
    """

    contrast_eps: float | None
    whitening: torch.Tensor | None
    mean: torch.Tensor | None

    def of(self, rows):
        """Patches (m, d), prepared in place."""
        if self.contrast_eps is not None:
            contrast_normalize(rows, self.contrast_eps, out=rows)
        if self.whitening is not None:
            affine_rows(rows, self.whitening, before=-self.mean, out=rows)
        return rows

    def folded(self, centers):
        """Filters (k, d + 1) that respond to a patch over its contrast.

        Their product with raw patches over what contrast normalisation divides by (over a
        one, without it) is the response of `centers` (k, d) to prepared patches, times what
        contrast normalisation divides by.
        """
        wide = centers if centers.is_mps else centers.double()
        offset = wide.new_zeros(len(wide), 1)
        if self.whitening is not None:
            whitening = self.whitening.to(wide)
            wide = wide @ whitening.T
            offset = -wide @ self.mean.to(wide)[:, None]
        if self.contrast_eps is not None:
            wide = wide - wide.mean(1, keepdim=True)
        return torch.cat([wide, offset], 1).to(centers)


@dataclass(frozen=True)
class Windows:
    """Windows that wait for filters.

    Attributes
    ----------
    pixels : tensor of shape (H, W, C, n)
        The windows last, so that patches are copied in long runs.
    patch_size : (int, int)
    preparation : Preparation
    spread : tensor of shape (n_offsets, n) or None
        What contrast normalisation divides each patch by.
    norms : tensor of shape (n,)
        The largest squared norm of the prepared patches of each window.
    largest : int64 tensor of shape (n,)
        The offset of that patch.
    """

    pixels: torch.Tensor
    patch_size: tuple
    preparation: Preparation
    spread: torch.Tensor | None
    norms: torch.Tensor
    largest: torch.Tensor

    @classmethod
    def of(cls, pixels, patch_size, preparation):
        """Measure windows (H, W, C, n), which may be changed."""
        n = pixels.shape[-1]
        if preparation.contrast_eps is not None:  # products of large values lose digits
            pixels -= pixels.mean((0, 1, 2))
        offsets = map_size(pixels.shape[:2], patch_size, (1, 1))
        spread = None
        if preparation.contrast_eps is not None:
            spread = pixels.new_empty(offsets[0] * offsets[1], n)
        norms = pixels.new_empty(n)
        largest = torch.empty(n, dtype=torch.int64, device=pixels.device)
        windows = cls(pixels, patch_size, preparation, spread, norms, largest)
        windows._measure()
        return windows

    def __len__(self):
        return self.pixels.shape[-1]

    def __getitem__(self, index):
        """The windows at an int64 tensor."""
        return Windows(
            self.pixels[..., index],
            self.patch_size,
            self.preparation,
            None if self.spread is None else self.spread[:, index],
            self.norms[index],
            self.largest[index],
        )

    @property
    def device(self):
        """Where they are."""
        return self.pixels.device

    @property
    def offsets(self):
        """Number of places of a patch in a window, down and across."""
        return map_size(self.pixels.shape[:2], self.patch_size, (1, 1))

    @property
    def width(self):
        """Values of a patch."""
        return self.patch_size[0] * self.patch_size[1] * self.pixels.shape[2]

    def tiles(self, n_values):
        """Parts of the windows, as slices, with at most so many values a window in a budget."""
        budget = _CPU_TILE_BYTES if self.pixels.device.type == "cpu" else _GPU_TILE_BYTES
        step = max(1, budget // (self.pixels.element_size() * n_values))
        return [slice(i, min(i + step, len(self))) for i in range(0, len(self), step)]

    def columns(self, tile, out):
        """Every patch of some windows, written to `out` (d, n_offsets, m)."""
        view = self.pixels[..., tile]
        for axis, size in enumerate(self.patch_size):
            view = view.unfold(axis, size, 1)
        view = view.permute(4, 5, 2, 0, 1, 3)
        return out.view(view.shape).copy_(view).view(out.shape)

    def bands(self, tile, out):
        """The rows of some windows, cut in parts as wide as a patch.

        A patch is a run of whole rows of a band, so that one band holds the patches of all
        offsets down: far fewer values than every patch by itself.

        Parameters
        ----------
        tile : slice
        out : tensor of shape (H, w * C + 1, n_across, m)
            Where to write. The last value of a row is the spread of the patch that begins
            with it, or one; zero where none begins.
        """
        view = self.pixels[..., tile].unfold(1, self.patch_size[1], 1).permute(0, 4, 2, 1, 3)
        out[:, :-1].view(view.shape).copy_(view)
        down, across = self.offsets
        last = out[:, -1]
        last[down:] = 0
        last[:down] = 1 if self.spread is None else self.spread[:, tile].view(down, across, -1)

    def workspace(self, shape, tiles):
        """A function from a tile to memory of the shape (*shape, windows of the tile)."""
        size = max((tile.stop - tile.start for tile in tiles), default=0)
        n_values = math.prod(shape)
        memory = self.pixels.new_empty(n_values * size)

        def shaped(tile):
            m = tile.stop - tile.start
            return memory[: n_values * m].view(*shape, m)

        return shaped

    def at(self, offsets, index=slice(None)):
        """Prepared patches (m, d) at int64 offsets (m,) of the windows at `index`."""
        view = self.pixels
        for axis, size in enumerate(self.patch_size):
            view = view.unfold(axis, size, 1)
        across = view.shape[1]
        which = torch.arange(len(self), device=offsets.device)[index]
        row = torch.div(offsets, across, rounding_mode="floor")
        cut = view[row, offsets % across, :, which]  # (m, C, h, w)
        return self.preparation.of(cut.permute(0, 2, 3, 1).flatten(1))

    def centres(self):
        """The prepared patches (n, d) in the middle."""
        down, across = self.offsets
        middle = (down - 1) // 2 * across + (across - 1) // 2
        return self.at(torch.full((len(self),), middle, device=self.device))

    def count(self, offsets):
        """How often each offset occurs, int64 (down, across) on the CPU."""
        down, across = self.offsets
        return torch.bincount(offsets, minlength=down * across).view(down, across).cpu()

    def _measure(self):
        """Fill `spread`, `norms` and `largest`."""
        prepare = self.preparation
        identity = torch.eye(self.width).to(self.pixels)
        matrix = identity if prepare.whitening is None else prepare.whitening.T.to(self.pixels)
        mean = None if prepare.mean is None else prepare.mean.to(self.pixels)
        shape = self.width, math.prod(self.offsets)
        tiles = self.tiles(2 * math.prod(shape))
        here, there = self.workspace(shape, tiles), self.workspace(shape, tiles)
        for tile in tiles:
            columns, other = self.columns(tile, here(tile)), there(tile)
            if prepare.contrast_eps is not None:
                centred, scale = centre_and_scale(columns, prepare.contrast_eps, 0, columns, other)
                self.spread[:, tile] = _spread(scale[0], self.pixels[..., tile])
                columns = centred.mul_(scale)
            if prepare.whitening is not None:
                columns -= mean[:, None, None]
                torch.mm(matrix, columns.flatten(1), out=other.flatten(1))
                columns = other
            norms, largest = columns.square_().sum(0).max(0)
            self.norms[tile], self.largest[tile] = norms, largest


def _spread(scale, pixels):
    """What patches are divided by, (n_offsets, m), from what they are multiplied by.

    A flat patch is not divided at all. Its spread is that of the others, so that the rounding
    of its response stays as small beside theirs.
    """
    flat = scale == 0
    spread = torch.where(flat, 0.0, 1 / scale)
    largest = spread.amax()
    if not largest:
        largest = pixels.abs().amax().clamp(min=1.0)
    return spread.masked_fill_(flat, float(largest))


def convolutional(windows, centers, *, max_iter, tol, damping=1.0, on_iteration=None):
    """Convolutional k-means (Dundar, Jin & Culurciello 2015, algorithm 1).

    In each iteration every filter responds at every offset of every window; the patch with
    the largest ``|d.x|`` is coded by its filter with the gain ``s = d.x``; then ``D <-
    normalise(X' S + damping * D)`` over the patches that were chosen. Filters that win
    nothing become the largest patches of the windows that are coded worst. With windows
    of the size of a patch this is `spherical`.

    Parameters
    ----------
    windows : Windows
        n of them.
    centers : tensor of shape (k, d)
        Where to start, among prepared patches; brought to unit length.
    max_iter, tol, damping, on_iteration
        As in `spherical`. Undamped, the error never grows.

    Returns
    -------
    Dictionary
        Its inertia sums ``|x|^2 - s^2`` over the windows, where x is the largest of the
        window's prepared patches: what could have been coded and was not.
    """

    def code(centers):
        offsets = best_offsets(windows, centers)
        rows = windows.at(offsets)
        labels, sizes = nearest(rows, centers, direction=True)
        gains = sizes.copysign((rows * centers[labels]).sum(1))
        errors = (windows.norms - sizes.square()).clamp_(min=0)
        return Coding(rows, labels, gains, errors, offsets)

    def row_at(index):
        return windows.at(windows.largest[index], index)

    limits = {"max_iter": max_iter, "tol": tol, "damping": damping}
    found, coding = gain_shape(
        code, row_at, windows.norms, centers, **limits, on_iteration=on_iteration
    )
    return found._replace(offset_counts=windows.count(coding.offsets))


def best_offsets(windows, centers):
    """Where each window responds most to any filter.

    Parameters
    ----------
    windows : Windows
    centers : tensor of shape (k, d)

    Returns
    -------
    int64 tensor of shape (n,)
        Of the patch with the largest ``|d.x|``; the first of equals.
    """
    matrix = _matrix_of_bands(windows, centers)
    (down, across), height = windows.offsets, windows.patch_size[0]
    n_rows = matrix.shape[1] // height
    band = len(windows.pixels), n_rows, across
    tiles = windows.tiles(math.prod(band) + len(centers) * across + down * across)
    bands_of, values_of, best_of = (
        windows.workspace(shape, tiles) for shape in (band, (len(centers), across), (down, across))
    )
    offsets = torch.empty(len(windows), dtype=torch.int64, device=centers.device)
    places = torch.arange(down * across, 0, -1, device=centers.device).to(centers)[:, None]
    for tile in tiles:
        bands, values, best = bands_of(tile), values_of(tile), best_of(tile)
        windows.bands(tile, bands)
        for row in range(down):
            patches = bands[row : row + height].flatten(0, 1).flatten(1)
            torch.mm(matrix, patches, out=values.flatten(1))
            # To read twice is cheaper than to write absolute values.
            torch.maximum(values.amax(0), values.amin(0).neg_(), out=best[row])
        best = best.flatten(0, 1)
        if windows.spread is not None:
            best /= windows.spread[:, tile]
        offsets[tile] = len(places) - best.ge(best.amax(0)).mul(places).amax(0)
    return offsets.clamp_(max=len(places) - 1)  # where responses overflow, none is the largest


def _matrix_of_bands(windows, centers):
    """Folded filters (k, h * (w * C + 1)), as the rows of `Windows.bands` follow each other."""
    folded = windows.preparation.folded(centers)
    height = windows.patch_size[0]
    matrix = folded.new_zeros(len(folded), height, windows.width // height + 1)
    matrix[:, :, :-1] = folded[:, :-1].view(len(folded), height, -1)
    matrix[:, 0, -1] = folded[:, -1]
    return matrix.flatten(1)
