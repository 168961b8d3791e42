"""
Cluster handwritten digits by deep clustering
=============================================

Deep clustering learns a network without labels. K-means clusters the
embeddings of the images, the network learns to predict these clusters
from random views of the images, and the two steps repeat. This page
clusters 4,000 handwritten digits, which takes about half a minute on
one core of a CPU, and looks at the result. More than nine in ten
images end up in a cluster of their digit; k-means on the pixels
reaches little more than one in two.
"""

# %%
# Fit
# ---
#
# The digits are a sample of MNIST that comes with the package. Images
# go in as they are: an array of shape (n, height, width), in any range
# of values. The labels are only used to judge the result.

from sklearn_kmfeat import DeepClusterEstimator
from sklearn_kmfeat.datasets import load_mnist_sample

images, digits = load_mnist_sample(return_X_y=True)
train, new = images[:4000], images[4000:5000]
y_train, y_new = digits[:4000], digits[4000:5000]

model = DeepClusterEstimator(
    n_clusters=10, max_epochs=10, layer="clusters", random_state=0
)
clusters = model.fit_predict(train)

# %%
# Look at the clusters
# --------------------
#
# Each row is a cluster: on the left its most typical images, on the
# right the least typical ones. The title of a row names the most
# frequent digit and its share.

import matplotlib.pyplot as plt

from sklearn_kmfeat.displays import ClusterGalleryDisplay

ClusterGalleryDisplay.from_estimator(
    model, train, y=y_train, n_images=7
)
plt.show()

# %%
# Measure it
# ----------
#
# Purity is the share of images that belong to the most frequent digit
# of their cluster. For comparison, k-means with as many clusters on
# the pixels:

from sklearn.cluster import KMeans

from sklearn_kmfeat.metrics import purity_score

pixels = train.reshape(len(train), -1)
kmeans = KMeans(n_clusters=10, n_init=3, random_state=0)
of_pixels = kmeans.fit_predict(pixels)

purity = {
    "k-means on pixels": purity_score(y_train, of_pixels),
    "deep clustering": purity_score(y_train, clusters),
    "deep clustering, new images": purity_score(
        y_new, model.predict(new)
    ),
}
for name, value in purity.items():
    print(f"{name:28} {value:.3f}")

# %%
# The table of digits and clusters shows which digits share a cluster.
# Columns are sorted, so that a perfect result would be a diagonal.

from sklearn_kmfeat.displays import ContingencyDisplay

fig, axes = plt.subplots(2, 1, figsize=(6, 9), layout="constrained")
found = {"k-means on pixels": of_pixels, "deep clustering": clusters}
for ax, (name, labels) in zip(axes, found.items(), strict=True):
    ContingencyDisplay.from_predictions(y_train, labels, ax=ax)
    ax.set_title(f"{name}: purity {purity[name]:.2f}")
plt.show()

# %%
# Draw a map
# ----------
#
# With `layer="clusters"`, `transform` returns the space in which the
# clusters were made. t-SNE brings it to two dimensions; the frames are
# the clusters of the new images, which the network has not seen.

from sklearn.manifold import TSNE

from sklearn_kmfeat.displays import EmbeddingDisplay

fig, ax = plt.subplots(figsize=(7, 7), layout="constrained")
EmbeddingDisplay.from_estimator(
    model, new, reducer=TSNE(random_state=0), ax=ax
)
plt.show()

# %%
# Did it converge?
# ----------------
#
# `nmi` is the agreement of the clusters of an epoch with those of the
# epoch before (normalised mutual information). It rises while the
# network and its clusters come to agree. It needs no labels.

from sklearn_kmfeat.displays import HistoryDisplay

HistoryDisplay.from_estimator(model, keys=["loss", "nmi"])
plt.show()

# sphinx_gallery_thumbnail_number = 3

# %%
# Next steps: :class:`~sklearn_kmfeat.ClusterClassifier` turns clusters
# and a few labels into a classifier
# (:ref:`sphx_glr_auto_examples_plot_few_labels.py`), and
# :ref:`sphx_glr_auto_examples_plot_image_retrieval.py` searches in the
# learned space.
