"""Dictionaries from rows: seeding, Lloyd's and spherical k-means."""

from typing import NamedTuple

import numpy as np
import torch

from .assign import label_sums, nearest, squared_errors, sums_by_label

_REPAIRS = 20


class Dictionary(NamedTuple):
    """A learned dictionary.

    Attributes
    ----------
    centers : tensor of shape (k, d)
    counts : int64 tensor of shape (k,)
        Rows that each centre wins.
    inertia : float
        Sum of squared errors of the rows.
    n_iter : int
    weights : tensor of shape (k,) or None
        Of spherical filters, the sum of the squared gains of their rows.
    offset_counts : int64 tensor or None
        Of convolutional filters, how often each place in the windows was chosen.
    """

    centers: torch.Tensor
    counts: torch.Tensor
    inertia: float
    n_iter: int
    weights: torch.Tensor | None = None
    offset_counts: torch.Tensor | None = None


class Coding(NamedTuple):
    """How unit filters code rows.

    Attributes
    ----------
    rows : tensor of shape (n, d)
    labels : int64 tensor of shape (n,)
        The filter with the largest ``|d.x|``.
    gains : tensor of shape (n,)
        Its ``d.x``.
    errors : tensor of shape (n,)
        What it leaves of the squared norm.
    offsets : int64 tensor of shape (n,) or None
        Which place of its window each row is.
    """

    rows: torch.Tensor
    labels: torch.Tensor
    gains: torch.Tensor
    errors: torch.Tensor
    offsets: torch.Tensor | None = None


def sample_rows(X, n_rows, rng):
    """Different rows drawn at random; fewer where there are not so many.

    Parameters
    ----------
    X : tensor of shape (n, d)
    n_rows : int
    rng : numpy RandomState

    Returns
    -------
    tensor of shape (at most n_rows, d)
    """
    order = rng.permutation(len(X))
    drawn = X[:0]
    for start in range(0, len(order), 2 * n_rows):
        index = torch.from_numpy(order[start : start + 2 * n_rows]).to(X.device)
        drawn = _first_of_equals(torch.cat([drawn, X[index]]))
        if len(drawn) >= n_rows:
            break
    return drawn[:n_rows].clone()


def kmeans_plusplus(X, n_rows, rng):
    """Greedy k-means++ seeding (Arthur & Vassilvitskii 2007).

    Each new centre is the best of ``2 + log(n_rows)`` rows drawn in proportion to
    their squared distance from the centres so far, as in scikit-learn.

    Parameters
    ----------
    X : tensor of shape (n, d)
    n_rows : int
    rng : numpy RandomState

    Returns
    -------
    tensor of shape (at most n_rows, d)
        Fewer rows where X has not so many different ones.
    """
    trials = 2 + int(np.log(n_rows))
    offset = X.mean(0)
    rows = X - offset if _matters(offset, X) else X
    norms = rows.square().sum(1)
    chosen = [int(rng.randint(len(X)))]
    closest = _distances_to(rows, norms, chosen)[0]
    closest[chosen[0]] = 0
    while len(chosen) < n_rows:
        cumulative = closest.double().cumsum(0).cpu().numpy()
        if cumulative[-1] <= 0:
            break
        draws = rng.random_sample(trials) * cumulative[-1]
        candidates = np.minimum(np.searchsorted(cumulative, draws, side="right"), len(X) - 1)
        distances = torch.minimum(_distances_to(rows, norms, candidates), closest)
        best = int(distances.sum(1, dtype=torch.float64).argmin())
        chosen.append(int(candidates[best]))
        closest = distances[best].clone()
        closest[chosen[-1]] = 0
    return _first_of_equals(X[torch.tensor(chosen, device=X.device)])


def lloyd(X, centers, *, max_iter, tol, on_iteration=None):
    """Lloyd's algorithm from given centres.

    Centres that win nothing move to the rows that are farthest from theirs. When no
    such row is left, because the data has fewer different rows than centres, they are
    dropped; so every centre that comes out wins at least one row.

    Parameters
    ----------
    X : tensor of shape (n, d)
        Not changed.
    centers : tensor of shape (k, d)
        Where to start.
    max_iter : int
    tol : float
        Stop when the squared movement of all centres together is at most this times
        the mean variance of the columns; or when no row changes its centre.
    on_iteration : callable or None, default=None
        Called as ``on_iteration(centers, inertia)`` after each iteration, with the
        inertia under the centres before the update; a true answer stops.

    Returns
    -------
    Dictionary
    """
    offset = X.mean(0)
    if _matters(offset, X):
        told = on_iteration and (lambda centers, inertia: on_iteration(centers + offset, inertia))
        limits = {"max_iter": max_iter, "tol": tol}
        found = lloyd(X - offset, centers - offset, **limits, on_iteration=told)
        return found._replace(centers=found.centers + offset)
    norms = X.square().sum(1)
    tol = tol * _total(norms) / X.numel()
    labels, sums = None, None
    n_iter = 0
    for n_iter in range(1, max_iter + 1):
        before, (labels, _) = labels, nearest(X, centers)
        sums = label_sums(X, labels, len(centers), before, sums)
        counts = torch.bincount(labels, minlength=len(centers))
        new = sums / counts.clamp(min=1)[:, None]
        new = torch.where((counts > 0)[:, None], new, centers).to(X)
        relocated = False
        if not counts.all():
            errors = squared_errors(X, centers, labels)
            relocated = _move_dead(new, counts, X.__getitem__, errors, norms)
        stop = on_iteration and on_iteration(new, _inertia(norms, sums, counts, centers))
        shift = float((new - centers).square().sum())
        centers = new
        settled = before is not None and torch.equal(labels, before)
        if stop or (not relocated and (settled or shift <= tol)):
            break
    return _settle(X, centers, n_iter)


def spherical(X, centers, *, max_iter, tol, damping=1.0, on_iteration=None):
    """Gain-shape k-means with unit filters (Coates & Ng 2012, section 2).

    Every row is coded by the filter with the largest ``|d.x|``, with the gain
    ``s = d.x``; then ``D <- normalise(X' S + damping * D)``. Filters that win nothing
    become the directions of the rows that are coded worst.

    Parameters
    ----------
    X : tensor of shape (n, d)
        Not changed.
    centers : tensor of shape (k, d)
        Where to start; brought to unit length.
    max_iter : int
    tol : float
        Stop when the Frobenius norm of the filters' movement is at most
        ``tol * sqrt(k)``.
    damping : float, default=1.0
        0 gives the undamped update, under which the error never grows.
    on_iteration : callable or None, default=None
        As in `lloyd`.

    Returns
    -------
    Dictionary
        Its inertia is the sum of ``|x|^2 - s^2``.
    """
    norms = X.square().sum(1)

    def code(centers):
        labels, sizes = nearest(X, centers, direction=True)
        gains = sizes.copysign((X * centers[labels]).sum(1))
        return Coding(X, labels, gains, (norms - sizes.square()).clamp_(min=0))

    limits = {"max_iter": max_iter, "tol": tol, "damping": damping}
    return gain_shape(code, X.__getitem__, norms, centers, **limits, on_iteration=on_iteration)[0]


def gain_shape(code, row_at, norms, centers, *, max_iter, tol, damping, on_iteration=None):
    """The iterations of `spherical`, for rows that may depend on the filters.

    Parameters
    ----------
    code : callable
        From unit filters (k, d) to a Coding.
    row_at : callable
        From an int64 tensor (m,) to rows (m, d), the directions of new filters.
    norms : tensor of shape (n,)
        Squared norms of ``row_at`` of everything.
    centers : tensor of shape (k, d)
    max_iter, tol, damping, on_iteration
        As in `spherical`.

    Returns
    -------
    Dictionary, Coding
        The coding by the filters that come out.
    """
    centers = _unit(centers)
    n_iter = 0
    for n_iter in range(1, max_iter + 1):
        found = code(centers)
        sums = sums_by_label(found.rows * found.gains[:, None], found.labels, len(centers))
        new = _unit(sums + damping * centers)
        # A filter of zeros wins rows of zeros, and would stay.
        counts = torch.bincount(found.labels, minlength=len(centers)) * new.any(1)
        moved = _move_dead(new, counts, row_at, found.errors, norms)
        new = _unit(new)
        shift = float((new - centers).norm())
        centers = new
        stop = on_iteration is not None and on_iteration(centers, _total(found.errors))
        if stop or (not moved and shift <= tol * len(centers) ** 0.5):
            break
    return _settle_directions(code, row_at, norms, centers, n_iter)


def patch_dictionary(X, centers):
    """Rows themselves as a dictionary, with what each of them wins."""
    return _settle(X, centers, 1)


def _settle(X, centers, n_iter):
    """Assign a last time; give every dead centre a row, or drop it."""
    norms = X.square().sum(1)
    for repair in range(_REPAIRS):
        labels, _ = nearest(X, centers)
        errors = squared_errors(X, centers, labels)
        counts = torch.bincount(labels, minlength=len(centers))
        if _is_last(repair, counts, centers, X.__getitem__, errors, norms):
            break
    alive = counts > 0
    return Dictionary(centers[alive], counts[alive], _total(errors), n_iter, counts[alive])


def _settle_directions(code, row_at, norms, centers, n_iter):
    """`_settle` for unit filters."""
    for repair in range(_REPAIRS):
        found = code(centers)
        counts = torch.bincount(found.labels, minlength=len(centers))
        if _is_last(repair, counts, centers, row_at, found.errors, norms):
            break
        centers = _unit(centers)
    alive = counts > 0
    weights = label_sums(found.gains.square()[:, None], found.labels, len(centers))[alive, 0]
    inertia = _total(found.errors)
    return Dictionary(centers[alive], counts[alive], inertia, n_iter, weights), found


def _is_last(repair, counts, centers, row_at, errors, norms):
    """Move dead centres, in place; true where that is done or there is nothing to do."""
    if bool(counts.all()) or repair == _REPAIRS - 1:
        return True
    return not _move_dead(centers, counts, row_at, errors, norms)


def _inertia(norms, sums, counts, centers):
    """Sum of squared errors from the sums of each centre's rows."""
    centers = centers.to(sums)
    cross = (sums * centers).sum() - (counts * centers.square().sum(1)).sum() / 2
    return max(0.0, _total(norms) - 2 * float(cross))


def _move_dead(centers, counts, row_at, errors, norms):
    """Put centres without rows, in place, on the rows with the largest errors.

    Returns whether any was moved.
    """
    dead = (counts == 0).nonzero()[:, 0]
    if not len(dead):
        return False
    worst = errors.topk(min(4 * len(dead), len(errors))).indices
    worst = worst[errors[worst] > 1e-10 * norms[worst]]
    rows = _first_of_equals(row_at(worst))[: len(dead)]
    centers[dead[: len(rows)]] = rows
    return len(rows) > 0


def _first_of_equals(rows):
    """The rows without those that stand further up already, in their order."""
    values = np.ascontiguousarray(rows.cpu().numpy())
    view = (values + 0.0).view(np.dtype((np.void, values.dtype.itemsize * values.shape[1])))
    first = np.unique(view.ravel(), return_index=True)[1]
    return rows[torch.from_numpy(np.sort(first)).to(rows.device)]


def _matters(offset, X):
    """Whether X lies so far off the origin that its expanded squares lose digits."""
    return bool(offset.square().sum() > 1e-4 * X.var(0, correction=0).sum())


def _distances_to(X, norms, index):
    centers = X[torch.as_tensor(index, device=X.device)]
    squares = centers.square().sum(1)[:, None]
    return torch.addmm(norms[None, :] + squares, centers, X.T, alpha=-2).clamp_(min=0)


def _unit(rows):
    return rows / rows.norm(dim=1, keepdim=True).clamp(min=torch.finfo(rows.dtype).tiny)


def _total(errors):
    return float(errors.sum(dtype=torch.float32 if errors.is_mps else torch.float64))
