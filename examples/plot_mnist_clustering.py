"""
Cluster digits in seconds without a network
===========================================

K-means on the pixels of handwritten digits mixes several digits in most
of its clusters. This page looks at these clusters, measures them, and
then gives the same k-means better features: counts of patches, averaged
over nearest neighbours. The clusters become the digits, without a
network and in some seconds.
"""

# %%
# K-means on pixels
# -----------------
#
# Five thousand images of MNIST. For k-means on pixels, an image is a
# row of 784 grey levels. A centroid is the mean of the images in its
# cluster, and can be drawn.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans

from sklearn_kmfeat.datasets import load_mnist_sample
from sklearn_kmfeat.displays import (
    ClusterGalleryDisplay,
    ContingencyDisplay,
    FilterDisplay,
)
from sklearn_kmfeat.metrics import purity_score

images, digits = load_mnist_sample(return_X_y=True)
images, digits = images[:5000], digits[:5000]
pixels = images.reshape(len(images), -1).astype(np.float32)

of_pixels = KMeans(n_clusters=10, n_init=3, random_state=0).fit(pixels)

display = FilterDisplay.from_estimator(
    of_pixels, image_shape=(28, 28), n_cols=5
)
display.ax_.set_title("Centroids of k-means on pixels")
plt.show()

# %%
# Most centroids can be read, but they are not the ten digits. Blurred
# ones are means of different digits.
#
# Better features
# ---------------
#
# Pixels are poor features: shift a stroke by two pixels, and the row is
# a different one. Counts of small patches change much less.
# :class:`~sklearn_kmfeat.BagOfPatches` learns fifty typical patches from
# the same digits, without labels, and counts them in each cell of a 3×3
# grid. The square root keeps frequent patches from dominating, and
# whitened principal components keep a few directions from doing so.

from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer

from sklearn_kmfeat import BagOfPatches, NeighborAverager

counts = make_pipeline(
    BagOfPatches(
        n_words=50, pool_grid=3, n_patches=50_000, random_state=0
    ),
    FunctionTransformer(np.sqrt),
    PCA(n_components=40, whiten=True, random_state=0),
    Normalizer(),
).fit_transform(images)

# %%
# One step more: :class:`~sklearn_kmfeat.NeighborAverager` replaces each
# row by the mean of itself and its ten nearest neighbours, and repeats.
# Images that share neighbours move together. This helps where the
# neighbours of an image are mostly of its class, as for digits.

averaged = make_pipeline(
    NeighborAverager(n_neighbors=10, n_iter=10), Normalizer()
).fit_transform(counts)

# %%
# Measure it
# ----------
#
# Purity is the share of images that belong to the most frequent digit
# of their cluster.

kmeans = KMeans(n_clusters=10, n_init=10, random_state=0)
clusters = {
    "pixels": of_pixels.labels_,
    "patch counts": kmeans.fit_predict(counts),
    "counts, averaged": kmeans.fit_predict(averaged),
}
purity = {
    name: purity_score(digits, labels)
    for name, labels in clusters.items()
}

fig, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
bars = ax.barh(list(purity), list(purity.values()))
ax.bar_label(bars, fmt="%.2f", padding=3)
ax.invert_yaxis()
ax.set(xlim=(0, 1.1), xlabel="purity of 10 clusters")
plt.show()

# %%
# How many images of each digit are in each cluster? Columns are sorted,
# so that a perfect result would be a diagonal.

fig, axes = plt.subplots(2, 1, figsize=(6, 9), layout="constrained")
for ax, name in zip(axes, ("pixels", "counts, averaged"), strict=True):
    ContingencyDisplay.from_predictions(digits, clusters[name], ax=ax)
    ax.set_title(f"k-means on {name}")
plt.show()

# %%
# The images of each cluster, the most typical ones on the left.

ClusterGalleryDisplay.from_predictions(
    images, clusters["counts, averaged"], y=digits, n_images=7
)
plt.show()

# sphinx_gallery_thumbnail_number = 4
