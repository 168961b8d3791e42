"""Features for images, learned without labels, as scikit-learn estimators."""

from ._cluster_classifier import ClusterClassifier
from ._consensus.consensus_clusterer import ConsensusClusterer
from ._deep_cluster import DeepClusterEstimator
from ._dictionary.bag_of_patches import BagOfPatches
from ._dictionary.channel_connections import ChannelConnections
from ._dictionary.contrast_normalizer import ContrastNormalizer
from ._dictionary.conv_kmeans import ConvKMeans
from ._dictionary.kmeans_filter_learner import KMeansFilterLearner
from ._dictionary.patch_extractor import PatchExtractor
from ._dictionary.zca_whitener import ZCAWhitener
from ._inputs.image_files import ImageFiles
from ._neighbor_averager import NeighborAverager
from ._to_torch import to_torch
from .displays import (
    ClusterGalleryDisplay,
    ContingencyDisplay,
    EmbeddingDisplay,
    FilterDisplay,
    HistoryDisplay,
    StabilityDisplay,
)
from .metrics import (
    clustering_accuracy_score,
    filter_redundancy,
    match_clusters,
    purity_score,
)

__version__ = "0.2.0"

__all__ = [
    "BagOfPatches",
    "ChannelConnections",
    "ClusterClassifier",
    "ClusterGalleryDisplay",
    "ConsensusClusterer",
    "ContingencyDisplay",
    "ContrastNormalizer",
    "ConvKMeans",
    "DeepClusterEstimator",
    "EmbeddingDisplay",
    "FilterDisplay",
    "HistoryDisplay",
    "ImageFiles",
    "KMeansFilterLearner",
    "NeighborAverager",
    "PatchExtractor",
    "StabilityDisplay",
    "ZCAWhitener",
    "clustering_accuracy_score",
    "filter_redundancy",
    "match_clusters",
    "purity_score",
    "to_torch",
]
