"""Speed and memory beside other ways to do the same work.

Ratios come from repetitions in turn, ours and theirs, and are medians. Real patches of CIFAR-10
where the full set is there (SKLEARN_KMFEAT_DATA), otherwise of the shipped sample. The table is
written to `results/`.
"""

import argparse
import json
from datetime import date

import numpy as np
import torch
from _cluster import bench_cluster
from _data import cifar10_images
from _deep_speed import bench_deep
from _encoding_speed import bench_busy, bench_encoding, bench_search
from _files import bench_files
from _kmeans_speed import (
    FEW,
    MANY,
    bench_inertia,
    bench_lloyd,
    bench_many_centers,
    bench_wide,
)
from _memory import in_fresh_process, mebibytes, memory_row
from _report import RESULTS, compared, machine, report, timed
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.feature_extraction.image import extract_patches_2d

from sklearn_kmfeat import (
    BagOfPatches,
    ContrastNormalizer,
    ConvKMeans,
    KMeansFilterLearner,
    PatchExtractor,
    ZCAWhitener,
)
from sklearn_kmfeat._core.conv_kmeans import best_offsets, convolutional
from sklearn_kmfeat._core.preparation import Preparation
from sklearn_kmfeat._core.whitening import Whitening
from sklearn_kmfeat._core.windows import Windows
from sklearn_kmfeat._utils.threads import coarse_threads
from sklearn_kmfeat.datasets import load_mnist_sample


def main():
    """Read the command line, run the benchmarks, write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer repetitions")
    parser.add_argument("--only", choices=BENCHMARKS, help="one of them; the others stay")
    options = parser.parse_args()
    name = "speed_quick" if options.quick else "speed"
    parts = parts_of(RESULTS / f"{name}.json")
    for each in [options.only] if options.only else BENCHMARKS:
        print(f"{each} ...", flush=True)
        rows, remarks = BENCHMARKS[each](options.quick)
        parts[each] = {"rows": rows, "remarks": remarks, "measured": measured()}
        title = f"Speed{' (quick: smaller sizes)' if options.quick else ''}"
        rows, remarks = joined({one: parts[one] for one in BENCHMARKS if one in parts})
        report(name, title, rows, remarks, more={"parts": parts})


def parts_of(path):
    """Rows and remarks of the benchmarks that stand in the table already."""
    return json.loads(path.read_text()).get("parts", {}) if path.exists() else {}


def measured():
    """When and where."""
    return f"{date.today().isoformat()}, {machine()}"


def joined(parts):
    """All rows and remarks, and when and where each benchmark ran."""
    rows = [row for part in parts.values() for row in part["rows"]]
    remarks = [remark for part in parts.values() for remark in part["remarks"]]
    when = {}
    for name, part in parts.items():
        when.setdefault(part["measured"], []).append(name)
    when = "; ".join(f"{moment}: {', '.join(names)}" for moment, names in when.items())
    return rows, [*remarks, f"Benchmarks by when and where they ran: {when}."]


# Convolutional k-means


def bench_conv(quick):
    """An iteration of convolutional k-means beside its bare product and the plain way."""
    n_windows, n_plain, repetitions = (10_000, 500, 3) if quick else (100_000, 2000, 5)
    cut, origin = conv_windows(n_windows)
    patches = cut[:, 3:9, 3:9].reshape(n_windows, -1)
    contrast = ContrastNormalizer().fit(patches)
    whitener = ZCAWhitener().fit(contrast.transform(patches))
    whitening = Whitening(*map(torch.from_numpy, (whitener.mean_, whitener.whitening_)))
    prepare = Preparation(contrast.eps_, whitening)
    windows = Windows.of(torch.from_numpy(cut).permute(1, 2, 3, 0).contiguous(), (6, 6), prepare)
    start = windows.middle_patches()[: 96 * (n_windows // 96) : n_windows // 96]
    product = tile_products(cut, len(start))
    times = {"ours": [], "product": [], "plain": []}
    for _ in range(repetitions):
        times["ours"].append(seconds_per_conv_iteration(windows, start))
        times["product"].append(timed(product)[0])
        seconds, plain = timed(lambda: plain_responses(cut[:n_plain], contrast, whitener, start))
        times["plain"].append(seconds * n_windows / n_plain)
    same = np.mean(plain == best_offsets(windows, start)[:n_plain].numpy())
    work = f"convolutional k-means step, {n_windows:,} windows 12x12x3, 6x6, K={len(start)}"
    return [
        compared(work, "the matrix product alone", ">= 0.5", times["ours"], times["product"]),
        compared(work, "a loop in NumPy", "", times["ours"], times["plain"]),
    ], [
        f"Convolutional step: windows of {origin}; the matrix product alone is that of all their "
        "patches with the filters, tile by tile into the same memory. The loop in NumPy ran on "
        f"{n_plain:,} windows and its time is scaled; both choose the same patch in "
        f"{100 * same:.4g} % of the windows.",
    ]


def conv_windows(n_windows):
    """Windows (n, 12, 12, 3) of CIFAR-10 as float32, and where they are from."""
    images, origin = cifar10_images(50_000)
    windows = PatchExtractor(12, n_patches=n_windows, random_state=0).fit_transform(images)
    return windows.astype(np.float32).reshape(-1, 12, 12, 3), origin


def seconds_per_conv_iteration(windows, start):
    """Seconds of one iteration, without set-up."""
    with coarse_threads():
        few, many = (
            timed(lambda n=n: convolutional(windows, start, max_iter=n, tol=0))[0]
            for n in (FEW, MANY)
        )
    return (many - few) / (MANY - FEW)


def tile_products(windows, n_filters, n_tile=128):
    """A function that multiplies every 6x6 patch of the windows with filters."""
    tiles = len(windows) // n_tile
    shape = (6 * 6 * 3, 7 * 7 * n_tile)
    patches = torch.empty(tiles, *shape)
    for i, tile in enumerate(patches):
        some = torch.from_numpy(windows[i * n_tile : (i + 1) * n_tile])
        view = some.unfold(1, 6, 1).unfold(2, 6, 1).permute(4, 5, 3, 1, 2, 0)
        tile.view(view.shape).copy_(view)
    filters = torch.randn(n_filters, shape[0])
    result = torch.empty(n_filters, shape[1])

    def product():
        for tile in patches:
            torch.mm(filters, tile, out=result)

    return product


def plain_responses(windows, contrast, whitener, filters):
    """The offset of the largest response, as one writes it first."""
    offsets = []
    for window in windows:
        patches = extract_patches_2d(window, (6, 6)).reshape(49, -1)
        responses = np.abs(whitener.transform(contrast.transform(patches)) @ filters.numpy().T)
        offsets.append(responses.max(axis=1).argmax())
    return np.array(offsets)


# Memory


def bench_memory(quick):
    """Peak memory beyond input and output, in fresh processes: encoding, a convolutional fit."""
    n_filters, n_images = (400, 2000) if quick else (1600, 10_000)
    images, origin = cifar10_images(n_images)
    learner = KMeansFilterLearner(n_filters, n_patches=40_000, max_iter=2, random_state=0)
    encoding = {
        n_threads: in_fresh_process(learner.fit(images[:2000]), "transform", images, n_threads)
        for n_threads in (2, 8)
    }
    n_windows = n_images * 10
    windows = n_windows * 12 * 12 * 3 * 4
    fit = in_fresh_process(ConvKMeans(n_windows=n_windows, max_iter=2), "fit", images)
    rows = [
        *(
            memory_row(
                f"peak memory of encoding {n_images:,} images, K={n_filters}, {n_threads} threads",
                "input and output",
                mebibytes(found["extra"]),
                "<= 1.2 GiB",
                found,
            )
            for n_threads, found in encoding.items()
        ),
        memory_row(
            f"peak memory of a convolutional fit, {n_windows:,} windows 12x12x3",
            "the windows themselves",
            f"{fit['extra'] / windows:.1f}",
            "",
            fit,
        ),
    ]
    return rows, [
        f"Memory beyond input and output of encoding {n_images:,} images ({origin}): "
        f"{mebibytes(encoding[2]['extra'])} with two threads, {mebibytes(encoding[8]['extra'])} "
        f"with eight; the output is {mebibytes(encoding[2]['output'])}.",
        f"Memory of a convolutional fit: {fit['extra'] / 2**30:.2f} GiB beyond the images, "
        f"{windows / 2**30:.2f} GiB of them the windows.",
    ]


# Bags of digits


def bench_bag(quick):
    """Counts of 50 words in 10,000 digits beside the loop of the notebook."""
    n_ours, n_plain, repetitions = (2000, 100, 3) if quick else (10_000, 500, 5)
    digits = load_mnist_sample().images[:n_ours]
    bag = BagOfPatches(50, n_patches=20_000, max_iter=5, random_state=0).fit(digits)
    ours, theirs = [], []
    for _ in range(repetitions):
        seconds, counts = timed(lambda: bag.transform(digits))
        ours.append(seconds)
        seconds, plain = timed(lambda: plain_bags(digits[:n_plain], bag))
        theirs.append(seconds * n_ours / n_plain)
    moved = np.abs(counts[:n_plain] - plain).sum() / 2 / plain.sum()
    work = f"bags of {n_ours:,} digits, 6x6, 50 words"
    row = compared(work, "a loop over images: cdist, argsort, bincount", ">= 25", ours, theirs)
    other = f"{100 * moved:.2g} % of the patches are" if moved else "no patch is"
    remark = (
        f"The loop over images ran on {n_plain} digits and its time is scaled to {n_ours:,}; "
        f"{other} assigned differently."
    )
    return [row], [remark]


def plain_bags(images, bag):
    """Counts of the nearest word, image by image."""
    size, words = bag.filters_.shape[1:3], bag.cluster_centers_
    rows = np.zeros((len(images), len(words)))
    for i, image in enumerate(images):
        image = image - np.mean(image)
        image = image / np.sqrt(image.var(ddof=1) + bag.contrast_eps_)
        patches = extract_patches_2d(image, size)
        patches = patches.reshape(len(patches), -1)
        nearest = np.argsort(cdist(patches, words), axis=1)[:, 0]
        rows[i] = np.bincount(nearest, minlength=len(words))
    return rows


def bench_vocabulary(quick):
    """Learn 50 words from the notebook's patches beside scikit-learn, both with three starts."""
    n_digits, repetitions = (100, 3) if quick else (1000, 5)
    patches = notebook_patches(load_mnist_sample().images[::10][:n_digits])
    options = {"init": "k-means++", "n_init": 3, "max_iter": 300, "tol": 1e-4}
    ours, theirs, inertias = [], [], []
    for seed in range(repetitions):
        bag = BagOfPatches(50, contrast=None, n_patches=None, random_state=seed, **options)
        ours.append(timed(lambda bag=bag: bag.fit(patches))[0])
        model = KMeans(50, random_state=seed, **options)
        theirs.append(timed(lambda model=model: model.fit(patches))[0])
        inertias.append((bag.inertia_, model.inertia_))
    mean = np.mean(inertias, axis=0)
    work = f"vocabulary of 50 words from {len(patches):,} patches, n_init=3"
    row = compared(work, "scikit-learn KMeans, k-means++", ">= 2", ours, theirs)
    remark = (
        f"Vocabulary: {repetitions} seeds, each its own start; mean inertia {mean[0]:.5g} "
        f"(ours), {mean[1]:.5g} (scikit-learn)."
    )
    return [row], [remark]


def notebook_patches(images):
    """Three quarters of the patches of each standardised digit, float32 rows."""
    rows = []
    for i, image in enumerate(images):
        image = ((image - image.mean()) / image.std()).astype(np.float32)
        patches = extract_patches_2d(image, (6, 6), max_patches=0.75, random_state=i)
        rows.append(patches.reshape(len(patches), -1))
    return np.concatenate(rows)


BENCHMARKS = {
    "lloyd": bench_lloyd,
    "wide": bench_wide,
    "inertia": bench_inertia,
    "centers": bench_many_centers,
    "encoding": bench_encoding,
    "busy": bench_busy,
    "search": bench_search,
    "conv": bench_conv,
    "memory": bench_memory,
    "bag": bench_bag,
    "vocabulary": bench_vocabulary,
    "files": bench_files,
    "deep": bench_deep,
    "cluster": bench_cluster,
}


if __name__ == "__main__":
    main()
