"""Several clusterings of the same images: how far they agree, and their vote."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from sklearn.cluster import KMeans

# Starts of k-means for the vote: it takes a second for 10,000 images.
_N_INIT = 10


def agreement_matrix(labelings: Sequence[np.ndarray]) -> np.ndarray:
    """Adjusted Rand indices between clusterings (Hubert & Arabie 1985).

    Parameters
    ----------
    labelings : r int arrays of shape (n,)
        From zero upwards.

    Returns
    -------
    float64 ndarray of shape (r, r)
        Symmetric, with ones on its diagonal.
    """
    sizes = [int(labels.max()) + 1 for labels in labelings]
    indicator = one_hot(labelings, sizes, dtype=np.int64)
    # All contingency tables at once: whole numbers, so that their sums are exact.
    tables = (indicator.T @ indicator).toarray()
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    pairs = np.add.reduceat(np.add.reduceat(_choose_2(tables), first, 0), first, 1)
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
    """Clusters of what several runs say of each image.

    Attributes
    ----------
    centers : float64 ndarray of shape (k, total number of clusters of the runs)
        The share of each run's clusters in each cluster of the vote, times the root of the
        weight of the run.
    sizes : tuple of int
        Number of clusters of each run.
    weights : float64 ndarray of shape (r,)
        Of the runs; they sum to one.
    """

    centers: np.ndarray
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
        """k-means on the stacked one-hot labels of the runs (Wu et al. 2015).

        Parameters
        ----------
        labelings : r int arrays of shape (n,)
        sizes : sequence of int
            Number of clusters of each run.
        n_clusters : int
            Of the vote.
        weights : ndarray of shape (r,)
        random_state : int
        """
        weights = np.asarray(weights, dtype=np.float64) / np.sum(weights)
        rows = _weighted(labelings, sizes, weights)
        kmeans = KMeans(n_clusters, n_init=_N_INIT, random_state=random_state).fit(rows)
        return cls(kmeans.cluster_centers_, tuple(sizes), weights)

    def scores(self, labelings: Sequence[np.ndarray]) -> np.ndarray:
        """Squared distances (n, k) of images to the clusters, less a constant."""
        rows = _weighted(labelings, self.sizes, self.weights)
        return np.square(self.centers).sum(1) - 2 * (rows @ self.centers.T)

    def predict(self, labelings: Sequence[np.ndarray]) -> np.ndarray:
        """The cluster (n,) of images from what the runs say of them."""
        return self.scores(labelings).argmin(1)


def one_hot(
    labelings: Sequence[np.ndarray], sizes: Sequence[int], dtype: type = np.float64
) -> csr_array:
    """Stacked one-hot labels: sparse (n, total of `sizes`), a one for each run in each row."""
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    columns = np.stack([labels + start for labels, start in zip(labelings, first, strict=True)], 1)
    n, r = columns.shape
    parts = (
        np.ones(columns.size, dtype=dtype),
        columns.ravel().astype(np.int32),  # scikit-learn's k-means takes no others
        np.arange(0, n * r + 1, r, dtype=np.int32),
    )
    return csr_array(parts, shape=(n, sum(sizes)))


def _weighted(labelings, sizes, weights):
    rows = one_hot(labelings, sizes)
    rows.data *= np.tile(np.sqrt(weights), rows.shape[0])
    return rows


def _choose_2(counts):
    return counts * (counts - 1) / 2
