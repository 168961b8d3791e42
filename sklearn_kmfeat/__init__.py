"""Features for images, learned without labels, as scikit-learn estimators."""

from .bag import BagOfPatches
from .clusters import ClusterClassifier
from .connections import ChannelConnections
from .convolutional import ConvKMeans
from .deepcluster import DeepClusterEstimator
from .displays import (
    ClusterGalleryDisplay,
    ContingencyDisplay,
    FilterDisplay,
    HistoryDisplay,
)
from .filters import KMeansFilterLearner
from .metrics import filter_redundancy, match_clusters, purity_score
from .patches import PatchExtractor
from .preprocessing import ContrastNormalizer, ZCAWhitener
from .torch_stack import to_torch

__version__ = "0.1.0"

__all__ = [
    "BagOfPatches",
    "ChannelConnections",
    "ClusterClassifier",
    "ClusterGalleryDisplay",
    "ContingencyDisplay",
    "ContrastNormalizer",
    "ConvKMeans",
    "DeepClusterEstimator",
    "FilterDisplay",
    "HistoryDisplay",
    "KMeansFilterLearner",
    "PatchExtractor",
    "ZCAWhitener",
    "filter_redundancy",
    "match_clusters",
    "purity_score",
    "to_torch",
]
