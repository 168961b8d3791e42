"""A torch Dataset as a source of images."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch.utils.data import Dataset
from torchvision.transforms import v2

from .._utils.generators import reading_item
from .base import ImageSource
from .request import Request
from .values import UNSEEN, ValueRange, compute_dtype

# The numbers of colours in a palette are no colours; torch reads no foreign byte order.
_READABLE_MODES = {"P": "RGB", "PA": "RGB", "I;16B": "I"}


class DatasetSource(ImageSource):
    """The images of a map-style torch Dataset, read one by one and never held.

    Parameters
    ----------
    dataset : torch Dataset
        Its items are images, or tuples that begin with one: PIL images, arrays (H, W) or
        (H, W, C), or tensors (C, H, W).
    """

    sizes_known = False

    def __init__(self, dataset: Dataset):
        first = _as_tensor(_item(dataset, 0), 0)
        # NumPy has no bfloat16; its values are those of float32.
        dtype = torch.float32 if first.dtype == torch.bfloat16 else first.dtype
        pixels = torch.empty(0, dtype=dtype).numpy().dtype
        computed = compute_dtype([pixels], _range_of(first), "Image 0 of the Dataset")
        super().__init__(len(dataset), None, len(first), computed, pixels)
        self.dataset = dataset
        self.first_size = tuple(first.shape[1:])

    @cached_property
    def sizes(self):
        """(height, width) of every image, an int array of shape (n, 2).

        Found by reading the whole Dataset once: its items do not tell their size before.
        """
        return np.array([self._image(i).shape[1:] for i in range(len(self))])

    def read(self, index, writable=False):
        images = [self._image(int(i)) for i in index]
        # The stack is memory of its own.
        return torch.stack(images).permute(0, 2, 3, 1).contiguous()

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
    """Whether X is a torch Dataset."""
    return isinstance(X, Dataset)


def dataset_source(X: Dataset, request: Request) -> DatasetSource:
    """The source of a map-style torch Dataset."""
    if not hasattr(X, "__len__") or len(X) == 0:
        folder = f" of {str(X.root)!r}" if hasattr(X, "root") else ""
        raise ValueError(
            "A Dataset with a length of at least one, whose items have numbers, is needed, "
            f"got {type(X).__name__}{folder}."
        )
    source = DatasetSource(X)
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
    image = item[0] if isinstance(item, tuple | list) and len(item) else item
    if isinstance(image, Image):
        image = image.convert(_READABLE_MODES.get(image.mode, image.mode))
    elif not isinstance(image, np.ndarray | torch.Tensor) or image.ndim not in (2, 3):
        shape = f" of shape {tuple(image.shape)}" if hasattr(image, "shape") else ""
        raise TypeError(
            "Items of a Dataset must be images, or tuples that begin with one: PIL images, arrays "
            f"(H, W) or (H, W, C), or tensors (C, H, W). Got {type(image).__name__}{shape} as item "
            f"{i}."
        )
    if isinstance(image, np.ndarray):
        # torch takes no arrays that are read-only, or of foreign byte order.
        image = image.astype(image.dtype.newbyteorder("="))
    image = _to_image(image, i)
    if not image.numel():
        raise ValueError(
            f"Image {i} of the Dataset has no pixels: its shape is {tuple(image.shape)} (C, H, W)."
        )
    return image


def _to_image(image, i):
    # A PIL image has no dtype, and its modes are all integers or floats.
    dtype = getattr(image, "dtype", np.dtype(np.uint8))
    real = dtype.kind in "biuf" if isinstance(dtype, np.dtype) else not dtype.is_complex
    if not real:
        raise TypeError(
            f"Image {i} of the Dataset has the dtype {dtype}; expected integers or floats. Convert "
            "it in its transform."
        )
    return v2.functional.to_image(image).as_subclass(torch.Tensor)
