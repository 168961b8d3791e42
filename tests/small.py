"""One small estimator of each kind that takes images, and what makes two fits the same."""

import numpy as np

from sklearn_kmfeat import (
    BagOfPatches,
    ChannelConnections,
    ContrastNormalizer,
    ConvKMeans,
    DeepClusterEstimator,
    KMeansFilterLearner,
    PatchExtractor,
    ZCAWhitener,
)

SMALL = {"max_iter": 2, "random_state": 0}
ESTIMATORS = [
    KMeansFilterLearner(4, n_patches=200, **SMALL),
    BagOfPatches(4, n_patches=200, **SMALL),
    ConvKMeans(4, n_windows=100, **SMALL),
    ContrastNormalizer(),
    ZCAWhitener(),
    PatchExtractor(max_patches=2, random_state=0),
    ChannelConnections(2, 2, random_state=0),
    DeepClusterEstimator(2, max_epochs=1, net_params={"module__width": 4}, random_state=0),
]


def assert_same_fit(found, expected, X):
    """What was learned is the same, and what both make of X."""
    for name in ("cluster_centers_", "connections_", "labels_", "mean_", "eps_"):
        if getattr(expected, name, None) is not None:
            np.testing.assert_allclose(
                getattr(found, name), getattr(expected, name), rtol=1e-5, atol=1e-6
            )
    for method in ("transform", "predict"):
        if hasattr(expected, method):
            both = (np.stack(list(getattr(each, method)(X))) for each in (found, expected))
            np.testing.assert_allclose(*both, rtol=1e-5, atol=1e-5)
