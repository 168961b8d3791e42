"""Seconds and memory of fit and transform as images, filters and pixels become more.

Images are read from a zarr array, so that they are never all in memory; each measurement is made in
a process of its own.
"""

import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import zarr
from _memory import forget_peak, peak_bytes, resident_bytes
from _report import timed
from sklearn.datasets import load_sample_images

from sklearn_kmfeat import KMeansFilterLearner

#: What grows, and what the rest is meanwhile.
GROWTH = {
    "images": (1000, 3000, 10_000, 30_000, 100_000),
    "filters": (200, 400, 800, 1600, 3200, 6400),
    "side": (32, 64, 128, 256),
}
QUICK = {"images": (100, 300), "filters": (200, 400), "side": (32, 64)}
STANDARD = {"images": {"filters": 200, "side": 32}, "filters": {"images": 1000, "side": 32}}
STANDARD["side"] = {"images": 1000, "filters": 200}
THREADS = (1, 2)
#: Patches that every fit learns from; encoding takes every second place.
N_PATCHES, STRIDE, MAX_ITER = 100_000, 3, 5
#: Images whose memory alone is measured, and their side.
MANY, SMALL_SIDE = (100_000, 300_000, 1_000_000), 14
#: Bytes of a chunk of the array on disk.
CHUNK_BYTES = 2**21


def measured(what, quick=False):
    """A row for each size of what grows: seconds and MiB, for each number of threads."""
    rows = []
    for size in (QUICK if quick else GROWTH)[what]:
        setting = STANDARD[what] | {what: size}
        with tempfile.TemporaryDirectory() as folder:
            store(f"{folder}/images.zarr", setting["images"], setting["side"])
            for n in THREADS:
                rows.append(row_of(what, setting, n, in_fresh_process(folder, setting, n)))
        print(*rows[-len(THREADS) :], sep="\n", flush=True)
    return rows


def row_of(what, setting, n_threads, found):
    """A row of the table."""
    return {
        "growing": what,
        **{name: setting[name] for name in GROWTH},
        "threads": n_threads,
        "fit (s)": found["fit"]["seconds"],
        "transform (s)": found["transform"]["seconds"],
        "fit (MiB)": round(found["fit"]["extra"] / 2**20),
        "transform (MiB)": round(found["transform"]["extra"] / 2**20),
    }


def store(path, n_images, side):
    """Write pieces of two photographs to a zarr array (n, side, side, 3)."""
    rng, scenes = np.random.RandomState(0), load_sample_images().images
    n_chunk = max(1, CHUNK_BYTES // (3 * side**2))
    array = zarr.create_array(
        path,
        shape=(n_images, side, side, 3),
        chunks=(min(n_chunk, n_images), side, side, 3),
        dtype="uint8",
        compressors=None,
    )
    for start in range(0, n_images, n_chunk):
        n = min(n_chunk, n_images - start)
        tops = rng.randint(scenes[0].shape[0] - side, size=n)
        lefts = rng.randint(scenes[0].shape[1] - side, size=n)
        array[start : start + n] = [
            scenes[i % 2][top : top + side, left : left + side]
            for i, (top, left) in enumerate(zip(tops, lefts, strict=True))
        ]


def memory_of_many(quick=False):
    """MiB of a fit on so many small images that a part of them fills several batches."""
    rows = []
    for n_images in (1000,) if quick else MANY:
        with tempfile.TemporaryDirectory() as folder:
            store(f"{folder}/images.zarr", n_images, SMALL_SIDE)
            found = in_fresh_process(folder, {"filters": 200}, 1, ("fit",))
        rows.append({"images": n_images, "fit (MiB)": round(found["fit"]["extra"] / 2**20)})
        print(rows[-1], flush=True)
    return rows


def in_fresh_process(folder, setting, n_threads, methods=("transform", "fit")):
    """Seconds, and bytes beside model and features, of fit and of transform."""
    command = [sys.executable, __file__, folder, str(setting["filters"]), *methods]
    environment = os.environ | {"OMP_NUM_THREADS": str(n_threads)}
    options = {"env": environment, "check": True, "stdout": subprocess.PIPE, "text": True}
    return json.loads(subprocess.run(command, **options).stdout)


def work(folder, n_filters, methods=("transform", "fit")):
    """What the fresh process does."""
    images = zarr.open_array(f"{folder}/images.zarr", mode="r")
    options = {"stride": STRIDE, "random_state": 0}
    # A first fit imports, starts threads and fills what allocators keep; encoding takes as long
    # with any filters, and goes first, since a fit leaves memory behind that would hide its own.
    few = {"n_patches": 3 * n_filters, "max_iter": 1}
    encoder = KMeansFilterLearner(n_filters, **few, **options).fit(images[:100])
    encoder.transform(images[:100])
    learner = KMeansFilterLearner(n_filters, n_patches=N_PATCHES, max_iter=MAX_ITER, **options)
    found = {}
    for name in methods:
        method = {"transform": encoder.transform, "fit": learner.fit}[name]
        forget_peak()
        before = resident_bytes()
        seconds, result = timed(lambda method=method: method(images))
        extra = peak_bytes() - before - getattr(result, "nbytes", 0)
        found[name] = {"seconds": seconds, "extra": extra}
        del result
    return found


def exponents(rows, what, column, n_threads):
    """How a column grows with a size: the slope in logarithms between one point and the next."""
    chosen = [row for row in rows if row["growing"] == what and row["threads"] == n_threads]
    sizes = np.log([row[what] ** (2 if what == "side" else 1) for row in chosen])
    return np.diff(np.log([row[column] for row in chosen])) / np.diff(sizes)


if __name__ == "__main__":
    print(json.dumps(work(sys.argv[1], int(sys.argv[2]), sys.argv[3:])))
