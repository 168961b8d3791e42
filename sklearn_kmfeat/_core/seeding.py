"""Where k-means starts: rows of the data."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from .._utils.threads import run_in_threads
from .assign import squared_norms, wide_dtype
from .rows import ForEach, Rows, by_part, in_parts, shifted

# Rows whose mean lies off zero by more than a hundredth of their spread lose digits when squared
# distances are expanded: they are moved to their mean first.
_FAR = 1e-4
# Values of rows whose errors are measured together: fewer cost more to hand to a thread than they
# save. At least so many rows, for the same reason. A GPU gets many at once.
_VALUES = 2**22
_LEAST_ROWS = 2048
_GPU_ROWS = 2**18
# What is left of a row by a multiple of itself, beside its energy: rounding, in float32.
_CODED = 1e-5


def sample_rows(X: torch.Tensor | Rows, n_rows: int, rng: np.random.RandomState) -> torch.Tensor:
    """Different rows drawn at random; fewer where there are not so many.

    Parameters
    ----------
    X : tensor of shape (n, d), or Rows
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
        drawn = without_repeats(torch.cat([drawn, X[index]]))
        if len(drawn) >= n_rows:
            break
    return drawn[:n_rows].clone()


def kmeans_plusplus(
    X: torch.Tensor | Rows, n_rows: int, rng: np.random.RandomState
) -> torch.Tensor:
    """Greedy k-means++ seeding (Arthur & Vassilvitskii 2007).

    Each new center is the best of ``2 + log(n_rows)`` rows drawn in proportion to
    their squared distance from the centers so far, as in scikit-learn.

    Parameters
    ----------
    X : tensor of shape (n, d), or Rows
    n_rows : int
    rng : numpy RandomState

    Returns
    -------
    tensor of shape (at most n_rows, d)
        Fewer rows where X has not so many different ones.
    """
    X = in_parts(X)
    offset = mean_of(X)
    rows = X.map(shifted, offset) if is_far_from_zero(offset, X) else X
    left = rows.map(_before_any, _distances)
    chosen = _greedy(left, rows, [int(rng.randint(len(X)))], n_rows, rng)
    return without_repeats(X[torch.tensor(chosen, device=X.device)])


def energy_plusplus(
    X: torch.Tensor | Rows, n_rows: int, rng: np.random.RandomState
) -> torch.Tensor:
    """Greedy k-means++ seeding for filters of unit length, whose sign does not count.

    As `kmeans_plusplus`, but the error of a row is the energy that no multiple of a row so far
    captures, ``|x|^2 - (d.x)^2``; before the first one it is all of ``|x|^2``.

    Parameters
    ----------
    X : tensor of shape (n, d), or Rows
    n_rows : int
    rng : numpy RandomState

    Returns
    -------
    tensor of shape (at most n_rows, d)
        Fewer rows where X has not so many different directions.
    """
    rows = in_parts(X)
    chosen = _greedy(rows.map(_before_any, _errors_of_directions), rows, [], n_rows, rng)
    # Rows of zeros have no direction; one is better than none.
    return rows[torch.tensor(chosen, device=rows.device)] if chosen else rows[:1].clone()


class _Left(NamedTuple):
    """What the rows of a part are off those chosen so far.

    Attributes
    ----------
    errors_of : callable
        From rows (r, d), their squared norms and candidates (m, d) to the errors (m, r) that each
        candidate alone leaves.
    rows : tensor of shape (n, d)
    norms, errors : tensors of shape (n,)
    """

    errors_of: Callable
    rows: torch.Tensor
    norms: torch.Tensor
    errors: torch.Tensor


def _before_any(rows, errors_of):
    """The `_Left` before the first row; infinite distances, or all the energy."""
    norms = squared_norms(rows)
    errors = torch.full_like(norms, torch.inf) if errors_of is _distances else norms
    return _Left(errors_of, rows, norms, errors)


def _greedy(left, rows, first, n_rows, rng):
    """The index of rows that leave little error, of those drawn in proportion to theirs."""
    starts = np.cumsum([0, *rows.lengths])
    chosen, trials = [], 2 + int(np.log(n_rows))
    totals = np.array(left.each(_total))
    for index in first:
        candidates = rows[torch.tensor([index], device=rows.device)]
        left, _, totals = _best_candidate(left, candidates, np.array([index]), rows.lengths)
        chosen.append(index)
    while len(chosen) < n_rows and totals.sum() > 0:
        ends = totals.cumsum()
        draws = rng.random_sample(trials) * ends[-1]
        part = np.minimum(np.searchsorted(ends, draws, side="right"), np.flatnonzero(totals)[-1])
        draws -= (ends - totals)[part]
        in_part = [np.flatnonzero(part == p) for p in range(len(totals))]
        drawn = left.each(_drawn, ForEach([draws[which] for which in in_part]))
        order = np.argsort(np.concatenate(in_part))
        index = np.concatenate(
            [places + s for (places, _), s in zip(drawn, starts[:-1], strict=True)]
        )[order]
        candidates = torch.cat([some for _, some in drawn])
        candidates = candidates[torch.from_numpy(order).to(candidates.device)]
        left, best, totals = _best_candidate(left, candidates, index, rows.lengths)
        chosen.append(int(index[best]))
    return chosen


def _best_candidate(left, candidates, index, lengths):
    """The `_Left` after the best candidate, which one that is, and the error in each part."""
    own = ForEach(by_part(index, lengths))
    measured = left.map(_measured, candidates, own)
    totals = np.array(measured.each(_totals))
    best = int(totals.sum(0).argmin())
    return left.map(_after, measured, best), best, totals[:, best]


def _total(left):
    return float(left.errors.sum(dtype=wide_dtype(left.errors)))


def _drawn(left, draws):
    """The places of rows where the sum of errors reaches some numbers, and these rows."""
    if not len(draws):
        return np.empty(0, np.int64), left.rows[:0]
    # On the CPU: CUDA adds up in an order of its own, and MPS has no float64.
    cumulative = left.errors.cpu().double().cumsum(0).numpy()
    places = np.searchsorted(cumulative, draws, side="right")
    places = np.minimum(places, len(cumulative) - 1)
    return places, left.rows[torch.from_numpy(places).to(left.rows.device)]


def _measured(left, candidates, own):
    """The errors (m, n) that rows have once each of the candidates (m, d) is chosen, too."""
    X, candidates = left.rows, candidates.to(left.rows)
    errors = X.new_empty(len(candidates), len(X))
    n_rows = max(_LEAST_ROWS, _VALUES // max(1, X.shape[1]))
    n_rows = n_rows if X.device.type == "cpu" else _GPU_ROWS

    def measure(start):
        part = slice(start, start + n_rows)
        of_part = left.errors_of(X[part], left.norms[part], candidates)
        torch.minimum(of_part, left.errors[part], out=errors[:, part])

    run_in_threads(lambda: measure, range(0, len(X), n_rows), X.device)
    which, places = (torch.from_numpy(some).to(X.device) for some in own)
    errors[which, places] = 0  # of the candidates themselves: rounding may leave more
    return errors


def _totals(errors):
    return errors.sum(1, dtype=wide_dtype(errors)).cpu().numpy()


def _after(left, measured, best):
    return left._replace(errors=measured[best].clone())


def without_repeats(rows: torch.Tensor) -> torch.Tensor:
    """The rows without those that stand further up already, in their order."""
    values = np.ascontiguousarray(rows.cpu().numpy())
    # Bytes are compared, so that minus zero must become zero.
    view = (values + 0.0).view(np.dtype((np.void, values.dtype.itemsize * values.shape[1])))
    first = np.unique(view.ravel(), return_index=True)[1]
    return rows[torch.from_numpy(np.sort(first)).to(rows.device)]


def mean_of(X: torch.Tensor | Rows) -> torch.Tensor:
    """The mean (d,) of all rows."""
    rows = in_parts(X)
    means = zip(rows.each(_mean), rows.lengths, strict=True)
    return sum(mean * (n / len(rows)) for mean, n in means if n)  # of no rows it is NaN


def is_far_from_zero(offset: torch.Tensor, X: torch.Tensor | Rows) -> bool:
    """Whether rows with the mean `offset` lose digits when their squares are expanded."""
    rows = in_parts(X)
    size, square = float(offset.square().sum()), rows.added(_sum_of_squares) / len(rows)
    return size > _FAR * (square - size)  # the squares less that of the mean: the spread


def _mean(rows):
    return rows.mean(0)


def _sum_of_squares(rows):
    return float(squared_norms(rows).sum(dtype=wide_dtype(rows)))


def _distances(rows, norms, candidates):
    squares = candidates.square().sum(1)[:, None]
    return torch.addmm(norms[None, :] + squares, candidates, rows.T, alpha=-2).clamp_(min=0)


def _errors_of_directions(rows, norms, candidates):
    """What multiples of each of the candidates leave of the squared norms."""
    lengths = torch.linalg.vector_norm(candidates, dim=1, keepdim=True)
    lengths = lengths.clamp(min=torch.finfo(rows.dtype).tiny)
    errors = norms - (candidates / lengths @ rows.T).square()
    return torch.where(errors > _CODED * norms, errors, 0.0)
