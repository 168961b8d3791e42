"""Gain-shape k-means: filters of unit length, each row a multiple of one of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch

from .assign import nearest_and_sums, squared_norms, sums_by_label
from .kmeans import (
    Dictionary,
    Step,
    Sums,
    ahead,
    assigned,
    move_empty,
    step_over,
    total,
    worst_rows,
)
from .rows import Rows

# The cosine of two directions is known up to so many roundings, for up to 1,200 values.
_ROUNDINGS = 8
# So much longer must the sum of a shifted filter be: where all shifts are equal, as of stripes
# along themselves, rounding alone would move filters back and forth. Planted patterns are found
# with 0 and with 0.01 as well.
_LONGER = 1e-3


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
    sums : float64 tensor of shape (k, d)
        Of the rows of each filter, each times its gain.
    """

    rows: torch.Tensor
    labels: torch.Tensor
    gains: torch.Tensor
    errors: torch.Tensor
    sums: torch.Tensor


class GainStep:
    """The step of gain-shape k-means over rows in memory.

    Parameters
    ----------
    rows : tensor of shape (n, d)
        Not changed.
    """

    def __init__(self, rows: torch.Tensor):
        self.rows = rows
        self.norms = squared_norms(rows)

    def __call__(self, centers: torch.Tensor, exact: bool = False) -> Sums:
        coded = coding(self.rows, self.norms, centers)
        return coded_sums(coded, self.norms, self.rows.__getitem__, exact)


def coding(rows: torch.Tensor, norms: torch.Tensor, centers: torch.Tensor) -> Coding:
    """Code rows (n, d), whose errors count from the squared norms (n,), by unit filters (k, d)."""
    labels, gains, sums = nearest_and_sums(rows, centers, direction=True)
    return Coding(rows, labels, gains, (norms - gains.square()).clamp_(min=0), sums)


def coded_sums(coded: Coding, norms: torch.Tensor, row_at: Callable, exact: bool) -> Sums:
    """The `Sums` of a coding.

    Parameters
    ----------
    coded : Coding
    norms : tensor of shape (n,)
        Squared norms that the errors count from.
    row_at : callable
        From an int64 tensor (m,) to rows (m, d) that a filter may become.
    exact : bool
        Whether gains are added up, too.
    """
    _, labels, gains, errors, of_rows = coded
    n_centers = len(of_rows)
    sums = Sums(
        of_rows,
        torch.bincount(labels, minlength=n_centers),
        total(errors),
        total(norms),
        lambda m: worst_rows(m, errors, norms, row_at),
    )
    if not exact:
        return sums
    both = torch.stack([gains, gains.square()], 1).to(of_rows.dtype)
    added = sums_by_label(both, labels, n_centers)
    return replace(sums, gains=added[:, 0], squared_gains=added[:, 1])


def spherical(
    X: torch.Tensor | Rows,
    centers: torch.Tensor,
    *,
    max_iter: int,
    tol: float,
    damping: float = 1.0,
    momentum: float = 0.0,
    on_iteration: Callable | None = None,
) -> Dictionary:
    """Gain-shape k-means with unit filters (Coates & Ng 2012, section 2), over rows.

    Parameters
    ----------
    X : tensor of shape (n, d), or Rows
        Not changed.
    centers, max_iter, tol, damping, momentum, on_iteration
        As in `gain_shape`.

    Returns
    -------
    Dictionary
        Its inertia is the sum of ``|x|^2 - s^2``.
    """
    limits = {"max_iter": max_iter, "tol": tol, "damping": damping, "momentum": momentum}
    return gain_shape(step_over(X, GainStep), centers, **limits, on_iteration=on_iteration)


def gain_shape(
    step: Step,
    centers: torch.Tensor,
    *,
    max_iter: int,
    tol: float,
    damping: float = 1.0,
    momentum: float = 0.0,
    on_iteration: Callable | None = None,
) -> Dictionary:
    """The iterations of gain-shape k-means.

    Every row is coded by the filter with the largest ``|d.x|``, with the gain
    ``s = d.x``; then ``D <- normalise(X' S + damping * D)``. Filters without rows
    become the directions of the rows that are coded worst. Where the step can tell the sums of
    the rows beside, filters are centred again: see `recenter`.

    Parameters
    ----------
    step : Step
        Of unit filters, such as `GainStep`.
    centers : tensor of shape (k, d)
        Where to start; brought to unit length.
    max_iter : int
    tol : float
        Stop when the Frobenius norm of the filters' movement is at most
        ``tol * sqrt(k)``.
    damping : float, default=1.0
        0 gives the undamped update, under which the error never grows.
    momentum : float, default=0.0
        As in `lloyd`; filters that go further are brought to unit length again.
    on_iteration : callable or None, default=None
        As in `lloyd`.

    Returns
    -------
    Dictionary
    """
    new = centers = unit_length(centers)
    n_iter, stop, wait, next_look, inertia = 0, False, 1, 1, float("inf")
    for n_iter in range(1, max_iter + 1):
        totals, before = step(centers), new
        new = unit_length(totals.sums + damping * centers).to(centers)
        # A look beside takes as long as most of a step: one in each iteration made fits 1.7 times
        # as long. So, as long as none moves a filter, each waits twice as long as the one before,
        # 5 in 50 iterations, and one comes before the end: 1.09 times as long on CIFAR-10, where
        # hardly any filter moves, and 1.14 on MNIST, where some do.
        shifted = False
        if n_iter >= next_look or _is_near(new, centers, tol):
            shifted = recenter(new, totals)
            wait = 1 if shifted else 2 * wait
            next_look = n_iter + wait
        # Rows of zeros are assigned to a filter of zeros, which would stay.
        counts = totals.counts * new.any(1) * ~parallel(new[:0], new)
        moved = move_empty(new, counts, totals.worst, parallel)
        new = unit_length(new)
        stop = bool(on_iteration is not None and on_iteration(new, totals.inertia))
        if stop or (not moved and _is_near(new, centers, tol)):
            break
        goes_on = n_iter > 1 and not shifted and totals.inertia <= inertia
        centers = unit_length(ahead(new, before, counts > 0, momentum * goes_on))
        inertia = totals.inertia
    return assigned(step, new, n_iter, unit_length, parallel)._replace(stopped=stop)


def _is_near(new, centers, tol):
    return float(torch.linalg.vector_norm(new - centers)) <= tol * len(centers) ** 0.5


def recenter(centers: torch.Tensor, totals: Sums) -> bool:
    """Shift filters, in place, by a pixel where that makes the sum of their rows longer.

    A filter that took hold of a pattern off its middle is stuck there: all its patches are off by
    as much, and so is their sum. Let S be the sum of the rows of a filter at some shift, times
    the gains s. Its direction captures of these rows at least ``|S|^2 / sum s^2`` (Cauchy and
    Schwarz), which was ``sum s^2`` or more without the shift: a longer sum captures no less than
    before, also where it leaves out rows that the shift takes out of their windows. A filter that
    is shifted is not damped, since it was elsewhere before.

    Parameters
    ----------
    centers : tensor of shape (k, d)
        Of unit length, from `totals` without a shift.
    totals : Sums

    Returns
    -------
    bool
        Whether any was shifted.
    """
    if totals.beside is None:
        return False
    sums = totals.beside()
    lengths, which = torch.linalg.vector_norm(sums, dim=2).max(0)
    longer = (lengths > (1 + _LONGER) * torch.linalg.vector_norm(totals.sums, dim=1)).nonzero()[
        :, 0
    ]
    centers[longer] = unit_length(sums[which[longer], longer]).to(centers)
    return len(longer) > 0


def parallel(centers: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Which rows are multiples of a center, or of a row before them, up to rounding.

    A filter and its negative code the same rows.

    Parameters
    ----------
    centers : tensor of shape (k, d)
    rows : tensor of shape (m, d)

    Returns
    -------
    bool tensor of shape (m,)
    """
    centers, rows = unit_length(centers), unit_length(rows)
    least = 1 - _ROUNDINGS * torch.finfo(rows.dtype).eps
    of_rows = ((rows @ rows.T).abs() >= least).tril(-1).any(1)
    return of_rows | ((rows @ centers.T).abs() >= least).any(1)


def unit_length(rows: torch.Tensor) -> torch.Tensor:
    """Rows of length one; rows of zeros stay."""
    return rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp(
        min=torch.finfo(rows.dtype).tiny
    )
