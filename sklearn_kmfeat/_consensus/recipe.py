"""The clusterers that vote if none are given."""

import math
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler

from .._dictionary.bag_of_patches import BagOfPatches
from .._dictionary.kmeans_filter_learner import KMeansFilterLearner
from .._inputs.base import ImageSource
from .._neighbor_averager import NeighborAverager

# The recipe was chosen on 10,000 digits of MNIST and 10,000 images of CIFAR-10, among all sets of
# three and four of nine dictionaries. Hungarian accuracies of the vote of twelve runs, in that
# search, where the figures below come from, too: 0.973 and 0.411; of its runs in the mean: 0.951
# and 0.312. `benchmarks/accuracy.py clusters` has those of fits with other seeds.
_PATCH_SIZE = 6
# 400,000 patches, the default of a learner, take three times as long for the same clusters.
_N_PATCHES = 50_000
# Patches of half an image hold four pixels or more; smaller images are rows of pixels.
_LEAST_SIDE = 8
# A filter of fewer patches is a patch. Only tiny sets have so few.
_PATCHES_PER_FILTER = 10
# Words are better in fewer dimensions than 80. Forty for all: 0.969 and 0.393.
_N_COMPONENTS, _N_COMPONENTS_OF_WORDS = 80, 40
# The vote of rows that are not averaged: 0.937 and 0.359.
_N_NEIGHBORS = 10
# Of clusters of twenty images, means of neighbours are no better than the rows, and so much alike
# that k-means finds too few. Three or five neighbours, instead of ten, were better for 1,000 digits
# of MNIST (0.93 and 0.89) and worse for the smaller sets of digits, kana and emoji.
_IMAGES_PER_CLUSTER = 30
# Few images have few components that are not noise. Of 500 digits 20 components give 0.90 and 80
# give 0.81, of 2,000 40 give 0.944 and 80 give 0.919.
_LEAST_COMPONENTS, _IMAGES_PER_COMPONENT = 20, 40
# One start of seven finds the best clusters of the sums of digits; forty take a second.
_N_INIT = 30


class _WhitenedComponents(TransformerMixin, BaseEstimator):
    """Whitened principal components, as many as there are.

    Parameters
    ----------
    n_components : int, default=40
        Fewer where there are fewer rows or features.
    random_state : int, RandomState or None, default=None
        Of the solver.

    Attributes
    ----------
    pca_ : PCA
    """

    def __init__(self, n_components=40, random_state=None):
        self.n_components = n_components
        self.random_state = random_state

    def fit(self, X, y=None):
        """Find the components of rows (n, d)."""
        n_components = min(self.n_components, *np.shape(X))
        self.pca_ = PCA(n_components, whiten=True, random_state=self.random_state).fit(X)
        return self

    def transform(self, X):
        """The components (n, k) of rows (n, d)."""
        return self.pca_.transform(X)


def recipe(
    source: ImageSource, size: tuple[int, int] | None, n_clusters: int
) -> list[tuple[str, Any]]:
    """Names and estimators.

    Parameters
    ----------
    source : ImageSource
        The images of `fit`.
    size : (int, int) or None
        In which they come; None for rows.
    n_clusters : int

    Raises
    ------
    ValueError
        For fewer images than clusters, and for a single one.
    """
    if len(source) < max(2, n_clusters):
        raise ValueError(
            f"n_samples={len(source)} should be >= n_clusters={n_clusters}, and at least 2."
        )
    if size is None:
        return _members_for_rows(len(source), n_clusters)
    if min(size) < _LEAST_SIDE:
        flat = ("flat", FunctionTransformer(_as_rows))
        members = _members_for_rows(len(source), n_clusters)
        return [(name, Pipeline([flat, *member.steps])) for name, member in members]
    return _members_for_images(len(source), size, n_clusters)


def _members_for_images(n_images, size, n_clusters):
    members = []
    for name, (learner, n_components) in _dictionaries(n_images, size).items():
        rest = _clusters_of_rows(n_images, n_components, n_clusters)
        members.append((name, Pipeline([*_features(learner), *rest])))
    return members


def _as_rows(images):
    return np.reshape(images, (len(images), -1))


def _features(learner):
    return [("features", learner), ("root", FunctionTransformer(np.sqrt))]


def _dictionaries(n_images, size):
    """Learners by name, each with the number of components that are clustered."""
    patch_size = min(_PATCH_SIZE, min(size) // 2)
    places = [side - patch_size + 1 for side in size]
    most = max(1, n_images * math.prod(places) // _PATCHES_PER_FILTER)

    def options(n_filters, n_cells):
        return {
            "n_filters": min(n_filters, most),
            "patch_size": patch_size,
            "pool_grid": min(n_cells, *places),
            "n_patches": _N_PATCHES,
        }

    words = options(200, 3)
    words["n_words"] = words.pop("n_filters")
    spherical = {"algorithm": "spherical", "encoder": "soft_threshold"}
    rectified = spherical | {"alpha": 0, "pool": "max"}
    shapes = rectified | {"contrast": "image", "whiten_eps": 1.0}
    return {
        "words": (BagOfPatches(**words), _N_COMPONENTS_OF_WORDS),
        "sums": (KMeansFilterLearner(**options(256, 2), **spherical), _N_COMPONENTS),
        "places": (KMeansFilterLearner(**options(96, 4), **rectified), _N_COMPONENTS),
        "shapes": (KMeansFilterLearner(**options(128, 3), **shapes), _N_COMPONENTS),
    }


def _members_for_rows(n_rows, n_clusters):
    return [
        ("rows", Pipeline([("scale", StandardScaler()), *_kmeans(n_clusters)])),
        ("components", Pipeline(_clusters_of_rows(n_rows, _N_COMPONENTS, n_clusters))),
    ]


def _clusters_of_rows(n_rows, n_components, n_clusters):
    """Whitened components at unit length, means of neighbours, k-means."""
    n_components = min(n_components, max(_LEAST_COMPONENTS, n_rows // _IMAGES_PER_COMPONENT))
    steps = [
        ("scale", StandardScaler()),
        ("components", _WhitenedComponents(n_components)),
        ("unit", Normalizer()),
    ]
    if n_rows >= _IMAGES_PER_CLUSTER * n_clusters:
        steps += [("neighbors", NeighborAverager(_N_NEIGHBORS)), ("unit_again", Normalizer())]
    return [*steps, *_kmeans(n_clusters)]


def _kmeans(n_clusters):
    return [("clusters", KMeans(n_clusters, n_init=_N_INIT))]
