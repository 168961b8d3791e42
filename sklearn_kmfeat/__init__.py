"""Features for images, learned without labels, as scikit-learn estimators."""

from .bag import BagOfPatches
from .clusters import ClusterClassifier
from .deepcluster import DeepClusterEstimator
from .displays import (
    ClusterGalleryDisplay,
    ContingencyDisplay,
    FilterDisplay,
    HistoryDisplay,
)
from .filters import KMeansFilterLearner
from .metrics import match_clusters, purity_score
from .patches import PatchExtractor
from .preprocessing import ContrastNormalizer, ZCAWhitener

__version__ = "0.1.0"

__all__ = [
    "BagOfPatches",
    "ClusterClassifier",
    "ClusterGalleryDisplay",
    "ContingencyDisplay",
    "ContrastNormalizer",
    "DeepClusterEstimator",
    "FilterDisplay",
    "HistoryDisplay",
    "KMeansFilterLearner",
    "PatchExtractor",
    "ZCAWhitener",
    "match_clusters",
    "purity_score",
]
