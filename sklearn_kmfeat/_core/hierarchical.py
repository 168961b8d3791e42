"""Where k-means starts when there are many centers: clusters inside clusters.

rows -> coarse clusters, about twice the root of the number of centers
     -> fine ones inside each, in proportion to its inertia
     -> iterations in which the rows of a coarse cluster see the centers near it

Each of these costs a small part of an iteration over all rows and centers.
"""

from heapq import heapify, heappop, heapreplace

import numpy as np
import torch

from .._utils.threads import in_threads
from .assign import nearest, nearest_and_sums, squared_norms, sums_by_label, wide_dtype
from .kmeans import MOMENTUM
from .seeding import is_far_from_zero, sample_rows, without_repeats

_COARSE = 3.0
_ROWS_PER_COARSE = 256
_ROWS_PER_CENTER = 512
_COARSE_ITERATIONS = 10
_FINE_ITERATIONS = 10
_NEAR = 5.0
_NEAR_ITERATIONS = 3


def hierarchical(X: torch.Tensor, n_rows: int, rng: np.random.RandomState) -> torch.Tensor:
    """Centers of a k-means in levels.

    Coarse clusters of some rows; fine ones inside each, so many that all have about the same
    inertia; and iterations in which each row sees a part of all centers, those near its coarse
    cluster. All of it with momentum, as in `lloyd`.

    Parameters
    ----------
    X : tensor of shape (n, d)
    n_rows : int
    rng : numpy RandomState

    Returns
    -------
    tensor of shape (at most n_rows, d)
        Different centers; fewer where X has not so many different rows.

    References
    ----------
    L. Kuffo, S. Hepkema, P. Boncz, "A super fast k-means for indexing vector embeddings", 2026,
    has such levels.
    """
    offset = X.mean(0)
    far = is_far_from_zero(offset, X)
    rows = X - offset if far else X
    coarse = _coarse_centers(rows, n_rows, rng)
    groups, scores = nearest(rows, coarse)
    live, groups = groups.unique(return_inverse=True)
    errors = (squared_norms(rows) - 2 * scores).clamp_(min=0)
    inertias = sums_by_label(errors[:, None], groups, len(live))[:, 0].cpu().numpy()
    members = _members(groups, len(live))
    numbers = shares(inertias, [len(some) for some in members], n_rows)
    fine = _fine_centers(rows, members, coarse[live], numbers, rng)
    lengths = torch.tensor([len(centers) for centers in fine], device=X.device)
    owners = torch.arange(len(live), device=X.device).repeat_interleave(lengths)
    centers = _near_iterations(rows, groups, torch.cat(fine), owners)
    return _filled(centers + offset if far else centers, X, n_rows, rng)


def shares(weights: np.ndarray, limits: np.ndarray, total: int) -> list[int]:
    """Divide a number in proportion to weights, by the method of Webster and Sainte-Laguë.

    Parameters
    ----------
    weights : sequence of float of shape (n,)
    limits : sequence of int of shape (n,)
        What each gets at most; at the least it gets one.
    total : int
        At least n.

    Returns
    -------
    list of n int
        Their sum is `total`, or that of the limits where it is less.
    """
    counts, left = [1] * len(weights), total - len(weights)
    # Who is next: whose weight is largest beside the odd numbers 1, 3, 5, ... of what it has.
    queue = [(-weight / 3, i) for i, weight in enumerate(weights)]
    heapify(queue)
    while queue and left:
        _, i = queue[0]
        if counts[i] == limits[i]:
            heappop(queue)
            continue
        counts[i] += 1
        left -= 1
        heapreplace(queue, (-weights[i] / (2 * counts[i] + 1), i))
    return counts


def _coarse_centers(rows, n_rows, rng):
    n = min(n_rows, round(_COARSE * n_rows**0.5))
    index = torch.from_numpy(rng.permutation(len(rows))[: _ROWS_PER_COARSE * n])
    part = rows[index.to(rows.device)]
    return _iterated(part, sample_rows(part, n, rng), _COARSE_ITERATIONS)


def _drawn(n, n_drawn, rng):
    """An index of some of n rows; all where they are not more."""
    if n <= n_drawn: return slice(None)
    return torch.from_numpy(rng.permutation(n)[:n_drawn])


def _members(groups, n_groups):
    """The index of the rows of each group, a list of int64 tensors."""
    sizes = torch.bincount(groups, minlength=n_groups).tolist()
    return groups.argsort(stable=True).split(sizes)


def _fine_centers(rows, members, coarse, numbers, rng):
    """The centers inside each coarse cluster, a list of tensors (at most its number, d)."""
    seeds = rng.randint(2**31 - 1, size=len(members))

    def worker():
        def fine(i):
            own = np.random.RandomState(seeds[i])
            some = members[i][_drawn(len(members[i]), _ROWS_PER_CENTER * numbers[i], own)]
            around = rows[some].sub_(coarse[i])  # squares keep their digits
            start = sample_rows(around, numbers[i], own)
            return _iterated(around, start, _FINE_ITERATIONS).add_(coarse[i])

        return fine

    return list(in_threads(worker, range(len(members)), rows.device))


def _near_iterations(rows, groups, centers, owners):
    """Iterations of k-means in which the rows of a group see the centers near it.

    Parameters
    ----------
    rows : tensor of shape (n, d)
    groups : int64 tensor of shape (n,)
        The group of each row to begin with; then it is that of its center.
    centers : tensor of shape (k, d)
    owners : int64 tensor of shape (k,)
        The group of each center; every group has one.
    """
    k, n_groups = len(centers), int(owners[-1]) + 1
    sizes = torch.bincount(owners, minlength=n_groups)
    n_near = min(k, max(int(sizes.max()), round(_NEAR * k**0.5)))
    own = torch.arange(k, device=rows.device)
    before = None
    for _ in range(_NEAR_ITERATIONS):
        middles = sums_by_label(centers, owners, n_groups) / sizes[:, None]
        distances = torch.cdist(middles, centers)
        distances[owners, own] = -1  # a group sees its own centers
        near = distances.topk(n_near, largest=False).indices
        means, groups = _near_means(rows, groups, centers, before, owners, middles, near)
        centers, before = _ahead(means, before), means
    return centers if before is None else before


def _near_means(rows, groups, centers, before, owners, middles, near):
    """One such iteration: the means (k, d), and the group of each row (n,) from now on."""
    members, after = _members(groups, len(near)), torch.empty_like(groups)

    def worker():
        def some(i):
            around = rows[members[i]].sub_(middles[i])
            labels, sums, counts = _added(around, centers[near[i]] - middles[i])
            after[members[i]] = owners[near[i]][labels]
            return sums.add_(counts[:, None] * middles[i]), counts

        return some

    sums = torch.zeros_like(centers, dtype=wide_dtype(centers))
    counts = torch.zeros_like(owners)
    for i, (more, n) in enumerate(in_threads(worker, range(len(near)), rows.device)):
        sums[near[i]] += more
        counts[near[i]] += n
    return _means(sums, counts, centers if before is None else before), after


def _iterated(rows, centers, n_iter):
    """Iterations of k-means; a center without rows stays."""
    before = None
    for _ in range(n_iter):
        _, sums, counts = _added(rows, centers)
        means = _means(sums, counts, centers if before is None else before)
        centers, before = _ahead(means, before), means
    return before


def _added(rows, centers):
    """Labels of the rows, their sums and counts by label."""
    labels, _, sums = nearest_and_sums(rows, centers)
    return labels, sums, torch.bincount(labels, minlength=len(centers))


def _means(sums, counts, otherwise):
    means = (sums / counts.clamp(min=1)[:, None]).to(otherwise)
    return torch.where((counts > 0)[:, None], means, otherwise)


def _ahead(means, before):
    return means if before is None else means + MOMENTUM * (means - before)


def _filled(centers, X, n_rows, rng):
    """Different centers, as many as asked for where there are so many different rows."""
    centers = without_repeats(centers)
    if len(centers) < n_rows:
        centers = without_repeats(torch.cat([centers, sample_rows(X, n_rows, rng)]))[:n_rows]
    return centers
