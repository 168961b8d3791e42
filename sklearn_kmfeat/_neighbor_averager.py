"""Rows that are replaced by the mean of their neighbourhood."""

from copy import copy
from numbers import Integral
from typing import Any, Self

import numpy as np
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, _fit_context
from sklearn.neighbors import VALID_METRICS, NearestNeighbors
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from ._utils.validation import POSITIVE_INT
from ._utils.version import Versioned
from ._utils.warn import warn

_METRICS = {name for names in VALID_METRICS.values() for name in names} - {"precomputed"}


class NeighborAverager(Versioned, OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Replace each row by the mean of itself and its nearest neighbours, again and again.

    Two images of a class often have neighbours in common, or neighbours of neighbours, even
    when their features are far apart. Averaging moves together what is connected by many short
    paths, so that a :class:`~sklearn.cluster.KMeans` afterwards follows the connections and not
    the distances alone. This helps most where the nearest neighbours of an image are mostly of
    its class, as with digits, and little with photographs: compare before you keep it.

    The neighbours are found once, among the rows of `fit`, and stay the same in all iterations.

    Parameters
    ----------
    n_neighbors : int, default=10
        Neighbours of a row beside itself. With no more rows than that in `fit`, all the others
        are its neighbours, and a warning says so.

    n_iter : int, default=10
        How often the rows are averaged.

    metric : str or callable, default="euclidean"
        The distance that decides which rows are near, as in
        :class:`~sklearn.neighbors.NearestNeighbors`, except ``"precomputed"``.

    n_jobs : int, default=None
        Jobs of the search for neighbours, as in scikit-learn.

    Attributes
    ----------
    n_neighbors_ : int
        Neighbours of a row, as many as there are.

    nbrs_ : NearestNeighbors
        Finds neighbours among the rows of `fit`.

    n_features_in_ : int
        Number of features seen during `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, when `X` has column names.

    See Also
    --------
    sklearn.neighbors.NearestNeighbors : The search alone.
    sklearn.semi_supervised.LabelSpreading : The same idea for labels.

    Notes
    -----
    With :math:`N(x)` the ``n_neighbors + 1`` rows of `fit` nearest to :math:`x`, and
    :math:`m_0(x_i) = x_i` for these rows, iteration :math:`t` gives

    .. math:: m_t(x) = \\frac{1}{|N(x)|} \\sum_{x_i \\in N(x)} m_{t-1}(x_i).

    A row of `fit` is nearest to itself, and so it is the mean of itself and `n_neighbors` others.
    A new row is held against the rows of `fit` only: its neighbourhood are the
    ``n_neighbors + 1`` of them that are nearest, its own values have no part in the mean. So a
    row that was in `fit` gets from `transform` what `fit_transform` gave, and what a new row
    gets does not depend on the rows beside it.

    Rows of unit length do not stay so: put a :class:`~sklearn.preprocessing.Normalizer` behind,
    too, if there is one before.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_kmfeat import NeighborAverager
    >>> X = np.array([[0.0], [1.0], [10.0], [13.0]])
    >>> averager = NeighborAverager(n_neighbors=1, n_iter=1)
    >>> averager.fit_transform(X)
    array([[ 0.5],
           [ 0.5],
           [11.5],
           [11.5]])
    >>> averager.transform([[3.0], [12.0]])
    array([[ 0.5],
           [11.5]])

    Clusters of features:

    >>> from sklearn.cluster import KMeans
    >>> from sklearn.decomposition import PCA
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer, Normalizer
    >>> from sklearn_kmfeat import BagOfPatches
    >>> from sklearn_kmfeat.datasets import load_mnist_sample
    >>> images = load_mnist_sample().images[:300]
    >>> model = make_pipeline(
    ...     BagOfPatches(20, pool_grid=3, n_patches=5000, max_iter=5, random_state=0),
    ...     FunctionTransformer(np.sqrt),
    ...     PCA(20, whiten=True, random_state=0),
    ...     Normalizer(),
    ...     NeighborAverager(),
    ...     Normalizer(),
    ...     KMeans(10, random_state=0),
    ... )
    >>> model.fit_predict(images).shape
    (300,)
    """

    _parameter_constraints = {
        "n_neighbors": [POSITIVE_INT],
        "n_iter": [POSITIVE_INT],
        "metric": [StrOptions(_METRICS), callable],
        "n_jobs": [Integral, None],
    }

    def __init__(self, n_neighbors=10, n_iter=10, *, metric="euclidean", n_jobs=None):
        self.n_neighbors = n_neighbors
        self.n_iter = n_iter
        self.metric = metric
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any = None) -> Self:
        """Find the neighbours of each row, and the means that new rows are made of.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows of features.

        y : None
            Ignored.

        Returns
        -------
        self : NeighborAverager
            Fitted.
        """
        self._fit(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Fit, and average the rows: quicker than one after the other, with the same result.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows of features.

        y : None
            Ignored.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features)
            The means. float32 if `X` is, otherwise float64.
        """
        neighbors = self._fit(X)
        return neighborhood_means(self._means, neighbors)

    def transform(self, X: Any) -> np.ndarray:
        """Average rows among those of `fit`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows of features.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_features)
            The means, in the dtype of `fit`.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=self._means.dtype)
        return neighborhood_means(self._means, _nearest(self.nbrs_, X))

    @_fit_context(prefer_skip_nested_validation=True)
    def _fit(self, X):
        """Set what is learned, and return the neighbours (n_samples, n_neighbors_ + 1)."""
        fitted = copy(self)  # an interrupted fit leaves no trace
        # A copy of X, too: new rows are compared with it, whatever the caller makes of it later.
        X = validate_data(fitted, X, dtype=[np.float64, np.float32], copy=True)
        fitted.n_neighbors_ = self._number_of_neighbors(len(X))
        search = NearestNeighbors(
            n_neighbors=fitted.n_neighbors_ + 1, metric=self.metric, n_jobs=self.n_jobs
        )
        fitted.nbrs_ = search.fit(X)
        neighbors = _nearest(fitted.nbrs_, X)
        fitted._means = X
        for _ in range(self.n_iter - 1):  # `transform` makes the last iteration
            fitted._means = neighborhood_means(fitted._means, neighbors)
        self.__dict__ = fitted.__dict__
        return neighbors

    def _number_of_neighbors(self, n_samples):
        if self.n_neighbors < n_samples:
            return self.n_neighbors
        warn(
            f"n_neighbors={self.n_neighbors}, but a row has no more than {n_samples - 1} others "
            f"beside it in fit (n_samples={n_samples}): each row becomes the mean of all rows. "
            "Set a smaller n_neighbors."
        )
        return n_samples - 1

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def neighborhood_means(values: np.ndarray, neighbors: np.ndarray) -> np.ndarray:
    """Means of rows.

    Parameters
    ----------
    values : float ndarray of shape (n, d)
    neighbors : int ndarray of shape (m, k)
        Which rows each mean is of.

    Returns
    -------
    ndarray of shape (m, d)
        In the dtype of the values.
    """
    m, k = neighbors.shape
    weights = np.full(m * k, 1 / k, dtype=values.dtype)
    # A sparse product: values[neighbors].mean(1) would hold k times as many values as come out.
    graph = csr_array((weights, neighbors.ravel(), np.arange(0, m * k + 1, k)), (m, len(values)))
    return graph @ values


def _nearest(search, X):
    return search.kneighbors(X, return_distance=False)
