"""
Cluster 10,000 photographs of cats and dogs
===========================================

Photographs are harder than digits. This page shows what
:class:`~sklearn_kmfeat.DeepClusterEstimator` makes of the 10,000 cats
and dogs of CIFAR-10, 32×32 pixels each, with no label in the fit: two
clusters that are right for two photographs in three, also for
photographs that the network has not seen. By chance it would be one in
two.

The fit takes half an hour or more on one core, so this page reads the
result of a stored run. ``tools/run_cats_and_dogs.py`` in the repository
made it, and makes it again.
"""

# %%
# The settings of the run
# -----------------------
#
# The first layer of the network is a dictionary of 96 filters that
# :class:`~sklearn_kmfeat.KMeansFilterLearner` finds in the same
# photographs within seconds; four convolutions follow
# (``benchmarks/_on_filters.py``). From some thousands of photographs
# on, ``head="prototypes"`` is the better choice. The views in other
# colours (``augment="color"``) keep colour from deciding the clusters,
# and the network learns from many more pseudo-labels than there are
# clusters in the end.

settings = {
    "max_epochs": 120,
    "head": "prototypes",
    "n_pseudo_labels": (100, 100),
    "augment": "color",
    "batch_size": 128,
    "lr_schedule": "cosine",
    "precision": "fast",
    "random_state": 0,
}

# %%
# The run was
# ``ClusterClassifier(DeepClusterEstimator(2, module=network, **settings))``,
# fitted on the 10,000 training photographs; then the same network with
# 20 and with 100 clusters. :class:`~sklearn_kmfeat.ClusterClassifier`
# looks at the labels only after the fit, to give each cluster the name
# of the animal that is more frequent in it.
#
# The file of the run does not come with the script or the notebook.
# Download ``cats_and_dogs.npz`` from `examples/data
# <https://github.com/sklearn-kmfeat/sklearn-kmfeat/tree/main/examples/data>`__
# of the repository into a folder ``data`` beside them.

from pathlib import Path

import numpy as np

run = np.load(Path("data") / "cats_and_dogs.npz")
animals = np.where(run["is_dog"], "dog", "cat")
new_animals = np.where(run["new_is_dog"], "dog", "cat")
print(f"{len(animals):,} photographs, {len(new_animals):,} new ones")
print(f"{run['minutes']:.0f} minutes of a processor core")

# %%
# Two clusters
# ------------
#
# The most typical photographs of both clusters, those nearest to the
# centers.

import matplotlib.pyplot as plt

from sklearn_kmfeat.displays import FilterDisplay


def draw(ax, photographs, title, n_cols):
    """Photographs side by side."""
    display = FilterDisplay(photographs / 255)
    display.plot(ax=ax, n_cols=n_cols, normalize=None)
    ax.set_title(title, loc="left", fontsize=11)


def share_of_dogs(n_clusters, cluster):
    """Among the photographs of a cluster."""
    return run["is_dog"][
        run[f"clusters_{n_clusters}"] == cluster
    ].mean()


fig, axes = plt.subplots(2, 1, figsize=(6.4, 5.8), layout="constrained")
for cluster, ax in enumerate(axes):
    dogs = share_of_dogs(2, cluster)
    title = f"Cluster {cluster}: {1 - dogs:.0%} cats, {dogs:.0%} dogs"
    draw(ax, run["typical_2"][cluster], title, n_cols=8)
plt.show()

# %%

from sklearn_kmfeat.displays import ContingencyDisplay

fig, ax = plt.subplots(figsize=(4.2, 3.2), layout="constrained")
ContingencyDisplay.from_predictions(animals, run["clusters_2"], ax=ax)
ax.set_title("2 clusters")
plt.show()

# %%
# More clusters
# -------------
#
# Cat or dog is not the only thing that divides these photographs: a
# face or a whole animal, dark or light, the background. Twenty clusters
# leave room for more than one kind of each animal. They are sorted
# here from cats to dogs.

dogs = np.array([share_of_dogs(20, k) for k in range(20)])
fig, axes = plt.subplots(
    10, 2, figsize=(6.4, 9.6), layout="constrained"
)
for ax, cluster in zip(axes.T.flat, dogs.argsort(), strict=True):
    share = dogs[cluster]
    title = f"{1 - share:.0%} cats, {share:.0%} dogs"
    draw(ax, run["typical_20"][cluster], title, n_cols=6)
plt.show()

# %%
# Is that good?
# -------------
#
# Purity is the share of photographs whose cluster has the name of their
# animal. Many small clusters have a majority of something by chance, so
# the table also has the purity of clusters of the same sizes with
# shuffled members. Accuracy on the 2,000 new photographs has no such
# bonus: there, guessing gets one half.

from sklearn_kmfeat.metrics import purity_score


def purity_by_chance(clusters, n_times=20):
    """Mean purity of shuffled clusters."""
    rng = np.random.default_rng(0)
    shuffled = [rng.permutation(clusters) for _ in range(n_times)]
    return np.mean([purity_score(animals, c) for c in shuffled])


print("clusters  purity  by chance  accuracy, new")
for n_clusters in (2, 20, 100):
    clusters = run[f"clusters_{n_clusters}"]
    purity = purity_score(animals, clusters)
    chance = purity_by_chance(clusters)
    predicted = run[f"new_predicted_dog_{n_clusters}"]
    accuracy = np.mean(predicted == run["new_is_dog"])
    print(
        f"{n_clusters:8} {purity:7.3f} {chance:10.3f} {accuracy:14.3f}"
    )

# %%
# This is one run, with one seed, and its time is that on a busy core.
# :doc:`/benchmarks` has the means of three seeds, and their time.

# %%
# Right and wrong
# ---------------
#
# New photographs and what the 100 clusters take them for; the first
# ones of each kind.

fig, axes = plt.subplots(4, 1, figsize=(6.4, 9), layout="constrained")
names = ("cat", "dog")
kinds = [(i, j) for i in range(2) for j in (i, 1 - i)]
for ax, (i, j) in zip(axes, kinds, strict=True):
    is_kind = (run["new_is_dog"] == i) & (
        run["new_predicted_dog_100"] == j
    )
    title = f"{is_kind.sum()} {names[i]}s taken for {names[j]}s"
    draw(ax, run["examples_new"][i, j], title, n_cols=7)
plt.show()

# %%
# While it learned
# ----------------
#
# The loss says how well the network predicts its pseudo-labels, `nmi`
# (normalised mutual information) how much the clusters of an epoch
# agree with those of the epoch before. Neither uses labels. As the
# learning rate falls, the clusters come to rest.

import json

from sklearn_kmfeat.displays import HistoryDisplay

history = json.loads(str(run["history"]))
HistoryDisplay(history).plot(keys=["loss", "nmi"])
plt.show()

# %%
# When to use something else
# --------------------------
#
# For such photographs, of everyday things, a pretrained network is the
# better choice, if you may use one: cluster its embeddings
# (:ref:`pretrained` has the lines). :doc:`/guide/choosing` tells which
# estimator suits which images.

# sphinx_gallery_thumbnail_number = 1
