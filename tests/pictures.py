"""Image files of every kind, as the tests of several modules need them."""

import struct
import zlib

import numpy as np
from PIL import Image


def scene(height=9, width=12, seed=0):
    """A smooth colour image (H, W, 3) of bytes, different in each corner."""
    rng = np.random.RandomState(seed)
    down, across = np.mgrid[:height, :width]
    ramp = np.stack([down * 20, across * 15, (down + across) * 8], -1)
    return (ramp + rng.randint(0, 20, ramp.shape)).clip(0, 255).astype(np.uint8)


def png_of_16_bits(pixels):
    """A PNG of uint16 pixels (H, W, 1 to 4), which Pillow cannot write."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    height, width, channels = pixels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def ppm_of_16_bits(pixels):
    """A PPM or PGM of uint16 pixels (H, W, 3) or (H, W)."""
    kind = b"P6" if pixels.ndim == 3 else b"P5"
    height, width = pixels.shape[:2]
    return kind + f"\n{width} {height}\n65535\n".encode() + pixels.astype(">u2").tobytes()


def tiff_of_16_bits(pixels, order):
    """A TIFF of uint16 pixels (H, W, 3) in an order of bytes, "<" or ">"."""
    height, width = pixels.shape[:2]
    n_tags, bits_at = 9, 8 + 2 + 9 * 12 + 4
    data = pixels.astype(f"{order}u2").tobytes()
    tags = [(256, width), (257, height), (258, bits_at), (259, 1), (262, 2), (273, bits_at + 6)]
    tags += [(277, 3), (278, height), (279, len(data))]
    entries = b""
    for tag, value in tags:
        if tag == 258:
            entries += struct.pack(f"{order}HHII", tag, 3, 3, value)
        else:
            entries += struct.pack(f"{order}HHII", tag, 4, 1, value)
    start = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    bits = struct.pack(f"{order}HHH", 16, 16, 16)
    return start + struct.pack(f"{order}H", n_tags) + entries + bytes(4) + bits + data


def saved(path, pixels, mode=None, **options):
    """Save pixels, converted to a mode of Pillow, under a path, which is returned."""
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


def folder_of_photos(folder, n=12, size=(24, 30)):
    """Colour PNGs in two subfolders; returns their pixels in the order of the paths."""
    photos = [scene(*size, seed=i) for i in range(n)]
    for i, photo in enumerate(photos):
        place = folder / ("cats" if i < n // 2 else "dogs")
        place.mkdir(exist_ok=True, parents=True)
        saved(place / f"{i:03d}.png", photo)
    return np.stack(photos)


def mixed_photos(folder, n=280, sides=(40, 120), seed=0, ending=None):
    """RGB, RGBA, grey, 16-bit and palette files of different sizes, of three kinds of scenes."""
    rng = np.random.RandomState(seed)
    folder.mkdir(exist_ok=True, parents=True)
    for i in range(n):
        pixels = scene(*rng.randint(*sides, 2), seed=i)
        kind = i % 5
        path = folder / f"{i:04d}.png"
        if kind == 3:
            grey = pixels.mean(-1) * 257
            Image.fromarray(grey.astype(np.uint16)).save(path)
        else:
            mode = {0: None, 1: "RGBA", 2: "L", 4: "P"}[kind]
            saved(path, pixels, mode)
    return folder
