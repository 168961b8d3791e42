"""How well clusters agree with classes, and how much filters repeat each other."""

from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from sklearn.utils import check_array, check_consistent_length
from torch.nn.functional import unfold

from ._utils.labels import of_one_type, read_labels, refuse_unknown, to_numpy

__all__ = ["clustering_accuracy_score", "filter_redundancy", "match_clusters", "purity_score"]


def clustering_accuracy_score(
    labels_true: Any, labels_pred: Any, *, sample_weight: Any = None
) -> float:
    """Share of the samples that a one to one match of clusters and classes gets right.

    Clusters and classes are paired one to one so that as many samples as possible agree, by the
    Hungarian method [1]_. This is what the literature on deep clustering calls the (unsupervised)
    clustering accuracy, ACC [2]_. When there are more clusters than classes, the samples of the
    clusters left over count as wrong; when there are fewer clusters, those of the classes left
    over do.

    Parameters
    ----------
    labels_true : array-like of shape (n_samples,)
        The classes: numbers, strings or booleans. All must be known; -1 is a class like any
        other.

    labels_pred : array-like of shape (n_samples,)
        The clusters: numbers, strings or booleans. The number -1 is noise, see Notes.

    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights of the samples. `None`: all weigh the same.

    Returns
    -------
    score : float
        The accuracy, between 0 and 1; never more than :func:`purity_score`.

    Raises
    ------
    ValueError
        If the labels are empty, not 1-dimensional, continuous, unknown (NaN, None, NA), a mix
        of strings and numbers or of different lengths, or if the weights are negative or all
        zero.

    See Also
    --------
    match_clusters : The class that each cluster stands for. Its "hungarian" match gives the
        clusters left over a class too, so the accuracy of its classes may be higher.
    purity_score : The accuracy when several clusters may stand for one class.
    sklearn.metrics.adjusted_rand_score : Agreement of pairs of samples, corrected for chance.

    Notes
    -----
    Samples whose cluster is -1, the noise of :class:`~sklearn.cluster.DBSCAN` and
    :class:`~sklearn.cluster.HDBSCAN`, are in no cluster: they match no class and count as wrong,
    even where -1 is a class of `labels_true`. No other number is special: the -2 and -3 that
    HDBSCAN gives to samples with infinite or missing values are clusters here. To score the
    clustered samples alone, select them first: `kept = labels_pred != -1`. Where -1 names a
    true cluster, rename it.

    The table of classes and clusters is dense here, with one number for each pair.

    References
    ----------
    .. [1] Kuhn (1955). "The Hungarian method for the assignment problem." Naval Research
       Logistics Quarterly 2, 83-97.
    .. [2] Xie, Girshick, Farhadi (2016). "Unsupervised deep embedding for clustering analysis."
       International Conference on Machine Learning, 478-487.

    Examples
    --------
    >>> from sklearn_kmfeat.metrics import clustering_accuracy_score
    >>> clustering_accuracy_score(["cat", "cat", "dog", "dog"], [1, 1, 0, 0])
    1.0

    A third cluster is left over, and noise is in no cluster:

    >>> clustering_accuracy_score(["cat", "cat", "dog", "dog"], [1, 1, 0, 2])
    0.75
    >>> clustering_accuracy_score(["cat", "cat", "dog", "dog"], [1, 1, 0, -1])
    0.75
    """
    _, clusters, contingency = contingency_table(labels_true, labels_pred, sample_weight)
    is_noise = [cluster == -1 for cluster in clusters.tolist()]
    table = contingency.toarray()[:, np.logical_not(is_noise)]
    agreeing = table[linear_sum_assignment(table, maximize=True)].sum()
    return float(agreeing / contingency.sum())


def purity_score(
    labels_true: Any, labels_pred: Any, *, sample_weight: Any = None, adjusted: bool = False
) -> float:
    """Share of the samples that belong to the most frequent class of their cluster.

    Every cluster is given the class that most of its samples have; purity is the accuracy of
    that assignment, between the share of the largest class and 1. It never falls when a cluster
    is split, and it is 1 when every sample is a cluster of its own: compare purities at the same
    number of clusters only.

    Parameters
    ----------
    labels_true : array-like of shape (n_samples,)
        The classes: numbers, strings or booleans. All must be known; -1 is a class like any
        other.

    labels_pred : array-like of shape (n_samples,)
        The clusters: numbers, strings or booleans. -1 is a cluster like any other, see Notes.

    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights of the samples. `None`: all weigh the same.

    adjusted : bool, default=False
        Return `(purity - p) / (1 - p)`, with `p` the share of the largest class, which is the
        purity of one single cluster. This is Goodman and Kruskal's lambda [1]_: the share of the
        errors made in guessing the class that knowing the cluster removes. It is 0 for a single
        cluster and for clusters which all have the same most frequent class, 1 for pure
        clusters. It does not correct for a large number of clusters, as
        :func:`sklearn.metrics.adjusted_mutual_info_score` does. If all samples are of one
        class, any clusters are pure and the score is 1.

    Returns
    -------
    score : float
        The purity, between 0 and 1.

    Raises
    ------
    ValueError
        If the labels are empty, not 1-dimensional, continuous, unknown (NaN, None, NA), a mix
        of strings and numbers or of different lengths, or if the weights are negative or all
        zero.

    See Also
    --------
    match_clusters : The class that each cluster stands for.
    clustering_accuracy_score : The accuracy when clusters and classes are paired one to one.
    sklearn.metrics.adjusted_mutual_info_score : Agreement corrected for chance.
    sklearn.metrics.normalized_mutual_info_score : Agreement in terms of information.

    Notes
    -----
    The noise of :class:`~sklearn.cluster.DBSCAN` and :class:`~sklearn.cluster.HDBSCAN`, -1 in
    `labels_pred`, counts as one more cluster, with the most frequent class of its samples, as in
    scikit-learn's own clustering metrics. :func:`clustering_accuracy_score` counts it as wrong;
    to leave it out, select the other samples first: `kept = labels_pred != -1`.

    References
    ----------
    .. [1] Goodman, Kruskal (1954). "Measures of association for cross classifications." Journal
       of the American Statistical Association 49(268), 732-764.

    Examples
    --------
    >>> from sklearn_kmfeat.metrics import purity_score
    >>> purity_score(["cat", "cat", "dog", "dog", "dog"], [0, 0, 0, 1, 1])
    0.8
    >>> purity_score(["cat", "cat", "dog", "dog", "dog"], [0, 0, 0, 1, 1], adjusted=True)
    0.5
    """
    *_, contingency = contingency_table(labels_true, labels_pred, sample_weight)
    total = contingency.sum()
    agreeing = contingency.max(axis=0).sum()
    if not adjusted:
        return float(agreeing / total)
    largest = contingency.sum(axis=1).max()
    return float((agreeing - largest) / (total - largest)) if largest < total else 1.0


def match_clusters(
    labels_true: Any, labels_pred: Any, strategy: str = "majority", *, sample_weight: Any = None
) -> dict:
    """Find the class that each cluster stands for.

    Parameters
    ----------
    labels_true : array-like of shape (n_samples,)
        The classes: numbers, strings or booleans. All must be known; -1 is a class like any
        other.

    labels_pred : array-like of shape (n_samples,)
        The clusters: numbers, strings or booleans. -1 is a cluster like any other, see Notes.

    strategy : {"majority", "hungarian"}, default="majority"
        `"majority"`: each cluster gets its most frequent class (of equally frequent classes the
        first in sorted order), so that several clusters may stand for one class.
        `"hungarian"`: clusters and classes are paired one to one so that as many samples as
        possible agree [1]_. When there are more clusters than classes, the clusters left over
        get their most frequent class; when there are fewer, some classes have no cluster.

    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights of the samples. `None`: all weigh the same.

    Returns
    -------
    match : dict
        The class of each cluster, clusters in sorted order.

    Raises
    ------
    ValueError
        If `strategy` is unknown, if the labels are empty, not 1-dimensional, continuous, unknown
        (NaN, None, NA), a mix of strings and numbers or of different lengths, or if the weights
        are negative or all zero.

    See Also
    --------
    purity_score : The accuracy of the majority match.
    clustering_accuracy_score : The accuracy of the one to one match, in which the clusters left
        over count as wrong.
    sklearn_kmfeat.ClusterClassifier : Predicts classes by such a match.

    Notes
    -----
    The noise of :class:`~sklearn.cluster.DBSCAN` and :class:`~sklearn.cluster.HDBSCAN`, -1 in
    `labels_pred`, is matched as one more cluster, with either strategy. To leave it out, select
    the other samples first: `kept = labels_pred != -1`.

    References
    ----------
    .. [1] Kuhn (1955). "The Hungarian method for the assignment problem." Naval Research
       Logistics Quarterly 2, 83-97.

    Examples
    --------
    >>> from sklearn_kmfeat.metrics import match_clusters
    >>> animals = ["cat", "cat", "cat", "dog", "cat"]
    >>> match_clusters(animals, [0, 0, 0, 1, 1])
    {0: 'cat', 1: 'cat'}
    >>> match_clusters(animals, [0, 0, 0, 1, 1], strategy="hungarian")
    {0: 'cat', 1: 'dog'}
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy must be one of {tuple(STRATEGIES)}, got {strategy!r}.")
    classes, clusters, contingency = contingency_table(labels_true, labels_pred, sample_weight)
    matched = classes[STRATEGIES[strategy](contingency)]
    return dict(zip(clusters.tolist(), matched.tolist(), strict=True))


def filter_redundancy(filters: Any) -> np.ndarray:
    """How much each filter looks like a shifted copy of another one.

    The correlation of two filters at a shift is the sum of the products of their overlapping
    values, over all channels, divided by the lengths of both whole filters; so an overlap of
    few values counts for little. The redundancy of a filter is the largest absolute
    correlation with any other filter at any shift: a filter that is turned light for dark is
    a copy, too.

    Parameters
    ----------
    filters : array-like of shape (K, h, w) or (K, h, w, C)
        Such as the `filters_` of a learner; of one group where groups see different channels.

    Returns
    -------
    ndarray of shape (K,)
        Between 0 and 1. 1: a filter equals another one, up to a factor; 0 that it
        overlaps with none, or that it is zero, or alone.

    Raises
    ------
    ValueError
        For another number of axes, no values, and for NaN or infinity.

    See Also
    --------
    ConvKMeans : Learns filters that stand for a pattern at any place in a window.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_kmfeat.metrics import filter_redundancy
    >>> left, right, flat = np.zeros((3, 2, 2))
    >>> left[:, 0], right[:, 1], flat[:] = 1, 1, 1
    >>> filter_redundancy([left, right, flat]).round(3)
    array([1.   , 1.   , 0.707])
    """
    filters = check_array(filters, dtype=np.float64, ensure_2d=False, allow_nd=True)
    if filters.ndim not in (3, 4) or not filters.size:
        raise ValueError(
            f"filters must have the shape (K, h, w) or (K, h, w, C), got {filters.shape}."
        )
    filters = filters.reshape(*filters.shape[:3], -1)
    lengths = np.sqrt((filters**2).sum((1, 2, 3), keepdims=True))
    unit = torch.from_numpy(filters / np.where(lengths > 0, lengths, 1.0)).permute(0, 3, 1, 2)
    best = torch.cat([_best_correlations(unit, some) for some in torch.arange(len(unit)).split(16)])
    return best.clamp(max=1.0).numpy()


def _best_correlations(unit, some):
    """The largest absolute correlations of the filters `some` with any other, of (K, C, h, w)."""
    h, w = unit.shape[2:]
    shifted = unfold(unit[some], (h, w), padding=(h - 1, w - 1))
    correlations = (unit.flatten(1) @ shifted).abs_().amax(2)
    correlations[torch.arange(len(some)), some] = 0
    return correlations.amax(1)


def _majority(contingency):
    """Index of the heaviest class of each cluster; the first of equals."""
    return np.asarray(contingency.argmax(axis=0)).ravel()


def _hungarian(contingency):
    """Index of the class of each cluster, one to one as far as there are classes."""
    matched = _majority(contingency)
    classes, clusters = linear_sum_assignment(contingency.toarray(), maximize=True)
    matched[clusters] = classes
    return matched


STRATEGIES = {"majority": _majority, "hungarian": _hungarian}


def contingency_table(labels_true: Any, labels_pred: Any, sample_weight: Any) -> tuple:
    """Sum the weights of each (class, cluster): classes, clusters and a sparse matrix."""
    labels_true = _check_labels(labels_true, "labels_true")
    labels_pred = _check_labels(labels_pred, "labels_pred")
    weight = _check_weight(sample_weight, len(labels_true))
    check_consistent_length(labels_true, labels_pred, weight)
    classes, class_index = np.unique(labels_true, return_inverse=True)
    clusters, cluster_index = np.unique(labels_pred, return_inverse=True)
    shape = (len(classes), len(clusters))
    contingency = coo_array((weight, (class_index, cluster_index)), shape=shape)
    return classes, clusters, contingency.tocsr()


def _check_labels(labels, name):
    labels, unknown = read_labels(labels)
    if labels.ndim != 1:
        to_type = f" Use np.ravel({name})." if labels.shape[1:] == (1,) else ""
        raise ValueError(f"{name} must be 1D: shape is {labels.shape}.{to_type}")
    refuse_unknown(unknown, name, "labels_pred" if name == "labels_true" else "labels_true")
    labels = check_array(of_one_type(labels, name), ensure_2d=False, dtype=None, input_name=name)
    if labels.dtype.kind == "f" and np.any(labels != np.round(labels)):
        raise ValueError(f"{name} must be discrete labels, got continuous values.")
    return labels


def _check_weight(sample_weight, n_samples):
    if sample_weight is None:
        return np.ones(n_samples, dtype=np.int64)
    weight = check_array(
        to_numpy(sample_weight), ensure_2d=False, dtype=np.float64, input_name="sample_weight"
    )
    if weight.ndim != 1:
        raise ValueError(f"sample_weight must be 1D: shape is {weight.shape}.")
    if weight.min() < 0 or weight.sum() == 0:
        raise ValueError("sample_weight must be non-negative and not all zero.")
    return weight
