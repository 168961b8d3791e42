"""Batches of images for training, and what is measured on them before it begins."""

from collections.abc import Iterator
from mmap import mmap
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from .._inputs.base import ImageSource
from .._inputs.resize import common_size, in_one_size
from .._utils.progress import report
from .._utils.validation import as_pair

# Even if all pixels of an image were alike, means would be known to two hundredths of the deviation
# (1 / sqrt(2,000)), for the time of a small part of an epoch.
_IMAGES_FOR_STATISTICS = 2_000
# The shorter side of what a network gets where nobody chose a size. The small network is made for
# up to so many pixels, the others for photographs: with those of the first of 280 photographs an
# epoch took 82 s, with 64 pixels 4 s.
_LARGEST_SIDE, _LARGEST_SIDE_OF_SMALL = 224, 64
# Share of the range of the values that float32 must tell apart: about one of 256 steps.
_LEAST_RESOLUTION = 5e-3
# Values that are copied to a device at a time: 64 MiB of bytes, 256 MiB of float32.
_VALUES_PER_COPY = 2**26


class ImageBatches(Dataset):
    """Images of one size as skorch wants them: a torch Dataset that gives whole batches.

    An array is read a batch at a time. On a CUDA device it is kept there whole, in one byte a
    value where its images are bytes, if it takes at most half of the memory that is free.

    Parameters
    ----------
    source : ImageSource
        Of images of one size.
    device : torch.device

    Attributes
    ----------
    source : ImageSource
    resident : tensor of shape (n, H, W, C) or None
        All images, on the device.
    """

    def __init__(self, source: ImageSource, device: torch.device):
        self.source = source
        self.resident = _on_device(source, device)

    def __len__(self) -> int:
        return len(self.source)

    @property
    def in_bytes(self) -> bool:
        """Whether the pixels are bytes."""
        return self.source.pixel_dtype == np.uint8

    @property
    def may_vary(self) -> bool:
        """Whether an image may be another one when it is read again.

        So it is with a torch Dataset, whose transforms may draw random numbers. Such images are
        read as often, and in the order, in which they are asked for.
        """
        return self.source.varies

    def __getitems__(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """A batch and the index of its images.

        Parameters
        ----------
        index : int64 tensor of shape (n,)
            In any order; an image may come more than once.

        Returns
        -------
        images : float32 tensor of shape (n, C, H, W)
            In memory with channels last.
        index : tensor of shape (n,)
        """
        if self.resident is not None:
            block = self.resident[index.to(self.resident.device)]
        elif self.may_vary:
            block = self.source.read(index.numpy())
        else:
            block = _read_in_any_order(self.source, index)
        return block.permute(0, 3, 1, 2).to(torch.float32), index


def image_batches(
    source: ImageSource, input_size: Any, device: torch.device, largest: int = _LARGEST_SIDE
) -> tuple[ImageBatches, tuple[int, int, int]]:
    """Batches of the images of any source.

    Parameters
    ----------
    source : ImageSource
    input_size : int, (int, int) or None
        Height and width of the input of the network; None is `common_size`.
    device : torch.device
    largest : int, default=224
        For `common_size`.

    Returns
    -------
    batches : ImageBatches
        Their images may be larger than `shape`: random views are cut from all of them.
    shape : (int, int, int)
        Height, width and channels of the input of the network.

    Raises
    ------
    ValueError
        For values that float32 cannot hold.
    """
    _check_held(source)
    size = common_size(source, largest) if input_size is None else as_pair(input_size, "input_size")
    return ImageBatches(in_one_size(source, size), device), (*size, source.n_channels)


def _check_held(source):
    """Refuse values whose differences, or squares, are lost in the float32 of the network."""
    low, high = source.values
    if not source.values.fits(torch.float32):
        raise ValueError(
            f"A network computes in float32, which cannot hold the squares of values up to "
            f"{source.values.magnitude:.3g}. Scale X, for example to 0..1."
        )
    if source.values.resolution(torch.float32) > _LEAST_RESOLUTION:
        raise ValueError(
            f"A network computes in float32, which cannot tell values from {low} to {high} apart. "
            f"Subtract what they have in common, for example X - {low}."
        )


def training_batches(
    estimator: Any, source: ImageSource, device: torch.device
) -> tuple[ImageBatches, tuple[int, int, int]]:
    """`image_batches` by the parameters of a `DeepClusterEstimator`; `verbose` tells a size."""
    largest = _LARGEST_SIDE_OF_SMALL if estimator.module == "small" else _LARGEST_SIDE
    batches, shape = image_batches(source, estimator.input_size, device, largest)
    chosen = estimator.input_size is None and not (source.some_sizes == shape[:2]).all()
    if estimator.verbose and chosen:
        report(estimator, f"input_size={shape[:2]} was chosen for images of other sizes")
    return batches, shape


def channel_statistics(batches: ImageBatches) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each channel, from at most 2,000 images.

    Returns
    -------
    mean, deviation : tensors of shape (C,)
        float32, on the CPU. A channel that is constant has deviation 1.
    """
    count, total, squares = 0, 0.0, 0.0
    for images in some_images(batches):
        values = images.cpu().double().transpose(0, 1).flatten(1)
        count += values.shape[1]
        total = total + values.sum(1)
        squares = squares + values.square().sum(1)
    mean = total / count
    deviation = (squares / count - mean.square()).clamp(min=0).sqrt()
    # What is left of a constant channel after the subtraction is rounding, and float32 pixels are
    # rounded to 1e-7 of themselves.
    deviation[deviation <= 1e-6 * mean.abs()] = 1
    return mean.float(), deviation.float()


def value_range(batches: ImageBatches) -> tuple[float, float]:
    """Lowest and highest value that images can have.

    Returns
    -------
    low, high : float
        0 and 255 for bytes, 0 and 1 where no value is outside, otherwise those of some images.
    """
    if batches.in_bytes:
        return 0.0, 255.0
    limits = [(float(block.min()), float(block.max())) for block in some_images(batches)]
    low, high = min(low for low, _ in limits), max(high for _, high in limits)
    return (0.0, 1.0) if 0 <= low <= high <= 1 else (low, high)


def some_images(
    batches: ImageBatches, n_images: int = _IMAGES_FOR_STATISTICS
) -> Iterator[torch.Tensor]:
    """Batches (at most 100, C, H, W) of at most so many images, evenly spread."""
    n_images = min(len(batches), n_images)
    index = torch.linspace(0, len(batches) - 1, n_images, dtype=torch.float64).long()
    return (batches.__getitems__(part)[0] for part in index.split(100))


def on_disk(array: Any) -> bool:
    """Whether an array is, or is a view of, a file that is mapped into memory."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return isinstance(array, mmap)


def _read_in_any_order(source, index):
    """Images at an index in any order, which are read in increasing order and once each."""
    different, back = np.unique(index.numpy(), return_inverse=True)
    block = source.read(different)
    increasing = len(different) == len(index) and bool((index[1:] > index[:-1]).all())
    return block if increasing else block[torch.from_numpy(back)]


def _on_device(source, device):
    """All images as one tensor (n, H, W, C) on a CUDA device, or None."""
    data = getattr(source, "data", None)
    if device.type != "cuda" or not isinstance(data, np.ndarray) or on_disk(data):
        return None
    dtype = torch.uint8 if data.dtype == np.uint8 else torch.float32
    if data.size * dtype.itemsize > torch.cuda.mem_get_info(device)[0] / 2:
        return None
    resident = torch.empty((len(data), *source.shape), dtype=dtype, device=device)
    step = max(1, _VALUES_PER_COPY // max(1, data[0].size))
    for start in range(0, len(data), step):
        part = slice(start, start + step)
        block = np.array(data[part], dtype=np.uint8 if dtype is torch.uint8 else np.float32)
        resident[part] = torch.from_numpy(block).reshape(-1, *source.shape).to(device)
    return resident
