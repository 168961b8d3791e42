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
    divide : callable or None, default=None
        From a batch to the part of it that is read here; None: all of it.
    """

    def __init__(
        self,
        order: Callable[[], torch.Tensor],
        n_images: int,
        batch_size: int,
        divide: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ):
        self.order = order
        self.divide = divide
        # Batch normalisation cannot learn from one image.
        self.n_batches = max(1, min(-(-n_images // batch_size), n_images // 2))

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[torch.Tensor]:
        # Drawn when the first batch is asked for: a loader with workers asks for two iterators.
        batches = self.order().tensor_split(self.n_batches)
        yield from batches if self.divide is None else map(self.divide, batches)
