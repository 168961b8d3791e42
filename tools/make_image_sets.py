"""Sets of images for `benchmarks/accuracy.py clusters`, from the fonts and pictures of a machine.

    python tools/make_image_sets.py letters ABCDEFGHIJ FONTS... --to HOME/image_sets/letters.npz
    python tools/make_image_sets.py crops PICTURES... --to HOME/image_sets/textures.npz
    python tools/make_image_sets.py folders FOLDERS... --without cartoon --to STAMPS.npz

`letters` draws each character in each font (files of TrueType or OpenType), 28 pixels wide; the
class is the character. `crops` cuts 64 crops of 80 pixels from each picture, whose shorter side is
made 512 pixels long, and makes them 64 pixels wide; the class is the picture. The sets in the
published table were made so, from the fonts and the texture pictures and wallpapers that Debian
packages, without symbol fonts and without fonts that look alike.
`folders` takes all pictures in folders, 96 pixels wide on white; the class is the folder.
`stamps96` was made of animals, food, household, plants and vehicles of the package
tuxpaint-stamps-default. Needs Pillow.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE_OF_LETTER, MARGIN, DRAWN_LARGER = 28, 3, 8
SIDE_OF_PICTURE = 96
SHORTER_SIDE, CROP, SIDE_OF_CROP, CROPS_EACH_WAY = 512, 80, 64, 8


def letter(font, character):
    """A character, white on black, in the middle of an image (28, 28)."""
    size = SIDE_OF_LETTER * DRAWN_LARGER
    canvas = Image.new("L", (2 * size, 2 * size))
    ImageDraw.Draw(canvas).text((size // 2, size // 2), character, 255, font=font)
    box = canvas.getbbox()
    if box is None:
        return None
    inside = SIDE_OF_LETTER - 2 * MARGIN
    cut = canvas.crop(box)
    scale = inside / max(cut.size)
    cut = cut.resize([max(1, round(scale * side)) for side in cut.size], Image.Resampling.LANCZOS)
    image = Image.new("L", (SIDE_OF_LETTER, SIDE_OF_LETTER))
    image.paste(cut, [(SIDE_OF_LETTER - side) // 2 for side in cut.size])
    return np.asarray(image)


def letters(characters, paths):
    """Images and classes of characters; fonts that lack one are left out."""
    images, labels = [], []
    for path in paths:
        font = ImageFont.truetype(str(path), SIDE_OF_LETTER * DRAWN_LARGER * 3 // 4)
        drawn = [letter(font, character) for character in characters]
        different = {image.tobytes() for image in drawn if image is not None}
        if len(different) == len(characters):  # what a font lacks looks the same for all
            images += drawn
            labels += range(len(characters))
    return np.stack(images), np.array(labels)


def crops(paths):
    """Images and classes: crops of pictures in colour, evenly spread."""
    images, labels = [], []
    for label, path in enumerate(paths):
        picture = Image.open(path).convert("RGB")
        scale = SHORTER_SIDE / min(picture.size)
        picture = picture.resize([round(scale * side) for side in picture.size])
        places = [np.linspace(0, side - CROP, CROPS_EACH_WAY).round() for side in picture.size]
        for x in places[0]:
            for y in places[1]:
                cut = picture.crop((int(x), int(y), int(x) + CROP, int(y) + CROP))
                images.append(np.asarray(cut.resize((SIDE_OF_CROP, SIDE_OF_CROP))))
                labels.append(label)
    return np.stack(images), np.array(labels)


def folders(paths, without=()):
    """Images and classes: whole pictures on white squares."""
    images, labels = [], []
    for label, folder in enumerate(paths):
        for path in sorted(Path(folder).rglob("*")):
            named = str(path.relative_to(folder))
            if path.suffix not in (".png", ".jpg") or any(word in named for word in without):
                continue
            picture = Image.open(path).convert("RGBA")
            picture.thumbnail((SIDE_OF_PICTURE, SIDE_OF_PICTURE), Image.Resampling.LANCZOS)
            canvas = Image.new("RGBA", (SIDE_OF_PICTURE, SIDE_OF_PICTURE), "white")
            corner = [(SIDE_OF_PICTURE - side) // 2 for side in picture.size]
            canvas.alpha_composite(picture, tuple(corner))
            images.append(np.asarray(canvas.convert("RGB")))
            labels.append(label)
    return np.stack(images), np.array(labels)


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=("letters", "crops", "folders"))
    parser.add_argument("given", nargs="+", help="for letters: the characters, then the fonts")
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--without", nargs="*", default=(), help="for folders: words in paths")
    options = parser.parse_args()
    if options.kind == "letters":
        images, labels = letters(options.given[0], options.given[1:])
    elif options.kind == "folders":
        images, labels = folders(options.given, options.without)
    else:
        images, labels = crops(options.given)
    order = np.random.RandomState(0).permutation(len(images))
    options.to.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(options.to, images=images[order], labels=labels[order])


if __name__ == "__main__":
    main()
