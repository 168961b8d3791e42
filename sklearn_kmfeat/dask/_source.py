"""Images in the blocks of a dask array as a source: what a fit computes of them, it computes there.

block -> its range, where values must be looked at            one pass, of floats
block -> sums                                                 one pass, for contrast="image"
block -> its patches --+
block -> its patches --+-> a part of `WorkerRows`             one pass
"""

import math
from collections.abc import Sequence
from functools import reduce
from operator import add, or_
from typing import Any

import numpy as np
import torch

from .._core.contrast import ContrastVariance
from .._inputs.request import Request
from .._inputs.sampling import cut_patches, images_per_batch
from .._inputs.spread import SpreadImages, SpreadSource
from .._inputs.values import UNSEEN, ValueRange
from ._arrays import DaskImages, block_values, dask_images
from ._cluster import Cluster
from ._rows import WorkerRows, joined
from ._tasks import Held, task

# Rows of a part, at most, where the array has enough blocks: as long as there are no more, each
# thread has one part. An iteration over 200,000 rows and 1,600 centers takes 0.6 s on two workers
# with one each; with four, 0.8 s, and 1 s where the scheduler sends one to the other worker.
_ROWS_PER_PART = 2**20


class OnCluster(SpreadImages):
    """A dask array as X of an estimator's `fit`.

    Parameters
    ----------
    X : dask array
    cluster : Cluster
    """

    def __init__(self, X: Any, cluster: Cluster):
        self.X = X
        self.cluster = cluster
        self.looked_at = None

    def source(self, request: Request) -> "BlockSource":
        """The source of X, whose values are looked at where they decide how it is computed.

        Once, also where estimators inside the estimator are fitted to the same X.
        """
        images = dask_images(request.estimator, self.X, request.image_shape)
        self.X = images.data  # of known length, without empty blocks
        source = BlockSource(self.cluster, images.data, images.shape, images.ready)
        if images.pixel_dtype.itemsize == 1:
            return source
        if self.looked_at is None:
            self.looked_at = source.looked_at(request)
        return source.as_known(self.looked_at)


class BlockSource(DaskImages, SpreadSource):
    """Images in the blocks of a dask array, for the time of a fit.

    Parameters
    ----------
    cluster : Cluster
    *images
        As in `DaskImages`.
    """

    def __init__(self, cluster: Cluster, *images: Any):
        super().__init__(*images)
        self.cluster = cluster

    def looked_at(self, request: Request) -> "BlockSource":
        """The same images, whose range is known; NaN and infinity are refused."""
        shape = self.shape if request.image_contrast else None
        blocks = zip(self._blocks, self.starts, strict=True)
        tasks = [task(_look, block, start, Held(shape)) for block, start in blocks]
        ranges, variances = zip(*self.cluster.results(tasks), strict=True)
        source = self._of_values(reduce(or_, ranges))
        if shape is not None:
            source.known_variance = reduce(add, [of_block[source.dtype] for of_block in variances])
        return source

    def as_known(self, other: "BlockSource") -> "BlockSource":
        """The same images, of which is known what is known of others: they are equal."""
        source = self._of_values(other.values)
        source.known_variance = other.known_variance
        return source

    def _of_values(self, values):
        return BlockSource(self.cluster, self.data, self.shape, self.ready, values)

    def added(self, function, n_images, total):
        how = Held(self.of_block), Held(function)
        found = self.cluster.results([task(_sum_of_block, block, *how) for block in self._blocks])
        self.seen.values = reduce(or_, [values for _, values in found])
        return reduce(add, [sums for sums, _ in found], total)

    def cut(self, grid, locations, *, image_eps=None, groups=(None,), on_batch=None):
        ends = zip(self.starts, self.lengths, strict=True)
        of_blocks = [locations.part(start, start + length) for start, length in ends]
        counts = np.array([len(of_block.places) for of_block in of_blocks])
        some = np.flatnonzero(counts)
        blocks = self._blocks
        how = Held(self.of_block), Held(grid)
        more = image_eps, Held(groups)
        cuts = [task(_cut, blocks[b], *how, Held(of_blocks[b]), *more) for b in some]
        parts = neighbors(counts[some], self.cluster.n_threads)
        # All at once, so that each block is computed once.
        kept = self.cluster.keep_apart(
            lambda p: _of_part([cuts[b] for b in parts[p]], groups), len(parts)
        )
        self._watch([values[-1] for values in kept], len(some), on_batch)
        self.seen.values = reduce(or_, self.cluster.results([values[-1] for values in kept]))
        lengths = [int(counts[some][part].sum()) for part in parts]
        of_groups = ([values[g] for values in kept] for g in range(len(groups)))
        return [
            WorkerRows(self.cluster, self.cluster.own(own), lengths, self.dtype)
            for own in of_groups
        ]

    def read(self, index, writable=False):
        images = super().read(index, writable)
        self.seen.values |= ValueRange(images.min().item(), images.max().item())
        return images

    def _batch_indices(self, n_images, members):
        """A batch of each block, however large: a block is computed as a whole."""
        for start, length in zip(self.starts, self.lengths, strict=True):
            if members is None:
                yield slice(start, start + length)
                continue
            some = members[(members >= start) & (members < start + length)]
            if len(some):
                yield some

    @property
    def _blocks(self):
        return self.data.to_delayed().ravel().tolist()

    def _watch(self, kept, n_blocks, on_batch):
        """Report blocks that are done, while they are computed."""
        if on_batch is None:
            return
        n_reported = 0
        for more in self.cluster.done(kept):
            share = math.floor(more * n_blocks / len(kept))
            for _ in range(share):
                on_batch()
            n_reported += share
        for _ in range(n_blocks - n_reported):
            on_batch()


def neighbors(counts: np.ndarray, n_threads: int) -> list[np.ndarray]:
    """Neighbouring blocks that make a part together, about as many rows in each.

    Parameters
    ----------
    counts : int array
        Rows of each block.
    n_threads : int
        Parts are a multiple of it, where there are enough blocks.

    Returns
    -------
    list of int arrays
        The blocks of each part.
    """
    total = int(counts.sum())
    n_parts = n_threads * max(1, -(-total // (n_threads * _ROWS_PER_PART)))
    middles = counts.cumsum() - counts / 2
    part = np.minimum((middles * n_parts / total).astype(int), n_parts - 1)
    return [np.flatnonzero(part == p) for p in np.unique(part)]


def _look(block, start, shape):
    """The range of a block, and where it is asked for the variance of its images, by dtype."""
    values = block_values(block, start)
    if shape is None:
        return values, None
    rows = torch.from_numpy(block.reshape(len(block), -1).astype(np.float64))
    return values, {
        dtype: ContrastVariance.of(rows.to(dtype)) for dtype in (torch.float32, torch.float64)
    }


def _sum_of_block(block, of_block, function):
    source = of_block(block)
    sums = [function(images) for _, images in source.batches(images_per_batch(source))]
    return reduce(add, sums), _range_of(source)


def _cut(block, of_block, grid, locations, image_eps, groups):
    """The patches of a block, of each group of channels, and the range of its pixels."""
    source = of_block(block)
    patches = cut_patches(
        source, grid, locations, torch.device("cpu"), image_eps=image_eps, groups=groups
    )
    return patches, _range_of(source)


def _range_of(source):
    return UNSEEN if source.ready else source.pixel_range


def _of_part(cuts, groups):
    """The tasks of a part: its patches of each group, and the range of the pixels."""
    patches = [task(_joined_item, cuts, g) for g in range(len(groups))]
    return [*patches, task(_joined_range, cuts)]


def _joined_item(cuts, g):
    return joined([patches[g] for patches, _ in cuts])


def _joined_range(cuts: Sequence):
    return reduce(or_, [values for _, values in cuts])
