"""Convolutional k-means: each window gives the patch to which a filter responds most."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product

import torch

from .._utils.threads import in_threads, run_in_threads
from .assign import sums_by_label
from .gain_shape import Coding, coded_sums, coding, gain_shape
from .kmeans import Dictionary, Sums, step_over
from .rows import Rows
from .windows import Windows


class WindowStep:
    """The step of gain-shape k-means over windows: each first gives its best patch.

    Parameters
    ----------
    windows : Windows
    recenter : bool, default=True
        Whether the sums beside are given.
    """

    def __init__(self, windows: Windows, recenter: bool = True):
        self.windows = windows
        self.recenter = recenter and math.prod(windows.offsets) > 1

    def __call__(self, centers: torch.Tensor, exact: bool = False) -> Sums:
        windows, norms = self.windows, self.windows.norms
        offsets = best_offsets(windows, centers)
        coded = coding(windows.at(offsets), norms, centers)
        sums = coded_sums(coded, norms, self._largest_patches, exact)
        if exact:
            return replace(sums, offset_counts=windows.count(offsets))
        if not self.recenter:
            return sums
        return replace(sums, beside=partial(sums_beside, windows, offsets, coded, len(centers)))

    def _largest_patches(self, index):
        return self.windows.at(self.windows.largest[index], index)


def convolutional(
    windows: Windows | Rows,
    centers: torch.Tensor,
    *,
    max_iter: int,
    tol: float,
    damping: float = 1.0,
    momentum: float = 0.0,
    on_iteration: Callable | None = None,
    recenter: bool = True,
) -> Dictionary:
    """Convolutional k-means (Dundar, Jin & Culurciello 2015, algorithm 1).

    In each iteration every filter responds at every offset of every window; the patch with
    the largest ``|d.x|`` is coded by its filter with the gain ``s = d.x``; then ``D <-
    normalise(X' S + damping * D)`` over the patches that were chosen. Filters that win
    nothing become the largest patches of the windows that are coded worst. What the paper has
    not: filters that took hold of a pattern off its middle are shifted, see
    `gain_shape.recenter`. With windows of the size of a patch this is `spherical`.

    Parameters
    ----------
    windows : Windows, or Rows
        n of them; as Rows, of more than one offset.
    centers : tensor of shape (k, d)
        Where to start, among prepared patches; brought to unit length.
    max_iter, tol, damping, momentum, on_iteration
        As in `gain_shape`. Undamped and without momentum, the error never grows.
    recenter : bool, default=True
        Whether filters are shifted; False is the algorithm of the paper.

    Returns
    -------
    Dictionary
        Its inertia sums ``|x|^2 - s^2`` over the windows, where x is the largest of the
        window's prepared patches: what could have been coded and was not.
    """
    limits = {"max_iter": max_iter, "tol": tol, "damping": damping, "momentum": momentum}
    step = step_over(windows, partial(WindowStep, recenter=recenter), looks_beside=recenter)
    return gain_shape(step, centers, **limits, on_iteration=on_iteration)


def sums_beside(
    windows: Windows, offsets: torch.Tensor, coded: Coding, n_centers: int
) -> torch.Tensor:
    """Sums of the patches one pixel beside those that were coded.

    Parameters
    ----------
    windows : Windows
        n of them.
    offsets : int64 tensor of shape (n,)
        Of the patches that were coded.
    coded : Coding
    n_centers : int

    Returns
    -------
    tensor of shape (8, n_centers, d)
        Of each filter, in each direction, its patches times the gains of those beside them;
        patches that leave their window are left out.
    """
    down, across = windows.offsets
    row, column = torch.div(offsets, across, rounding_mode="floor"), offsets % across
    directions = [shift for shift in product((-1, 0, 1), repeat=2) if any(shift)]

    def sums_of(direction):
        dy, dx = direction
        sums = coded.rows.new_zeros(n_centers, windows.width)
        for tile in windows.tiles(3 * windows.width):
            y, x = row[tile] + dy, column[tile] + dx
            inside = (y >= 0) & (y < down) & (x >= 0) & (x < across)
            y, x = y.clamp(0, down - 1), x.clamp(0, across - 1)
            patches = windows.at(y * across + x, tile)
            patches *= (coded.gains[tile] * inside)[:, None]
            sums += sums_by_label(patches, coded.labels[tile], n_centers)
        return sums

    return torch.stack(list(in_threads(lambda: sums_of, directions, windows.device)))


def best_offsets(windows: Windows, centers: torch.Tensor) -> torch.Tensor:
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
    offsets = torch.empty(len(windows), dtype=torch.int64, device=centers.device)
    places = torch.arange(down * across, 0, -1, device=centers.device).to(centers)[:, None]

    def worker():
        bands_of, values_of, best_of = (
            windows.workspace(shape, tiles)
            for shape in (band, (len(centers), across), (down, across))
        )

        def find(tile):
            bands, values, best = bands_of(tile), values_of(tile), best_of(tile)
            windows.bands(tile, bands)
            for row in range(down):
                patches = bands[row : row + height].flatten(0, 1).flatten(1)
                torch.mm(matrix, patches, out=values.flatten(1))
                # To read twice is cheaper than to write absolute values.
                torch.maximum(values.amax(0), values.amin(0).neg_(), out=best[row])
            best = best.flatten(0, 1)
            if windows.divisors is not None:
                best /= windows.divisors[:, tile]
            # The first place of the maximum, out of maxima, which vectorise.
            offsets[tile] = len(places) - best.ge(best.amax(0)).mul(places).amax(0)

        return find

    run_in_threads(worker, tiles, centers.device)
    return offsets.clamp_(max=len(places) - 1)  # where responses overflow, none is the largest


def _matrix_of_bands(windows, centers):
    """Folded filters (k, h * (w * C + 1)), as the rows of `Windows.bands` follow each other."""
    folded = windows.preparation.fold(centers)
    height = windows.patch_size[0]
    matrix = folded.new_zeros(len(folded), height, windows.width // height + 1)
    matrix[:, :, :-1] = folded[:, :-1].view(len(folded), height, -1)
    matrix[:, 0, -1] = folded[:, -1]
    return matrix.flatten(1)
