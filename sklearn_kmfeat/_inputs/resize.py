"""Images of different sizes, brought to one."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.transforms import v2

from .._utils.tracing import is_traced, static_size
from .arrays import ArraySource
from .base import ImageSource


class CenterCrop(nn.Module):
    """The center of an image, as large as its shape allows, scaled to a size.

    Parameters
    ----------
    size : (int, int) or None
        None leaves the images as they are.
    """

    def __init__(self, size: tuple[int, int] | None = None):
        super().__init__()
        self.size = size

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Crops of images (..., C, H, W), float."""
        given = static_size(images, -2), static_size(images, -1)
        if self.size is None or given == tuple(self.size):
            return images
        scale = max(a / b for a, b in zip(self.size, given, strict=True))
        # A side that is whole but for rounding must not become one pixel longer.
        whole = [math.ceil(scale * side - 1e-6) for side in given]
        if is_traced():
            return self._cropped(images, whole)
        resized = v2.functional.resize(images, whole, antialias=True)
        return v2.functional.center_crop(resized, list(self.size))

    def _cropped(self, images, whole):
        """What torchvision does, whose own code looks at sizes in ways that warn."""
        resized = F.interpolate(images, whole, mode="bilinear", antialias=True)
        top, left = (round((a - b) / 2) for a, b in zip(whole, self.size, strict=True))
        return resized[:, :, top : top + self.size[0], left : left + self.size[1]]


class ResizedSource(ImageSource):
    """Images of any size, cropped and scaled as they are read, in float32.

    Parameters
    ----------
    source : ImageSource
    size : (int, int)
        Height and width of what comes out.
    """

    def __init__(self, source: ImageSource, size: tuple[int, int]):
        shape = (*size, source.n_channels)
        super().__init__(len(source), shape, source.n_channels, torch.float32, source.pixel_dtype)
        self.source = source
        self.crop = CenterCrop(size)

    def read(self, index, writable=False):
        places = range(len(self))[index] if isinstance(index, slice) else index
        return torch.stack([self._image(int(i)) for i in places])

    def _image(self, i):
        image = self.source.read([i])[0].to(torch.float32)
        return self.crop(image.permute(2, 0, 1)).permute(1, 2, 0)


def in_one_size(source: ImageSource, size: tuple[int, int]) -> ImageSource:
    """The images of a source in one size.

    Parameters
    ----------
    source : ImageSource
    size : (int, int)

    Returns
    -------
    ImageSource
        What must be read to be seen is resized each time it is read. What is in memory is
        resized once, into bytes where all images are bytes, otherwise into float32.
    """
    if source.shape is not None:
        return source
    if not source.sizes_known:
        return ResizedSource(source, size)
    in_bytes = source.pixel_dtype == np.uint8
    resized = np.empty((len(source), *size, source.n_channels), np.uint8 if in_bytes else "f4")
    crop = CenterCrop(size)
    for index, block in source.batches(lambda size: 256):
        cut = crop(block.to(torch.float32).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        resized[index] = (cut.round().clamp(0, 255) if in_bytes else cut).numpy()
    return ArraySource(resized, resized.shape[1:])


def common_size(source: ImageSource) -> tuple[int, int]:
    """The size that all images have, or a square of the median shorter side.

    Where the images would have to be read to know, that of the first.
    """
    if not source.sizes_known:
        return source.first_size
    if (source.sizes == source.sizes[0]).all():
        return tuple(source.sizes[0].tolist())
    side = int(np.median(source.sizes.min(axis=1)))
    return side, side
