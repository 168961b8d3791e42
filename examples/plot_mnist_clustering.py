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
# The digits
# ----------
#
# Ten thousand images of MNIST come with the package, a thousand of each class. For k-means on
# pixels, an image is a row of 784 grey levels.

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
pixels = images.reshape(len(images), -1).astype(np.float32)

# %%
# Ten clusters
# ------------
#
# K-means only finds a local optimum, so it starts three times and keeps the best run. A centroid
# is the mean of the images in its cluster: an image itself, and we can look at it.

ten_means = KMeans(n_clusters=10, n_init=3, random_state=0).fit(pixels)

display = FilterDisplay.from_estimator(
    ten_means, image_shape=(28, 28), n_cols=5
)
display.ax_.set_title("The centroids of 10 clusters")
plt.show()

# %%
# Most centroids can be read, but they are not the ten digits: the 1 owns two, upright and slanted,
# and the 5 owns none. The most blurred ones average shapes that differ, such as 4, 7 and 9.
#
# More clusters
# -------------
#
# With twenty clusters, each has less to average. The pictures get sharper, and styles of writing
# come apart.

twenty_means = KMeans(n_clusters=20, n_init=3, random_state=0).fit(
    pixels
)

display = FilterDisplay.from_estimator(
    twenty_means, image_shape=(28, 28), n_cols=5
)
display.ax_.set_title("The centroids of 20 clusters")
plt.show()

# %%
# Against the labels
# ------------------
#
# The labels played no part so far. Now they judge: how many images of each class are in each
# cluster? The columns are sorted by their most frequent class; a perfect clustering would be a
# diagonal.

display = ContingencyDisplay.from_predictions(digits, ten_means.labels_)
display.ax_.set_title("10 clusters of pixels")
plt.show()

# %%
# The rows tell which classes are easy, such as 0, 2 and 6, and which ones k-means takes for one
# another: 4, 7 and 9, and 3, 5 and 8. With twenty clusters there is less of that.

display = ContingencyDisplay.from_predictions(
    digits, twenty_means.labels_
)
display.ax_.set_title("20 clusters of pixels")
plt.show()

# %%
# **Purity** makes one number of such a table: let each cluster stand for its most frequent class;
# purity is the share of images for which that is right. Splitting a cluster can never lower it,
# so compare purities at the same number of clusters only.

purity = {
    ("pixels", 10): purity_score(digits, ten_means.labels_),
    ("pixels", 20): purity_score(digits, twenty_means.labels_),
}
for (name, n_clusters), score in purity.items():
    print(f"{n_clusters} clusters of {name}: purity {score:.3f}")

# %%
# Inside the clusters
# -------------------
#
# On the left the images nearest to each centroid, on the right those furthest from it, which show
# how much a cluster takes in.

ClusterGalleryDisplay.from_estimator(
    ten_means, pixels, y=digits, image_shape=(28, 28)
)
plt.show()

# %%
# Words instead of pixels
# -----------------------
#
# Pixels are a poor description: shift a stroke by two pixels, and its row is a different one.
# Counts of small patches change much less. :class:`~sklearn_kmfeat.BagOfPatches` learns fifty
# *visual words* from patches of the same digits, again without labels, and counts them in each cell
# of a 3×3 grid; :ref:`sphx_glr_auto_examples_plot_bag_of_patches.py` shows how. A square root evens
# out large counts, and whitened principal components, made unit vectors, keep a few directions from
# drowning the others.

from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer

from sklearn_kmfeat import BagOfPatches, NeighborAverager

describe = make_pipeline(
    BagOfPatches(
        n_words=50, pool_grid=3, n_patches=50_000, random_state=0
    ),
    FunctionTransformer(np.sqrt),
    PCA(n_components=40, whiten=True, random_state=0),
    Normalizer(),
)
words = describe.fit_transform(images)

# %%
# One more step uses that two images of a class have neighbours in common, or neighbours of
# neighbours, even when they look nothing alike: :class:`~sklearn_kmfeat.NeighborAverager` replaces
# each row by the mean of itself and its ten nearest neighbours, and repeats. What is connected by
# many short paths moves together, and k-means then has an easy task. It is so for digits, where the
# nearest neighbours of an image are nearly always of its class; of photographs they often are not,
# and averaging does little for them.

smooth = make_pipeline(
    NeighborAverager(n_neighbors=10, n_iter=10), Normalizer()
)
smoothed = smooth.fit_transform(words)

found = {}
for name, rows in {"words": words, "smoothed words": smoothed}.items():
    for n_clusters in (10, 20):
        found[name, n_clusters] = KMeans(
            n_clusters, n_init=10, random_state=0
        ).fit_predict(rows)
        purity[name, n_clusters] = purity_score(
            digits, found[name, n_clusters]
        )

fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
names = ["pixels", "words", "smoothed words"]
for offset, n_clusters in ((-0.2, 10), (0.2, 20)):
    scores = [purity[name, n_clusters] for name in names]
    bars = ax.bar(
        np.arange(3) + offset,
        scores,
        width=0.38,
        label=f"{n_clusters} clusters",
    )
    ax.bar_label(bars, fmt="%.3f")
ax.set(
    xticks=np.arange(3),
    xticklabels=names,
    ylabel="purity",
    ylim=(0, 1.1),
)
ax.legend(loc="lower right", framealpha=1)
plt.show()

# %%
# The table of ten clusters is nearly a diagonal now, and what is left of the confusion can be seen
# in the images that are least typical of their cluster.

display = ContingencyDisplay.from_predictions(
    digits, found["smoothed words", 10]
)
display.ax_.set_title("10 clusters of smoothed words")
plt.show()

# %%

ClusterGalleryDisplay.from_predictions(
    images, found["smoothed words", 10], y=digits
)
plt.show()
