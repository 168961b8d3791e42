"""
Cluster by a vote, and choose the number of clusters
====================================================

Clusterings differ with the features and with the random seed, and
without labels nobody knows which one is best.
:class:`~sklearn_kmfeat.ConsensusClusterer` clusters the images in
several ways, several times each, and combines the results by a vote.
The vote is about as good as the best of its members, it tells which
images it is sure of, and it can choose the number of clusters.
"""

# %%
# Cluster
# -------
#
# A thousand handwritten digits. Without further arguments,
# `ConsensusClusterer` is a recipe for images: four kinds of features,
# three runs each.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_kmfeat import ConsensusClusterer
from sklearn_kmfeat.datasets import load_mnist_sample
from sklearn_kmfeat.displays import (
    ContingencyDisplay,
    FilterDisplay,
    StabilityDisplay,
)
from sklearn_kmfeat.metrics import clustering_accuracy_score

images, digits = load_mnist_sample(return_X_y=True)
images, digits = images[:1000], digits[:1000]

consensus = ConsensusClusterer(10, random_state=0).fit(images)

accuracy = clustering_accuracy_score(digits, consensus.labels_)
print(f"accuracy of the vote: {accuracy:.3f}")
for name, runs in consensus.named_estimators_.items():
    each = [
        clustering_accuracy_score(digits, run[-1].labels_)
        for run in runs
    ]
    print(f"{name:>7}: " + ", ".join(f"{value:.3f}" for value in each))

# %%
# The vote is as good as the best of its members, and no label was
# needed to find out which one that is.

display = ContingencyDisplay.from_predictions(digits, consensus.labels_)
display.ax_.set_title("The clusters of the vote")
plt.show()

# %%
# How well do the runs agree?
# ---------------------------
#
# The adjusted Rand index of two runs is 1 where they are the same and 0
# where they agree as by chance. A run that agrees with the others has
# more weight in the vote.

fig, ax = plt.subplots(figsize=(5, 4.2), layout="constrained")
picture = ax.imshow(consensus.agreement_, vmin=0, vmax=1)
names = list(consensus.named_estimators_)
ax.set_xticks(np.arange(len(names)) * 3 + 1, names)
ax.set_yticks(np.arange(len(names)) * 3 + 1, names)
fig.colorbar(picture, label="adjusted Rand index")
plt.show()

# %%
# Which images is it sure of?
# ---------------------------
#
# `confidence_` is the share of the votes for the cluster of an image.
# Where all runs agree, nearly all images are right.

edges = np.array([0.0, 0.5, 0.8, 0.99])
for low, high in zip(edges, [*edges[1:], 1.01], strict=True):
    sure = (consensus.confidence_ >= low) & (
        consensus.confidence_ < high
    )
    if sure.any():
        right = clustering_accuracy_score(
            digits[sure], consensus.labels_[sure]
        )
        print(
            f"confidence from {low:.2f}: {sure.sum():4} images, "
            f"accuracy {right:.3f}"
        )

# %%
# The surest images, and the least sure ones, which are worth a look by
# a person.

order = np.argsort(-consensus.confidence_, kind="stable")
fig, axes = plt.subplots(2, 1, figsize=(4, 3.1), layout="constrained")
for ax, chosen, title in (
    (axes[0], order[:30], "Surest"),
    (axes[1], order[-30:], "Least sure"),
):
    FilterDisplay(images[chosen]).plot(ax=ax, n_cols=10)
    ax.set_title(title)
plt.show()

# %%
# How many clusters?
# ------------------
#
# Given several numbers, the runs are compared at each of them. Too few
# clusters join classes and too many split them, in ways that differ
# from run to run. Where the agreement has its peak, the clusters are a
# property of the images: here at ten. A curve without a peak, as for
# most photographs, says that no number is better than the others.

several = ConsensusClusterer(
    range(4, 17), n_runs=1, random_state=0
).fit(images)
print(f"{several.n_clusters_} clusters")
StabilityDisplay.from_estimator(several)
plt.show()

# %%
# Estimators of your own
# ----------------------
#
# Any clusterer can take part: give a list of names and estimators, as
# for scikit-learn's `VotingClassifier`.

from sklearn.cluster import KMeans
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_kmfeat import BagOfPatches, KMeansFilterLearner

members = [
    (
        "filters",
        make_pipeline(
            KMeansFilterLearner(
                64, pool_grid=3, n_patches=20_000, max_iter=10
            ),
            FunctionTransformer(np.sqrt),
            StandardScaler(),
            KMeans(10),
        ),
    ),
    (
        "words",
        make_pipeline(
            BagOfPatches(pool_grid=3, n_patches=20_000), KMeans(10)
        ),
    ),
]
own = ConsensusClusterer(10, members, n_runs=2, random_state=0).fit(
    images
)
print(
    {
        name: round(weight, 2)
        for name, weight in own.member_weights_.items()
    }
)

# sphinx_gallery_thumbnail_number = 3
