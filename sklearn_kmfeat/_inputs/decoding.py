"""From a Pillow image, opened or decoded, to pixels: orientation, transparency, depth, size."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

# The tag of EXIF that says how a camera was held, and its values for a quarter turn.
_ORIENTATION, _QUARTER_TURNS = 0x0112, (5, 6, 7, 8)
#: Of Pillow: those without colours.
GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")
# Of colours of sixteen bits Pillow keeps the upper eight. Told that their bytes lie the other way
# round, it takes the lower eight for them; grey with transparency it takes for four bytes.
_OTHER_HALF = {
    "RGB;16B": "RGB;16L",
    "RGB;16L": "RGB;16B",
    "RGBA;16B": "RGBA;16L",
    "RGBA;16L": "RGBA;16B",
    "LA;16B": "RGBA",
}
# White is 255 in eight bits and 65,535 in sixteen: each is the other times 257.
_STEP = 257
_DEPTHS = {"I": "int32", "F": "float32"}


class Header(NamedTuple):
    """What is known of an image before it is decoded.

    Attributes
    ----------
    height, width : int
        In pixels, as it is seen (EXIF).
    grey : bool
        Whether it has no colours, in the mode or in the palette.
    depth : {"uint8", "uint16", "int32", "float32"}
        What holds its values.
    """

    height: int
    width: int
    grey: bool
    depth: str

    @classmethod
    def of(cls, image: Image.Image) -> "Header":
        """That of a Pillow image; nothing is decoded."""
        width, height = image.size
        # A TIFF knows its orientation, and Pillow turns it while it is decoded.
        if "exif" in image.info and image.getexif().get(_ORIENTATION) in _QUARTER_TURNS:
            width, height = height, width
        return cls(height, width, _is_grey(image), _depth(image))


class PixelFormat(NamedTuple):
    """The channels and the dtype that images are brought to.

    Attributes
    ----------
    mode : {"L", "RGB"}
        Grey, or colours, in Pillow's words.
    dtype : {"uint8", "uint16", "int32", "float32"}
    """

    mode: str
    dtype: str

    @property
    def n_channels(self) -> int:
        """1 or 3."""
        return len(self.mode)

    @classmethod
    def common(
        cls,
        headers: Iterable[Header],
        names: Iterable[str],
        mode: str = "auto",
        dtype: str | None = None,
    ) -> "PixelFormat":
        """The format that holds all images: nothing is lost.

        Parameters
        ----------
        headers : iterable of Header
        names : iterable of str
            What the images are called in messages.
        mode : {"auto", "L", "RGB"}
            ``"auto"``: grey where all images are.
        dtype : {"uint8", "uint16"} or None
            None: sixteen bits where any image has them.

        Raises
        ------
        ValueError
            For images of 32 bits among others, which have no range in common.
        """
        depths, grey = {}, True
        for header, name in zip(headers, names, strict=True):
            depths.setdefault(header.depth, name)
            grey &= header.grey
        wide = [depth for depth in depths if depth in ("int32", "float32")]
        if wide and (len(depths) > 1 or dtype is not None):
            (other,) = [each for each in depths if each != wide[0]][:1] or [dtype]
            beside = f", and {depths[other]} {other}" if other in depths else ""
            raise ValueError(
                f"{depths[wide[0]]} holds pixels of {wide[0]}{beside}: they have no range in "
                "common. Give files of one kind, or arrays that are scaled by yourself."
            )
        chosen = dtype or max(depths, key=("uint8", "uint16", "int32", "float32").index)
        return cls(("L" if grey else "RGB") if mode == "auto" else mode, chosen)


def decoded(
    image: Image.Image,
    pixel_format: PixelFormat,
    size: int | tuple[int, int] | None = None,
    own: bool = False,
) -> np.ndarray:
    """The pixels of an image.

    A quarter turn or a mirror image that EXIF tells of is done; what is transparent lies on
    white; of several frames it is the first.

    Parameters
    ----------
    image : PIL Image
        Opened or decoded.
    pixel_format : PixelFormat
    size : int, (int, int) or None, default=None
        At most so many pixels on the larger side, or height and width: scaled, the middle is cut.
    own : bool, default=False
        Whether the image is nobody else's: a large JPEG is then decoded smaller, which changes it.

    Returns
    -------
    ndarray of shape (H, W) or (H, W, 3)
        Memory of its own.

    Raises
    ------
    ValueError
        For more than eight bits of colour in a format of which Pillow reads only eight.
    """
    if _depth(image) == "uint8":
        values = _decoded_bytes(image, pixel_format.mode, size, own)
    else:
        values = _decoded_wide(image, pixel_format.mode, size)
    if values.dtype == pixel_format.dtype:
        return values
    if values.dtype == np.uint8:
        return values.astype(np.uint16) * np.uint16(_STEP)
    return ((values.astype(np.uint32) + _STEP // 2) // _STEP).astype(np.uint8)


def scaled_size(shape: tuple[int, int], size: int | tuple[int, int] | None) -> tuple[int, int]:
    """Height and width of an image of a `shape` for the `size` of `decoded`."""
    if size is None:
        return shape
    if not isinstance(size, int):
        return tuple(size)
    scale = min(1.0, size / max(shape))
    return tuple(max(1, round(side * scale)) for side in shape)


def _decoded_bytes(image, mode, size, own):
    header = Header.of(image)  # before the image is decoded smaller, which rounds its sides
    height, width = target = scaled_size((header.height, header.width), size)
    if own and size is not None and image.format == "JPEG":
        # JPEGs are decoded at a half, a quarter or an eighth in that part of the time; twice the
        # pixels that are wanted are left for a scaling that looks as if it began with all.
        least = size if isinstance(size, int) else max(size)
        image.draft(None, (2 * least, 2 * least))
    image = _on_white(ImageOps.exif_transpose(image))
    image = image if image.mode == mode else image.convert(mode)
    if image.size[::-1] == target:
        return np.array(image)
    if isinstance(size, int):
        return np.array(image.resize((width, height), Image.Resampling.BILINEAR))
    return np.array(ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR))


def _on_white(image):
    """An image without transparency."""
    if image.mode not in ("RGBA", "LA", "PA", "La", "RGBa") and "transparency" not in image.info:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _decoded_wide(image, mode, size):
    """Pixels of more than eight bits."""
    planes = _planes(image)
    dtype = planes.dtype
    if len(planes) in (2, 4):
        share = planes[-1:] / np.float32(65535)
        planes = np.rint(planes[:-1] * share + 65535 * (1 - share)).astype(dtype)
    if mode == "L" and len(planes) == 3:
        # ITU-R 601-2, as Pillow has it for eight bits.
        planes = np.tensordot([[0.299, 0.587, 0.114]], planes, 1)
    planes = _scaled(planes, size)
    planes = (np.rint(planes) if dtype.kind in "iu" else planes).astype(dtype)
    if mode == "L":
        return planes[0].copy()
    return np.repeat(planes, 3 // len(planes), 0).transpose(1, 2, 0).copy()


def _scaled(planes, size):
    """Planes (C, H, W) in the size asked for, not rounded; as they are where they have it."""
    before, shape = planes.shape[1:], scaled_size(planes.shape[1:], size)
    if shape == before:
        return planes
    scale = max(a / b for a, b in zip(shape, before, strict=True))
    whole = shape if isinstance(size, int) else [max(1, round(scale * side)) for side in before]
    values = torch.from_numpy(planes.astype(np.float64))[None]
    values = F.interpolate(values, list(whole), mode="bilinear", antialias=True)[0].numpy()
    top, left = ((a - b) // 2 for a, b in zip(whole, shape, strict=True))
    return values[:, top : top + shape[0], left : left + shape[1]]


def _planes(image):
    """The values of an image of more than eight bits, (1 to 4, H, W), in the order of memory."""
    if image.mode in GREY_MODES:
        values = np.asarray(ImageOps.exif_transpose(image))
        return values.astype(_depth(image))[np.newaxis]
    raw = _raw_mode(image)
    if raw not in _OTHER_HALF or not getattr(image, "filename", ""):
        raise ValueError(
            f"it holds {image.mode} of 16 bits in the format {image.format}, of which Pillow "
            "reads the upper 8 bits only. Save it as PNG or TIFF, or give arrays that another "
            "reader made of it"
        )
    upper, lower = (_read_as(image.filename, mode) for mode in (raw, _OTHER_HALF[raw]))
    if raw == "LA;16B":
        halves = lower.astype(np.uint16)  # both halves of both
        return np.stack([halves[..., i] * 256 + halves[..., i + 1] for i in (0, 2)])
    return (upper.astype(np.uint16) * 256 + lower).transpose(2, 0, 1)


def _read_as(path, raw_mode):
    """Bytes (H, W, C) of a file whose pixels lie as `raw_mode` says."""
    with Image.open(path) as image:
        tiles = []
        for codec, extents, offset, args in image.tile:
            args = raw_mode if isinstance(args, str) else (raw_mode, *args[1:])
            tiles.append((codec, extents, offset, args))
        image.tile = [type(tile)(*new) for tile, new in zip(image.tile, tiles, strict=True)]
        return np.array(ImageOps.exif_transpose(image))


def _is_grey(image):
    if image.mode in GREY_MODES:
        return True
    if image.mode == "RGBA" and _raw_mode(image).startswith("LA"):
        return True
    if image.mode not in ("P", "PA") or image.palette is None:
        return False
    colours = np.frombuffer(bytes(image.palette.palette), np.uint8)
    width = len(image.palette.mode)
    colours = colours[: len(colours) // width * width].reshape(-1, width)[:, :3]
    return bool((colours == colours[:, :1]).all())


def _depth(image):
    # "BGR;16" and the like are sixteen bits of a whole pixel; an S at the end is signed.
    if image.mode.startswith("I;16") or re.search("^I;16$|;16[BLN]$", _raw_mode(image)):
        return "uint16"
    if image.mode == "I" and image.format == "PPM":
        return "uint16"
    return _DEPTHS.get(image.mode, "uint8")


def _raw_mode(image):
    """How pixels lie in the file, in Pillow's words; '' once they are decoded."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return ""
    args = tiles[0][3]
    args = args if isinstance(args, tuple | list) else (args,)
    if image.format == "PPM" and len(args) > 1 and isinstance(args[1], int) and args[1] > 255:
        return f"{image.mode};16N"
    return str(args[0]) if args else ""
