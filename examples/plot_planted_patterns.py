"""
Find patterns at unknown places
===============================

A spike in a recording, a cell under a microscope, a letter in a line:
the same few patterns occur again and again, and nobody has marked
where. K-means on patches learns a blur of all their shifts;
convolutional k-means finds the patterns themselves. This page writes
digits into a noisy page, and recovers the digits, and where they are,
from the page alone.
"""

# %%
# A noisy page
# ------------
#
# Each line holds digits of four kinds, of many writers, 10 pixels high,
# at irregular distances and heights, in strong noise. Where they are is
# only used at the end, to judge the result.

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import maximum_filter

from sklearn_kmfeat import ConvKMeans, KMeansFilterLearner
from sklearn_kmfeat.datasets import load_mnist_sample
from sklearn_kmfeat.displays import FilterDisplay

SIZE, LINE, N_LINES, LENGTH = 10, 20, 20, 400
KINDS = [0, 1, 2, 4]

images, digits = load_mnist_sample(return_X_y=True)
rng = np.random.RandomState(0)
queue = iter(rng.permutation(np.flatnonzero(np.isin(digits, KINDS))))
# Without its empty margin, an image has 20×20 pixels; their means over 2×2 are 10×10.
small = (
    images[:, 4:24, 4:24]
    .reshape(-1, SIZE, 2, SIZE, 2)
    .mean(axis=(2, 4))
    / 255
)

page = 0.3 * rng.randn(N_LINES * LINE, LENGTH)
written = []
for line in range(N_LINES):
    left = rng.randint(2, 12)
    while left + SIZE <= LENGTH:
        top, digit = LINE * line + rng.randint(2, 9), next(queue)
        page[top : top + SIZE, left : left + SIZE] += small[digit]
        written.append((top, left, digits[digit]))
        left += SIZE + rng.randint(2, 9)
written = np.array(written)

fig, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
ax.imshow(page[: 5 * LINE, :200], cmap="gray")
ax.set(
    title=f"The first lines of a page with {len(written)} digits",
    xticks=[],
    yticks=[],
)
plt.show()

# %%
# Four filters
# ------------
#
# Both learners get patches of 10×10 pixels without contrast
# normalisation and whitening, which would make the noise as strong as
# the digits. K-means gets patches from random places.
# :class:`~sklearn_kmfeat.ConvKMeans` gets windows of 24×24 pixels, which
# have room for a whole digit, and learns from one patch of each.
# ``init="energy"`` starts from the strongest patch of each window; of
# four starts the best is kept.

shared = {
    "n_filters": 4,
    "patch_size": SIZE,
    "contrast": None,
    "whiten_eps": None,
}
shared |= {"n_init": 4, "random_state": 0}
windows = {"window_size": 24, "n_windows": 1000, "init": "energy"}
learners = {
    "k-means": KMeansFilterLearner(
        algorithm="spherical", n_patches=1000, **shared
    ),
    "convolutional, 1 iteration": ConvKMeans(
        max_iter=1, **windows, **shared
    ),
    "convolutional k-means": ConvKMeans(
        max_iter=30, **windows, **shared
    ),
}
fig, axes = plt.subplots(1, 3, figsize=(6.4, 2.5), layout="constrained")
fig.get_layout_engine().set(wspace=0.12)
for ax, (name, learner) in zip(axes, learners.items(), strict=True):
    FilterDisplay(learner.fit(page[None]).filters_).plot(
        ax=ax, n_cols=2
    )
    ax.set_title("\n".join(name.split(" ", 1)), fontsize=10)
plt.show()

# %%
# K-means finds only blurs. After one iteration, convolutional k-means
# has noisy digits, some of them off the middle; in the end it has one
# filter for each kind of digit. A filter that began off the middle of a
# digit is shifted where it then captures more.
#
# Where they are
# --------------
#
# The response of a filter has a peak where its pattern is.
# ``output="maps"`` gives the responses at every place. Of close peaks
# the highest counts, and of those as many as there are digits.

learner = learners["convolutional k-means"].set_params(output="maps")
responses = learner.transform(page[None])[0]
strength, which = responses.max(axis=2), responses.argmax(axis=2)
peaks = np.where(
    strength == maximum_filter(strength, SIZE + 1), strength, 0
)
strongest = np.argsort(-peaks, axis=None)[: len(written)]
found = np.stack(np.unravel_index(strongest, peaks.shape), axis=1)

fig, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
ax.imshow(page[: 5 * LINE, :200], cmap="gray")
for top, left in found[found[:, 0] < 5 * LINE - SIZE]:
    color = f"C{which[top, left]}"
    ax.add_patch(
        plt.Rectangle(
            (left - 0.5, top - 0.5), SIZE, SIZE, fill=False, color=color
        )
    )
ax.set(
    title="Where they were found; a colour for each filter",
    xticks=[],
    yticks=[],
)
plt.show()

# %%
# Almost every digit is found within two pixels, and the filter with the
# largest response mostly tells which digit it is.

distances = np.abs(written[:, None, :2] - found).max(axis=2)
close = distances.min(axis=1) <= 2
print(
    f"found within two pixels: {close.mean():.1%} of "
    f"{len(written)} digits"
)
filters = which[tuple(found[distances.argmin(axis=1)].T)]
print(
    "responds most:   "
    + "".join(f"{f'filter {i + 1}':>10}" for i in range(4))
)
for kind in KINDS:
    counts = np.bincount(
        filters[close & (written[:, 2] == kind)], minlength=4
    )
    print(
        f"at the digits {kind}: " + "".join(f"{n:10}" for n in counts)
    )

# sphinx_gallery_thumbnail_number = 3

# %%
# It works where patterns stand out from their surroundings, windows hold
# a whole one, and there are about as many filters as patterns. With
# another ``random_state`` there may be two filters for upright and
# slanted zeros, and one for two kinds of digits: use several starts
# (`n_init`).
