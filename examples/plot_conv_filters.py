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
# Both learn 96 filters of 6×6 pixels from the photographs that ship with the package. Everything
# else is the same: each image is brought to the same contrast, patches are whitened, and a filter
# becomes the direction of the patches it wins. The one difference is that
# :class:`~sklearn_kmfeat.ConvKMeans` is given windows of 12×12 pixels and takes from each of them
# the one patch, out of 49, to which some filter responds most.

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


def learn_both(n_filters=96, n_drawn=20_000, **shared):
    """Dictionaries of k-means and of convolutional k-means."""
    shared = {
        "contrast": "image",
        "max_iter": 20,
        "random_state": 0,
    } | shared
    plain = KMeansFilterLearner(
        n_filters, algorithm="spherical", n_patches=n_drawn, **shared
    )
    conv = ConvKMeans(
        n_filters, window_size=12, n_windows=n_drawn, **shared
    )
    return plain.fit(images), conv.fit(images)


plain, conv = learn_both()

# %%
# :func:`~sklearn_kmfeat.metrics.filter_redundancy` shifts each filter over every other one and
# keeps the best correlation it finds: 1 for a shifted copy. In the pictures, filters with the most
# redundancy come first.

dictionaries = {"k-means": plain, "convolutional k-means": conv}
redundancy = {
    name: filter_redundancy(learner.filters_)
    for name, learner in dictionaries.items()
}

fig, axes = plt.subplots(1, 2, figsize=(10, 3.7), layout="constrained")
fig.get_layout_engine().set(wspace=0.05)
for ax, (name, learner) in zip(axes, dictionaries.items(), strict=True):
    most_first = np.argsort(-redundancy[name])
    FilterDisplay(learner.filters_[most_first]).plot(ax=ax, n_cols=12)
    ax.set_title(
        f"{name}: mean redundancy {redundancy[name].mean():.2f}"
    )
plt.show()

# %%
# On the left, the first rows are a few edges over and over, each a little further on. On the right
# there are fewer of these, and coloured edges come in their place. Copies are not gone: the curves,
# over all filters, show that it is a matter of degree.

fig, (ax, places) = plt.subplots(
    1, 2, figsize=(10, 3.4), width_ratios=(3, 2), layout="constrained"
)
for name, values in redundancy.items():
    ax.plot(np.sort(values)[::-1], label=name)
ax.set(
    xlabel="filters, the most redundant first",
    ylabel="redundancy",
    ylim=(0, 1),
)
ax.legend(loc="lower left")
image = places.imshow(
    conv.offset_counts_ / conv.offset_counts_.sum(),
    vmin=0,
    cmap="viridis",
)
places.set(
    title="Where in its window a patch was taken",
    xlabel="pixels across",
    ylabel="down",
)
fig.colorbar(image, ax=places, label="share of the windows")
plt.show()

# %%
# On the right is `offset_counts_`, how often each of the 7×7 places in a window was chosen. It
# should be roughly flat. Here the border, and the corners most of all, are chosen more often than
# the middle: a pattern that ends outside the window responds most at the edge. It is no cause for
# worry at this size; most windows in one corner would be.
#
# When it helps
# -------------
#
# It is no law: of the settings that we tried, the one above shows it best. We
# learn both again, once with each patch brought to the same contrast instead of
# each image, and once without whitening.

settings = {
    'contrast="patch"': {"contrast": "patch"},
    "no whitening": {"whiten_eps": None},
}
print(f"{'mean redundancy':18} k-means  convolutional")
means = {"as above": [values.mean() for values in redundancy.values()]}
for name, setting in settings.items():
    means[name] = [
        filter_redundancy(learner.filters_).mean()
        for learner in learn_both(**setting)
    ]
for name, (of_plain, of_conv) in means.items():
    print(f"{name:18} {of_plain:7.3f}  {of_conv:13.3f}")

# %%
# With the contrast of images and whitening, convolutional k-means has clearly less redundancy. When
# every patch is brought to the same contrast, weak and strong edges count alike and the difference
# is smaller. Without whitening it is the wrong way round: the patch with the largest response is
# then mostly one of the same few strong, coarse edges. So whiten, and look at the redundancy of
# your own filters before you believe that they do not repeat each other.
