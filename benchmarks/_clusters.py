"""Clusters of images by one line each, on sets that no setting was chosen on.

The recipe of `ConsensusClusterer` was chosen on those of `CHOSEN_ON`. scikit-learn's digits come
with it, and Fashion-MNIST is read where torchvision keeps it. Any other set is a file
`image_sets/NAME.npz` in the data home, with `images` and `labels`, as `tools/make_image_sets.py`
makes some; without it its rows are left out. What has been measured is kept in `benchmarks/.cache`,
so that a run may be interrupted.
"""

import os
from functools import partial
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
from joblib import Memory
from joblib import hash as hash_of
from sklearn.cluster import KMeans
from sklearn.datasets import get_data_home, load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import normalized_mutual_info_score
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler
from torchvision.datasets import FashionMNIST

import sklearn_kmfeat
from sklearn_kmfeat import ConsensusClusterer, DeepClusterEstimator, KMeansFilterLearner
from sklearn_kmfeat.datasets import fetch_cifar10, load_cifar10_sample, load_mnist_sample
from sklearn_kmfeat.metrics import clustering_accuracy_score

TITLE = "Clusters of twelve sets of images"
N_IMAGES = 10_000
#: Each takes a quarter of an hour; the consensus is a mean over them.
N_SEEDS = 1
EPOCHS = 12
#: What was chosen on, and what was not.
CHOSEN_ON = ("MNIST", "CIFAR-10", "small digits", "kana", "emoji32")
OTHERS = (
    "clothes",
    "letters",
    "textures",
    "textures_grey",
    "objects20",
    "furniture",
    "scenes",
)
CACHE = Memory(Path(__file__).parent / ".cache", verbose=0)


def run(quick=False):
    """Measure every row of the table.

    Parameters
    ----------
    quick : bool
        Few images of the shipped samples, one seed.

    Returns
    -------
    list of dict
    """
    seeds = range(N_SEEDS)
    rows = []
    for name in CHOSEN_ON[:2] if quick else CHOSEN_ON + OTHERS:
        data = images_of(name, quick)
        if data is not None:
            rows.append(row_of(name, *data, seeds))
            print(rows[-1], flush=True)
    return rows if quick else [*rows, mean_row(rows)]


def remarks(rows):
    """Sentences on what was measured."""
    others = [row for row in rows if row["set"] in OTHERS]
    lines = [
        "The measure is clustering accuracy with as many clusters as classes: each cluster is "
        "assigned to one class (clustering_accuracy_score). All rows have one seed.",
        "Vote is that of ConsensusClusterer. The mean of its members is taken over all twelve "
        "runs, and the best member over the three runs of the member that is best on the set, "
        "which nobody knows without labels.",
        "Pixels: k-means of pixels. UMAP + GMM: a Gaussian mixture of ten UMAP components of "
        "pixels. Filters: k-means of KMeansFilterLearner's features (defaults; square roots, "
        "standardised, 40 whitened components, rows of unit length). Deep: DeepClusterEstimator "
        f"with its defaults and {EPOCHS} epochs.",
        "The recipe of the vote was chosen on MNIST and CIFAR-10, and its numbers of components "
        "and neighbours for small sets also on the next three sets. Nothing was chosen on the "
        "others: Fashion-MNIST (clothes, test images), the letters A to J in many fonts, crops of "
        "textures in colour and in grey (the class is the picture), rendered objects, furniture, "
        "and crops of wallpapers (scenes; the class is the picture).",
        "Small digits are those of scikit-learn, kana ten signs in many fonts, and emoji32 emoji "
        "of four makers. Processor time is that of one vote on one thread.",
    ]
    seconds = [row for row in rows if row.get("two cores")]
    lines += [
        f"With two runs at a time on two cores (n_jobs=2), one vote on the {row['images']:,} "
        f"images of {row['set']} takes {row['two cores']} s."
        for row in seconds
    ]
    if others:
        gains = [row["consensus"] - row["members"] for row in others]
        above = sum(row["consensus"] >= row["best member"] for row in others)
        lines.insert(
            0,
            f"On the {len(others)} sets that nothing was chosen on, the vote is "
            f"{100 * np.mean(gains):.1f} points above the mean of its members, and on {above} of "
            "them at or above the best member of the set.",
        )
    return lines


def row_of(name, X, y, seeds):
    """Measure one set."""
    n_clusters = len(np.unique(y))
    fits = [consensus(name, X, y, n_clusters, seed, revision(X)) for seed in seeds]
    one = {method: single(method, name, X, y, n_clusters, seeds[0], len(X)) for method in METHODS}
    seconds = on_two_cores(X, n_clusters, revision(X)) if name == CHOSEN_ON[0] else None
    return row(name, len(X), n_clusters, fits, one) | {"two cores": seconds}


def row(name, n_images, n_clusters, fits, one):
    """The row of a set, from the fits of its consensus and the accuracies of other methods."""
    members = {m: np.mean([fit["members"][m] for fit in fits]) for m in fits[0]["members"]}
    found = [fit["accuracy"] for fit in fits]
    return {
        "set": name,
        "images": n_images,
        "classes": n_clusters,
        **{method: round(float(value), 3) for method, value in one.items()},
        "members": round(float(np.mean(list(members.values()))), 3),
        "best member": round(float(max(members.values())), 3),
        "consensus": round(float(np.mean(found)), 3),
        "NMI": round(float(np.mean([fit["nmi"] for fit in fits])), 3),
        "cpu": round(float(np.median([fit["cpu"] for fit in fits]))),
        "of members": ", ".join(f"{m} {value:.3f}" for m, value in members.items()),
    }


def revision(X):
    """What a measurement is kept for: the number of images and the code of the vote."""
    package = Path(sklearn_kmfeat.__file__).parent
    files = [package / "_core" / "consensus.py", *sorted((package / "_consensus").glob("*.py"))]
    return len(X), hash_of([file.read_text(encoding="utf-8") for file in files])


def mean_row(rows):
    """The means over the sets that nothing was chosen on."""
    rows = [row for row in rows if row["set"] in OTHERS]
    columns = (*METHODS, "members", "best member", "consensus", "NMI")
    means = {name: round(float(np.nanmean([row[name] for row in rows])), 3) for name in columns}
    return {"set": "mean of the others", "images": None, "classes": None} | means


@CACHE.cache(ignore=["X", "y"])
def consensus(name, X, y, n_clusters, seed, key):
    """Accuracy of the vote and, in the mean, of the runs of each member."""
    begin = process_time()
    fit = ConsensusClusterer(n_clusters, random_state=seed).fit(X)
    seconds = process_time() - begin
    return {
        "accuracy": clustering_accuracy_score(y, fit.labels_),
        "nmi": normalized_mutual_info_score(y, fit.labels_),
        "cpu": seconds,
        "members": {
            member: float(np.mean([clustering_accuracy_score(y, run[-1].labels_) for run in runs]))
            for member, runs in fit.named_estimators_.items()
        },
        "agreement": float(np.mean(fit.agreement_)),
    }


@CACHE.cache(ignore=["X"])
def on_two_cores(X, n_clusters, key):
    """Seconds of one consensus with two runs at a time."""
    begin = perf_counter()
    ConsensusClusterer(n_clusters, n_jobs=2, random_state=0).fit(X)
    return round(perf_counter() - begin)


@CACHE.cache(ignore=["X", "y"])
def single(method, name, X, y, n_clusters, seed, key):
    """Accuracy of one method that is no vote; NaN where its package is not installed."""
    labels = METHODS[method](X, n_clusters, seed)
    return np.nan if labels is None else clustering_accuracy_score(y, labels)


def _flat(X):
    return X.reshape(len(X), -1).astype(np.float32)


def on_pixels(X, n_clusters, seed):
    """k-means on rows of pixels."""
    return KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(_flat(X))


def on_filters(X, n_clusters, seed):
    """k-means on the features of a learner with its defaults."""
    side = min(X.shape[1:3])
    pipeline = make_pipeline(
        KMeansFilterLearner(patch_size=min(6, side // 2), random_state=seed),
        FunctionTransformer(np.sqrt),
        StandardScaler(),
        PCA(40, whiten=True, random_state=seed),
        Normalizer(),
        KMeans(n_clusters, n_init=10, random_state=seed),
    )
    return pipeline.fit_predict(X)


def deep(X, n_clusters, seed):
    """Deep clustering with its defaults."""
    estimator = DeepClusterEstimator(n_clusters, max_epochs=EPOCHS, random_state=seed)
    return estimator.fit_predict(X)


def umap_mixture(X, n_clusters, seed):
    """A Gaussian mixture of ten components of UMAP, on pixels."""
    try:
        from umap import UMAP
    except ImportError:
        return None
    rows = UMAP(n_components=10, n_neighbors=15, min_dist=0, random_state=seed).fit_transform(
        _flat(X)
    )
    mixture = GaussianMixture(n_clusters, n_init=5, random_state=seed)
    return mixture.fit_predict(rows.astype(np.float64))


METHODS = {
    "pixels": on_pixels,
    "filters": on_filters,
    "deep": deep,
    "UMAP + GMM": umap_mixture,
}


# The sets


def images_of(name, quick=False):
    """Images and classes of a set, at most 10,000; None where it is not there."""
    X_y = SETS.get(name, partial(_stored, name))(quick)
    if X_y is None:
        return None
    X, y = X_y
    n_images = 300 if quick else N_IMAGES
    return X[:n_images], np.unique(y[:n_images], return_inverse=True)[1]


def data_home():
    """The folder where data sets are kept."""
    return Path(os.environ.get("SKLEARN_KMFEAT_DATA") or get_data_home())


def _stored(name, quick):
    path = data_home() / "image_sets" / f"{name}.npz"
    if not path.exists():
        return None
    with np.load(path) as stored:
        return stored["images"], stored["labels"]


def _mnist(quick):
    return load_mnist_sample(return_X_y=True)


def _cifar(quick):
    return (load_cifar10_sample if quick else fetch_cifar10)(return_X_y=True)


def _small_digits(quick):
    digits = load_digits()
    return digits.images.astype(np.uint8), digits.target


def _clothes(quick):
    try:
        stored = FashionMNIST(data_home(), train=False, download=False)
    except RuntimeError:
        return None
    return stored.data.numpy(), stored.targets.numpy()


SETS = {
    "MNIST": _mnist,
    "CIFAR-10": _cifar,
    "small digits": _small_digits,
    "clothes": _clothes,
}
