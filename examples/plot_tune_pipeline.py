"""
Tune a feature pipeline
=======================

Which settings of the features are best for a classifier is a question
for cross-validation. Estimators of this package are ordinary steps of a
scikit-learn pipeline, so :class:`~sklearn.model_selection.GridSearchCV`
searches over their settings. This page tunes the pooling of k-means
filters for photographs, and tries mirror images and pooling windows
that overlap.
"""

# %%
# A pipeline
# ----------
#
# 64 filters, learned without labels; the square root of the features;
# scaling; a linear classifier.

import numpy as np
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_kmfeat import KMeansFilterLearner
from sklearn_kmfeat.datasets import load_cifar10_sample

photos, labels = load_cifar10_sample(return_X_y=True)
train, test = photos[:1500], photos[1500:]
y_train, y_test = labels[:1500], labels[1500:]

filters = KMeansFilterLearner(
    64, stride=2, n_patches=10_000, max_iter=10, random_state=0
)
pipeline = Pipeline(
    [
        ("filters", filters),
        ("sqrt", FunctionTransformer(np.sqrt)),
        ("scale", StandardScaler()),
        ("ridge", RidgeClassifier(alpha=1000)),
    ]
)

# %%
# The grid
# --------
#
# Responses of the filters are pooled over cells of the image: a grid of
# ``pool_grid`` cells, or windows of ``pool_size`` locations, every
# ``pool_stride`` locations, which overlap if the stride is smaller than
# the window. ``mirror=True`` gives an image and its mirror image equal
# features, which suits photographs but not letters.

pooling = {
    "whole image": {"filters__pool_grid": [1]},
    "2×2 cells": {"filters__pool_grid": [2]},
    "3×3 cells": {"filters__pool_grid": [3]},
    "windows that overlap": {
        "filters__pool_size": [7],
        "filters__pool_stride": [4],
    },
}
grid = [
    {**cells, "filters__mirror": [False, True]}
    for cells in pooling.values()
]
search = GridSearchCV(pipeline, grid, cv=3).fit(train, y_train)

# %%
# The result
# ----------
#
# Accuracy in cross-validation, and its standard error over the three
# folds.

import matplotlib.pyplot as plt

means = search.cv_results_["mean_test_score"].reshape(-1, 2)
errors = search.cv_results_["std_test_score"].reshape(-1, 2) / 3**0.5

fig, ax = plt.subplots(figsize=(4.8, 3.2), layout="constrained")
height = 0.38
for column, name in enumerate(("mirror=False", "mirror=True")):
    ax.barh(
        np.arange(len(pooling)) + (column - 0.5) * height,
        means[:, column],
        height,
        xerr=errors[:, column],
        label=name,
    )
ax.set_yticks(range(len(pooling)), list(pooling))
ax.invert_yaxis()
ax.set(xlabel="accuracy, cross-validation", xlim=(0.3, None))
ax.legend(loc="upper right", frameon=False)
plt.show()

# %%
# The best settings are fitted on all training photographs again. The
# 500 test photographs were not part of the search.

for name, value in search.best_params_.items():
    print(f"{name}: {value}")
default = pipeline.fit(train, y_train).score(test, y_test)
print(f"test accuracy, default settings: {default:.1%}")
print(
    f"test accuracy, best settings:    {search.score(test, y_test):.1%}"
)

# %%
# Steps that take long can be stored between candidates with
# ``Pipeline(..., memory=folder)``, when the grid is over later steps,
# such as ``ridge__alpha``. Filters need no labels, so they may also be
# fitted once, on all images there are, and be kept with
# :class:`~sklearn.frozen.FrozenEstimator`
# (:ref:`sphx_glr_auto_examples_plot_few_labels.py`).
