"""A torch Dataset as a source of images."""

from collections import deque
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch.utils.data import Dataset

from .._utils.generators import reading_item
from .base import ImageSource
from .decoding import GREY_MODES, Header, PixelFormat, decoded
from .lists import refuse_masked
from .request import Request, refuse_channels_first
from .values import UNSEEN, ValueRange, compute_dtype

# Images whose sizes are looked at where all would have to be read: their median is known to a
# quarter of the deviation of the sizes (1.25 / sqrt(25)).
_SIZES_SEEN = 25


class DatasetSource(ImageSource):
    """The images of a map-style torch Dataset, read one by one and never held.

    Parameters
    ----------
    dataset : torch Dataset, or skorch's SliceDataset
        Its items are images, tuples that begin with one, or dicts that hold one: PIL images,
        arrays (H, W) or (H, W, C), or tensors (C, H, W).
    first : item or None, default=None
        That at 0, where it was read already.
    """

    sizes_known = False
    varies = True
    seen_when_read = True

    def __init__(self, dataset: Dataset, first: Any = None):
        first = _as_tensor(_item(dataset, 0) if first is None else first, 0)
        # NumPy has no bfloat16; its values are those of float32.
        dtype = torch.float32 if first.dtype == torch.bfloat16 else first.dtype
        pixels = torch.empty(0, dtype=dtype).numpy().dtype
        computed = compute_dtype([pixels], _range_of(first), "Image 0 of the Dataset")
        super().__init__(len(dataset), None, len(first), computed, pixels)
        self.dataset = dataset
        self.first_size = tuple(first.shape[1:])

    @cached_property
    def some_sizes(self):
        """(height, width) of some images, evenly spread, an int array of shape (m, 2)."""
        some = np.linspace(0, len(self) - 1, min(len(self), _SIZES_SEEN)).astype(int)
        return np.array([_as_tensor(_item(self.dataset, int(i)), i).shape[1:] for i in some])

    @cached_property
    def sizes(self):
        """(height, width) of every image, an int array of shape (n, 2).

        Found by reading the whole Dataset once: its items do not tell their size before.
        """
        return np.array([self._image(i).shape[1:] for i in range(len(self))])

    def name(self, i):
        return f"image {i} of the Dataset"

    def read(self, index, writable=False):
        images = [self._image(int(i)) for i in index]
        # The stack is memory of its own.
        block = torch.stack(images).permute(0, 2, 3, 1).contiguous()
        self.saw(block)
        return block

    def _image(self, i):
        """An image (C, H, W), checked."""
        image = _as_tensor(_item(self.dataset, i), i)
        if not bool(image.isfinite().all()):
            raise ValueError(f"Image {i} of the Dataset contains NaN or infinity.")
        if len(image) != self.n_channels:
            raise ValueError(
                f"Image {i} of the Dataset has {len(image)} channels, others have "
                f"{self.n_channels}. Convert them in its transform, for example to RGB."
            )
        values = _range_of(image)
        if not values.fits(self.dtype):
            raise ValueError(
                f"Image {i} of the Dataset has values up to {values.magnitude:.3g}, whose squares "
                f"{self.dtype} cannot hold, in which the images are computed because image 0 "
                "needs no more. Scale them in its transform, or give float64."
            )
        return image.to(self.dtype)


def _item(dataset, i):
    with reading_item(i):
        return dataset[i]


def is_dataset(X: Any) -> bool:
    """Whether X is a map-style Dataset: torch's, or anything else with items and a length.

    Such are skorch's `SliceDataset`, the data sets of other libraries and classes of your own;
    but not what NumPy, or a library of tables, makes an array of.
    """
    if isinstance(X, Dataset) or type(X).__name__ == "SliceDataset":
        return True
    if isinstance(X, list | tuple | str | bytes | Mapping | deque):
        return False
    arrays = ("dtype", "__array__", "iloc", "columns")
    return not any(hasattr(X, name) for name in arrays) and all(
        hasattr(X, name) for name in ("__len__", "__getitem__")
    )


def dataset_source(X: Dataset, request: Request) -> DatasetSource:
    """The source of a map-style torch Dataset."""
    if not hasattr(X, "__len__") or len(X) == 0:
        folder = f" of {str(X.root)!r}" if hasattr(X, "root") else ""
        raise ValueError(
            "A Dataset with a length of at least one, whose items have numbers, is needed, "
            f"got {type(X).__name__}{folder}."
        )
    first = _item(X, 0)
    if not request.known_shape:
        _check_axes(_image_of(first), request)
    source = DatasetSource(X, first)
    shape = request.image_shape
    if (
        shape is not None
        and request.needs_sizes
        and (*source.first_size, source.n_channels) != shape
    ):
        raise ValueError(
            f"image_shape={shape} was given, but image 0 of the Dataset has shape "
            f"{(*source.first_size, source.n_channels)}."
        )
    return source


def _range_of(image):
    """The range of a tensor; that of bytes is not looked at."""
    if image.dtype.itemsize <= 2 and not image.is_floating_point():
        return UNSEEN
    return ValueRange(image.min().item(), image.max().item())


def _as_tensor(item, i):
    """The image of item `i` as a tensor (C, H, W)."""
    image = _image_of(item)
    if isinstance(image, Image):
        (depth,) = PixelFormat.common([Header.of(image)], [f"item {i} of the Dataset"])[1:]
        # The colours of a palette may be grey in one image and not in the next.
        image = decoded(image, PixelFormat("L" if image.mode in GREY_MODES else "RGB", depth))
    if not _is_image(image):
        shape = f" of shape {tuple(image.shape)}" if hasattr(image, "shape") else ""
        raise TypeError(
            "Items of a Dataset must be images, tuples that begin with one, or dicts that hold "
            "one: PIL images, arrays (H, W) or (H, W, C), or tensors (C, H, W). Got "
            f"{type(image).__name__}{shape} as item {i}."
        )
    _check_real(image, i)
    if isinstance(image, np.ma.MaskedArray):
        refuse_masked(image)
    if isinstance(image, np.ndarray):
        # torch takes no arrays that are read-only, or of foreign byte order.
        image = np.array(image, image.dtype.newbyteorder("="))
        image = torch.from_numpy(image[..., np.newaxis] if image.ndim == 2 else image)
        image = image.permute(2, 0, 1)
    image = image[np.newaxis] if image.ndim == 2 else image
    if not image.numel():
        raise ValueError(
            f"Image {i} of the Dataset has no pixels: its shape is {tuple(image.shape)} (C, H, W)."
        )
    return image.detach().cpu()


def _image_of(item):
    """The image in an item: itself, the first of a tuple, or the only one in a dict."""
    if isinstance(item, tuple | list) and len(item):
        return item[0]
    if isinstance(item, Mapping):
        images = [value for value in item.values() if isinstance(value, Image) or _is_image(value)]
        if len(images) == 1:
            return images[0]
    return item


def _check_axes(image, request):
    """Refuse an array with channels first, and a tensor with channels last."""
    if getattr(image, "ndim", 0) != 3:
        return
    where = f"Image 0 of the Dataset, of shape {tuple(image.shape)},"
    if isinstance(image, np.ndarray):
        refuse_channels_first(request, image.shape, image.dtype, where)
    elif image.shape[2] in (1, 3, 4) and min(image.shape[:2]) >= 12:
        raise ValueError(
            f"{where} looks as if its channels come last. Tensors of a Dataset are (C, H, W): use "
            "image.permute(2, 0, 1), or give arrays (H, W, C)."
        )


def _is_image(value):
    return isinstance(value, np.ndarray | torch.Tensor) and value.ndim in (2, 3)


def _check_real(image, i):
    dtype = image.dtype
    real = dtype.kind in "biuf" if isinstance(dtype, np.dtype) else not dtype.is_complex
    if not real:
        raise TypeError(
            f"Image {i} of the Dataset has the dtype {dtype}; expected integers or floats. Convert "
            "it in its transform."
        )
