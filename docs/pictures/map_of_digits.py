"""A map of digits by their features: python docs/pictures/map_of_digits.py."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer

from sklearn_kmfeat import KMeansFilterLearner
from sklearn_kmfeat.datasets import load_mnist_sample
from sklearn_kmfeat.displays import EmbeddingDisplay

PICTURE = Path(__file__).parents[1] / "images" / "map_of_digits.png"


def draw(path=PICTURE):
    """The first thousand digits of the sample; colours are their classes."""
    images, digits = load_mnist_sample(return_X_y=True)
    images, digits = images[:1000], digits[:1000]
    features = make_pipeline(
        KMeansFilterLearner(64, pool_grid=3, n_patches=40_000, max_iter=10, random_state=0),
        FunctionTransformer(np.sqrt),
        PCA(30, whiten=True, random_state=0),
        Normalizer(),
    ).fit(images)
    figure, ax = plt.subplots(figsize=(5, 4.2))
    reducer = TSNE(random_state=0)
    EmbeddingDisplay.from_estimator(
        features, images, reducer=reducer, y=digits, thumbnail_size=15, ax=ax
    )
    figure.savefig(path, dpi=130, bbox_inches="tight", pad_inches=0.05)


if __name__ == "__main__":
    draw()
