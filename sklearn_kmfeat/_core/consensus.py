"""Several clusterings of the same images: how far they agree, and their vote."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.special import softmax
from sklearn.cluster import KMeans

# Starts of k-means for the vote: a second for 10,000 images.
_N_INIT = 10
# Of the mixture. It ends when no image changes its cluster: after 5 to 40 on digits and CIFAR-10.
_MAX_ITER = 100


def agreement_matrix(labelings: Sequence[np.ndarray]) -> np.ndarray:
    """Adjusted Rand indices between clusterings (Hubert & Arabie 1985).

    Parameters
    ----------
    labelings : r int arrays of shape (n,)
        From zero upwards; images of -1 count as one more cluster.

    Returns
    -------
    float64 ndarray of shape (r, r)
        Symmetric, with ones on its diagonal.
    """
    labelings = [labels + 1 for labels in labelings]
    sizes = [int(labels.max()) + 1 for labels in labelings]
    indicator, n_runs = one_hot(labelings, sizes), len(sizes)
    # All contingency tables at once: whole numbers, so that their sums are exact.
    tables = (indicator.T @ indicator).tocoo()
    row, column = (np.repeat(np.arange(n_runs), sizes)[index] for index in tables.coords)
    pairs = np.bincount(row * n_runs + column, _choose_2(tables.data), n_runs**2)
    pairs = pairs.reshape(n_runs, n_runs)
    n_pairs = _choose_2(float(len(labelings[0])))
    of_run = np.diag(pairs)
    expected = np.outer(of_run, of_run) / max(n_pairs, 1.0)
    most = (of_run[:, None] + of_run[None, :]) / 2
    same = most == expected  # both are one cluster, or both are single images
    matrix = (pairs - expected) / np.where(same, 1.0, most - expected)
    return np.where(same, 1.0, matrix)


def mean_agreement(matrix: np.ndarray) -> np.ndarray:
    """The mean agreement (r,) of each run with the others; 1 for a single run."""
    n_others = len(matrix) - 1
    return (matrix.sum(1) - np.diag(matrix)) / n_others if n_others else np.ones(1)


@dataclass(frozen=True, eq=False)
class Vote:
    """Clusters of what several runs say of each image: a mixture of multinomials.

    Every cluster holds at least one of the images that it was made of.

    Attributes
    ----------
    scores_of : float64 ndarray of shape (total number of clusters of the runs, k)
        For each cluster of each run the logarithm of its share in each cluster of the vote, times
        the weight of the run.
    majority : int64 ndarray of shape (total number of clusters of the runs,)
        The cluster of the vote to which most images of each cluster of a run went.
    sizes : tuple of int
        Number of clusters of each run.
    weights : float64 ndarray of shape (r,)
        Of the runs; they sum to one.
    """

    scores_of: np.ndarray
    majority: np.ndarray
    sizes: tuple[int, ...]
    weights: np.ndarray

    @classmethod
    def of(
        cls,
        labelings: Sequence[np.ndarray],
        sizes: Sequence[int],
        n_clusters: int,
        weights: np.ndarray,
        random_state: int,
    ) -> "Vote":
        """k-means on stacked one-hot labels, then expectation maximisation of the mixture.

        Parameters
        ----------
        labelings : r int arrays of shape (n,)
            From zero upwards; -1 where a run has no cluster for an image.
        sizes : sequence of int
            Number of clusters of each run.
        n_clusters : int
            Of the vote.
        weights : ndarray of shape (r,)
            Not negative, and not all zero.
        random_state : int
        """
        weights = np.asarray(weights, dtype=np.float64) / np.sum(weights)
        rows = one_hot(labelings, sizes)
        # An image counts once for each run with a weight of the mean.
        of_column = np.repeat(weights * len(sizes), sizes)
        kmeans = KMeans(n_clusters, n_init=_N_INIT, random_state=random_state)
        labels = kmeans.fit_predict(rows.multiply(np.sqrt(of_column)[None]).tocsr())
        counts, log_shares = _mixture(rows, np.eye(n_clusters)[labels], sizes, of_column)
        scores_of = log_shares * of_column[:, None]
        # Already the first iteration may leave a cluster without images.
        live = np.unique((rows @ scores_of).argmax(1))
        return cls(scores_of[:, live], counts[:, live].argmax(1), tuple(sizes), weights)

    def predict(self, labelings: Sequence[np.ndarray]) -> np.ndarray:
        """The most probable cluster (n,) of images, from what the runs say of them."""
        return (one_hot(labelings, self.sizes) @ self.scores_of).argmax(1)

    def confidence(self, labelings: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
        """The weight (n,) of the runs that vote for `labels` (n,)."""
        first, confidence = _first_columns(self.sizes), np.zeros(len(labels))
        for start, weight, run in zip(first, self.weights, labelings, strict=True):
            voted = self.majority[start + np.maximum(run, 0)]
            confidence += weight * ((run >= 0) & (voted == labels))
        return confidence


def one_hot(labelings: Sequence[np.ndarray], sizes: Sequence[int]) -> csr_array:
    """Stacked one-hot labels, sparse (n, total of `sizes`); zeros where a run has no cluster."""
    labels = np.stack(labelings, 1)
    columns = np.maximum(labels, 0) + _first_columns(sizes)
    n, r = columns.shape
    parts = (
        (labels >= 0).astype(np.float64).ravel(),
        columns.ravel().astype(np.int32),  # scikit-learn's k-means takes no others
        np.arange(0, n * r + 1, r, dtype=np.int32),
    )
    return csr_array(parts, shape=(n, sum(sizes)))


def _mixture(rows, shares, sizes, weights):
    """Expectation maximisation (Topchy, Jain & Punch 2005) from the share of clusters in images.

    Returns the images of each column in each cluster, and the logarithms of the shares of the
    columns in the clusters, both (columns, k).
    """
    k, labels = shares.shape[1], shares.argmax(1)
    fitted = kept = _multinomials(rows, shares, sizes)
    for _ in range(_MAX_ITER):
        scores = rows @ (fitted[1] * weights[:, None])
        best = scores.argmax(1)
        if len(np.unique(best)) < k:
            break  # a cluster died out: those of the iteration before are the last
        kept = fitted
        if (best == labels).all():
            break
        labels, shares = best, softmax(scores, axis=1)
        fitted = _multinomials(rows, shares, sizes)
    return kept


def _multinomials(rows, shares, sizes):
    counts = rows.T @ shares
    totals = np.repeat(np.add.reduceat(counts, _first_columns(sizes), 0), sizes, 0)
    n_columns = np.repeat(sizes, sizes)[:, None]
    # One more image of each: what never came together is improbable, not impossible.
    return counts, np.log((counts + 1) / (totals + n_columns))


def _first_columns(sizes):
    return np.concatenate([[0], np.cumsum(sizes)[:-1]])


def _choose_2(counts):
    return counts * (counts - 1) / 2
