"""Make the image samples that ship with the package from the full sets.

Run it from the root of the repository, with the full MNIST and CIFAR-10 in the data home
(`SKLEARN_KMFEAT_DATA`, as `sklearn_kmfeat.datasets` reads it)::

    python tools/make_samples.py sklearn_kmfeat/datasets/data

The same full sets give the same images and labels bit for bit; the bytes of the files may
differ with the version of the WebP encoder.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from sklearn_kmfeat.datasets import fetch_cifar10, fetch_mnist

SEED = 0


def balanced_sample(target, n_per_class, seed=SEED):
    """Draw the indices of `n_per_class` samples of every class, in random order."""
    rng = np.random.RandomState(seed)
    drawn = [
        rng.choice(np.flatnonzero(target == label), n_per_class, replace=False)
        for label in np.unique(target)
    ]
    return rng.permutation(np.concatenate(drawn))


def as_mosaic(images, n_cols):
    """Lay images out row by row, without gaps, `n_cols` in a row."""
    n_images, height, width, *channels = images.shape
    grid = images.reshape(n_images // n_cols, n_cols, height, width, *channels)
    return grid.swapaxes(1, 2).reshape(-1, n_cols * width, *channels)


def write_sample(folder, name, fetch, *, n_per_class, n_cols):
    """Draw a sample of the training part of a full set and write it to `folder`."""
    images, target = fetch(subset="train", return_X_y=True)
    chosen = balanced_sample(target, n_per_class)
    np.save(folder / f"{name}.npy", target[chosen].astype(np.uint8))
    mosaic = Image.fromarray(as_mosaic(images[chosen], n_cols))
    mosaic.save(folder / f"{name}.webp", lossless=True, quality=100, method=6)


def main():
    """Read the folder from the command line and write both samples."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    write_sample(folder, "mnist_sample", fetch_mnist, n_per_class=1000, n_cols=100)
    write_sample(folder, "cifar10_sample", fetch_cifar10, n_per_class=200, n_cols=50)


if __name__ == "__main__":
    main()
