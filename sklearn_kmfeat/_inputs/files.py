"""Image files, and Pillow images, as sources of images."""

from collections.abc import Iterable, Iterator
from os.path import isfile
from typing import Any, Protocol, Self

import numpy as np
import torch
from PIL.Image import Image
from PIL.Image import open as open_image

from .._utils.ahead import done_ahead
from .base import ImageSource
from .decoding import Header, PixelFormat, decoded, scaled_size
from .image_files import PATHS, ImageFiles
from .items import items_of
from .request import Request, check_image_shape
from .values import UNSEEN, checked_range, compute_dtype, numpy_dtype

# Decoded pixels that wait for their turn: two batches of small photographs, which is what hides
# decoding behind the work on the batch before, and of large ones a few.
_BYTES_AHEAD = 32 * 2**20


class Pictures(Protocol):
    """A sequence of images to be decoded: `ImageFiles`, or `PillowImages`."""

    format: PixelFormat
    sizes: np.ndarray
    size: int | tuple[int, int] | None
    mode: str

    def __len__(self) -> int: ...

    def read(self, i: int) -> np.ndarray:
        """The pixels (H, W) or (H, W, 3) of one."""

    def name(self, i: int) -> str:
        """What one is called in messages."""

    def in_size(self, size: int | tuple[int, int]) -> Self:
        """The same images, scaled and cut to a size."""

    def in_colours(self) -> Self:
        """The same images, in colours."""


class PillowImages:
    """Pillow images, opened or decoded, as `Pictures`.

    Parameters
    ----------
    images : list of PIL Image
    size : int, (int, int) or None, default=None
    mode : {"auto", "RGB"}, default="auto"
    """

    def __init__(
        self,
        images: list[Image],
        size: int | tuple[int, int] | None = None,
        mode: str = "auto",
    ):
        headers = [Header.of(image) for image in images]
        self.images = images
        self.size, self.mode = size, mode
        self.format = PixelFormat.common(headers, map(self.name, range(len(images))), mode)
        self.sizes = np.array([scaled_size((h.height, h.width), size) for h in headers])

    def __len__(self) -> int:
        return len(self.images)

    def read(self, i: int) -> np.ndarray:
        """The pixels (H, W) or (H, W, 3) of one."""
        image = self.images[i]
        try:
            # What is not decoded yet is decoded elsewhere: the user's image would keep the pixels.
            if _is_only_opened(image):
                with open_image(image.filename) as own:
                    return decoded(own, self.format, self.size, own=True)
            return decoded(image, self.format, self.size)
        except Exception as error:  # Pillow raises whatever a damaged file makes it
            raise ValueError(f"{self.name(i)} cannot be decoded: {error}.") from error

    def name(self, i: int) -> str:
        """What one is called in messages."""
        path = getattr(self.images[i], "filename", "")
        return f"Image {i} of the list" + (f" ({path})" if path else "")

    def in_size(self, size: int | tuple[int, int]) -> "PillowImages":
        """The same images, scaled and cut to a size."""
        return PillowImages(self.images, size, self.mode)

    def in_colours(self) -> "PillowImages":
        """The same images, in colours."""
        return PillowImages(self.images, self.size, "RGB")


def _is_only_opened(image):
    """Whether an image stands for the first frame of a file, of which nothing is decoded."""
    path = getattr(image, "filename", "")
    return bool(getattr(image, "tile", None) and path) and image.tell() == 0 and isfile(path)


class PictureSource(ImageSource):
    """Images that are decoded when they are read.

    Parameters
    ----------
    pictures : Pictures
    threads : bool, default=False
        Whether several may be decoded at a time, ahead of what is asked for.
    """

    seen_when_read = True
    decodes = True

    def __init__(self, pictures: Pictures, threads: bool = False):
        pixel_dtype = np.dtype(pictures.format.dtype)
        sizes = pictures.sizes
        one = bool((sizes == sizes[0]).all())
        channels = pictures.format.n_channels
        values = UNSEEN
        if pixel_dtype.itemsize > 2:
            values = checked_range(pictures.read(0), pictures.name(0))
        super().__init__(
            len(pictures),
            (*sizes[0].tolist(), channels) if one else None,
            channels,
            compute_dtype([pixel_dtype], values, pictures.name(0)),
            pixel_dtype,
        )
        self.pictures, self.threads, self._sizes = pictures, threads, sizes
        self.size_is_chosen = pictures.size is not None

    @property
    def sizes(self):
        """(height, width) of every image, an int array of shape (n, 2)."""
        return self._sizes

    def name(self, i):
        return self.pictures.name(i)

    def read(self, index, writable=False):
        (block,) = self.blocks([index])
        return block

    def in_size(self, size):
        """A source that scales while it decodes, if the files have no size yet."""
        if self.pictures.size is not None:
            return self
        source = PictureSource(self.pictures.in_size(size), self.threads)
        source.seen = self.seen
        return source

    def blocks(self, indices: Iterable[Any], writable: bool = False) -> Iterator[torch.Tensor]:
        """The images at each index, decoded while the caller works on those before."""
        indices = [
            np.arange(len(self))[index] if isinstance(index, slice) else np.asarray(index)
            for index in indices
        ]
        places = np.concatenate(indices).tolist()
        if self.threads:
            itemsize = self.pixel_dtype.itemsize * self.n_channels
            costs = (self._sizes[places].prod(1) * itemsize).tolist()
            images = done_ahead(self._image, places, costs, _BYTES_AHEAD)
        else:
            images = map(self._image, places)
        for index in indices:
            size = self._sizes[index[0]]
            block = np.empty((len(index), *size, self.n_channels), numpy_dtype(self.dtype))
            for row in block:
                row[:] = next(images)
            self.saw(block)
            yield torch.from_numpy(block)

    def _image(self, i):
        """The pixels (H, W, C) of one image, checked."""
        pixels = self.pictures.read(i)
        expected = tuple(self._sizes[i].tolist())
        if pixels.shape[:2] != expected:
            raise ValueError(
                f"{self.pictures.name(i)} has the size {pixels.shape[:2]}, and had {expected} when "
                "its header was read: has the file changed?"
            )
        if pixels.dtype.itemsize > 2:
            values = checked_range(pixels, self.pictures.name(i))
            if not values.fits(self.dtype):
                raise ValueError(
                    f"{self.pictures.name(i)} has values up to {values.magnitude:.3g}, whose "
                    f"squares {self.dtype} cannot hold. Scale them, and give arrays."
                )
        return pixels.reshape(*expected, self.n_channels)


def is_files(X: Any) -> bool:
    """Whether X is `ImageFiles`, or a list, array or Series of paths."""
    if isinstance(X, ImageFiles):
        return True
    items = items_of(X)
    return bool(items) and isinstance(items[0], PATHS)


def files_source(X: Any, request: Request) -> PictureSource:
    """The source of `ImageFiles`, or of paths."""
    files = X if isinstance(X, ImageFiles) else ImageFiles(items_of(X))
    if not len(files):
        raise ValueError("X holds no image files: at least one is needed.")
    if _for_colours(files, request):
        files = files.in_colours()
    source = PictureSource(files, threads=True)
    check_image_shape(request, source, "files")
    return source


def _for_colours(pictures, request):
    """Whether grey images come to a model of colours, in which grey is a colour, too."""
    shape = request.fitted_shape
    return pictures.mode == "auto" and pictures.format.mode == "L" and bool(shape) and shape[2] == 3


def is_pillow_images(X: Any) -> bool:
    """Whether X is a list, array or Series of Pillow images."""
    items = items_of(X)
    return bool(items) and all(isinstance(item, Image) for item in items)


def pillow_source(X: Any, request: Request) -> PictureSource:
    """The source of Pillow images."""
    images = PillowImages(items_of(X))
    source = PictureSource(images.in_colours() if _for_colours(images, request) else images)
    check_image_shape(request, source, "list")
    return source
