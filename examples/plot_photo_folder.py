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
# scikit-learn, cut into 280 pieces of different sizes and saved in
# colour, with transparency, in grey, with sixteen bits and with a
# palette. With your own folder this block is not needed.

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

rng = np.random.RandomState(0)
root = Path(tempfile.mkdtemp())
kinds = ["RGB", "RGBA", "L", "I;16", "P"]
for name, photo in zip(
    ("china", "flower"), load_sample_images().images, strict=True
):
    (root / "photos" / name).mkdir(parents=True)
    for i in range(140):
        height, width = rng.randint(90, 180, 2)
        top, left = (
            rng.randint(photo.shape[0] - height),
            rng.randint(photo.shape[1] - width),
        )
        piece = Image.fromarray(
            photo[top : top + height, left : left + width]
        )
        kind = kinds[i % 5]
        if kind == "I;16":
            piece = Image.fromarray(
                np.asarray(piece.convert("L")).astype(np.uint16) * 257
            )
        else:
            piece = piece.convert(kind)
        piece.save(root / "photos" / name / f"{i:03d}.png")

# %%
# The files
# ---------
#
# :class:`~sklearn_kmfeat.ImageFiles` finds the image files in a folder
# and its subfolders, and reads only their headers. Files are decoded
# when an estimator needs them, a few at a time; `size` bounds the larger
# side. All kinds of files are brought to one form without loss.

from sklearn_kmfeat import ImageFiles

photos = ImageFiles.from_folder(root / "photos", size=64)
print(photos)
print(
    "sizes from",
    photos.sizes.min(axis=0),
    "to",
    photos.sizes.max(axis=0),
)
print("read as", photos.format)

# %%
# Cluster
# -------
#
# Filters are learned from the photographs themselves; their responses
# are the features, which k-means clusters. With ``pool="mean"`` small
# and large photographs can be compared.

from sklearn.cluster import KMeans
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_kmfeat import KMeansFilterLearner

learner = KMeansFilterLearner(
    n_filters=100, pool="mean", n_patches=50_000, random_state=0
)
model = make_pipeline(
    learner,
    StandardScaler(),
    KMeans(n_clusters=10, n_init=3, random_state=0),
)
clusters = model.fit_predict(photos)

# %%
# Look at the clusters
# --------------------
#
# The most typical images of each cluster, and the least typical ones.

import matplotlib.pyplot as plt

from sklearn_kmfeat.displays import (
    ClusterGalleryDisplay,
    EmbeddingDisplay,
)

ClusterGalleryDisplay.from_estimator(
    model, photos, y=photos.labels, n_images=6
)
plt.show()

# %%
# A map: similar photographs are near each other. The colour of a frame
# is the cluster.

fig, ax = plt.subplots(figsize=(7, 6.6), layout="constrained")
EmbeddingDisplay.from_estimator(model, photos, ax=ax)
plt.show()

# %%
# Save the result
# ---------------
#
# The clusters are in the order of ``photos.paths``. A table of files and
# clusters:

import csv

with open(root / "clusters.csv", "w", newline="") as file:
    rows = zip(photos.paths, clusters.tolist(), strict=True)
    csv.writer(file).writerows([("file", "cluster"), *rows])
print(
    (root / "clusters.csv").read_text().count("\n") - 1,
    "files in the table",
)

# %%
# Copies of the files, in a folder for each cluster:

import shutil

for path, cluster in zip(photos.paths, clusters, strict=True):
    folder = root / "clusters" / str(cluster)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, folder / "-".join(Path(path).parts[-2:]))
for folder in sorted((root / "clusters").iterdir()):
    print(folder.name, len(list(folder.iterdir())), "files")

# %%
# New photographs go to their cluster by `predict`; here a list with one
# file.

print(
    model.predict(
        ImageFiles(
            photos.paths[:1], size=64, mode="RGB", dtype="uint16"
        )
    )
)

# sphinx_gallery_thumbnail_number = 1
