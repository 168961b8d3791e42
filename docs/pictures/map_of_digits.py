"""A map of handwritten digits by their features, thumbnails where there is room."""

from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer

from sklearn_kmfeat import KMeansFilterLearner
from sklearn_kmfeat.datasets import load_mnist_sample
from sklearn_kmfeat.displays import EmbeddingDisplay

IMAGES = Path(__file__).parents[1] / "images"

images, digits = load_mnist_sample(return_X_y=True)
images, digits = images[:1500], digits[:1500]
features = make_pipeline(
    KMeansFilterLearner(64, pool_grid=3, n_patches=40_000, max_iter=10, random_state=0),
    FunctionTransformer(np.sqrt),
    PCA(30, whiten=True, random_state=0),
    Normalizer(),
).fit(images)
figure, ax = plt.subplots(figsize=(6.4, 5.6))
reducer = TSNE(random_state=0, init="pca")
EmbeddingDisplay.from_estimator(features, images, reducer=reducer, y=digits, ax=ax)
figure.savefig(IMAGES / "map_of_digits.png", dpi=110, bbox_inches="tight", pad_inches=0.05)
