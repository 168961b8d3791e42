"""Mirror images: dictionaries that hold them, and codes that an image shares with its own.

    filters (K, d) -> filters and their mirror images (2K, d) -> codes (locations, 2K)
           -> cells, and mirrored cells for the second half -> cells (n, rows, columns, K)

Where whitening treats left and right alike, the codes of a mirrored image are those of the image,
in mirrored places, with each filter and its mirror image exchanged. So the codes of an image give
those of its mirror image, and what both have in common, at no more than the cost of the image.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch

from .patches import PatchGrid
from .pooling import Cells, Pooling
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

    def pool(
        self, strips: Iterable[tuple[int, Iterable[torch.Tensor]]], map_size: tuple[int, int]
    ) -> torch.Tensor:
        """Pool maps that come in strips.

        Parameters
        ----------
        strips, map_size
            As in `Pooling.pool`, with 2K codes: of the filters, then of their mirror images.

        Returns
        -------
        tensor of shape (n, cell rows, cell columns, K)
        """
        rows, columns = self.pooling.spans(map_size)
        across = [(map_size[1] - b, map_size[1] - a) for a, b in reversed(columns)]
        left, right = (Cells(self.pooling.how, rows, spans) for spans in (columns, across))
        first, second = [], []
        for row, some in strips:
            # Each is reduced before the next one takes its memory.
            halves = (codes.chunk(2, -1) for codes in some)
            reduced = [(left.reduce(a, row), right.reduce(b, row)) for a, b in halves]
            first.append(torch.cat([of_filters for of_filters, _ in reduced]))
            second.append(torch.cat([of_mirrored for _, of_mirrored in reduced]))
        first, second = left.finish(first), right.finish(second).flip(2)
        return torch.maximum(first, second) if self.pooling.how == "max" else first + second

    def pool_both(
        self, encode: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor
    ) -> torch.Tensor:
        """Pooled codes of images, averaged with those of their mirror images.

        What it takes where the locations of mirrored images are not the mirrored locations.

        Parameters
        ----------
        encode : callable
            From images (n, H, W, C) to their codes, pooled by this.
        images : tensor of shape (n, H, W, C)
        """
        first, second = encode(images), encode(images.flip(2))
        return torch.maximum(first, second) if self.pooling.how == "max" else (first + second) / 2


def symmetric(grid: PatchGrid, width: int) -> bool:
    """Whether the locations of a mirrored image of this width are the mirrored locations."""
    return (width - grid.size[1]) % grid.stride[1] == 0
