"""Lists of images in memory as sources of images."""

from typing import Any

import numpy as np
import torch
from PIL.Image import Image

from .base import ImageSource
from .decoding import Header, PixelFormat, decoded
from .items import is_column, items_of
from .request import Request, check_dtype, check_image_shape, refuse_channels_first
from .values import UNSEEN, ValueRange, checked_range, compute_dtype, numpy_dtype

#: Images that are looked at to know the range of bytes, evenly spread: a fraction of a millisecond.
SAMPLED = 64
# Of each side so many pixels are looked at, and less than twice as many.
_SIDE = 64


class ListSource(ImageSource):
    """Images that may differ in size, one array each.

    Parameters
    ----------
    images : list of arrays of shape (H, W) or (H, W, C)
        Never changed.
    n_channels : int
    values : ValueRange, default=UNSEEN
        Of all images together.
    """

    def __init__(self, images: list[np.ndarray], n_channels: int, values: ValueRange = UNSEEN):
        kinds = {image.dtype for image in images}
        dtype, pixel_dtype = compute_dtype(kinds, values), np.result_type(*kinds)
        super().__init__(len(images), None, n_channels, dtype, pixel_dtype, values=values)
        self.images = images

    @property
    def sizes(self):
        """(height, width) of every image, an int array of shape (n, 2)."""
        return np.array([image.shape[:2] for image in self.images])

    def stored_shape(self, i):
        return self.images[i].shape

    def sample(self):
        return [thinned(image) for image in self.images[:: 1 + (len(self) - 1) // SAMPLED]]

    def read(self, index, writable=False):
        dtype = numpy_dtype(self.dtype)
        chosen = (np.asarray(self.images[i], dtype=dtype) for i in index)
        # The stack is memory of its own.
        block = np.stack([image.reshape(*image.shape[:2], self.n_channels) for image in chosen])
        return torch.from_numpy(block)


def is_list_of_images(X: Any) -> bool:
    """Whether X is a list, tuple, object array or Series of images in memory."""
    items = items_of(X)
    return bool(items) and any(_is_image(item, is_column(X)) for item in items)


def list_source(X: Any, request: Request) -> ListSource:
    """The source of a list, tuple, object array or Series of images."""
    images = [as_image(image) for image in items_of(X)]
    values = UNSEEN
    for i, image in enumerate(images):
        if image.ndim not in (2, 3) or not image.size:
            came = f"has shape {image.shape}" if image.ndim or image[()] is not None else "is None"
            raise ValueError(f"Image {i} of the list {came}; expected (H, W) or (H, W, C).")
        check_dtype(request, image.dtype)
        if not request.known_shape and image.ndim == 3:
            where = f"Image {i} of the list, of shape {image.shape},"
            refuse_channels_first(request, image.shape, image.dtype, where)
        values |= checked_range(image, f"Input X[{i}]")
    channels = [1 if image.ndim == 2 else image.shape[-1] for image in images]
    usual = max(channels, key=channels.count)
    other = next((i for i, n in enumerate(channels) if n != usual), None)
    if other is not None:
        raise ValueError(
            "All images of a list must have the same number of channels, but image "
            f"{other} has {channels[other]}, most have {usual}. Convert it, for example "
            "with PIL's image.convert('RGB')."
        )
    source = ListSource(images, usual, values)
    check_image_shape(request, source, "list")
    return source


def as_image(image: Any) -> np.ndarray:
    """NumPy's array of an array, a tensor on any device, a Pillow image, or the like."""
    if torch.is_tensor(image):
        image = image.detach().cpu()
        image = (image.float() if image.dtype is torch.bfloat16 else image).numpy()
    if isinstance(image, Image):
        return decoded(image, PixelFormat.common([Header.of(image)], ["the image"]))
    if isinstance(image, np.ma.MaskedArray):
        refuse_masked(image)
    return np.asarray(image)


def thinned(image: np.ndarray) -> np.ndarray:
    """Some rows and columns of an image, evenly spread."""
    if image.ndim < 2:
        return image
    down, across = (max(1, side // _SIDE) for side in image.shape[:2])
    return image[::down, ::across]


def refuse_masked(X: np.ma.MaskedArray) -> None:
    """Refuse hidden values, which would be used as if they were not."""
    n_hidden = int(np.ma.getmaskarray(X).sum())
    if n_hidden:
        raise ValueError(
            f"X is a masked array that hides {n_hidden} values: they would be used silently. Fill "
            "them, for example with X.filled(X.mean()), or leave the images out that have any."
        )


def _is_image(item, in_column):
    """Whether numpy makes one image of an item."""
    ndim = getattr(item, "ndim", None)
    if ndim is None and (hasattr(item, "__array__") or hasattr(item, "__array_interface__")):
        ndim = np.asarray(item).ndim
    if ndim is None and in_column and isinstance(item, list):
        ndim = np.ndim(item)
    return (ndim or 0) >= 2
