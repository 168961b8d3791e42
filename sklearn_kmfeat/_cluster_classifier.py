"""A clustering as a classifier: each cluster predicts the class it stands for."""

from typing import Any, Self

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import pairwise_distances_argmin
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array, check_consistent_length, column_or_1d, get_tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from ._utils.labels import of_one_type, read_labels, refuse_unknown, to_numpy
from ._utils.version import Versioned
from .metrics import STRATEGIES, contingency_table, match_clusters, purity_score


class ClusterClassifier(Versioned, ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
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
        gets `X` as it is: images where it takes images. Only rows of numbers are cast to the
        type of its `cluster_centers_` (or `means_`) in `predict`, as KMeans refuses any other,
        so that a model fitted on uint8 or float32 takes float64 and the other way round.
        Clusters that were found before, on more images, stay as they are in a
        :class:`~sklearn.frozen.FrozenEstimator`.

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
    >>> classifier.predict_proba(X[:2])
    array([[0., 1., 0.],
           [1., 0., 0.]])
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
            The classes. `None`, NaN, `pandas.NA`, nulls, what is masked, and -1, also among
            strings, mean unknown; as an exception, labels that are -1 and 1 only are two
            classes.

        Returns
        -------
        self : object
            The fitted classifier.
        """
        self._check_parameters()
        y, known = self._check_y(X, y)

        clusterer = _fit(clone(self.clusterer), X)
        labels = clusters_of(clusterer, X)
        match = match_clusters(y, labels[known], self.strategy)
        classes, shares, overall = _class_shares(y, labels[known])
        default = classes.tolist()[overall.argmax()]
        stand_ins = _stand_ins(match, labels, centers_of(clusterer))
        fitted = {
            "clusterer_": clusterer,
            "classes_": classes,
            "purity_": purity_score(y, labels[known]),
            "match_": {k: match.get(near, default) for k, near in stand_ins.items()},
            "_default_class": default,
            "_shares": np.stack([shares.get(near, overall) for near in stand_ins.values()]),
            "_overall_shares": overall,
        }
        self.__dict__.update(fitted)
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
        clusters, index = np.unique(clusters_of(self.clusterer_, X), return_inverse=True)
        return self.classes_[self._places_of(clusters.tolist())][index]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Estimate probabilities: the shares of the classes in the cluster of each sample.

        These are the shares of the labelled samples of `fit`, as in a leaf of a decision tree:
        with few labels in a cluster they are coarse, and zero for a class that no label showed.
        :class:`~sklearn.calibration.CalibratedClassifierCV` and the metrics that need scores,
        such as ``roc_auc_ovr``, take them.

        With ``strategy="majority"``, the largest share of a sample is that of the class that
        `predict` gives, the first of equally large ones. With ``"hungarian"`` it need not be:
        the class that a cluster is paired with may be a smaller part of it.

        Parameters
        ----------
        X : array-like, sparse matrix or list of images
            The samples, in any form that the clusterer takes.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            One column for each of `classes_`; rows sum to 1. A cluster without a labelled sample
            has the shares of the cluster that it takes its class from, see `match_`, or those of
            all labelled samples, where it has the most frequent class.
        """
        check_is_fitted(self)
        clusters, index = np.unique(clusters_of(self.clusterer_, X), return_inverse=True)
        rows = dict(zip(self.match_, self._shares, strict=True))
        shares = [rows.get(cluster, self._overall_shares) for cluster in clusters.tolist()]
        return np.stack(shares)[index]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Share of the samples whose class is predicted.

        Parameters
        ----------
        X : array-like, sparse matrix or list of images
            The samples, in any form that the clusterer takes.

        y : array-like of shape (n_samples,)
            The classes. All must be known: -1 is not left out here, it counts as wrong where it
            is no class.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples. `None`: all weigh the same.

        Returns
        -------
        score : float
            The accuracy of `predict(X)`, between 0 and 1.

        Raises
        ------
        ValueError
            If labels are unknown: None, NaN, `pandas.NA`, nulls or masked.
        """
        y, missing = read_labels(y)
        y = column_or_1d(y)
        refuse_unknown(missing, "y", "X")
        return super().score(X, of_one_type(y, "y"), sample_weight)

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

    def _places_of(self, clusters):
        """Where in `classes_` the class of each cluster is."""
        matched = [self.match_.get(cluster, self._default_class) for cluster in clusters]
        return np.searchsorted(self.classes_, matched)

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
        y, missing = read_labels(y)
        y, known = column_or_1d(y, warn=True), ~missing.ravel()
        check_consistent_length(X, y)
        known[known] = ~_is_minus_one(y[known])
        if not known.any():
            raise ValueError("y holds no labelled sample: each is unknown (-1, None, NaN or NA).")
        y = of_one_type(y[known], "y")
        check_array(y, ensure_2d=False, dtype=None, input_name="y")
        check_classification_targets(y)
        return y, known


def _fit(clusterer, X):
    # A FrozenEstimator asks for y, though it looks at nothing.
    return clusterer.fit(X, None) if isinstance(clusterer, FrozenEstimator) else clusterer.fit(X)


def clusters_of(clusterer: Any, X: Any) -> np.ndarray:
    """The cluster of each sample, of shape (n_samples,), by the `predict` of a clusterer."""
    return one_cluster_per_sample(_predict(clusterer, X), type(clusterer).__name__)


def _predict(clusterer, X):
    """Predict, with features of one type at the end of a Pipeline whatever type came in."""
    if isinstance(clusterer, FrozenEstimator):
        return _predict(clusterer.estimator, X)
    if not isinstance(clusterer, Pipeline):
        return clusterer.predict(_as_type_of_centers(clusterer, X))
    for _, step in clusterer.steps[:-1]:
        if hasattr(step, "transform"):  # "passthrough" has none
            X = step.transform(X)
    return _predict(clusterer.steps[-1][1], X)


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
    labels = to_numpy(labels)
    if labels.size != n_samples:
        raise ValueError(
            f"One cluster for each sample is needed, but {name}.predict returned {labels.size} "
            f"for {n_samples} samples. An estimator that answers for every location of an image "
            "needs a clusterer of its features after it, in a Pipeline."
        )
    return labels.ravel()


def _is_minus_one(y):
    """Which labels are -1 and mean that the class is not known; beside 1 alone, none do."""
    if y.dtype.kind not in "ifO":
        return np.zeros(len(y), dtype=bool)
    labels = y.tolist()
    two_classes = -1 in labels and 1 in labels and all(label in (-1, 1) for label in labels)
    return np.array([label == -1 and not two_classes for label in labels], dtype=bool)


def _class_shares(y, labels):
    """Find how the labelled samples of each cluster divide into classes.

    Parameters
    ----------
    y, labels : ndarray of shape (n,)
        Classes and clusters.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
    shares : dict of cluster to ndarray of shape (n_classes,)
    overall : ndarray of shape (n_classes,)
        Of all samples.
    """
    classes, clusters, contingency = contingency_table(y, labels, None)
    counts = contingency.toarray().T.astype(float)
    shares = counts / counts.sum(1, keepdims=True)
    overall = counts.sum(0) / counts.sum()
    return classes, dict(zip(clusters.tolist(), shares, strict=True)), overall


def centers_of(clusterer: Any) -> Any:
    """Find the cluster centers of a clusterer, frozen or at the end of a Pipeline, if any."""
    if isinstance(clusterer, FrozenEstimator):
        return centers_of(clusterer.estimator)
    if isinstance(clusterer, Pipeline):
        return centers_of(clusterer[-1])
    centers = getattr(clusterer, "cluster_centers_", None)
    if issparse(centers):
        return centers
    return centers if np.ndim(centers) == 2 else None


def _as_type_of_centers(clusterer, X):
    """Cast rows of numbers to the type of the centers.

    `KMeans.predict` refuses any other, and `GaussianMixture.predict` rounds to the integers that
    it gets. Images, and whatever goes to a clusterer that takes images, pass untouched; what
    else is wrong with the rows is for the clusterer to say.
    """
    dtype = _type_of_centers(clusterer)
    if dtype is None or _takes_images(clusterer) or not _is_table(X):
        return X
    rows = check_array(
        X,
        accept_sparse=True,
        dtype=dtype,
        ensure_all_finite=False,
        ensure_min_samples=0,
        ensure_min_features=0,
    )
    return _named_like(X, rows)


def _type_of_centers(clusterer):
    """The float type that the clusterer computes in, as its centers or means tell, or None."""
    centers = getattr(clusterer, "cluster_centers_", getattr(clusterer, "means_", None))
    dtype = getattr(centers, "dtype", None)
    is_float = isinstance(dtype, np.dtype) and dtype.kind == "f"
    return dtype if is_float and centers.ndim == 2 else None


def _takes_images(clusterer):
    # Estimators of other makers may have no tags.
    return hasattr(clusterer, "__sklearn_tags__") and get_tags(clusterer).input_tags.three_d_array


def _is_table(X):
    """Tell whether X is rows of equal length, without reading a long list."""
    if isinstance(X, list | tuple):
        return len(X) > 0 and np.ndim(X[0]) == 1
    return len(getattr(X, "shape", ())) == 2


def _named_like(X, rows):
    """Rows as a DataFrame if X is one: KMeans compares the names of the columns."""
    if hasattr(X, "iloc"):
        return type(X)(rows, index=X.index, columns=X.columns)
    if type(X).__module__.startswith("polars"):
        return type(X)(rows, schema=list(X.columns))
    return rows


def _stand_ins(match, labels, centers):
    """Say which labelled cluster each cluster takes its class from; without one, itself."""
    clusters = np.unique(labels)
    if not _number_rows_of(clusters, centers):
        return {cluster: cluster for cluster in clusters.tolist()}
    labelled = np.array(list(match))
    nearest = labelled[pairwise_distances_argmin(centers, centers[labelled])].tolist()
    # Of two equal centers the first is the nearest to both: a labelled cluster stands for itself.
    return {k: k if k in match else near for k, near in enumerate(nearest)}


def _number_rows_of(clusters, centers):
    """Tell whether the clusters are row numbers of the centers."""
    if centers is None or clusters.dtype.kind not in "iu":
        return False
    return clusters[0] >= 0 and clusters[-1] < centers.shape[0]
