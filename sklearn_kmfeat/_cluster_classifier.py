"""A clustering as a classifier: each cluster predicts the class it stands for."""

from typing import Any, Self

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.metrics import pairwise_distances_argmin
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array, check_consistent_length, column_or_1d, get_tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from .metrics import STRATEGIES, match_clusters, purity_score


class ClusterClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """Predict classes by clusters that were found without labels.

    The clusterer is fitted without `y`; the labels only decide, afterwards, which class each
    cluster stands for. So the accuracy of this classifier is the accuracy of the clustering, and
    any clustering can be tuned with :class:`~sklearn.model_selection.GridSearchCV`. Few labelled
    samples are enough, one for each cluster.

    Parameters
    ----------
    clusterer : estimator
        A clusterer with `predict`, such as :class:`~sklearn.cluster.KMeans`, or a
        :class:`~sklearn.pipeline.Pipeline` that ends in one. It is cloned, never changed, and
        gets `X` as it is: images where it takes images.

    strategy : {"majority", "hungarian"}, default="majority"
        How clusters and classes are matched, see
        :func:`~sklearn_kmfeat.metrics.match_clusters`.

    Attributes
    ----------
    clusterer_ : estimator
        The fitted clusterer.

    match_ : dict
        The class of each cluster. A cluster without a labelled sample has the class of the
        nearest cluster that has one, if the clusterer (or the last step of its Pipeline) shows
        `cluster_centers_`; otherwise the most frequent class.

    purity_ : float
        The :func:`~sklearn_kmfeat.metrics.purity_score` of the labelled samples in `fit`.

    classes_ : ndarray of shape (n_classes,)
        The classes, in sorted order.

    n_features_in_ : int
        Number of features seen during `fit`, if the clusterer tells.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen during `fit`, if the clusterer tells.

    See Also
    --------
    sklearn_kmfeat.metrics.match_clusters : The match alone.
    sklearn_kmfeat.metrics.purity_score : The accuracy of the majority match.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn_kmfeat import ClusterClassifier
    >>> X, y = make_blobs(centers=3, random_state=0, cluster_std=0.5)
    >>> y[30:] = -1  # unknown
    >>> classifier = ClusterClassifier(KMeans(n_clusters=3, random_state=0)).fit(X, y)
    >>> classifier.score(X[:30], y[:30])
    1.0
    """

    def __init__(self, clusterer, strategy="majority"):
        self.clusterer = clusterer
        self.strategy = strategy

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the clusterer without labels, then give each cluster a class.

        Parameters
        ----------
        X : array-like, sparse matrix or list of images
            The samples, in any form that the clusterer takes.

        y : array-like of shape (n_samples,)
            The classes. -1, and `None` among strings, means unknown; as an exception, labels that
            are -1 and 1 only are two classes.

        Returns
        -------
        self : object
            The fitted classifier.
        """
        self._check_parameters()
        y = self._check_y(X, y)
        known = ~_is_unknown(y)
        if not known.any():
            raise ValueError("y holds no labelled sample: each label is -1 or None (unknown).")
        check_classification_targets(y[known])

        clusterer = clone(self.clusterer).fit(X)
        labels = _clusters_of(clusterer, X)
        default = _most_frequent(y[known])
        match = match_clusters(y[known], labels[known], self.strategy)
        match = _complete(match, labels, centers_of(clusterer), default)
        self.clusterer_ = clusterer
        self.classes_ = np.unique(y[known])
        self.purity_ = purity_score(y[known], labels[known])
        self.match_ = match
        self._default_class = default
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict the class of the cluster that each sample falls in.

        Parameters
        ----------
        X : array-like, sparse matrix or list of images
            The samples, in any form that the clusterer takes.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            The classes. A cluster that was not seen in `fit` has the most frequent class.
        """
        check_is_fitted(self)
        clusters, index = np.unique(_clusters_of(self.clusterer_, X), return_inverse=True)
        matched = [self.match_.get(cluster, self._default_class) for cluster in clusters.tolist()]
        return self.classes_[np.searchsorted(self.classes_, matched)][index]

    @property
    def n_features_in_(self):
        """Number of features seen during `fit`."""
        return self.clusterer_.n_features_in_

    @property
    def feature_names_in_(self):
        """Names of the features seen during `fit`."""
        return self.clusterer_.feature_names_in_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.clusterer).input_tags
        return tags

    def _check_parameters(self):
        if self.strategy not in STRATEGIES:
            raise ValueError(f"strategy must be one of {tuple(STRATEGIES)}, got {self.strategy!r}.")
        if not hasattr(self.clusterer, "predict"):
            raise TypeError(
                "clusterer needs a method predict, to find the clusters of new samples; "
                f"{type(self.clusterer).__name__} has none."
            )

    def _check_y(self, X, y):
        if y is None:
            raise ValueError("ClusterClassifier requires y to be passed, but the target y is None.")
        y = column_or_1d(y, warn=True)
        check_array(y, ensure_2d=False, dtype=None, input_name="y")
        check_consistent_length(X, y)
        return y


def _clusters_of(clusterer, X):
    X = _as_floats_of(centers_of(clusterer), X)
    return one_cluster_per_sample(clusterer.predict(X), type(clusterer).__name__)


def one_cluster_per_sample(labels: Any, name: str) -> np.ndarray:
    """Check that there is one cluster per sample, and drop axes of length one.

    Parameters
    ----------
    labels : ndarray, or list with one ndarray per sample
        What the `predict` of a clusterer returned.

    name : str
        The name of the clusterer, for the message.

    Returns
    -------
    labels : ndarray of shape (n_samples,)
        The clusters.

    Raises
    ------
    ValueError
        If a sample has another number of clusters than one.
    """
    n_samples = len(labels)
    if isinstance(labels, list):
        labels = np.concatenate([np.ravel(label) for label in labels])
    labels = np.asarray(labels)
    if labels.size != n_samples:
        raise ValueError(
            f"One cluster for each sample is needed, but {name}.predict returned {labels.size} "
            f"for {n_samples} samples. An estimator that answers for every location of an image "
            "needs a clusterer of its features after it, in a Pipeline."
        )
    return labels.ravel()


def _is_unknown(y):
    """Which labels mean that the class is not known."""
    if y.dtype.kind in "OUS":
        return np.array([label is None or label == -1 for label in y.tolist()])
    two_classes = np.array_equal(np.unique(y), [-1, 1])
    return (y == -1) & (not two_classes)


def _most_frequent(y):
    classes, counts = np.unique(y, return_counts=True)
    return classes[counts.argmax()]


def centers_of(clusterer: Any) -> Any:
    """Find the cluster centers of a clusterer or of the last step of a Pipeline, if any."""
    final = clusterer[-1] if isinstance(clusterer, Pipeline) else clusterer
    centers = getattr(final, "cluster_centers_", None)
    if issparse(centers):
        return centers
    return centers if np.ndim(centers) == 2 else None


def _as_floats_of(centers, X):
    """Cast float rows to the type of the centers: `KMeans.predict` refuses any other."""
    is_array = isinstance(X, np.ndarray) or issparse(X)
    if centers is None or not is_array or X.ndim != 2 or X.dtype.kind != "f":
        return X
    return X.astype(centers.dtype, copy=False)


def _complete(match, labels, centers, default_class):
    """Give the clusters that hold no labelled sample a class, too."""
    clusters = np.unique(labels)
    if _number_rows_of(clusters, centers):
        return _complete_by_centers(match, centers)
    default = np.asarray(default_class).item()
    return {cluster: match.get(cluster, default) for cluster in clusters.tolist()}


def _number_rows_of(clusters, centers):
    """Tell whether the clusters are row numbers of the centers."""
    if centers is None or clusters.dtype.kind not in "iu":
        return False
    return clusters[0] >= 0 and clusters[-1] < centers.shape[0]


def _complete_by_centers(match, centers):
    """Give every center the class of the nearest center that has one."""
    labelled = np.array(list(match))
    nearest = labelled[pairwise_distances_argmin(centers, centers[labelled])].tolist()
    return {k: match.get(k, match[near]) for k, near in enumerate(nearest)}
