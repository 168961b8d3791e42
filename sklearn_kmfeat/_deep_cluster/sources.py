"""Where batches of images come from: arrays, on the device when they fit, or a Dataset."""

from mmap import mmap

import numpy as np
import torch
from PIL.Image import Image
from torch.utils.data import Dataset
from torchvision.transforms import v2

from .._inputs.arrays import ArraySource
from .._utils.validation import as_pair
from .views import Centre

_IMAGES_FOR_STATISTICS = 2_000


class ArrayImages(Dataset):
    """Images of one size, as batches with their places.

    Parameters
    ----------
    images : Images
        Of one size. Read a batch at a time; on a CUDA device they are kept there whole, in
        one byte a value where they are bytes, if they take at most half of what is free.
    device : torch.device
    """

    def __init__(self, images, device):
        self.images = images
        self.shape = images.shape
        self.in_bytes = images.pixel_dtype == np.uint8
        self.resident = _on_device(images, device)

    def __len__(self):
        return len(self.images)

    def __getitems__(self, index):
        """Images (n, C, H, W) in float32, in memory with channels last, and their places."""
        if self.resident is not None:
            block = self.resident[index.to(self.resident.device)]
        else:
            places, back = np.unique(index.numpy(), return_inverse=True)
            block = self.images.read(places)
            in_order = len(places) == len(index) and bool((index[1:] > index[:-1]).all())
            block = block if in_order else block[torch.from_numpy(back)]
        return block.permute(0, 3, 1, 2).to(torch.float32), index


class DatasetImages(Dataset):
    """The images of a torch Dataset, as batches with their places; never loaded whole.

    Parameters
    ----------
    dataset : torch Dataset
        Its items are images, or tuples that begin with one: PIL images, arrays (H, W) or
        (H, W, C), or tensors (C, H, W).
    size : int, (int, int) or None, default=None
        To which they are brought by scaling and cutting the centre out. None is the size
        of the first.
    """

    def __init__(self, dataset, size=None):
        if not hasattr(dataset, "__len__") or len(dataset) == 0:
            raise ValueError(
                "A Dataset with a length of at least one, whose items have numbers, is needed, "
                f"got {type(dataset).__name__}."
            )
        self.dataset = dataset
        first = _as_tensor(dataset[0])
        self.centre = Centre(size or tuple(first.shape[1:]))
        self.shape = (*self.centre.size, len(first))
        self.in_bytes = first.dtype == torch.uint8
        self.resident = None

    def __len__(self):
        return len(self.dataset)

    def __getitems__(self, index):
        """Images (n, C, H, W) in float32, and their places."""
        images = torch.stack([self._image(int(i)) for i in index])
        return images.contiguous(memory_format=torch.channels_last), index

    def _image(self, i):
        image = _as_tensor(self.dataset[i]).to(torch.float32)
        if not bool(image.isfinite().all()):
            raise ValueError(f"Image {i} of the Dataset contains NaN or infinity.")
        image = self.centre(image)
        if len(image) != self.shape[2]:
            raise ValueError(
                f"Image {i} of the Dataset has {len(image)} channels, others have "
                f"{self.shape[2]}. Convert them in its transform, for example to RGB."
            )
        return image


def is_dataset(X):
    """Whether X is a torch Dataset."""
    return isinstance(X, Dataset)


def source_of(X, size, device):
    """Batches of images of one size.

    Parameters
    ----------
    X : Images or torch Dataset
    size : int, (int, int) or None
        Height and width of what the network sees; None is that of the images, a square of the
        median shorter side where they differ, and the size of the first of a Dataset.
    device : torch.device

    Returns
    -------
    source : Dataset
        Gives batches of images, which may be larger than `shape`, with their places.
    shape : (int, int, int)
        Height, width and channels of what the network sees.
    """
    size = None if size is None else as_pair(size, "input_size")
    if isinstance(X, Dataset):
        source = DatasetImages(X, size)
        return source, source.shape
    if X.shape is None:
        size = size or common_size(X)
        X = ArraySource(of_one_size(X, size), (*size, X.n_channels))
    return ArrayImages(X, device), (*(size or X.shape[:2]), X.n_channels)


def of_one_size(images, size):
    """Images that differ in size, brought to one.

    Parameters
    ----------
    images : Images
        Of different sizes.
    size : (int, int)

    Returns
    -------
    ndarray of shape (n, H, W, C)
        Bytes where all images are, otherwise float32.
    """
    whole = images.pixel_dtype == np.uint8
    out = np.empty((len(images), *size, images.n_channels), np.uint8 if whole else np.float32)
    centre = Centre(size)
    for index, block in images.batches(lambda size: 256):
        cut = centre(block.to(torch.float32).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        out[index] = (cut.round().clamp(0, 255) if whole else cut).numpy()
    return out


def common_size(images):
    """The size that all images have, or a square of the median shorter side."""
    if (images.sizes == images.sizes[0]).all():
        return tuple(images.sizes[0].tolist())
    side = int(np.median(images.sizes.min(axis=1)))
    return (side, side)


def channel_statistics(source):
    """Mean and standard deviation of each channel, from at most 2,000 images.

    Parameters
    ----------
    source : Dataset

    Returns
    -------
    mean, deviation : tensors of shape (C,)
        float32, on the CPU. A channel that is constant has deviation 1.
    """
    count, total, squares = 0, 0.0, 0.0
    for images in some_images(source):
        values = images.cpu().double().transpose(0, 1).flatten(1)
        count += values.shape[1]
        total = total + values.sum(1)
        squares = squares + values.square().sum(1)
    mean = total / count
    deviation = (squares / count - mean.square()).clamp(min=0).sqrt()
    deviation[deviation <= 1e-6 * mean.abs()] = 1
    return mean.float(), deviation.float()


def value_range(source):
    """Lowest and highest value that images can have.

    Parameters
    ----------
    source : Dataset

    Returns
    -------
    low, high : float
        0 and 255 for bytes, 0 and 1 where no value is outside, otherwise what some have.
    """
    if source.in_bytes:
        return 0.0, 255.0
    limits = [(float(block.min()), float(block.max())) for block in some_images(source)]
    low, high = min(low for low, _ in limits), max(high for _, high in limits)
    return (0.0, 1.0) if 0 <= low <= high <= 1 else (low, high)


def some_images(source, n_read=_IMAGES_FOR_STATISTICS):
    """Batches of at most so many images, evenly spread."""
    n_read = min(len(source), n_read)
    places = torch.linspace(0, len(source) - 1, n_read, dtype=torch.float64).long()
    return (source.__getitems__(index)[0] for index in places.split(100))


def _as_tensor(item):
    image = item[0] if isinstance(item, tuple | list) else item
    if isinstance(image, Image):
        # The numbers of colours in a palette are no colours.
        image = image.convert("RGB") if image.mode in ("P", "PA") else image
    elif not isinstance(image, np.ndarray | torch.Tensor) or image.ndim not in (2, 3):
        shape = f" of shape {tuple(image.shape)}" if hasattr(image, "shape") else ""
        raise TypeError(
            "Items of a Dataset must be images, or tuples that begin with one: PIL images, arrays "
            f"(H, W) or (H, W, C), or tensors (C, H, W). Got {type(image).__name__}{shape}."
        )
    if isinstance(image, np.ndarray):
        image = image.copy()  # torch takes no arrays that are read-only
    return v2.functional.to_image(image).as_subclass(torch.Tensor)


def on_disk(array):
    """Whether an array is, or is a view of, a file that is mapped into memory."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return isinstance(array, mmap)


def _on_device(images, device):
    """All images as one tensor (n, H, W, C) on a CUDA device, or None."""
    if device.type != "cuda" or not isinstance(images.data, np.ndarray) or on_disk(images.data):
        return None
    data = images.data
    itemsize = 1 if data.dtype == np.uint8 else 4
    if data.size * itemsize > torch.cuda.mem_get_info(device)[0] / 2:
        return None
    resident = torch.empty(
        (len(data), *images.shape),
        dtype=torch.uint8 if itemsize == 1 else torch.float32,
        device=device,
    )
    step = max(1, 2**26 // max(1, data[0].size))
    for start in range(0, len(data), step):
        part = slice(start, start + step)
        block = np.array(data[part], dtype=np.uint8 if itemsize == 1 else np.float32)
        resident[part] = torch.from_numpy(block).reshape(-1, *images.shape).to(device)
    return resident
