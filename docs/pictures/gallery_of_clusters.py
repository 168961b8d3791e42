"""Clusters of handwritten digits: the most and the least typical images of each."""

from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer

from sklearn_kmfeat import KMeansFilterLearner, NeighborAverager
from sklearn_kmfeat.datasets import load_mnist_sample
from sklearn_kmfeat.displays import ClusterGalleryDisplay

IMAGES = Path(__file__).parents[1] / "images"

images, digits = load_mnist_sample(return_X_y=True)
images, digits = images[:3000], digits[:3000]
clusterer = make_pipeline(
    KMeansFilterLearner(64, pool_grid=3, n_patches=40_000, max_iter=10, random_state=0),
    FunctionTransformer(np.sqrt),
    PCA(30, whiten=True, random_state=0),
    Normalizer(),
    NeighborAverager(),
    Normalizer(),
    KMeans(10, random_state=0),
).fit(images)
figure, ax = plt.subplots(figsize=(6.4, 5.0))
ClusterGalleryDisplay.from_estimator(clusterer, images, y=digits, n_images=8, ax=ax)
figure.savefig(IMAGES / "gallery_of_clusters.png", dpi=120, bbox_inches="tight", pad_inches=0.05)
