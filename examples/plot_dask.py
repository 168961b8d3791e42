"""
Work with images larger than memory
===================================

Images lie in a zarr array on disk, in chunks. Filters are learned where
the chunks are read, features go back to disk, and a classifier learns
from them one block at a time. Never more is in memory than the patches
that k-means sees and one block for each thread. The same lines run on
one machine, as here, and on the workers of a Dask cluster.
"""

# %%
# Images on disk
# --------------
#
# Two thousand photographs take the place of two million. A chunk is what
# one task reads: some hundred images of this size, so that a block and
# its features take some tens of megabytes.

import tempfile
from pathlib import Path

import dask.array as da
import matplotlib.pyplot as plt
import numpy as np
import zarr
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_kmfeat import KMeansFilterLearner
from sklearn_kmfeat import dask as kd
from sklearn_kmfeat.datasets import load_cifar10_sample
from sklearn_kmfeat.displays import FilterDisplay

photos, labels = load_cifar10_sample(return_X_y=True)
temporary = tempfile.TemporaryDirectory()  # gone with this object
folder = Path(temporary.name)
stored = zarr.create_array(
    store=str(folder / "images.zarr"),
    shape=photos.shape,
    chunks=(250, 32, 32, 3),
    dtype="uint8",
)
stored[:] = photos

FilterDisplay(stored[:40] / 255).plot(n_cols=8, normalize=None)
plt.show()

# %%
# Filters
# -------
#
# Without a cluster, Dask works in threads. For a cluster one line comes
# first: ``client = distributed.Client("tcp://scheduler:8786")``; for
# processes on this machine, ``client = distributed.Client()``.

images = da.from_zarr(folder / "images.zarr")
train, test = images[:1500], images[1500:]
learner = KMeansFilterLearner(
    64, n_patches=20_000, max_iter=10, random_state=0
)
kd.fit(learner, train)

FilterDisplay(learner.filters_).plot()
plt.show()

# %%
# Features, to disk and back
# --------------------------
#
# :func:`sklearn_kmfeat.dask.transform` returns a dask array, which is
# computed when it is needed, here while it is written. The learner is an
# ordinary one: it could have been fitted without Dask.

features = kd.transform(learner, images)
print(features)
features.to_zarr(folder / "features.zarr")
features = da.from_zarr(folder / "features.zarr")

# %%
# A classifier, one block at a time
# ---------------------------------
#
# Estimators with `partial_fit` take one block after the other: first the
# scaling, then the classifier, which goes over all blocks ten times.


def blocks_of(features, labels):
    """Each block of the features in memory, with its labels."""
    stop = 0
    for block in features.blocks:
        start, stop = stop, stop + len(block)
        yield np.sqrt(block.compute()), labels[start:stop]


scaler = StandardScaler()
for block, _ in blocks_of(features[:1500], labels):
    scaler.partial_fit(block)

classifier = SGDClassifier(alpha=0.1, random_state=0)
for epoch in range(10):
    for block, of_block in blocks_of(features[:1500], labels):
        classifier.partial_fit(
            scaler.transform(block), of_block, classes=np.arange(10)
        )

# %%
# New images
# ----------
#
# The steps become one Pipeline, and :func:`sklearn_kmfeat.dask.predict`
# classifies images where they are.

model = make_pipeline(
    learner, FunctionTransformer(np.sqrt), scaler, classifier
)
predicted = kd.predict(model, test)
print(predicted)
print(f"accuracy: {np.mean(predicted.compute() == labels[1500:]):.1%}")

# sphinx_gallery_thumbnail_number = 1
