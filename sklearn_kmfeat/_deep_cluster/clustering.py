"""Pseudo-labels and final clusters from rows, and the draw of images for an epoch."""

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from .._core.assign import nearest
from .._core.kmeans import Dictionary, RowStep, kmeans, step_over
from .._core.restarts import best_of_restarts
from .._core.rows import Rows, in_parts
from .._core.seeding import kmeans_plusplus, sample_rows
from .._core.whitening import Moments
from .._utils.threads import coarse_threads

# Of k-means here, as in scikit-learn.
_TOLERANCE = 1e-4
# Starts for the final clusters. In one and the same space the accuracy of single starts has a
# deviation of 1 (CIFAR-10) to 7 points (MNIST), and goes with inertia (Spearman 0.8 on MNIST).
# Ten starts are enough on MNIST; fifty have a lower inertia, and half a point more accuracy, on
# CIFAR-10. They take 1.2 s for 2,500 images; with many clusters a start takes longer, and those of
# ten differ less.
_LARGEST_N_INIT, _LEAST_N_INIT = 50, 10
_CENTERS_OF_ALL_STARTS = 1_000
# Rows that rank the starts: hundreds for each cluster, and all of the usual small data sets.
_LEAST_RANKED, _RANKED_PER_CLUSTER = 10_000, 500
# Relative to the largest: a direction with less than a thousandth of the largest deviation is
# rounding rather than content (bfloat16 has three digits), and whitening would magnify it.
_LEAST_EIGENVALUE = 1e-6
# Guards divisions where all rows are alike, and is far below what rows of a network measure.
_TINY = 1e-12
# Rows whose distances to all centers are in memory at a time: 4 MB with a hundred centers.
_ROWS_PER_CHUNK = 10_000


class PCAWhitening(NamedTuple):
    """Whitened principal components of rows.

    Attributes
    ----------
    mean : tensor of shape (d,)
    components : tensor of shape (d, n_components)
        Each divided by the standard deviation along it.
    unit_length : bool
        Whether rows are brought to unit length in the end.
    """

    mean: torch.Tensor
    components: torch.Tensor
    unit_length: bool

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        """Whitened rows (n, n_components)."""
        rows = (rows - self.mean.to(rows)) @ self.components.to(rows)
        return F.normalize(rows) if self.unit_length else rows

    def cpu(self) -> "PCAWhitening":
        """The same on the CPU."""
        return self._replace(mean=self.mean.cpu(), components=self.components.cpu())


@coarse_threads()
def fit_pca_whitening(
    rows: torch.Tensor | Rows, n_components: int, unit_length: bool = True
) -> PCAWhitening:
    """Principal components of rows, each divided by its standard deviation.

    Directions in which the rows hardly vary are left out.

    Parameters
    ----------
    rows : tensor of shape (n, d), or Rows
    n_components : int
        At most so many.
    unit_length : bool, default=True
        Whether rows are brought to unit length in the end.

    Returns
    -------
    PCAWhitening
    """
    rows = in_parts(rows)
    moments = rows.added(Moments.of)
    # Not every device has float64.
    covariance = moments.covariance().to(rows.device if rows.device.type == "cuda" else "cpu")
    eigenvalues, vectors = torch.linalg.eigh(covariance)
    eigenvalues, vectors = eigenvalues.flip(0), vectors.flip(1)
    n_kept = min(n_components, int((eigenvalues > _LEAST_EIGENVALUE * eigenvalues[0]).sum()))
    n_kept = max(n_kept, 1)
    components = vectors[:, :n_kept] / eigenvalues[:n_kept].clamp(min=_TINY).sqrt()
    mean, components = (part.to(rows.dtype).to(rows.device) for part in (moments.mean, components))
    return PCAWhitening(mean, components, unit_length)


@coarse_threads()
def euclidean_clusters(
    rows: torch.Tensor | Rows, k: int, n_iter: int, rng: np.random.RandomState
) -> torch.Tensor:
    """K-means; a center that loses all its rows moves to one of the rows with the largest error.

    Parameters
    ----------
    rows : tensor of shape (n, d), or Rows
    k : int
    n_iter : int
    rng : numpy RandomState

    Returns
    -------
    int64 tensor of shape (n,)
    """
    dictionary = kmeans(rows, sample_rows(rows, k, rng), max_iter=n_iter, tol=_TOLERANCE)
    return labels_of(rows, dictionary.centers)


@coarse_threads()
def spherical_clusters(
    rows: torch.Tensor | Rows, k: int, n_iter: int, rng: np.random.RandomState
) -> torch.Tensor:
    """K-means by cosine, for rows of unit length; otherwise as `euclidean_clusters`."""
    step, centers = step_over(rows, RowStep), sample_rows(rows, k, rng)
    for _ in range(n_iter):
        totals = step(centers)
        sums, empty = totals.sums, (totals.counts == 0).nonzero()[:, 0]
        if len(empty):
            worst = totals.worst(len(empty))[0]
            sums[empty[: len(worst)]] = worst.to(sums)
        new = F.normalize(sums).to(centers)
        if torch.equal(new, centers):
            break
        centers = new
    return labels_of(rows, centers)


def labels_of(rows: torch.Tensor | Rows, centers: torch.Tensor) -> torch.Tensor:
    """The nearest of the centers (k, d) for every row, int64 (n,)."""
    return torch.cat(in_parts(rows).each(_nearest, centers))


def _nearest(rows, centers):
    return nearest(rows, centers)[0]


@coarse_threads()
def final_clusters(
    rows: torch.Tensor | Rows,
    k: int,
    rng: np.random.RandomState,
    n_init: int | None = None,
    max_iter: int = 300,
    n_ranked: int | None = None,
) -> Dictionary:
    """The best of several runs of k-means.

    Parameters
    ----------
    rows : tensor of shape (n, d), or Rows
    k : int
    rng : numpy RandomState
    n_init : int or None, default=None
        Starts. None: 50, or fewer, but at least 10, for more than 20 clusters.
    max_iter : int, default=300
        Iterations of each.
    n_ranked : int or None, default=None
        Of more than twice as many rows, so many decide which start is the best. None: 500 for
        each cluster, at least 10,000.

    Returns
    -------
    Dictionary
    """
    if n_init is None:
        n_init = max(_LEAST_N_INIT, min(_LARGEST_N_INIT, _CENTERS_OF_ALL_STARTS // k))
    if n_ranked is None:
        n_ranked = max(_LEAST_RANKED, _RANKED_PER_CLUSTER * k)
    if len(rows) <= 2 * n_ranked:
        # All of them rank the starts: here, since each start takes many exchanges between parts.
        rows = rows[:]
    return best_of_restarts(
        rows,
        lambda rows, rng: kmeans_plusplus(rows, k, rng),
        partial(kmeans, max_iter=max_iter, tol=_TOLERANCE),
        n_centers=k,
        n_init=n_init,
        n_ranked=n_ranked,
        rng=rng,
    )


def uniform_draw(labels: torch.Tensor, n_labels: int, n_draws: int) -> torch.Tensor:
    """Images drawn so that each cluster that is not empty has about the same share.

    From a cluster that is large enough no image is drawn twice. Uses torch's generator.

    Parameters
    ----------
    labels : int64 tensor of shape (n,), on the CPU
    n_labels : int
    n_draws : int

    Returns
    -------
    int64 tensor of shape (n_draws,)
    """
    # The images of each cluster, one cluster after the other, in a random order.
    shuffled = torch.randperm(len(labels))
    order = shuffled[labels[shuffled].argsort(stable=True)]
    sizes = torch.bincount(labels, minlength=n_labels)
    starts = sizes.cumsum(0) - sizes
    starts, sizes = starts[sizes > 0, None], sizes[sizes > 0, None]
    share = n_draws // len(sizes) + 1
    once = torch.arange(share).expand(len(sizes), -1)
    again = (torch.rand(len(sizes), share) * sizes).long()
    drawn = order[starts + torch.where(sizes >= share, once, again)].flatten()
    return drawn[torch.randperm(len(drawn))[:n_draws]]


def size_entropy(labels: torch.Tensor, n_labels: int) -> float:
    """Entropy of the sizes of clusters, relative to equal sizes: 1 when they are equal."""
    shares = torch.bincount(labels, minlength=n_labels).double() / len(labels)
    entropy = -torch.special.xlogy(shares, shares).sum()
    return float(entropy / np.log(n_labels)) if n_labels > 1 else 1.0


def spread(rows: torch.Tensor | Rows) -> float:
    """Variance of rows brought to unit length: 0 when all point the same way."""
    rows = in_parts(rows)
    return max(0.0, float(1 - (rows.added(_sum_of_directions) / len(rows)).square().sum()))


def _sum_of_directions(rows):
    return F.normalize(rows).sum(0)


def simple_silhouette(rows: torch.Tensor, centers: torch.Tensor) -> float:
    """Mean of ``(b - a) / max(a, b)``, with the distances a and b to the nearest two centers.

    Parameters
    ----------
    rows : tensor of shape (n, d)
    centers : tensor of shape (k, d)

    Returns
    -------
    float
        0 for a single center.
    """
    if len(centers) < 2:
        return 0.0
    total = 0.0
    for chunk in rows.split(_ROWS_PER_CHUNK):
        nearest_two = torch.cdist(chunk, centers).topk(2, largest=False).values.cpu().double()
        a, b = nearest_two.T
        total += float(((b - a) / b.clamp(min=_TINY)).sum())
    return total / len(rows)
