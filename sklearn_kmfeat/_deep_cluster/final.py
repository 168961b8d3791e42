"""What a trained net becomes: the space of the clusters, and the fitted attributes."""

from typing import Any

import numpy as np
import torch
from skorch import NeuralNet

from .._utils.generators import seed_generators
from .clustering import final_clusters, fit_pca_whitening, labels_of
from .recipe import Purpose
from .sources import ImageBatches

# K clusters lie in K - 1 dimensions; whitening many more gives what varies little the same weight.
_COMPONENTS_PER_CLUSTER = 2
# Two or three clusters would otherwise have to lie along the very first components.
_LEAST_COMPONENTS = 6


def fitted_attributes(
    net: NeuralNet,
    batches: ImageBatches,
    shape: tuple[int, int, int],
    n_clusters: int,
    on_projection: bool,
) -> dict[str, Any]:
    """The fitted attributes of a `DeepClusterEstimator`, from its net.

    Parameters
    ----------
    net : _DeepClusterNet
    batches : ImageBatches
        The training images.
    shape : (int, int, int)
        Height, width and channels of the input of the network.
    n_clusters : int
    on_projection : bool
        Whether the projections are clustered, instead of the embeddings.

    Returns
    -------
    dict
    """
    seed_generators(net.recipe.derived_seed(Purpose.EMBEDDING))
    with torch.no_grad():
        rows = net.embeddings(batches)
        rows = net.ranks.rows(net.projected(rows) if on_projection else rows)
        n_components = max(_LEAST_COMPONENTS, _COMPONENTS_PER_CLUSTER * n_clusters)
        whitening = fit_pca_whitening(rows, n_components, unit_length=not on_projection)
        whitening = net.ranks.from_first(whitening)
        rows = rows.map(whitening)
        rng = np.random.RandomState(net.recipe.derived_seed(Purpose.FINAL_CLUSTERING))
        clusters = net.ranks.from_first(final_clusters(rows, n_clusters, rng))
        labels = labels_of(rows, clusters.centers)
        filters = net.module_.first_filters()
    return {
        "labels_": labels.cpu().numpy(),
        "cluster_centers_": clusters.centers.cpu().numpy(),
        "inertia_": clusters.inertia,
        "history_": [dict(record) for record in net.records_],
        "n_iter_": len(net.records_),
        "n_pseudo_labels_": net.recipe.n_labels,
        "filters_": None if filters is None else filters.cpu().numpy(),
        "net_": net,
        "_space": {
            "mean": whitening.mean.cpu().numpy(),
            "components": whitening.components.cpu().numpy(),
            "unit_length": whitening.unit_length,
        },
        "_on_projection": on_projection,
        "_input_shape": shape,
    }
