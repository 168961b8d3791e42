"""What the parameters of a `DeepClusterEstimator` may be, and what "auto" means for some images.

The functions read the parameters of an estimator, and set nothing.
"""

import os
from collections import ChainMap
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from .._utils.labels import of_one_type, read_labels, refuse_unknown
from .._utils.validation import NON_NEGATIVE, POSITIVE_INT, names_in
from .heads import HEADS, heads_that
from .networks import NETWORKS
from .views import AUGMENTATIONS

# Pseudo-labels for each cluster in the end, and images for each pseudo-label: over-clustering is
# what makes deep clustering work (the paper uses 10,000 clusters for 1,000 classes, of 130 images
# each), but clusters of fewer than ten images are mostly chance.
_LABELS_PER_CLUSTER = 10
_IMAGES_PER_LABEL = 10

#: What each parameter may be, apart from the images.
CONSTRAINTS = {
    "n_clusters": [POSITIVE_INT],
    "n_pseudo_labels": [StrOptions({"auto"}), POSITIVE_INT, tuple, list],
    "module": [names_in(NETWORKS), nn.Module, callable],
    "head": [names_in(HEADS)],
    "image_shape": [tuple, list, None],
    "input_size": [POSITIVE_INT, tuple, list, None],
    "max_epochs": [Interval(Integral, 0, None, closed="left")],
    "n_init": [POSITIVE_INT],
    "reassign_every": [POSITIVE_INT],
    "n_components": [POSITIVE_INT],
    "kmeans_iter": [POSITIVE_INT],
    "sobel": [StrOptions({"auto"}), "boolean"],
    "augment": [names_in(ChainMap(AUGMENTATIONS, {"default": None})), callable, None],
    "sampling": [StrOptions({"auto", "uniform", "shuffle"})],
    "optimizer": [callable],
    "lr": [Interval(Real, 0, None, closed="neither")],
    "lr_schedule": [StrOptions({"constant", "cosine"})],
    "momentum": [Interval(Real, 0, 1, closed="left")],
    "weight_decay": [NON_NEGATIVE],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 2, None, closed="left")],
    "cluster_space": [StrOptions({"auto", "embedding", "projection"})],
    "layer": [str],
    "device": [str, torch.device, None],
    "distributed": ["boolean"],
    "precision": [StrOptions({"exact", "fast"})],
    "checkpoint": [str, os.PathLike, None],
    "callbacks": [list, None],
    "net_params": [dict, None],
    "warm_start": ["boolean"],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}


def check_parameters(estimator: Any, n_images: int) -> None:
    """Refuse parameters that do not go with each other, or with so many images."""
    least = max(2, estimator.n_clusters)
    if n_images < least:
        raise ValueError(
            f"n_samples={n_images} should be >= {least}, for n_clusters={estimator.n_clusters}."
        )
    for callback in estimator.callbacks or ():
        each = callback[-1] if isinstance(callback, tuple) and callback else callback
        if not hasattr(each, "on_epoch_end"):
            raise TypeError(
                "callbacks must be callbacks of skorch, such as skorch.callbacks.EarlyStopping("
                f"monitor='train_loss'), got {callback!r}. For a progress bar: "
                "estimator.set_callbacks(sklearn.callback.ProgressBar())."
            )
    if estimator.cluster_space == "projection" and not HEADS[estimator.head].projects:
        raise ValueError(
            f"cluster_space='projection' is that of head={heads_that('projects')}, but head is "
            f"{estimator.head!r}."
        )
    if estimator.distributed:
        _check_criterion(estimator.net_params or {})
    wanted = _as_given(estimator, n_images)
    if not wanted or not all(isinstance(k, Integral) and 1 <= k <= n_images for k in wanted):
        raise ValueError(
            f"n_pseudo_labels must be ints from 1 to n_samples={n_images}, got {wanted!r}."
        )


def _check_criterion(net_params):
    """Refuse a loss that is no mean over images, and so not the sum of those of divided batches."""
    for name, only in (("criterion__weight", None), ("criterion__reduction", "mean")):
        if name in net_params and net_params[name] is not only and net_params[name] != only:
            raise ValueError(
                f"distributed=True needs a loss that is the mean over the images of a batch: leave "
                f"{name} out of net_params, or set distributed=False."
            )


def n_pseudo_labels(estimator: Any, n_images: int) -> tuple[int, ...]:
    """Clusters of each classifier, for parameters that were checked."""
    return tuple(int(k) for k in _as_given(estimator, n_images))


def _as_given(estimator, n_images):
    wanted = estimator.n_pseudo_labels
    if wanted == "auto" and estimator.warm_start and hasattr(estimator, "net_"):
        return estimator.n_pseudo_labels_
    if wanted == "auto":
        largest = max(estimator.n_clusters, n_images // _IMAGES_PER_LABEL)
        return (min(_LABELS_PER_CLUSTER * estimator.n_clusters, largest),)
    return tuple(wanted) if isinstance(wanted, tuple | list) else (wanted,)


def clusters_projections(estimator: Any, shape: tuple[int, int, int]) -> bool:
    """Whether the final clusters are those of projections, for an input of this shape."""
    if estimator.cluster_space == "auto":
        return HEADS[estimator.head].projects and shape[2] == 3
    return estimator.cluster_space == "projection"


def class_indices(y: Any, n_images: int) -> np.ndarray | None:
    """Classes of any kind as ints (n,), or None for None."""
    if y is None:
        return None
    y, unknown = read_labels(y)
    y = column_or_1d(y)
    if len(y) != n_images:
        raise ValueError(f"y has {len(y)} classes for {n_images} images.")
    refuse_unknown(unknown, "y", "X")
    return np.unique(of_one_type(y, "y"), return_inverse=True)[1]
