"""Clusters of digits, row by row: python docs/pictures/gallery_of_clusters.py."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer

from sklearn_kmfeat import KMeansFilterLearner
from sklearn_kmfeat.datasets import load_mnist_sample
from sklearn_kmfeat.displays import ClusterGalleryDisplay

PICTURE = Path(__file__).parents[1] / "images" / "gallery_of_clusters.png"


def draw(path=PICTURE):
    """Five digits that look alike, in five clusters."""
    images, digits = load_mnist_sample(return_X_y=True)
    alike = np.flatnonzero(np.isin(digits, [3, 4, 5, 8, 9]))[:1500]
    images, digits = images[alike], digits[alike]
    clusterer = make_pipeline(
        KMeansFilterLearner(64, pool_grid=3, n_patches=40_000, max_iter=10, random_state=0),
        FunctionTransformer(np.sqrt),
        PCA(20, whiten=True, random_state=0),
        Normalizer(),
        KMeans(5, random_state=0),
    ).fit(images)
    figure, ax = plt.subplots(figsize=(5, 3.3))
    ClusterGalleryDisplay.from_estimator(
        clusterer, images, y=digits, n_images=5, ax=ax, text_kw={"fontsize": 10}
    )
    figure.savefig(path, dpi=130, bbox_inches="tight", pad_inches=0.05)


if __name__ == "__main__":
    draw()
