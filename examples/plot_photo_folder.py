"""
Cluster a folder of photographs
===============================

A folder of photographs and no labels: this page makes groups of similar
photographs, shows them, writes a table of which file is in which group,
and copies the files into a folder for each group.
"""

# %%
# A folder
# --------
#
# In place of a folder of your own: the two photographs that come with
# scikit-learn, cut into 240 pieces of different sizes and saved as PNG
# and JPEG files, some of them with transparency, with a palette or in
# the colours of printers. With your own folder this block is not
# needed.

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

rng = np.random.RandomState(0)
root = Path(tempfile.mkdtemp())
kinds = [
    ("RGB", "png"),
    ("RGB", "jpg"),
    ("RGBA", "png"),
    ("P", "png"),
    ("CMYK", "jpg"),
]
for name, photo in zip(
    ("china", "flower"), load_sample_images().images, strict=True
):
    (root / "photos" / name).mkdir(parents=True)
    for i in range(120):
        height, width = rng.randint(90, 180, 2)
        top = rng.randint(photo.shape[0] - height)
        left = rng.randint(photo.shape[1] - width)
        piece = photo[top : top + height, left : left + width]
        kind, suffix = kinds[i % len(kinds)]
        path = root / "photos" / name / f"{i:03d}.{suffix}"
        Image.fromarray(piece).convert(kind).save(path)

# %%
# The files
# ---------
#
# :class:`~sklearn_kmfeat.ImageFiles` finds the image files in a folder
# and its subfolders, and reads only their headers. Files are decoded
# when an estimator needs them, a few at a time. `size` bounds the larger
# side: 64 pixels are enough here. With ``on_error="skip"`` a file that
# cannot be read is left out, with a warning.

from sklearn_kmfeat import ImageFiles

photos = ImageFiles.from_folder(
    root / "photos", size=64, on_error="skip"
)
print(photos)
smallest, largest = photos.sizes.min(axis=0), photos.sizes.max(axis=0)
print("heights and widths from", smallest, "to", largest)
print("read as", photos.format)

# %%
# Cluster
# -------
#
# :class:`~sklearn_kmfeat.ConsensusClusterer` is the one to try first: it
# clusters the photographs with four kinds of features and combines the
# results by a vote. Here each kind has one run, which saves time; the
# default is three. :doc:`/guide/clusters` has other clusterers.

from sklearn_kmfeat import ConsensusClusterer

clusterer = ConsensusClusterer(6, n_runs=1, random_state=0).fit(photos)
clusters = clusterer.labels_

# %%
# Look at the clusters
# --------------------
#
# The most typical photographs of each cluster are on the left, the
# least typical ones on the right. Look at both before you use the
# result. The titles have the folder that most files of a cluster come
# from, which the clusterer does not know.

import matplotlib.pyplot as plt

from sklearn_kmfeat.displays import (
    ClusterGalleryDisplay,
    EmbeddingDisplay,
)

ClusterGalleryDisplay.from_estimator(
    clusterer, photos, y=photos.labels, n_images=5
)
plt.show()

# %%
# Too many kinds of photographs in one cluster: ask for more clusters.
# The same kind in several clusters: ask for fewer
# (:ref:`sphx_glr_auto_examples_plot_consensus.py` compares numbers of
# clusters).
#
# Save the result
# ---------------
#
# The clusters are in the order of ``photos.paths``. A table of files,
# clusters and `confidence_`, the share of the votes for this cluster:

import csv

with open(root / "clusters.csv", "w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["file", "cluster", "confidence"])
    for path, cluster, confidence in zip(
        photos.paths, clusters, clusterer.confidence_, strict=True
    ):
        name = Path(path).relative_to(root)
        table.writerow([name, cluster, f"{confidence:.2f}"])

print(*(root / "clusters.csv").read_text().splitlines()[:6], sep="\n")

# %%
# A map of the photographs
# ------------------------
#
# Similar photographs are near each other. The places are the first two
# principal components of the responses of k-means filters; with
# ``pool="mean"`` small and large photographs can be compared. The colour
# of a frame is the cluster.

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_kmfeat import KMeansFilterLearner

features = make_pipeline(
    KMeansFilterLearner(
        100, pool="mean", n_patches=50_000, random_state=0
    ),
    StandardScaler(),
).fit(photos)

fig, ax = plt.subplots(figsize=(7, 6.6), layout="constrained")
EmbeddingDisplay.from_estimator(features, photos, y=clusters, ax=ax)
plt.show()

# %%
# A folder for each cluster
# -------------------------
#
# The files are copied, and stay where they were, too.

import shutil

for path, cluster in zip(photos.paths, clusters, strict=True):
    folder = root / "clusters" / str(cluster)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, folder / "-".join(Path(path).parts[-2:]))
for folder in sorted((root / "clusters").iterdir()):
    print(folder.name, len(list(folder.iterdir())), "files")

# %%
# New photographs
# ---------------
#
# `predict` finds the cluster of new photographs; here of a list with
# one file, in the ``mode`` of those before.

new = ImageFiles(photos.paths[:1], size=64, mode="RGB")
print(clusterer.predict(new))

# sphinx_gallery_thumbnail_number = 1
