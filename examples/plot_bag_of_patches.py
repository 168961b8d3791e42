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
# A row of pixels ties a digit to one image size and knows nothing of strokes. A patch of 6×6 pixels
# holds a piece of a stroke. We take three quarters of all patches of every tenth digit: 396 of 529
# in each image. Before that, every image is brought to mean zero and the same contrast, so that
# thick pens and thin pens count alike.

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
# A hundred of them. Many are empty, the others show edges, ends and crossings of strokes.

rng = np.random.RandomState(0)
shown = rng.choice(len(patches), 100, replace=False)
display = FilterDisplay(patches[shown].reshape(-1, 6, 6)).plot(
    normalize="all"
)
display.ax_.set_title("Random patches")
plt.show()

# %%
# A vocabulary
# ------------
#
# There are far too many different patches to count each of them. K-means makes fifty groups of
# similar ones, and the mean of a group is a word. :class:`~sklearn_kmfeat.BagOfPatches` does all of
# the above by itself: it normalises the images, draws patches evenly from them, and clusters.

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
# The first word is empty ground, which half of all patches are. The others are strokes in every
# direction and position, ends and bends.
#
# A digit in words
# ----------------
#
# `predict` names the nearest word at every location of an image; here each word has a colour.
# Putting the words themselves where they were found, and averaging where they overlap, shows how
# much of a digit the vocabulary can say.

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

fig, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
axes[0].imshow(images[digit], cmap="gray")
axes[0].set_title("The digit")
colours = np.ma.masked_equal(frequency[word_map], 0)
axes[1].imshow(colours, cmap="turbo", extent=(2.5, 25.5, 25.5, 2.5))
axes[1].set(xlim=(0, 28), ylim=(28, 0))
axes[1].set_title("Its words (white: empty ground)")
axes[2].imshow(rebuilt, cmap="gray")
axes[2].set_title("Said in 50 words")
for ax in axes:
    ax.set_axis_off()
plt.show()

# %%
# Digits as bags
# --------------
#
# `transform` finds the words of all locations and counts. Each image becomes one row of fifty
# numbers, whose sum is the number of patches.

bags = bag.transform(images)
print(bags.shape, bags[0].sum())

# %%
# Digits of a class use similar words. The picture shows how many times more often than in the mean
# of all classes each class uses each word; below each column is its word.

order = np.argsort(frequency)
usage = np.array([bags[digits == k].mean(axis=0) for k in range(10)])[
    :, order
]
usage /= usage.mean(axis=0)

fig, (ax, words) = plt.subplots(
    2,
    1,
    figsize=(10, 3.2),
    height_ratios=(10, 1),
    sharex=True,
    layout="constrained",
)
image = ax.imshow(
    np.log2(usage), cmap="RdBu_r", vmin=-2, vmax=2, aspect="auto"
)
ax.set(
    yticks=range(10),
    ylabel="class",
    title="Words that a class prefers (red) or avoids (blue)",
)
ticks = [-2, -1, 0, 1, 2]
bar = fig.colorbar(image, ax=ax, ticks=ticks, pad=0.01)
bar.ax.set_yticklabels(["¼×", "½×", "1×", "2×", "4×"])
low, high = bag.filters_.min(), bag.filters_.max()
for position, word in enumerate(bag.filters_[order]):
    box = (position - 0.45, position + 0.45, 5, -1)
    words.imshow(
        word[..., 0],
        cmap="gray",
        vmin=low,
        vmax=high,
        extent=box,
        aspect="auto",
    )
words.set(xlim=(-0.5, 49.5), ylim=(5, -1))
words.set_axis_off()
plt.show()

# %%
# What bags are good for
# ----------------------
#
# They are rows of numbers, so everything in scikit-learn takes them. Words that occur everywhere
# say little; :class:`~sklearn.feature_extraction.text.TfidfTransformer` weighs them down, as for
# text. Where a word was found is lost in one bag for the whole image. With a `pool_grid`, each cell
# of a grid has a bag of its own, and a classifier has more to go by.

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
# A bag has as many entries as there are words, however large the image. Here every digit is cut out
# along its outline, with a margin, so that no two need be of the same size. They go in as a list.


def cut_out(image, margin=3):
    """The smallest rectangle that holds the digit, and a margin around it."""
    across = np.flatnonzero(image.any(axis=0))
    down = np.flatnonzero(image.any(axis=1))
    image = image[down[0] : down[-1] + 1, across[0] : across[-1] + 1]
    return np.pad(image, margin)


cut = [cut_out(image) for image in images[:5000]]

fig, axes = plt.subplots(1, 10, figsize=(10, 1.8), layout="constrained")
for ax, image in zip(axes, cut, strict=False):
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
# `pool="mean"` gives shares instead of counts, so that large and small images compare.

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
    f"accuracy on cut-out digits: {classifier.score(cut[test], digits[test]):.3f}"
)
