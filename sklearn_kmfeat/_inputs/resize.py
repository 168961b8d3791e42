"""Images of different sizes, brought to one."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .._utils.memory import physical_memory
from .._utils.tracing import is_traced, static_size
from .arrays import ArraySource
from .base import ImageSource

# Images in one size are kept, in bytes where they are bytes, if they take so little: reading them
# again in each epoch costs more than the network. Of the memory that the machine has.
_KEPT_SHARE = 1 / 8


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
        # Imported here: it takes half as long as `import torch`.
        from torchvision.transforms.v2 import functional

        resized = functional.resize(images, whole, antialias=True)
        return functional.center_crop(resized, list(self.size))

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
        self.varies = source.varies
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
        What is in one array stays as it is, and so do images of one size that may be others when
        they are read again. What differs in size, and what would have to be decoded again and
        again, is resized once, into bytes where all images are bytes, otherwise into float32, if
        this takes an eighth of the machine's memory at most; and otherwise each time it is read.
    """
    source = source.in_size(size)
    if source.shape is not None and not source.decodes:
        return source
    itemsize = 1 if source.pixel_dtype == np.uint8 else 4
    n_bytes = len(source) * math.prod(size) * source.n_channels * itemsize
    if source.varies or n_bytes > _KEPT_SHARE * (physical_memory() or 2**33):
        return source if source.shape is not None else ResizedSource(source, size)
    resized = resized_images(source, size)
    return ArraySource(resized, resized.shape[1:])


def resized_images(source: ImageSource, size: tuple[int, int]) -> np.ndarray:
    """The images of a source, cropped and scaled, in memory.

    Returns
    -------
    ndarray of shape (n, *size, C)
        Bytes where all images are bytes, otherwise float32.
    """
    in_bytes = source.pixel_dtype == np.uint8
    resized = np.empty((len(source), *size, source.n_channels), np.uint8 if in_bytes else "f4")
    crop = CenterCrop(size)
    for index, block in source.batches(lambda size: 256 if max(size) < 256 else 1):
        cut = crop(block.to(torch.float32).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        resized[index] = (cut.round().clamp(0, 255) if in_bytes else cut).numpy()
    return resized


def common_size(source: ImageSource, largest: int) -> tuple[int, int]:
    """Height and width that suit all images of a source.

    Parameters
    ----------
    source : ImageSource
        Of one that would have to be read some images are looked at.
    largest : int
        At most so many pixels on the shorter side, where the user did not choose a size by an
        array, or by a Dataset or list whose images all have one.

    Returns
    -------
    (int, int)
        The size that all images have, or a square of the median shorter side.
    """
    sizes = source.some_sizes
    same = bool((sizes == sizes[0]).all())
    if same and source.size_is_chosen:
        return tuple(sizes[0].tolist())
    side = min(largest, int(np.median(sizes.min(axis=1))))
    if not same:
        return side, side
    scale = side / sizes[0].min()
    return tuple(max(1, round(scale * length)) for length in sizes[0].tolist())
