"""The fit of ordinary estimators on dask arrays."""

from typing import Any

import dask.array as da
import numpy as np

from .._dictionary.bag_of_patches import BagOfPatches
from .._dictionary.channel_connections import ChannelConnections
from .._dictionary.contrast_normalizer import ContrastNormalizer
from .._dictionary.conv_kmeans import ConvKMeans
from .._dictionary.kmeans_filter_learner import KMeansFilterLearner
from .._dictionary.patch_extractor import PatchExtractor
from .._dictionary.zca_whitener import ZCAWhitener
from .._utils.device import resolve_device
from ._arrays import image_blocks
from ._cluster import Cluster
from ._source import OnCluster

_LEARNERS = KMeansFilterLearner, ConvKMeans, BagOfPatches
_OTHERS = ChannelConnections, ZCAWhitener, ContrastNormalizer, PatchExtractor


def fit(estimator: Any, X: da.Array, y: Any = None) -> Any:
    """Fit an estimator to images in a dask array, where the blocks are.

    What comes out is the ordinary estimator: its attributes are NumPy's arrays, it pickles, and it
    needs no dask. With the same seed and images it is that of a fit on one machine: whitening to
    1e-12 of its largest value, filters up to rounding.

    Patches are drawn evenly over all images and stay on the workers. In an iteration of k-means
    the centers go to each worker, and one sum comes back from each. Tasks keep no state, so that
    a worker that dies costs the time to compute its share again.

    Parameters
    ----------
    estimator : KMeansFilterLearner, ConvKMeans, BagOfPatches, ChannelConnections, ZCAWhitener, \
            ContrastNormalizer or PatchExtractor
        Fitted in place, as by its own `fit`.
    X : dask array of shape (n, H, W), (n, H, W, C) or (n, f)
        In the forms and pixel ranges of the estimator's own `fit`, at least as many blocks as the
        cluster has threads. Each block is computed once if its pixels are bytes, otherwise twice;
        twice also for ``contrast="image"``, and once more for connections that an estimator
        chooses, and where the number of images is unknown. ``X.persist()`` before saves that,
        where the workers have memory for all images.
    y : array-like or None, default=None
        For `connections` that need classes.

    Returns
    -------
    estimator
        The same, fitted.

    Raises
    ------
    TypeError
        For other estimators, and if `X` is no dask array of NumPy's arrays.
    ValueError
        As by the estimator's own `fit`; and for a `device` that is not the CPU.
        And for a scheduler or a client on which nothing can stay where it is.
    RuntimeError
        If all workers are gone for a minute.

    Notes
    -----
    Start it once the workers are there: one that comes later gets no patches. Every task computes
    on one thread.

    Memory of all workers together: three times the drawn patches while they are prepared, and
    while many filters find where to start, otherwise once; and a block for each thread, in float64
    for ``contrast="image"``. The patches take 4 bytes times `n_patches` times the values of a
    patch. In this process there are 8 bytes for each patch, the filters and, for ``n_init > 1``,
    the patches that rank the starts.

    ``init="k-means++"`` asks the workers twice for each filter, at some hundredths of a second:
    with hundreds of filters ``"hierarchical"`` and ``"sample"`` are quicker.

    Examples
    --------
    >>> import dask.array as da
    >>> from sklearn_kmfeat import KMeansFilterLearner
    >>> from sklearn_kmfeat import dask as kd
    >>> from sklearn_kmfeat.datasets import load_cifar10_sample
    >>> X = da.from_array(load_cifar10_sample().images, chunks=(500, 32, 32, 3))
    >>> learner = KMeansFilterLearner(10, n_patches=5000, max_iter=3, random_state=0)
    >>> kd.fit(learner, X).filters_.shape
    (10, 6, 6, 3)
    """
    name = type(estimator).__name__
    if not isinstance(estimator, (*_LEARNERS, *_OTHERS)):
        names = ", ".join(each.__name__ for each in (*_LEARNERS, *_OTHERS))
        raise TypeError(
            f"sklearn_kmfeat.dask.fit fits {names}, got {name}. A Pipeline: fit its first step, "
            "and the rest on sklearn_kmfeat.dask.transform(step, X). DeepClusterEstimator learns "
            "on several machines by torchrun, with distributed=True."
        )
    if resolve_device(getattr(estimator, "device", None)).type != "cpu":
        raise ValueError(
            f"device={estimator.device!r} was asked for, but workers compute on their CPUs: use "
            "device=None here; it may be another one for transform."
        )
    image_blocks(X, name)  # before anything is started
    with Cluster() as cluster:
        return estimator.fit(OnCluster(X, cluster), None if y is None else np.asarray(y))
