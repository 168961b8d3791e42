"""The batches of an epoch."""

from collections.abc import Callable, Iterator

import torch


class Batches:
    """Batches of indices whose sizes differ by one at most, and are two at least if possible.

    Parameters
    ----------
    order : callable
        Gives the indices of an epoch, an int64 tensor, when it begins.
    n_images : int
    batch_size : int
        The largest; three images in batches of two are one batch.
    """

    def __init__(self, order: Callable[[], torch.Tensor], n_images: int, batch_size: int):
        self.order = order
        # Batch normalisation cannot learn from one image.
        self.n_batches = max(1, min(-(-n_images // batch_size), n_images // 2))

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[torch.Tensor]:
        # Drawn when the first batch is asked for: a loader with workers asks for two iterators.
        yield from self.order().tensor_split(self.n_batches)
