"""The ordinary estimators on dask arrays of images, computed where the blocks are.

    from sklearn_kmfeat import dask as kd

    estimator = kd.fit(KMeansFilterLearner(), X)  # a fitted ordinary estimator
    features = kd.transform(estimator, X)  # a dask array, not yet computed

Every call builds tasks without state for whatever scheduler of dask is active. A fitted estimator
is the same as one that was fitted on NumPy's arrays; it needs no dask.
"""

try:
    import dask.array  # noqa: F401
    import distributed  # noqa: F401
except ImportError as error:  # pragma: no cover
    raise ImportError(
        "sklearn_kmfeat.dask needs dask, which is not installed: "
        'pip install "sklearn-kmfeat[dask]".'
    ) from error

from ._encode import predict, transform
from ._fit import fit

__all__ = ["fit", "predict", "transform"]
