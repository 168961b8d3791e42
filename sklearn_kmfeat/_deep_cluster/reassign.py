"""New pseudo-labels before an epoch."""

from time import perf_counter
from typing import Any

import numpy as np
import torch
from sklearn.metrics import normalized_mutual_info_score
from skorch import NeuralNet
from torch.utils.data import Dataset

from .._utils.generators import drawing
from ..metrics import purity_score
from .clustering import (
    euclidean_clusters,
    fit_pca_whitening,
    size_entropy,
    spherical_clusters,
    spread,
)
from .sharing import own_draws


def reassign(
    net: NeuralNet, dataset: Dataset, rng: np.random.RandomState, classes: np.ndarray | None
) -> dict[str, Any]:
    """Cluster the images, set `net.pseudo_labels_` and prepare the head to learn them.

    Parameters
    ----------
    net : _DeepClusterNet
    dataset : Dataset
    rng : numpy RandomState
    classes : int ndarray of shape (n,) or None
        Which pseudo-labels are compared with.

    Returns
    -------
    dict
        What was measured, for `history_`.
    """
    recipe, head = net.recipe, net.module_.head
    begin = perf_counter()
    with torch.no_grad():
        rows, cluster, variance = _rows_to_cluster(net, dataset)
        embedded = perf_counter()
        labels = torch.stack(
            [cluster(rows, min(k, len(rows)), recipe.kmeans_iter, rng) for k in recipe.n_labels]
        )
        with drawing(True):
            head.renew(labels)
    if head.restarts:
        # With its momentum a new classifier would go on with the steps of the one before.
        net.head_optimizer_.state.clear()
    previous, net.pseudo_labels_ = net.pseudo_labels_, labels.cpu()
    return {
        "spread": variance,
        **_compared(net.pseudo_labels_[0], recipe.n_labels[0], previous, classes),
        "seconds_features": embedded - begin,
        "seconds_clustering": perf_counter() - embedded,
    }


def _rows_to_cluster(net, dataset):
    """Rows (n, d) in parts, the function that clusters them, and their variance at unit length.

    An untrained projection holds less of the images than an untrained network: so the first
    clusters are those of the embeddings, even where the head keeps projections.
    """
    head = net.module_.head
    if net.pseudo_labels_ is not None:
        rows = head.rows_to_cluster()
        if rows is not None:
            rows = net.ranks.rows(rows)
            return rows, spherical_clusters, spread(rows)
    embeddings = net.ranks.rows(net.embeddings(dataset))
    if head.per_image_buffers and net.pseudo_labels_ is None:
        _fill_buffers(net, dataset)
    whitening = fit_pca_whitening(embeddings, net.recipe.n_components)
    rows = embeddings.map(net.ranks.from_first(whitening))
    return rows, euclidean_clusters, spread(embeddings)


@drawing(True)
def _fill_buffers(net, dataset):
    """Show the head a random view of every image."""
    net._set_training(True)
    order = torch.randperm(len(dataset))
    with own_draws(net), net.ranks.synchronized():
        for images, index in net.loader("iterator_train", dataset, lambda: order):
            net.module_.head(net.infer(images), index.to(net.device))


def _compared(labels, n_labels, previous, classes):
    """Pseudo-labels of the first classifier compared with those before, and with classes."""
    sizes = torch.bincount(labels, minlength=n_labels)
    nmi = float("nan")
    if previous is not None:
        nmi = float(normalized_mutual_info_score(previous[0], labels))
    measured = {
        "nmi": nmi,
        "n_empty": int((sizes == 0).sum()),
        "entropy": size_entropy(labels, n_labels),
        "largest": float(sizes.max() / len(labels)),
    }
    if classes is not None:
        measured["nmi_true"] = float(normalized_mutual_info_score(classes, labels))
        measured["purity_true"] = purity_score(classes, labels.numpy())
    return measured
