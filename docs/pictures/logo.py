"""Draws docs/_static/logo.png and favicon.png: nine filters, learned from small photographs."""

from pathlib import Path

import numpy as np
from PIL import Image

from sklearn_kmfeat import KMeansFilterLearner
from sklearn_kmfeat.datasets import load_cifar10_sample

STATIC = Path(__file__).parents[1] / "_static"
TILE, GAP = 6, 1  # in pixels of the filters


def filters():
    """Nine filters that differ; no single bright dots, which are only dots at this size."""
    images = load_cifar10_sample().images
    learner = KMeansFilterLearner(64, patch_size=TILE, n_patches=40_000, random_state=0).fit(images)
    energy = (learner.filters_**2).sum(axis=3)
    spread = energy.mean(axis=(1, 2)) / energy.max(axis=(1, 2))
    rest = list(learner.filters_[np.argsort(-spread)][:24])
    chosen = [rest.pop(0)]
    while len(chosen) < 9:  # the one that is least like those chosen so far
        likeness = [max(abs((each * other).sum()) for other in chosen) for each in rest]
        chosen.append(rest.pop(int(np.argmin(likeness))))
    return chosen


def mosaic(tiles):
    """A square picture (H, W, 4), transparent between the tiles."""
    side = 3 * TILE + 2 * GAP
    picture = np.zeros((side, side, 4))
    for i, tile in enumerate(tiles):
        top, left = (each * (TILE + GAP) for each in divmod(i, 3))
        tile = tile / abs(tile).max(axis=(0, 1), keepdims=True).clip(0.6 * abs(tile).max())
        picture[top : top + TILE, left : left + TILE, :3] = 0.5 + tile / 2
        picture[top : top + TILE, left : left + TILE, 3] = 1
    return Image.fromarray((255 * picture).astype(np.uint8))


if __name__ == "__main__":
    picture = mosaic(filters())
    for name, factor in [("logo", 8), ("favicon", 3)]:
        size = (picture.width * factor, picture.height * factor)
        picture.resize(size, Image.Resampling.NEAREST).save(STATIC / f"{name}.png", optimize=True)
