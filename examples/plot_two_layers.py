"""
Stack two layers and combine dictionaries
=========================================

A layer of filters responds to edges and colours. A second layer on its
maps responds to combinations of them, such as corners and parallel
lines. It is learned like the first, without labels. This page builds
two layers from scikit-learn's parts, shows what the second one
combines, and measures what it adds for a classifier.
"""

# %%
# Groups of maps
# --------------
#
# A first layer of 64 filters gives 64 maps. Filters of 3×3 on all of
# them would have 576 dimensions, too many for k-means. So the second
# layer learns filters for *groups* of maps, here sixteen groups of four.
# :class:`~sklearn_kmfeat.ChannelConnections` chooses the groups:
# ``method="correlation"`` groups maps that are strong at the same
# places.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_kmfeat import ChannelConnections, ConvKMeans
from sklearn_kmfeat.datasets import load_cifar10_sample
from sklearn_kmfeat.displays import FilterDisplay

images, labels = load_cifar10_sample(return_X_y=True)
train, test = images[:1500], images[1500:]
y_train, y_test = labels[:1500], labels[1500:]


def first_layer(patch_size=6, pool="mean", **parameters):
    """64 filters for photographs."""
    parameters |= {
        "window_size": 12,
        "n_windows": 10_000,
        "max_iter": 10,
        "random_state": 0,
    }
    return ConvKMeans(
        64, patch_size=patch_size, pool=pool, **parameters
    )


two_layers = make_pipeline(
    first_layer(output="maps", pool="max", pool_size=3),
    ConvKMeans(
        16,
        patch_size=3,
        window_size=5,
        n_windows=5000,
        connections=ChannelConnections(16, 4, method="correlation"),
        max_iter=10,
        pool="mean",
        random_state=0,
    ),
)

# %%
# Several features side by side
# -----------------------------
#
# A :class:`~sklearn.pipeline.FeatureUnion` joins the features of the
# first layer, of the second, and of a dictionary with larger filters.

parts = FeatureUnion(
    [
        ("6×6", first_layer()),
        ("8×8", first_layer(8)),
        ("second layer", two_layers),
    ]
)
model = make_pipeline(
    parts, StandardScaler(), RidgeClassifierCV((1000, 3000, 10_000))
)
model.fit(train, y_train)
print(f"accuracy: {model.score(test, y_test):.1%}")

# %%
# The groups
# ----------
#
# Six of the groups, each shown as the four filters of the first layer
# whose maps it combines: parallel lines, corners, or edges of the same
# two colours.

fitted = parts.named_transformers["second layer"]
first, second = fitted[0], fitted[1]

fig, axes = plt.subplots(3, 2, figsize=(6, 3.6), layout="constrained")
fig.get_layout_engine().set(wspace=0.1)
for number, (ax, group) in enumerate(
    zip(axes.flat, second.connections_, strict=False)
):
    FilterDisplay(first.filters_[group]).plot(ax=ax, n_cols=4)
    ax.set_title(f"group {number + 1}", fontsize="medium")
plt.show()

# %%
# Accuracy of each
# ----------------
#
# The same classifier, on some of the features.

rows = {
    name: (part.transform(train), part.transform(test))
    for name, part in parts.named_transformers.items()
}
chosen = {
    "one layer, 6×6": ["6×6"],
    "two dictionaries, 6×6 and 8×8": ["6×6", "8×8"],
    "second layer alone": ["second layer"],
    "both layers": ["6×6", "second layer"],
    "all three": ["6×6", "8×8", "second layer"],
}
scores = {}
for name, names in chosen.items():
    X_train, X_test = (
        np.hstack([rows[part][i] for part in names]) for i in range(2)
    )
    classifier = make_pipeline(*model[1:])
    scores[name] = classifier.fit(X_train, y_train).score(
        X_test, y_test
    )
    print(
        f"{name:30} {X_train.shape[1]:5} features: {scores[name]:.1%}"
    )

fig, ax = plt.subplots(figsize=(6.4, 3), layout="constrained")
bars = ax.barh(list(scores), list(scores.values()))
ax.bar_label(bars, fmt="{:.1%}", padding=3)
ax.invert_yaxis()
ax.set(xlabel="accuracy on 500 photographs", xlim=(0, 0.7))
plt.show()

# %%
# A second layer, and a second dictionary, are better than one layer
# alone. With 500 test photographs, differences of two points are within
# chance; with more training photographs, more features pay. Which
# connections are best depends on the data: `"correlation"`, `"random"`
# and `"supervised"` can be compared by
# :class:`~sklearn.model_selection.GridSearchCV`
# (:ref:`sphx_glr_auto_examples_plot_tune_pipeline.py`).
