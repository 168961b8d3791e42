"""
Learn filters by convolutional k-means
======================================

K-means on patches learns the same edge several times, shifted by a
pixel or two. When filters are applied at every location anyway, these
copies are wasted. :class:`~sklearn_kmfeat.ConvKMeans` looks for a
pattern inside a window larger than the filter, so that one filter can
stand for all its shifts. This page learns filters of photographs with
both, and measures how much they repeat each other.
"""

# %%
# Two dictionaries
# ----------------
#
# Both learn 96 filters of 6×6 pixels from the same photographs, with
# the same contrast normalisation and whitening. The one difference:
# :class:`~sklearn_kmfeat.ConvKMeans` gets windows of 12×12 pixels and
# learns from the one patch of each window, out of 49, to which some
# filter responds most.

import matplotlib.pyplot as plt
import numpy as np

from sklearn_kmfeat import (
    ConvKMeans,
    KMeansFilterLearner,
    filter_redundancy,
)
from sklearn_kmfeat.datasets import load_cifar10_sample
from sklearn_kmfeat.displays import FilterDisplay

images = load_cifar10_sample().images


def learn_both(**settings):
    """Filters of k-means and of convolutional k-means."""
    settings = {
        "n_filters": 96,
        "contrast": "image",
        "max_iter": 10,
        "random_state": 0,
    } | settings
    plain = KMeansFilterLearner(
        algorithm="spherical", n_patches=10_000, **settings
    )
    conv = ConvKMeans(window_size=12, n_windows=10_000, **settings)
    return {
        "k-means": plain.fit(images),
        "convolutional k-means": conv.fit(images),
    }


learners = learn_both()

# %%
# Redundancy
# ----------
#
# :func:`~sklearn_kmfeat.metrics.filter_redundancy` shifts each filter
# over every other one and keeps the largest correlation: 1 for a
# shifted copy. The filters with the largest redundancy come first.

redundancy = {
    name: filter_redundancy(learner.filters_)
    for name, learner in learners.items()
}

fig, axes = plt.subplots(2, 1, figsize=(6.4, 5.8), layout="constrained")
for ax, (name, learner) in zip(axes, learners.items(), strict=True):
    order = np.argsort(-redundancy[name])
    display = FilterDisplay(learner.filters_[order])
    display.plot(ax=ax, n_cols=16)
    mean = redundancy[name].mean()
    ax.set_title(f"{name}: mean redundancy {mean:.2f}")
plt.show()

# %%
# The first rows of k-means are a few edges again and again, each
# shifted by a pixel. Convolutional k-means has fewer of them, and more
# filters for colours and other patterns. The curves compare all
# filters.

fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
for name, values in redundancy.items():
    ax.plot(np.sort(values)[::-1], label=name)
ax.set(
    xlabel="filters, sorted by redundancy",
    ylabel="redundancy",
    ylim=(0, 1),
)
ax.legend(loc="lower left")
plt.show()

# %%
# When it helps
# -------------
#
# With whitening and with the contrast of whole images, as above. When
# every patch is brought to the same contrast, weak and strong edges
# count alike, and there is hardly a difference. Without whitening the
# largest response of a window is mostly that of the same few coarse
# edges: keep whitening on.

settings = {
    "as above": {},
    'contrast="patch"': {"contrast": "patch"},
    "whiten_eps=None": {"whiten_eps": None},
}
print("mean redundancy     k-means  convolutional")
for name, setting in settings.items():
    fitted = learn_both(**setting) if setting else learners
    plain, conv = (
        filter_redundancy(learner.filters_).mean()
        for learner in fitted.values()
    )
    print(f"{name:18} {plain:8.2f} {conv:14.2f}")
