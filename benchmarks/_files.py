"""Features of small photographs in files, beside those of arrays and decoding them one by one."""

import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
from _memory import in_fresh_process, memory_row
from _report import compared
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_sample_images

from sklearn_kmfeat import ImageFiles, KMeansFilterLearner


def bench_files(quick):
    """Fit and transform from JPEGs of 100 to 200 pixels, and the memory that both take."""
    n_files, repetitions = (300, 3) if quick else (2000, 3)
    learner = KMeansFilterLearner(64, pool="mean", n_patches=100_000, max_iter=10, random_state=0)
    with tempfile.TemporaryDirectory() as folder:
        paths = photographs(Path(folder), n_files)
        ours, theirs = [], []
        for _ in range(repetitions):
            start = perf_counter()
            files = ImageFiles(paths)
            features = clone(learner).fit(files).transform(files)
            middle = perf_counter()
            images = [np.asarray(Image.open(path)) for path in paths]
            expected = clone(learner).fit(images).transform(images)
            ours.append(middle - start)
            theirs.append(perf_counter() - middle)
        paths = np.array(paths)
        fitted = clone(learner).fit(paths)
        memory = {name: in_fresh_process(fitted, name, paths) for name in ("fit", "transform")}
    same = "the same to the bit" if np.array_equal(features, expected) else "NOT THE SAME"
    work = f"fit and transform, {n_files:,} JPEGs of 100 to 200 pixels, K=64"
    rows = [compared(work, "arrays, and decoding one by one", ">= 0.77", ours, theirs)]
    rows += [
        memory_row(
            f"peak memory of {name}, {n_files:,} JPEGs",
            "the model",
            f"{found['extra'] / 2**20:.0f} MiB",
            "<= 286 MiB",
            found,
        )
        for name, found in memory.items()
    ]
    return rows, [
        f"Files: pieces of two photographs; decoded twice, in fit and in transform, where the "
        f"other way decodes once and keeps all in memory. The features are {same}."
    ]


def photographs(folder, n_files):
    """Pieces of scikit-learn's two photographs, as JPEGs of 100 to 200 pixels a side."""
    rng, scenes, paths = np.random.RandomState(0), load_sample_images().images, []
    for i in range(n_files):
        scene = scenes[i % 2]
        height, width = rng.randint(100, 201, 2)
        top, left = rng.randint(scene.shape[0] - height), rng.randint(scene.shape[1] - width)
        paths.append(str(folder / f"{i:05d}.jpg"))
        Image.fromarray(scene[top : top + height, left : left + width]).save(paths[-1], quality=90)
    return paths
