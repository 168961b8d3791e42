"""Where k-means starts when there are many centers: clusters inside clusters.

rows -> coarse clusters, about twice the root of the number of centers
     -> fine ones inside each, in proportion to its inertia
     -> an iteration in which the rows of a coarse cluster see the centers near it

Together they take as long as about two iterations over all rows and 1,600 centers.
"""

from heapq import heapify, heappop, heapreplace

import numpy as np
import torch

from .._utils.threads import in_threads
from .assign import nearest, nearest_and_sums, squared_norms, sums_by_label, wide_dtype
from .kmeans import MOMENTUM, ahead, means_of
from .rows import ForEach, Rows, in_parts, shifted
from .seeding import is_far_from_zero, mean_of, sample_rows, without_repeats

# Measured on 400,000 whitened patches of CIFAR-10 and two cores, where a Lloyd step for 1,600 and
# 6,400 centers takes 0.85 and 3.3 s: seconds, and the inertia beyond that of long runs. (These with
# ten fine iterations and two over near centers, which take 0.15 and 0.4 s more.)
#
# Coarse clusters, in roots of the number of centers. For 1,600 centers: 1 gives 1.6 s, 1.9 %;
# 2 1.6 s, 1.5 %; 3 1.7 s, 1.4 %; 4 2.0 s, 1.4 %. For 6,400: 1 2.6 s, 1.8 %; 2 2.6 s, 1.7 %;
# 3 3.3 s, 1.5 %.
_COARSE = 2.0
# Fewer rows take less time than the calls for them do: of 40,000 rows, 1,600 centers in 120 coarse
# clusters take 0.9 s, eleven Lloyd steps.
_ROWS_PER_GROUP = 2048
# Rows that coarse clusters are made of, for each: 128 give 0.2 % more inertia, 512 the same.
_ROWS_PER_COARSE = 256
# Rows that fine clusters are made of, for each: where there are more, as of 400 centers, all of
# them give 0.1 % less inertia in 1.3 s instead of 1.1, and 256 0.2 % more in 0.9.
_ROWS_PER_CENTER = 512
_COARSE_ITERATIONS = 10
# With 5, 0.2 % more inertia and 0.2 s less for 1,600 centers; with 10, 0.1 % less and 0.15 s more,
# for 6,400 0.4 s.
_FINE_ITERATIONS = 8
# Centers that a row sees in the end, in roots of their number. That takes 0.25 s for 1,600 centers
# and 0.5 s for 6,400, and lowers the inertia by 0.35 %; with 5, 0.06 % more inertia and 0.15 s
# less. A second time would lower it by 0.15 % in as long; what iterations over all rows reach in
# all is the same from none to three.
_NEAR = 7.0


def hierarchical(
    X: torch.Tensor | Rows,
    n_rows: int,
    rng: np.random.RandomState,
    *,
    rows_per_group: int = _ROWS_PER_GROUP,
) -> torch.Tensor:
    """Centers of a k-means in levels.

    Coarse clusters of some rows. Fine ones inside each, so many that all have about the same
    inertia. An iteration in which each row sees a part of all centers, those near its coarse
    cluster. The first two have momentum, in so few iterations that it needs no check.

    Parameters
    ----------
    X : tensor of shape (n, d), or Rows
    n_rows : int
    rng : numpy RandomState
    rows_per_group : int
        Rows of a coarse cluster, at the least and in the mean.

    Returns
    -------
    tensor of shape (at most n_rows, d)
        Different centers; fewer where X has not so many different rows.

    References
    ----------
    L. Kuffo, S. Hepkema, P. Boncz, "A super fast k-means for indexing vector embeddings", 2026,
    has such levels.
    """
    X = in_parts(X)
    offset = mean_of(X)
    far = is_far_from_zero(offset, X)
    rows = X.map(shifted, offset) if far else X
    n_coarse = min(n_rows, round(_COARSE * n_rows**0.5), max(1, len(X) // rows_per_group))
    coarse = _coarse_centers(rows, n_coarse, rng)
    found = rows.each(_coarse_clusters, coarse)
    groups = [of_part for of_part, _ in found]
    inertias = sum(of_part for _, of_part in found)
    live, of_all = torch.cat(groups).unique(return_inverse=True)
    members = _members(of_all, len(live))
    numbers = shares(inertias[live.numpy()], [len(some) for some in members], n_rows)
    fine = _fine_centers(rows, members, coarse[live.to(coarse.device)], numbers, rng)
    lengths = torch.tensor([len(centers) for centers in fine], device=X.device)
    owners = torch.arange(len(live), device=X.device).repeat_interleave(lengths)
    # Copies: what goes elsewhere would take along all that it is a view of.
    parts = [some.clone() for some in of_all.split([len(some) for some in groups])]
    centers, parts = torch.cat(fine), ForEach(parts)
    near, middles = _near(centers, owners)
    added = rows.added(_sums_of_near, parts, near, middles, centers)
    centers = means_of(added[:, :-1], added[:, -1], centers)
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


def _coarse_centers(rows, n, rng):
    part = rows[_drawn(len(rows), _ROWS_PER_COARSE * n, rng, rows.device)]
    return _iterated(part, sample_rows(part, n, rng), _COARSE_ITERATIONS)


def _coarse_clusters(rows, coarse):
    """The coarse cluster of each row, int32 on the CPU, and the inertias (n_coarse,) of these."""
    groups, scores = nearest(rows, coarse.to(rows))
    errors = (squared_norms(rows) - 2 * scores).clamp_(min=0).to(wide_dtype(rows))
    inertias = sums_by_label(errors[:, None], groups, len(coarse))[:, 0]
    return groups.to("cpu", torch.int32), inertias.cpu().numpy()


def _fine_centers(rows, members, coarse, numbers, rng):
    """The centers inside each coarse cluster, a list of tensors (at most its number, d)."""
    seeds = rng.randint(2**31 - 1, size=len(members))
    indices, arguments = [], []
    for some, center, number, seed in zip(members, coarse, numbers, seeds, strict=True):
        rng_of_group = np.random.RandomState(seed)
        drawn = _drawn(len(some), _ROWS_PER_CENTER * number, rng_of_group, "cpu")
        indices.append(some[drawn].numpy())
        arguments.append((center.clone(), number, rng_of_group))
    return rows.grouped(_fine, indices, arguments)


def _fine(rows, coarse, number, rng):
    around = rows.sub_(coarse)  # squares keep their digits
    return _iterated(around, sample_rows(around, number, rng), _FINE_ITERATIONS).add_(coarse)


def _sums_of_near(rows, groups, near, middles, centers):
    """Sums and counts of a k-means in which the rows of a group see the centers near it.

    Parameters
    ----------
    rows : tensor of shape (n, d)
    groups : int64 tensor of shape (n,)
        The group of each row, on the CPU.
    near : int64 tensor of shape (n_groups, n_near)
        The centers that each group sees.
    middles : tensor of shape (n_groups, d)
    centers : tensor of shape (k, d)

    Returns
    -------
    float64 tensor of shape (k, d + 1)
        The counts are its last column.
    """
    near, middles, centers = near.to(rows.device), middles.to(rows), centers.to(rows)
    members = _members(groups, len(near))

    def worker():
        def some(i):
            # Squares keep their digits around the middle.
            around = rows[members[i].to(rows.device)].sub_(middles[i])
            sums, counts = _added(around, centers[near[i]] - middles[i])
            return torch.cat([sums.add_(counts[:, None] * middles[i]), counts[:, None]], 1)

        return some

    shape = len(centers), centers.shape[1] + 1
    added = torch.zeros(shape, dtype=wide_dtype(centers), device=centers.device)
    for i, sums in enumerate(in_threads(worker, range(len(near)), rows.device)):
        added[near[i]] += sums
    return added


def _near(centers, owners):
    """The centers that each group sees, an index (n_groups, n_near), and its middle."""
    sizes = torch.bincount(owners)
    n_near = min(len(owners), max(int(sizes.max()), round(_NEAR * len(owners) ** 0.5)))
    middles = sums_by_label(centers, owners, len(sizes)) / sizes[:, None]
    distances = torch.cdist(middles, centers)
    distances[owners, torch.arange(len(centers), device=centers.device)] = -1  # its own
    return distances.topk(n_near, largest=False).indices, middles


def _iterated(rows, centers, n_iter):
    """Means (k, d) after iterations of k-means with momentum."""
    means, live = centers, torch.ones(len(centers), dtype=torch.bool, device=centers.device)
    for i in range(n_iter):
        before = means
        sums, counts = _added(rows, centers)
        means = means_of(sums, counts, before)
        centers = ahead(means, before, live, MOMENTUM) if i else means
    return means


def _added(rows, centers):
    """Sums and counts of the rows of each center."""
    labels, _, sums = nearest_and_sums(rows, centers)
    return sums, torch.bincount(labels, minlength=len(centers))


def _members(groups, n_groups):
    """The index of the rows of each group, a list of int64 tensors."""
    sizes = torch.bincount(groups, minlength=n_groups).tolist()
    return groups.argsort(stable=True).split(sizes)


def _drawn(n, n_drawn, rng, device):
    """The index of some of n rows; all in their order, where they are not more."""
    index = np.arange(n) if n <= n_drawn else rng.permutation(n)[:n_drawn]
    return torch.from_numpy(index).to(device)


def _filled(centers, X, n_rows, rng):
    """Different centers, as many as asked for; where there are not so many rows, these."""
    centers = without_repeats(centers)
    if len(centers) == n_rows:
        return centers
    drawn = sample_rows(X, n_rows, rng)
    if len(drawn) < n_rows:
        return drawn
    return without_repeats(torch.cat([centers, drawn]))[:n_rows]
