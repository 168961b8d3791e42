"""
Classify with few labels
========================

Images are many, labels are few, because somebody has to look at each
image. Then learn from all images what needs no labels, and use the
labels for the rest. This page classifies digits of which ten to a
thousand are labelled. With one label for each class, clusters are right
for three images in four, and with three labels for nine in ten. With a
thousand labels a linear classifier on k-means filters is the best.
"""

# %%
# Ten labels
# ----------
#
# Eight thousand images to learn from, two thousand for the test. Say
# that one image of each class has been labelled:

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split

from sklearn_kmfeat.datasets import load_mnist_sample

images, digits = load_mnist_sample(return_X_y=True)
images, images_test, digits, digits_test = train_test_split(
    images, digits, test_size=2000, stratify=digits, random_state=0
)


def choose(n_labels, seed):
    """Places of labelled images, as many of each class."""
    chosen, _ = train_test_split(
        np.arange(len(digits)),
        train_size=n_labels,
        stratify=digits,
        random_state=seed,
    )
    return chosen


ten = choose(10, seed=0)
ten = ten[digits[ten].argsort()]

fig, axes = plt.subplots(2, 5, figsize=(4, 2.4), layout="constrained")
for ax, image, digit in zip(
    axes.flat, images[ten], digits[ten], strict=True
):
    ax.imshow(image, cmap="gray_r")
    ax.set_title(digit)
    ax.axis("off")
plt.show()

# %%
# Features of all images
# ----------------------
#
# The filters of :class:`~sklearn_kmfeat.KMeansFilterLearner` need no
# labels, and neither does the scaling of the features. Both are fitted
# on all images, once.

from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_kmfeat import KMeansFilterLearner

features = make_pipeline(
    KMeansFilterLearner(
        n_filters=200, n_patches=50_000, max_iter=10, random_state=0
    ),
    FunctionTransformer(np.sqrt),
    StandardScaler(),
).fit(images)
rows, rows_test = (
    features.transform(images),
    features.transform(images_test),
)

pixel_scaler = StandardScaler().fit(images.reshape(len(images), -1))
pixels, pixels_test = (
    pixel_scaler.transform(part.reshape(len(part), -1))
    for part in (images, images_test)
)

# %%
# A linear classifier
# -------------------
#
# With more features than labels the penalty matters, and the best one
# changes with the number of labels.
# :class:`~sklearn.linear_model.RidgeClassifierCV` chooses it by
# leave-one-out cross-validation.

from sklearn.linear_model import RidgeClassifierCV

ridge = RidgeClassifierCV(alphas=np.logspace(0, 4, 9))

# %%
# Clusters and labels
# -------------------
#
# One image of a class does not tell how the others vary. Clusters do,
# as they are found in all images.
# :class:`~sklearn_kmfeat.ClusterClassifier` gives each cluster the
# class of its labelled images; a cluster without any takes that of the
# nearest cluster with one. The clusters are frozen, so that they are
# found once and not again for each choice of labels.

from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import Normalizer

from sklearn_kmfeat import ClusterClassifier, NeighborAverager

clusters = make_pipeline(
    PCA(n_components=40, whiten=True, random_state=0),
    Normalizer(),
    NeighborAverager(),
    Normalizer(),
    KMeans(n_clusters=50, n_init=5, random_state=0),
).fit(rows)
named = ClusterClassifier(FrozenEstimator(clusters))

# %%
# Accuracy by the number of labels
# --------------------------------
#
# All three get the same labelled images, chosen five times at random.

METHODS = {
    "pixels, ridge": (ridge, pixels, pixels_test),
    "filters, ridge": (ridge, rows, rows_test),
    "clusters of filters": (named, rows, rows_test),
}
N_LABELS = [10, 30, 100, 300, 1000]


def accuracies(model, X, X_test, n_labels):
    """Test accuracies of five choices of labelled images."""
    chosen = [choose(n_labels, seed) for seed in range(5)]
    return [
        model.fit(X[some], digits[some]).score(X_test, digits_test)
        for some in chosen
    ]


found = {
    name: np.array(
        [accuracies(*method, n_labels) for n_labels in N_LABELS]
    )
    for name, method in METHODS.items()
}

fig, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
for name, values in found.items():
    (line,) = ax.plot(N_LABELS, values.mean(1), marker="o", label=name)
    ax.fill_between(
        N_LABELS,
        values.min(1),
        values.max(1),
        color=line.get_color(),
        alpha=0.2,
    )
ax.set(
    xscale="log", xticks=N_LABELS, xticklabels=N_LABELS, ylim=(0.3, 1)
)
ax.minorticks_off()
ax.set(
    xlabel="labelled images",
    ylabel="accuracy",
    title="8,000 digits, few of them labelled",
)
ax.grid(alpha=0.3)
ax.legend(loc="lower right")
plt.show()

# %%

print(f"{'labels':20}" + "".join(f"{n:>8}" for n in N_LABELS))
for name, values in found.items():
    print(
        f"{name:20}"
        + "".join(f"{value:8.3f}" for value in values.mean(1))
    )

# %%
# Lines are means; the bands reach from the worst to the best of the
# five choices. With few labels, clusters are far ahead. They stop to
# gain where a cluster holds two classes, and the linear classifier
# overtakes them between three hundred and a thousand labels. Filters
# with a hundred labels are better than pixels with a thousand.
#
# One model of it
# ---------------
#
# `FrozenEstimator` keeps the features as they are, whatever is fitted
# again, for example in cross-validation.

from sklearn.model_selection import cross_val_score

few = choose(300, seed=0)
model = make_pipeline(FrozenEstimator(features), ridge)
scores = cross_val_score(model, images[few], digits[few], cv=5)
print(f"estimated on 300 labelled images: {scores.mean():.3f}")
model.fit(images[few], digits[few])
score = model.score(images_test, digits_test)
print(f"on the test images: {score:.3f}")

# sphinx_gallery_thumbnail_number = 1
