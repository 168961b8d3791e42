"""The contract of a source of images: what every form of X becomes, for both families."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch

from .._core.contrast import ContrastVariance
from .values import UNSEEN, ValueRange


class Seen:
    """The range of the values that were read; sources of the same images share it.

    Attributes
    ----------
    values : ValueRange
    on_end : callable or None
        Called once with the range, when all images were read.
    """

    def __init__(self):
        self.values = UNSEEN
        self.on_end: Callable[[ValueRange], None] | None = None

    def end(self) -> None:
        """Note that all images were read."""
        on_end, self.on_end = self.on_end, None
        if on_end is not None and self.values.known:
            on_end(self.values)


class ImageSource(ABC):
    """Checked images that are read a batch at a time.

    The contract for a new form of X:

    * `__init__` decides without reading the pixels how many images there are, their number of
      channels, their dtype and, where it is one, their shape; it refuses what are no images.
    * `read` gives images of one size, in the order asked for, channels last, on the CPU. It may
      hand out a view of the caller's array, to save a copy, unless `writable` asks for memory of
      its own. A caller that did not ask for that must not write to it; `batches` raises, after the
      fact, where torch changed it in place.
    * Nothing is held that was read; pickling a source does not read it.

    Parameters
    ----------
    n_images : int
    shape : (int, int, int) or None
        Height, width, channels; None where the images differ in size, or may. Ready patches
        are images of one pixel with as many channels as features.
    n_channels : int
    dtype : torch.dtype
        float64 for float64 pixels and for what float32 cannot hold, otherwise float32: that of
        the tensors.
    pixel_dtype : numpy dtype
        Of the pixels as they are stored.
    ready : bool, default=False
        Whether each image is one ready patch.
    values : ValueRange, default=UNSEEN
        Of the pixels, where they were looked at.
    """

    #: Whether `sizes` costs nothing; False: images are read to find them.
    sizes_known = True
    #: Whether reading an image takes long, each time: it is decoded.
    decodes = False
    #: Whether images that all have one size have the size that the user wants.
    size_is_chosen = True
    #: Whether an image may be another one when it is read again, as random transforms make it.
    varies = False
    #: Whether values are looked at when images are read, and not before; `read` then calls `saw`.
    seen_when_read = False
    #: Variance of each image, summed, where it was found when the values were looked at.
    known_variance: ContrastVariance | None = None

    def __init__(
        self,
        n_images: int,
        shape: tuple[int, int, int] | None,
        n_channels: int,
        dtype: torch.dtype,
        pixel_dtype: np.dtype,
        ready: bool = False,
        values: ValueRange = UNSEEN,
    ):
        self.n_images = n_images
        self.shape = shape
        self.n_channels = n_channels
        self.dtype = dtype
        self.pixel_dtype = pixel_dtype
        self.ready = ready
        self.values = values
        self.seen = Seen()

    def __len__(self) -> int:
        return self.n_images

    @property
    def sizes(self) -> np.ndarray:
        """(height, width) of every image, an int array of shape (n, 2).

        A source of images that may differ in size overrides this.
        """
        return np.broadcast_to(self.shape[:2], (len(self), 2))

    @property
    def some_sizes(self) -> np.ndarray:
        """(height, width) of enough images to know what sizes there are."""
        return self.sizes

    def in_size(self, size: int | tuple[int, int]) -> "ImageSource":
        """A source of the same images that scales them while it reads them.

        To at most so many pixels a side, or cut to height and width. This one, where it cannot.
        """
        return self

    @property
    def n_features(self) -> int | None:
        """H * W * C, or None where the images may differ in size."""
        return None if self.shape is None else int(np.prod(self.shape))

    @property
    def image_shape(self) -> tuple | None:
        """(H, W, C); (None, None, C) for images that may differ in size; None for ready patches."""
        if self.ready:
            return None
        return self.shape if self.shape is not None else (None, None, self.n_channels)

    @property
    def pixel_range(self) -> ValueRange:
        """The range of the pixels, as far as it is known: of bytes, that of a sample."""
        if self.seen_when_read:
            return self.seen.values
        if self.values.known or self.ready:
            return self.values
        found = UNSEEN
        for block in self.sample():
            found |= ValueRange(block.min().item(), block.max().item())
        return found

    def sample(self) -> Iterable[np.ndarray]:
        """Some pixels of some images in memory, for `pixel_range`; none where it costs too much."""
        return ()

    def saw(self, block: np.ndarray) -> None:
        """Note the range of what was read; for sources with `seen_when_read`."""
        self.seen.values |= ValueRange(block.min().item(), block.max().item())

    def stored_shape(self, i: int) -> tuple[int, ...]:
        """The shape of image `i` as it came; of a grey one, the axis of channels may lack."""
        return (*self.sizes[i].tolist(), self.n_channels)

    def name(self, i: int) -> str:
        """What image `i` is called in messages."""
        return f"image {i} of the list"

    @abstractmethod
    def read(self, index: slice | np.ndarray, writable: bool = False) -> torch.Tensor:
        """The images at `index`.

        Parameters
        ----------
        index : slice or increasing int array
            Images of one size.
        writable : bool, default=False
            Whether the caller is going to write to the result. False: it may share the memory
            of the caller's array.

        Returns
        -------
        tensor of shape (len(index), H, W, C)
            On the CPU.
        """

    def blocks(
        self, indices: Iterable[slice | np.ndarray], writable: bool = False
    ) -> Iterator[torch.Tensor]:
        """The images at each index, as `read` gives them.

        A source that can read ahead, or whose pieces on disk several indices share, overrides this.
        """
        return (self.read(index, writable) for index in indices)

    def batches(
        self,
        n_images: Callable[[tuple[int, int]], int],
        members: np.ndarray | None = None,
        writable: bool = False,
    ) -> Iterator[tuple[slice | np.ndarray, torch.Tensor]]:
        """Batches of images of one size.

        Parameters
        ----------
        n_images : callable
            From (height, width) to the largest number of images in a batch.
        members : increasing int array or None, default=None
            Which images; None is all of them.
        writable : bool, default=False
            As in `read`.

        Yields
        ------
        index : slice or int array
        images : tensor of shape (batch, H, W, C)
        """
        indices = list(self._batch_indices(n_images, members))
        for index, images in zip(indices, self.blocks(indices, writable), strict=True):
            # The version of a tensor counts what is done in place, through views as well.
            version = None if writable or images.is_inference() else images._version
            yield index, images
            if version is not None and images._version != version:
                raise RuntimeError(
                    "Images were changed in place that may be the user's own: read them with "
                    "writable=True."
                )
        self.seen.end()

    def added(
        self,
        function: Callable[[torch.Tensor], Any],
        n_images: Callable[[tuple[int, int]], int],
        total: Any,
    ) -> Any:
        """What a function of images (n, H, W, C) gives for all batches, added to a first value.

        A source whose images lie on several machines computes it there.

        Parameters
        ----------
        function : callable
            To values with a ``+``, the same for any division in batches.
        n_images : callable
            As in `batches`.
        total : object
            What the first is added to.
        """
        for _, images in self.batches(n_images):
            total = total + function(images)
        return total

    def n_batches(
        self, n_images: Callable[[tuple[int, int]], int], members: np.ndarray | None = None
    ) -> int:
        """How many batches there are of so many images; none is read, but perhaps for its size."""
        return sum(1 for _ in self._batch_indices(n_images, members))

    def _batch_indices(self, n_images, members):
        if self.shape is not None and members is None:
            step = n_images(self.shape[:2])
            for start in range(0, len(self), step):
                yield slice(start, min(start + step, len(self)))
            return
        members = np.arange(len(self)) if members is None else members
        sizes, which = np.unique(self.sizes[members], axis=0, return_inverse=True)
        for k, size in enumerate(sizes):
            group = members[which.ravel() == k]
            step = n_images(tuple(size.tolist()))
            for start in range(0, len(group), step):
                yield group[start : start + step]
