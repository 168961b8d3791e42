"""Mirror images: dictionaries that hold them, and codes that an image shares with its own.

    filters (K, d) -> filters and their mirror images (2K, d) -> codes (locations, 2K)
           -> cells, and mirrored cells for the second half -> cells (n, rows, columns, K)

Where whitening treats left and right alike, the codes of a mirrored image are those of the image,
in mirrored places, with each filter and its mirror image exchanged. So the codes of an image give
those of its mirror image, and what both have in common, at no more than the cost of the image.
"""

from typing import NamedTuple

import torch

from .._utils.tracing import static_size
from .patches import PatchGrid
from .pooling import Cells, Pooling, Span, Strip
from .whitening import Moments


def mirrored(patches: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Patches or filters (n, h * w * C) with left and right exchanged; `size` is (h, w)."""
    return patches.unflatten(1, (*size, -1)).flip(2).flatten(1)


def with_mirrored(moments: Moments, size: tuple[int, int]) -> Moments:
    """The moments of patches and of their mirror images, from those of the patches.

    Parameters
    ----------
    moments : Moments
        Of patches (n, h * w * C).
    size : (int, int)
        h, w.
    """
    order = mirrored(torch.arange(len(moments.mean))[None], size)[0]
    mean, scatter = moments.mean[order], moments.scatter[order][:, order]
    return moments + Moments(moments.count, mean, scatter, moments.rounding)


class MirrorPooling(NamedTuple):
    """Pooling of the codes of filters and their mirror images, those of a pair together.

    Attributes
    ----------
    pooling : Pooling
        Of the first half of the codes. The second half is pooled over mirrored cells, which are
        others where the cells of a row differ in width. Sums and means of both are added, of two
        maxima the larger one counts.
    """

    pooling: Pooling

    def cells(self, map_size: tuple[int, int]) -> "MirrorCells":
        """As `Pooling.cells`, of maps of 2K codes: of the filters, then of their mirror images."""
        return MirrorCells(self.pooling.how, *self.pooling.spans(map_size), map_size[1])

    def pool(self, codes: torch.Tensor) -> torch.Tensor:
        """Pool whole maps (n, H', W', 2K) to (n, cell rows, cell columns, K)."""
        cells = self.cells((static_size(codes, 1), static_size(codes, 2)))
        return cells.join([cells.reduce(codes, 0)])

    def both(self, pooled: torch.Tensor, of_mirrored: torch.Tensor) -> torch.Tensor:
        """The codes of images and of their mirror images, pooled each by this, in one.

        Needed where the locations of a mirrored image are not the mirrored locations.
        """
        if self.pooling.how == "max":
            return torch.maximum(pooled, of_mirrored)
        return (pooled + of_mirrored) / 2


class MirrorCells(Cells):
    """The cells of `MirrorPooling` in maps of one size.

    Parameters
    ----------
    how, rows, columns
        As in `Cells`.
    width : int
        W'.
    """

    def __init__(self, how: str, rows: list[Span], columns: list[Span], width: int):
        super().__init__(how, rows, columns)
        mirrored_columns = [(width - b, width - a) for a, b in reversed(columns)]
        self.mirrored = Cells(how, rows, mirrored_columns)

    def reduce(self, codes: torch.Tensor, start: int) -> Strip:
        """Pool codes (n, rows, W', 2K) of the rows of locations from `start` on."""
        of_filters, of_mirrored = codes.chunk(2, -1)
        first, values = super().reduce(of_filters, start)
        others = self.mirrored.reduce(of_mirrored, start).values.flip(2)
        return Strip(first, torch.maximum(values, others) if self.how == "max" else values + others)


def symmetric(grid: PatchGrid, width: int) -> bool:
    """Whether the locations of a mirrored image of this width are the mirrored locations."""
    return (width - grid.size[1]) % grid.stride[1] == 0
