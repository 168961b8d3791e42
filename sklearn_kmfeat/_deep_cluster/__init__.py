"""Deep clustering: a network and k-means teach each other."""

from .deep_cluster_estimator import DeepClusterEstimator

__all__ = ["DeepClusterEstimator"]
