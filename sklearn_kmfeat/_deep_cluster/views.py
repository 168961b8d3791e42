"""Random views of images, which a network learns from."""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .._inputs.resize import CenterCrop

# Smaller images have nothing that a crop or a rotation would leave as it is.
_LEAST_SIDE = 4


class RandomView(nn.Module):
    """A transform that draws the geometry of each image of a batch anew.

    The transforms of torchvision draw once for a whole batch. Here each image of a batch gets
    an affine map of its own, and all are resampled in one call, on their device.

    A new kind of view overrides `draw` and gets an entry in `AUGMENTATIONS`.

    Parameters
    ----------
    size : (int, int) or None, default=None
        That of the views; None is that of the images.
    """

    def __init__(self, size=None):
        super().__init__()
        self.size = size

    def draw(self, n: int) -> torch.Tensor:
        """Maps (n, 2, 3) from coordinates in the view to those in the image, in [-1, 1]."""
        raise NotImplementedError

    def forward(self, images):
        """Views of images (n, C, H, W)."""
        return self.transform(images, self.make_params(images))

    def make_params(self, images):
        """Draw one map an image."""
        return {"maps": self.draw(len(images))}

    def transform(self, images, params):
        """Resample images (n, C, H, W); bilinear, edges continued outwards."""
        size = [*images.shape[:2], *(self.size or images.shape[2:])]
        maps = params["maps"].to(images.device, images.dtype)
        grid = F.affine_grid(maps, size, align_corners=False)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


class CropAndFlip(RandomView):
    """Random resized crops, and their mirror images.

    Parameters
    ----------
    size : (int, int) or None, default=None
        That of the views; None is that of the images.
    scale : (float, float), default=(0.25, 1.0)
        Share of the area.
    ratio : (float, float), default=(0.75, 4 / 3)
        Width by height, relative to that of the image.
    flip : float, default=0.5
        Share of mirror images.
    """

    def __init__(self, size=None, scale=(0.25, 1.0), ratio=(0.75, 4 / 3), flip=0.5):
        super().__init__(size)
        self.scale = scale
        self.ratio = ratio
        self.flip = flip

    def draw(self, n):
        """Maps (n, 2, 3)."""
        area = _uniform(n, *self.scale)
        ratio = _uniform(n, *map(math.log, self.ratio)).exp()
        extent = torch.stack([area * ratio, area / ratio], 1).sqrt().clamp(max=1)
        place = (1 - extent) * (2 * torch.rand(n, 2) - 1)
        mirrored = 1.0 - 2.0 * (torch.rand(n) < self.flip)
        maps = torch.zeros(n, 2, 3)
        maps[:, 0, 0] = extent[:, 0] * mirrored
        maps[:, 1, 1] = extent[:, 1]
        maps[:, :, 2] = place
        return maps


class CropFlipColor(CropAndFlip):
    """Crops, mirror images, and other colours: brightness, contrast, saturation, tint, or grey.

    As ``ColorJitter`` and ``RandomGrayscale`` of torchvision do it, each image for itself; 0 is
    black, values that leave the range are not cut off, and a tint stands in the place of a change
    of hue.

    Parameters
    ----------
    size : (int, int) or None, default=None
        That of the views; None is that of the images.
    scale : (float, float), default=(0.2, 1.0)
        Share of the area.
    brightness, contrast, saturation : float, default=0.4
        Each is multiplied by a number from 1 minus this to 1 plus this.
    tint : float, default=0.2
        The same for each channel, except where grey.
    grey : float, default=0.2
        Share of images that lose their colours.
    """

    def __init__(
        self,
        size=None,
        scale=(0.2, 1.0),
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        tint=0.2,
        grey=0.2,
    ):
        super().__init__(size, scale)
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.tint = tint
        self.grey = grey

    def make_params(self, images):
        """Draw a map and the changes of colour of each image."""
        n, channels = images.shape[:2]
        coloured = (torch.rand(n) >= self.grey).float()
        tint = 1 + coloured[:, None] * _symmetric(n * channels, self.tint).view(n, channels)
        brightness, contrast, saturation = (
            1 + _symmetric(n, limit) for limit in (self.brightness, self.contrast, self.saturation)
        )
        factors = torch.column_stack([brightness, contrast, saturation * coloured, tint])
        return super().make_params(images) | {"factors": factors[..., None, None]}

    def transform(self, images, params):
        """Views of images (n, C, H, W)."""
        images = super().transform(images, params)
        factors = params["factors"].to(images.device, images.dtype)
        brightness, contrast, saturation = (factors[:, i : i + 1] for i in range(3))
        grey = images.mean(1, keepdim=True)
        images = (grey + saturation * (images - grey)) * factors[:, 3:]
        mean = images.mean((1, 2, 3), keepdim=True)
        return brightness * (mean + contrast * (images - mean))


class SmallAffine(RandomView):
    """Small rotations, shears, changes of size and shifts: for digits, letters and the like.

    Parameters
    ----------
    size : (int, int) or None, default=None
        That of the views; None is that of the images.
    degrees : float, default=15
        Largest rotation.
    shear : float, default=0.2
        Largest shear.
    scale : float, default=1.2
        Largest magnification, and its inverse, in each direction.
    shift : float, default=0.1
        Largest shift, as a share of the side.
    """

    def __init__(self, size=None, degrees=15, shear=0.2, scale=1.2, shift=0.1):
        super().__init__(size)
        self.degrees = degrees
        self.shear = shear
        self.scale = scale
        self.shift = shift

    def draw(self, n):
        """Maps (n, 2, 3)."""
        angle = _symmetric(n, math.radians(self.degrees))
        across, down = (_symmetric(n, math.log(self.scale)).exp() for _ in range(2))
        shear = _symmetric(n, self.shear)
        cos, sin = angle.cos(), angle.sin()
        maps = torch.empty(n, 2, 3)
        maps[:, 0, 0] = across * cos
        maps[:, 0, 1] = across * (shear * cos - sin)
        maps[:, 1, 0] = down * sin
        maps[:, 1, 1] = down * (shear * sin + cos)
        maps[:, :, 2] = _symmetric(2 * n, 2 * self.shift).view(n, 2)
        return maps


class EachImage(nn.Module):
    """A transform of torchvision, applied to each image for itself.

    Torchvision expects floats in [0, 1]: changes of colour clip all others.

    Parameters
    ----------
    transform : callable
    low, high : float, default=0, 1
        The values that stand for 0 and 1.
    """

    def __init__(self, transform, low=0.0, high=1.0):
        super().__init__()
        self.transform = transform
        self.low = low
        self.extent = high - low or 1.0

    def forward(self, images):
        """Views of images (n, C, H, W)."""
        images = (images - self.low) / self.extent
        return torch.stack([self.transform(i) for i in images]) * self.extent + self.low


class Sized(nn.Module):
    """Views of any size, cropped and scaled to one.

    Parameters
    ----------
    views : callable
    size : (int, int)
    """

    def __init__(self, views, size):
        super().__init__()
        self.views = views
        self.center_crop = CenterCrop(size)

    def forward(self, images):
        """Views (n, C, H, W)."""
        return self.center_crop(self.views(images))


#: From names for `DeepClusterEstimator(augment=...)` to the classes; called with the size.
AUGMENTATIONS: dict[str, type[RandomView]] = {
    "crop": CropAndFlip,
    "color": CropFlipColor,
    "affine": SmallAffine,
}


def of_torchvision(augment: Any) -> bool:
    """Whether views come from transforms of torchvision, alone or in a `nn.Sequential`."""
    if isinstance(augment, nn.Sequential):
        return any(map(of_torchvision, augment))
    kinds = type(augment).__mro__
    return any(kind.__module__.startswith("torchvision.transforms.") for kind in kinds)


def random_views(
    augment: Any,
    shape: tuple[int, int, int],
    size: tuple[int, int] | None = None,
    limits: tuple[float, float] = (0.0, 1.0),
) -> Callable[[torch.Tensor], torch.Tensor]:
    """The function that makes the views.

    Parameters
    ----------
    augment : str, callable or None
        A name in `AUGMENTATIONS`, or ``"default"``: crops of colour images, small affine maps of
        images with one channel, and neither of images below 4 pixels.
    shape : (int, int, int)
        Height, width and channels of an image.
    size : (int, int) or None, default=None
        That of the views; None is that of the images.
    limits : (float, float), default=(0, 1)
        Lowest and highest value of the images, for transforms of torchvision.

    Returns
    -------
    callable
        From images (n, C, H, W) to views.
    """
    if augment == "default":
        augment = None if min(shape[:2]) < _LEAST_SIDE else "affine" if shape[2] == 1 else "crop"
    if augment is None:
        return CenterCrop(size)
    if isinstance(augment, str):
        return AUGMENTATIONS[augment](size)
    views = EachImage(augment, *limits) if of_torchvision(augment) else augment
    return views if size is None else Sized(views, size)


def _uniform(n, low, high):
    return low + (high - low) * torch.rand(n)


def _symmetric(n, limit):
    return _uniform(n, -limit, limit)
