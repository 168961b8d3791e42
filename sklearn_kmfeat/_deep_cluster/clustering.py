"""Pseudo-labels from embeddings: the space, the clusters, and the draw of an epoch."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from .._core.assign import nearest, squared_errors, sums_by_label
from .._core.kmeans import kmeans as lloyd
from .._core.seeding import kmeans_plusplus, sample_rows
from .._core.whitening import Moments

_ROWS_TO_RANK_STARTS = 50_000


class Projection(NamedTuple):
    """Whitened principal components of rows.

    Attributes
    ----------
    mean : tensor of shape (d,)
    components : tensor of shape (d, n_components)
    unit_length : bool
        Whether rows are brought to unit length.
    """

    mean: torch.Tensor
    components: torch.Tensor
    unit_length: bool

    def __call__(self, rows):
        """Projected rows (n, n_components)."""
        rows = (rows - self.mean.to(rows)) @ self.components.to(rows)
        return F.normalize(rows) if self.unit_length else rows

    def cpu(self):
        """The same on the CPU."""
        return self._replace(mean=self.mean.cpu(), components=self.components.cpu())


def fit_projection(rows, n_components, unit_length=True):
    """Principal components of rows, each divided by its standard deviation.

    Directions in which the rows hardly vary are left out.

    Parameters
    ----------
    rows : tensor of shape (n, d)
    n_components : int
        At most so many.
    unit_length : bool, default=True
        Whether rows are brought to unit length in the end.

    Returns
    -------
    Projection
    """
    moments = Moments.of(rows)
    # Not every device has float64.
    covariance = moments.covariance().to(rows.device if rows.is_cuda else "cpu")
    eigenvalues, vectors = torch.linalg.eigh(covariance)
    eigenvalues, vectors = eigenvalues.flip(0), vectors.flip(1)
    kept = min(n_components, int((eigenvalues > 1e-6 * eigenvalues[0]).sum()))
    kept = max(kept, 1)
    components = vectors[:, :kept] / eigenvalues[:kept].clamp(min=1e-12).sqrt()
    mean, components = (part.to(rows.dtype).to(rows.device) for part in (moments.mean, components))
    return Projection(mean, components, unit_length)


def whitened(rows, n_components):
    """Rows in the space of `fit_projection`."""
    return fit_projection(rows, n_components)(rows)


def euclidean_clusters(rows, k, n_iter, rng):
    """K-means; centres that lose all their rows move to the rows that are worst off.

    Parameters
    ----------
    rows : tensor of shape (n, d)
    k : int
    n_iter : int
    rng : numpy RandomState

    Returns
    -------
    int64 tensor of shape (n,)
    """
    found = lloyd(rows, sample_rows(rows, k, rng), max_iter=n_iter, tol=1e-4)
    return nearest(rows, found.centers)[0]


def spherical_clusters(rows, k, n_iter, rng):
    """K-means by cosine, for rows of unit length; otherwise as `euclidean_clusters`."""
    centers = sample_rows(rows, k, rng)
    for _ in range(n_iter):
        labels, _ = nearest(rows, centers)
        sums = sums_by_label(rows, labels, len(centers))
        empty = (torch.bincount(labels, minlength=len(centers)) == 0).nonzero()[:, 0]
        if len(empty):
            worst = squared_errors(rows, centers, labels).topk(len(empty)).indices
            sums[empty] = rows[worst]
        new = F.normalize(sums)
        if torch.equal(new, centers):
            break
        centers = new
    return nearest(rows, centers)[0]


def final_clusters(rows, k, rng, n_init=10, max_iter=300):
    """The best of several runs of k-means.

    Of many rows, a part decides which start is the best.

    Parameters
    ----------
    rows : tensor of shape (n, d)
    k : int
    rng : numpy RandomState
    n_init, max_iter : int

    Returns
    -------
    Dictionary
    """
    limits = {"max_iter": max_iter, "tol": 1e-4}
    some = rows
    if len(rows) > 2 * _ROWS_TO_RANK_STARTS:
        order = torch.from_numpy(rng.permutation(len(rows))[:_ROWS_TO_RANK_STARTS])
        some = rows[order.to(rows.device)]
    runs = (lloyd(some, kmeans_plusplus(some, k, rng), **limits) for _ in range(n_init))
    best = min(runs, key=lambda run: run.inertia)
    return best if some is rows else lloyd(rows, best.centers, **limits)


def uniform_draw(labels, n_labels, n_draws):
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


def size_entropy(labels, n_labels):
    """Entropy of the sizes of clusters, relative to equal sizes: 1 when they are equal."""
    shares = torch.bincount(labels, minlength=n_labels).double() / len(labels)
    entropy = -torch.special.xlogy(shares, shares).sum()
    return float(entropy / np.log(n_labels)) if n_labels > 1 else 1.0


def simple_silhouette(rows, centers):
    """Mean of ``(b - a) / max(a, b)``, with the distances a and b to the nearest two centres.

    Parameters
    ----------
    rows : tensor of shape (n, d)
    centers : tensor of shape (k, d)

    Returns
    -------
    float
        0 for a single centre.
    """
    if len(centers) < 2:
        return 0.0
    total = 0.0
    for chunk in rows.split(10_000):
        nearest_two = torch.cdist(chunk, centers).topk(2, largest=False).values.double()
        own, other = nearest_two.T
        total += float(((other - own) / other.clamp(min=1e-12)).sum())
    return total / len(rows)
