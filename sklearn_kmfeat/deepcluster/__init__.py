"""Deep clustering: a network and k-means teach each other."""

from .estimator import DeepClusterEstimator

__all__ = ["DeepClusterEstimator"]
