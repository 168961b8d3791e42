"""
Describe images by counts of patches
====================================

Texts are often described by how often each word occurs. Images can be
described in the same way, by how often each of some typical patches,
*visual words*, occurs. This page learns fifty visual words from
handwritten digits, counts them, and classifies digits, also of
different sizes, by their counts.
"""

# %%
# Patches
# -------
#
# A patch of 6×6 pixels holds a piece of a stroke. We take three quarters
# of all patches of every tenth digit: 396 of 529 in each image. Before,
# every image is brought to mean zero and the same contrast.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_kmfeat import (
    BagOfPatches,
    ContrastNormalizer,
    PatchExtractor,
)
from sklearn_kmfeat.datasets import load_mnist_sample
from sklearn_kmfeat.displays import FilterDisplay

images, digits = load_mnist_sample(return_X_y=True)
some = images[::10]

rows = some.reshape(len(some), -1)
even = ContrastNormalizer().fit_transform(rows).reshape(some.shape)
patches = PatchExtractor(
    patch_size=6, max_patches=0.75, random_state=0
).fit_transform(even)
print(f"{len(patches):,} patches of {patches.shape[1]} pixels")

# %%
# Some of them. Many are empty, the others show edges, ends and crossings
# of strokes.

rng = np.random.RandomState(0)
shown = rng.choice(len(patches), 50, replace=False)
display = FilterDisplay(patches[shown].reshape(-1, 6, 6)).plot(
    n_cols=10, normalize="all"
)
display.ax_.set_title("Random patches")
plt.show()

# %%
# A vocabulary
# ------------
#
# K-means makes fifty clusters of the patches; the mean of a cluster is a
# visual word. :class:`~sklearn_kmfeat.BagOfPatches` does all of the
# above by itself: it normalises the images, draws patches evenly from
# them, and clusters.

bag = BagOfPatches(
    n_words=50,
    patch_size=6,
    n_patches=100_000,
    n_init=3,
    random_state=0,
)
bag.fit(some)

display = FilterDisplay.from_estimator(
    bag, sort="counts", n_cols=10, normalize="all"
)
display.ax_.set_title("The vocabulary, most frequent word first")
plt.show()

# %%
# The first word is empty background, as half of all patches are. The
# others are strokes in every direction and position, ends and bends.
#
# The words of a digit
# --------------------
#
# `predict` gives the nearest word at every location of an image; in the
# picture each word has a colour. Words put where they were found, and
# averaged where they overlap, reconstruct the digit.

frequency = np.argsort(
    np.argsort(-bag.counts_)
)  # 0: the most frequent word
digit = 3
word_map = bag.predict(images[[digit]])[0]
words_found = bag.cluster_centers_[word_map.ravel()]
rebuilt = (
    PatchExtractor(patch_size=6)
    .fit(images[[digit]])
    .inverse_transform(words_found)[0]
)

fig, axes = plt.subplots(1, 3, figsize=(6.4, 2.5), layout="constrained")
axes[0].imshow(images[digit], cmap="gray")
axes[0].set_title("The digit")
colours = np.ma.masked_equal(frequency[word_map], 0)
axes[1].imshow(colours, cmap="turbo", extent=(2.5, 25.5, 25.5, 2.5))
axes[1].set(xlim=(0, 28), ylim=(28, 0))
axes[1].set_title("Its words")
axes[2].imshow(rebuilt, cmap="gray")
axes[2].set_title("Reconstruction")
for ax in axes:
    ax.set_axis_off()
plt.show()

# %%
# Counts as features
# ------------------
#
# `transform` counts the words over all locations. Each image becomes a
# row of fifty counts, whose sum is the number of patches.

bags = bag.transform(images)
print(bags.shape, bags[0].sum())

# %%
# Classify
# --------
#
# Words that occur everywhere tell little;
# :class:`~sklearn.feature_extraction.text.TfidfTransformer` gives them
# less weight, as for text. Where a word was found is lost in the counts
# of a whole image. With `pool_grid`, each cell of a grid has counts of
# its own, and the accuracy is much higher.

from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer

train, test = slice(0, 3000), slice(3000, 5000)
weigh = {
    "unit length": Normalizer(),
    "tf-idf": TfidfTransformer(sublinear_tf=True),
    "roots of shares": make_pipeline(
        Normalizer("l1"), FunctionTransformer(np.sqrt)
    ),
}
print("accuracy of      one bag  3×3 bags")
for name, weights in weigh.items():
    scores = []
    for grid in (1, 3):
        bags = bag.set_params(pool_grid=grid).transform(images[:5000])
        classifier = make_pipeline(
            weights, LogisticRegression(C=30, max_iter=1000)
        )
        classifier.fit(bags[train], digits[train])
        scores.append(classifier.score(bags[test], digits[test]))
    print(f"{name:15}  {scores[0]:7.3f}  {scores[1]:8.3f}")

# %%
# Images of any size
# ------------------
#
# There are as many counts as words, however large the image. Here every
# digit is cut out along its outline, so that sizes differ. They go in as
# a list.


def cut_out(image, margin=3):
    """The smallest rectangle with the digit, and a margin."""
    across = np.flatnonzero(image.any(axis=0))
    down = np.flatnonzero(image.any(axis=1))
    image = image[down[0] : down[-1] + 1, across[0] : across[-1] + 1]
    return np.pad(image, margin)


cut = [cut_out(image) for image in images[:5000]]

fig, axes = plt.subplots(2, 5, figsize=(6, 3), layout="constrained")
for ax, image in zip(axes.flat, cut, strict=False):
    ax.imshow(
        image,
        cmap="gray",
        extent=(0, image.shape[1], image.shape[0], 0),
    )
    ax.set(
        xlim=(0, 28),
        ylim=(28, 0),
        title=f"{image.shape[0]}×{image.shape[1]}",
    )
    ax.set_axis_off()
plt.show()

# %%
# `pool="mean"` gives shares instead of counts, so that large and small
# images can be compared.

classifier = make_pipeline(
    BagOfPatches(
        n_words=50,
        pool="mean",
        pool_grid=3,
        n_patches=50_000,
        random_state=0,
    ),
    FunctionTransformer(np.sqrt),
    LogisticRegression(max_iter=1000),
)
classifier.fit(cut[train], digits[train])
print(
    "accuracy on digits that differ in size: "
    f"{classifier.score(cut[test], digits[test]):.3f}"
)

# sphinx_gallery_thumbnail_number = 3
