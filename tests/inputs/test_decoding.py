"""Files of every kind are decoded to the pixels that were put into them."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from pictures import png_of_16_bits, ppm_of_16_bits, saved, scene, tiff_of_16_bits
from sklearn_kmfeat import ImageFiles
from sklearn_kmfeat._inputs.decoding import Header, PixelFormat, decoded, scaled_size

COLOURS = scene()
GREY = COLOURS[..., 0]
DEEP = (COLOURS.astype(np.uint16) * 251 + 3).astype(np.uint16)


def written(folder, data, ending=".png"):
    path = folder / f"image{ending}"
    path.write_bytes(data)
    return path


def mode_of(path):
    with Image.open(path) as image:
        return image.mode


def only(path, **options):
    """What `ImageFiles` makes of one file, whose header tells the truth."""
    files = ImageFiles([path], **options)
    image = files[0]
    assert image.dtype == files.format.dtype
    assert image.shape[:2] == tuple(files.sizes[0])
    assert image.flags.writeable
    return image


# What lies in a file


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif", ".ppm", ".gif", ".webp"])
def test_grey_and_colours_without_loss(tmp_path, ending):
    options = {"lossless": True} if ending == ".webp" else {}
    if ending != ".gif":
        path = saved(tmp_path / f"c{ending}", COLOURS, **options)
        np.testing.assert_array_equal(only(path), COLOURS)
    if ending != ".webp":
        np.testing.assert_array_equal(only(saved(tmp_path / f"g{ending}", GREY)), GREY)


def test_jpeg(tmp_path):
    path = saved(tmp_path / "a.jpg", COLOURS)
    np.testing.assert_array_equal(only(path), np.asarray(Image.open(path)))
    path = saved(tmp_path / "g.jpg", GREY)
    np.testing.assert_array_equal(only(path), np.asarray(Image.open(path)))


def test_one_bit(tmp_path):
    path = saved(tmp_path / "a.png", GREY > 60)
    np.testing.assert_array_equal(only(path), 255 * (GREY > 60))


def test_palettes(tmp_path):
    few = COLOURS // 64 * 64
    path = saved(tmp_path / "a.png", few, "P")
    assert mode_of(path) == "P"
    np.testing.assert_array_equal(only(path), np.asarray(Image.open(path).convert("RGB")))
    grey = Image.fromarray(GREY).convert("P")
    grey.putpalette([value for level in range(256) for value in (255 - level,) * 3])
    grey.save(tmp_path / "g.png")
    np.testing.assert_array_equal(only(tmp_path / "g.png"), 255 - GREY)


def test_cmyk(tmp_path):
    path = saved(tmp_path / "a.tif", COLOURS, "CMYK")
    # Without black, cyan is what red lacks.
    np.testing.assert_array_equal(only(path), COLOURS)
    path = saved(tmp_path / "a.jpg", np.full((16, 16, 3), (250, 40, 10), np.uint8), "CMYK")
    np.testing.assert_allclose(only(path), np.full((16, 16, 3), (250, 40, 10)), atol=4)


@pytest.mark.parametrize("how", ["RGBA", "LA", "palette"])
def test_what_is_transparent_lies_on_white(tmp_path, how):
    path = tmp_path / "a.png"
    alpha = np.zeros(GREY.shape, np.uint8)
    alpha[:, 4:] = 255
    alpha[:, 7] = 51
    if how == "palette":
        image = Image.fromarray(np.arange(108, dtype=np.uint8).reshape(9, 12)).convert("P")
        image.putpalette([value for level in range(256) for value in (level, 0, 0)])
        image.save(path, transparency=5)
        expected = np.stack([np.arange(108), np.zeros(108), np.zeros(108)], -1)
        expected[5] = 255
        np.testing.assert_array_equal(only(path), expected.reshape(9, 12, 3))
        return
    if how == "RGBA":
        pixels = np.dstack([COLOURS, alpha])
        share = alpha[..., None] / 255
        expected = COLOURS * share + 255 * (1 - share)
    else:
        pixels = np.dstack([GREY, alpha])
        expected = GREY * (alpha / 255) + 255 * (1 - alpha / 255)
    saved(path, pixels)
    np.testing.assert_allclose(only(path), expected, atol=1)


# Sixteen bits and more


def test_sixteen_bits_keep_their_values(tmp_path):
    grey = DEEP[..., 0]
    for path in (
        saved(tmp_path / "a.png", grey),
        saved(tmp_path / "a.tif", grey),
        written(tmp_path, ppm_of_16_bits(grey), ".pgm"),
    ):
        np.testing.assert_array_equal(only(path), grey)
    np.testing.assert_array_equal(only(written(tmp_path, png_of_16_bits(DEEP))), DEEP)
    for order in "<>":
        path = written(tmp_path, tiff_of_16_bits(DEEP, order), ".tif")
        np.testing.assert_array_equal(only(path), DEEP)
    image = Image.frombytes("I;16B", (12, 9), grey.astype(">u2").tobytes())
    image.save(tmp_path / "big.tif")
    assert mode_of(tmp_path / "big.tif") == "I;16B"
    found = only(tmp_path / "big.tif")
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, grey)


def test_sixteen_bits_with_transparency(tmp_path):
    alpha = np.full((*GREY.shape, 1), 65535, np.uint16)
    alpha[2] = 0
    alpha[4] = 13107
    share = alpha / 65535
    for colours in (DEEP, DEEP[..., :1]):
        path = written(tmp_path, png_of_16_bits(np.concatenate([colours, alpha], -1)))
        expected = np.rint(colours * share + 65535 * (1 - share))
        found = only(path)
        np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1)


def test_of_sixteen_bits_pillow_reads_only_eight(tmp_path):
    path = written(tmp_path, ppm_of_16_bits(DEEP), ".ppm")
    with pytest.raises(ValueError, match=r"image\.ppm cannot be read.*RGB of 16 bits.*Save it as"):
        ImageFiles([path])[0]


def test_sixteen_bits_beside_eight(tmp_path):
    paths = [saved(tmp_path / "8.png", GREY), saved(tmp_path / "16.png", DEEP[..., 0])]
    files = ImageFiles(paths)
    assert files.format == ("L", "uint16")
    np.testing.assert_array_equal(files[0], GREY.astype(np.uint16) * 257)
    np.testing.assert_array_equal(files[1], DEEP[..., 0])
    small = ImageFiles(paths, dtype="uint8")
    np.testing.assert_array_equal(small[0], GREY)
    np.testing.assert_array_equal(small[1], np.rint(DEEP[..., 0] / 257))
    # Alone it is as in the whole.
    np.testing.assert_array_equal(files[:1][0], files[0])
    np.testing.assert_array_equal(ImageFiles(paths[:1], dtype="uint16")[0], files[0])
    colours = ImageFiles([*paths, saved(tmp_path / "c.png", COLOURS)])
    assert colours.format == ("RGB", "uint16")
    np.testing.assert_array_equal(colours[1], np.repeat(DEEP[..., :1], 3, -1))
    np.testing.assert_array_equal(colours[2], COLOURS.astype(np.uint16) * 257)


def test_thirty_two_bits(tmp_path):
    whole, real = GREY.astype(np.int32) * 70_000, GREY.astype(np.float32) / 7
    paths = saved(tmp_path / "i.tif", whole), saved(tmp_path / "f.tif", real)
    np.testing.assert_array_equal(only(paths[0]), whole)
    np.testing.assert_array_equal(only(paths[1]), real)
    with pytest.raises(ValueError, match=r"i\.tif holds pixels of int32, and .*f\.tif float32"):
        ImageFiles(paths)[0]
    with pytest.raises(ValueError, match=r"f\.tif holds pixels of float32, and .*b.png uint8"):
        ImageFiles([paths[1], saved(tmp_path / "b.png", GREY)])[0]
    with pytest.raises(ValueError, match=r"f\.tif holds pixels of float32: they have no range"):
        ImageFiles(paths[1:], dtype="uint8")[0]


# Orientation


@pytest.mark.parametrize("ending", [".png", ".jpg", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [None, 6, (5, 4)])
def test_exif_orientation(tmp_path, ending, orientation, size):
    path = tmp_path / f"a{ending}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    big = Image.fromarray(scene(18, 24))
    big.save(path, exif=exif, **{"lossless": True} if ending == ".webp" else {})
    upright = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.swapaxes(0, 1),
        6: lambda x: np.rot90(x, -1),
        7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
        8: lambda x: np.rot90(x),
    }[orientation]
    found = only(path, size=size)
    if size is None:
        expected = upright(np.asarray(Image.open(path)) if ending == ".jpg" else np.asarray(big))
        np.testing.assert_array_equal(found, expected)
    else:
        turned = Image.fromarray(np.ascontiguousarray(upright(np.asarray(big))))
        if size == 6:
            expected = turned.resize((6, 4) if turned.width > turned.height else (4, 6), 2)
        else:
            expected = ImageOps.fit(turned, (4, 5), 2)
        assert np.abs(found - np.asarray(expected, int)).max() <= (12 if ending == ".jpg" else 1)


def test_sixteen_bits_are_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(DEEP[..., 0]).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(only(tmp_path / "a.png"), np.rot90(DEEP[..., 0], -1))


# Mode and size


def test_modes(tmp_path):
    colour, grey = saved(tmp_path / "c.png", COLOURS), saved(tmp_path / "g.png", GREY)
    np.testing.assert_array_equal(only(grey, mode="RGB"), np.repeat(GREY[..., None], 3, -1))
    weights = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(only(colour, mode="L"), COLOURS @ weights, atol=1)
    deep = written(tmp_path, png_of_16_bits(DEEP))
    np.testing.assert_allclose(only(deep, mode="L"), DEEP @ weights, rtol=1e-3, atol=1)
    assert ImageFiles([colour, grey]).format.mode == "RGB"
    assert ImageFiles([grey, grey]).format.mode == "L"


@pytest.mark.parametrize("deep", [False, True])
def test_sizes(tmp_path, deep):
    pixels = np.kron(scene(10, 20), np.ones((10, 10, 1), np.uint8))
    path = tmp_path / "a.png"
    if deep:
        path.write_bytes(png_of_16_bits(pixels.astype(np.uint16) * 257))
    else:
        saved(path, pixels)
    scale = 257 if deep else 1
    # Every pixel is the mean of ten by ten alike, but for what the filter takes from beside them.
    found = only(path, size=20)
    assert found.shape == (10, 20, 3)
    np.testing.assert_allclose(found / scale, scene(10, 20), atol=9)
    np.testing.assert_array_equal(only(path, size=500) / scale, pixels)
    cut = only(path, size=(10, 10))
    np.testing.assert_allclose(cut / scale, scene(10, 20)[:, 5:15], atol=9)


def test_large_jpegs_are_decoded_smaller(tmp_path):
    pixels = np.kron(scene(30, 40), np.ones((16, 16, 1), np.uint8))
    path = saved(tmp_path / "a.jpg", pixels, quality=95)
    whole = Image.open(path).resize((40, 30), Image.Resampling.BILINEAR)
    found = only(path, size=40)
    assert np.abs(found - np.asarray(whole, int)).mean() < 2
    assert only(path, size=(40, 40)).shape == (40, 40, 3)


def test_sizes_of_large_jpegs_are_those_that_their_headers_tell(tmp_path):
    """A quarter or an eighth of a side is rounded; what is read has the size that was foretold."""
    for i, (height, width) in enumerate([(643, 481), (1001, 337), (777, 1003), (451, 1007)]):
        saved(tmp_path / f"{i}.jpg", np.zeros((height, width, 3), np.uint8))
    files = ImageFiles.from_folder(tmp_path)
    for size in (*range(20, 61), (33, 47)):
        some = files.in_size(size)
        assert [image.shape[:2] for image in some] == [tuple(s) for s in some.sizes.tolist()]


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((10, 20), None, (10, 20)),
        ((10, 20), 5, (2, 5)),
        ((10, 20), 40, (10, 20)),
        ((1, 1000), 10, (1, 10)),
        ((10, 20), (7, 9), (7, 9)),
    ],
)
def test_scaled_size(shape, size, expected):
    assert scaled_size(shape, size) == expected


def test_raw_modes_of_whole_pixels_are_no_depth():
    """Five or six bits a colour are called BGR;16, too."""
    data = io.BytesIO()
    Image.fromarray(COLOURS).save(data, "BMP")
    image = Image.open(data)
    image.tile = [image.tile[0]._replace(args=("BGR;16", 0, 1))]
    assert Header.of(image).depth == "uint8"


def test_the_image_stays(tmp_path):
    image = Image.open(saved(tmp_path / "a.png", np.dstack([COLOURS, GREY])))
    before = np.array(image)
    decoded(image, PixelFormat("L", "uint16"), 4)
    np.testing.assert_array_equal(np.asarray(image), before)
    assert (image.mode, image.size) == ("RGBA", (12, 9))
