"""Pictures of filters, of clusters, of features and of runs, as scikit-learn's displays.

Each is made by ``from_estimator`` or ``from_predictions``, or from its data, and drawn by ``plot``.
"""

from ._cluster_gallery_display import ClusterGalleryDisplay
from ._contingency_display import ContingencyDisplay
from ._embedding_display import EmbeddingDisplay
from ._filter_display import FilterDisplay
from ._history_display import HistoryDisplay
from ._stability_display import StabilityDisplay

__all__ = [
    "ClusterGalleryDisplay",
    "ContingencyDisplay",
    "EmbeddingDisplay",
    "FilterDisplay",
    "HistoryDisplay",
    "StabilityDisplay",
]
