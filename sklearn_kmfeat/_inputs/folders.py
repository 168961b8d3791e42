"""Finding the image files in a folder."""

import os
from collections import Counter
from pathlib import Path

from PIL import Image

from .._utils.warn import warn

# What Pillow opens and has no decoder of its own for, or a program that few have.
_NOT_DECODED = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}

# Of images that Pillow has no decoder for: that they are left out must be told.
_OTHER_IMAGES = {
    *(".heic", ".heif", ".jxl", ".svg", ".dng", ".raw", ".cr2", ".cr3", ".nef", ".arw"),
    *(".orf", ".rw2", ".raf"),
}


def images_below(root: str) -> list[str]:
    """Paths of the image files in a folder and the folders in it, sorted.

    Parameters
    ----------
    root : str

    Returns
    -------
    list of str

    Raises
    ------
    ValueError
        When there is none.
    FileNotFoundError, NotADirectoryError
        When there is no such folder.
    """
    if not os.path.isdir(root):
        kind = NotADirectoryError if os.path.exists(root) else FileNotFoundError
        raise kind(f"{root!r} is no folder: from_folder takes the folder of the images.")
    endings, found, others, seen = _endings(), [], Counter(), set()
    for folder, below, names in os.walk(root, followlinks=True):
        # A link to a folder above would lead round in circles.
        below[:] = [name for name in below if not name.startswith(".")]
        if os.path.realpath(folder) in seen:
            below.clear()
            continue
        seen.add(os.path.realpath(folder))
        for name in names:
            ending = os.path.splitext(name)[1].lower()
            if name.startswith("."):
                continue
            if ending in endings:
                found.append(os.path.join(folder, name))
            else:
                others[ending or name] += 1
    if not found:
        there = ", ".join(f"{count} of {ending!r}" for ending, count in others.most_common(5))
        raise ValueError(
            f"There is no image file in {root!r} and the folders in it"
            + (f"; there are files with other endings: {there}." if there else ".")
        )
    left = {end: count for end, count in others.items() if end in _OTHER_IMAGES}
    if left:
        there = ", ".join(f"{count} of {end!r}" for end, count in left.items())
        warn(
            f"Images of formats that Pillow does not decode are left out: {there} in {root!r}. "
            "Convert them, or register a decoder with Pillow, as pillow-heif does."
        )
    return sorted(found, key=lambda path: Path(path).parts)


def decoded_formats() -> list[str]:
    """Names of the formats that Pillow decodes by itself.

    A file is what its content says, whatever its name: EPS would start Ghostscript.
    """
    Image.init()
    return [kind for kind in Image.OPEN if kind not in _NOT_DECODED]


def _endings():
    """Ends of the names of files that Pillow can decode."""
    kinds = decoded_formats()
    return {end for end, kind in Image.registered_extensions().items() if kind in kinds}
