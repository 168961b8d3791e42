"""Lloyd's algorithm, for rows in memory, for rows in parts, or for any step that adds up rows.

    centers -> step -> Sums -> new centers -> step -> ...

A step over rows in several parts, wherever these are, adds the `Sums` of the parts.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch

from .assign import nearest_and_sums, squared_errors, squared_norms
from .rows import OnePart, Rows, in_parts, shifted
from .seeding import is_far_from_zero, mean_of, without_repeats

# Times that empty centers are moved at the end: a bound, since where most rows are equal a moved
# center may be empty again. Those that are left are dropped.
_REPAIRS = 20
# Rows are looked at for each center to be moved, since some may be equal.
_CANDIDATES = 4
# An error this small beside the squared norm of its row is rounding: the row is its center.
_ROUNDING = 1e-10
#: A good momentum. Of 400,000 whitened patches of CIFAR-10, the inertia of 50 Lloyd steps for
#: 1,600 centers is reached in 12, with 0.85 to 1; that of 30 steps for 200 in 9 with 0.9, and in 8
#: with 0.8, which ends higher. (Where 15 rows make a cluster, the few steps until nothing moves
#: become half as many more.)
MOMENTUM = 0.9


class Dictionary(NamedTuple):
    """A learned dictionary.

    Attributes
    ----------
    centers : tensor of shape (k, d)
    counts : int64 tensor of shape (k,)
        Rows assigned to each center.
    inertia : float
        Sum of squared errors of the rows.
    n_iter : int
    weights : tensor of shape (k,) or None
        Of spherical filters, the sum of the squared gains of their rows; None: `counts`.
    offset_counts : int64 tensor or None
        Of convolutional filters, how often each place in the windows was chosen.
    stopped : bool
        Whether a callback stopped the iterations.
    """

    centers: torch.Tensor
    counts: torch.Tensor
    inertia: float
    n_iter: int
    weights: torch.Tensor | None = None
    offset_counts: torch.Tensor | None = None
    stopped: bool = False


@dataclass(frozen=True, eq=False)
class Sums:
    """Rows added up by the center they are assigned to; those of two sets of rows merge with ``+``.

    Attributes
    ----------
    sums : tensor of shape (k, d)
        Of the rows of each center, each times its gain where centers have unit length.
    counts : int64 tensor of shape (k,)
        Rows of each center.
    inertia : float
        Sum of squared errors.
    norm : float
        Sum of the squared norms of the rows: the scale of the inertia.
    worst : callable or None
        From an int m to the m rows with the largest errors, (at most m, d), and these errors,
        in descending order; rows without an error are left out. A function, since it takes
        another pass and is asked for only when a center lost all its rows. None: sums of a part,
        on their way.
    gains, squared_gains : float64 tensors of shape (k,) or None
        Sums of the gains of each center's rows, and of their squares; only where asked for as
        `exact`, and for centers of unit length. None: each gain is one.
    offset_counts : int64 tensor or None
        Of windows, how often each place was chosen.
    beside : callable or None
        Of windows, to the sums (8, k, d) of the patches one pixel beside those of `sums`, in each
        direction, times the same gains. A function, since it takes as long as most of the step.
    """

    sums: torch.Tensor
    counts: torch.Tensor
    inertia: float
    norm: float
    worst: Callable[[int], tuple[torch.Tensor, torch.Tensor]] | None = None
    gains: torch.Tensor | None = None
    squared_gains: torch.Tensor | None = None
    offset_counts: torch.Tensor | None = None
    beside: Callable[[], torch.Tensor] | None = None

    def __add__(self, other: "Sums") -> "Sums":
        def worst(m):
            return _worst_of_all([self.worst(m), other.worst(m)], m)

        def beside():
            return self.beside() + other.beside()

        both = self.worst is not None and other.worst is not None
        both_beside = self.beside is not None and other.beside is not None
        optional = ("gains", "squared_gains", "offset_counts")
        return Sums(
            self.sums + other.sums,
            self.counts + other.counts,
            self.inertia + other.inertia,
            self.norm + other.norm,
            worst if both else None,
            **{name: _added(getattr(self, name), getattr(other, name)) for name in optional},
            beside=beside if both_beside else None,
        )


def _added(a, b):
    return None if a is None or b is None else a + b


def _worst_of_all(found, m):
    """The worst m of the rows and errors that parts found."""
    rows, errors = (torch.cat(some) for some in zip(*found, strict=True))
    order = errors.argsort(descending=True, stable=True)[:m]
    return rows[order], errors[order]


class Step(Protocol):
    """From centers to the sums of the rows that are assigned to them.

    Called once in each iteration, and with ``exact=True`` for the dictionary that comes out: then
    the inertia is summed from the differences themselves, and gains are given.
    """

    def __call__(self, centers: torch.Tensor, exact: bool = False) -> Sums:
        """Assign the rows to `centers` (k, d), and add up."""


class RowStep:
    """The step of Lloyd's algorithm over rows in memory.

    Parameters
    ----------
    rows : tensor of shape (n, d)
        Not changed.
    """

    def __init__(self, rows: torch.Tensor):
        self.rows = rows
        self.norms = squared_norms(rows)
        self.norm = total(self.norms)

    def __call__(self, centers: torch.Tensor, exact: bool = False) -> Sums:
        rows = self.rows
        labels, _, sums = nearest_and_sums(rows, centers)
        counts = torch.bincount(labels, minlength=len(centers))
        if exact:
            errors = squared_errors(rows, centers, labels)
            inertia = total(errors)
        else:
            errors, inertia = None, self._expanded_inertia(sums, counts, centers)

        def worst(m):
            known = squared_errors(rows, centers, labels) if errors is None else errors
            return worst_rows(m, known, self.norms, rows.__getitem__)

        return Sums(sums, counts, inertia, self.norm, worst)

    def _expanded_inertia(self, sums, counts, centers):
        """Sum of squared errors from the sums alone, without a pass over the rows."""
        centers = centers.to(sums)
        cross = (sums * centers).sum() - (counts * centers.square().sum(1)).sum() / 2
        return max(0.0, self.norm - 2 * float(cross))


class PartsStep:
    """A step over rows in several parts.

    Parameters
    ----------
    steps : Rows
        The step of each part. It is called where the part is, and only sums leave it; where
        a center has lost its rows, a second time.
    looks_beside : bool
        Whether the steps give sums beside.
    """

    def __init__(self, steps: Rows, looks_beside: bool):
        self.steps = steps
        self.looks_beside = looks_beside

    def __call__(self, centers: torch.Tensor, exact: bool = False) -> Sums:
        def worst(m):
            return _worst_of_all(self.steps.each(_worst_of_step, centers, m), m)

        def beside():
            return self.steps.added(_beside_of_step, centers)

        totals = self.steps.added(
            _sums_of_step, centers, exact, packed=partial(_packed, dtype=centers.dtype)
        )
        gives_beside = self.looks_beside and not exact
        return replace(totals, worst=worst, beside=beside if gives_beside else None)


def step_over(X: Any, of: Callable[[Any], Step], looks_beside: bool = False) -> Step:
    """The step over all rows.

    Parameters
    ----------
    X : tensor of shape (n, d), Windows or Rows
    of : callable
        From the rows of one part to their step, such as `RowStep`.
    looks_beside : bool, default=False
        Whether the steps give sums beside.
    """
    rows = in_parts(X)
    if isinstance(rows, OnePart):
        return of(rows.rows)
    return PartsStep(rows.map(of), looks_beside)


def _sums_of_step(step, centers, exact):
    return replace(step(centers, exact), worst=None, beside=None)


def _packed(sums, dtype):
    """Sums that travel as the centers do: they are rounded to that anyway, once they are means."""
    return replace(sums, sums=sums.sums.to(dtype))


def _worst_of_step(step, centers, m):
    return step(centers).worst(m)


def _beside_of_step(step, centers):
    return step(centers).beside()


def kmeans(
    X: torch.Tensor | Rows,
    centers: torch.Tensor,
    *,
    max_iter: int,
    tol: float,
    momentum: float = 0.0,
    on_iteration: Callable | None = None,
) -> Dictionary:
    """Lloyd's algorithm over rows.

    Parameters
    ----------
    X : tensor of shape (n, d), or Rows
        Not changed.
    centers : tensor of shape (k, d)
        Where to start; not changed.
    max_iter, tol, momentum, on_iteration
        As in `lloyd`.

    Returns
    -------
    Dictionary
    """
    rows = in_parts(X)
    offset = mean_of(rows)
    limits = {"max_iter": max_iter, "tol": tol, "momentum": momentum}
    if is_far_from_zero(offset, rows):
        rows, centers = rows.map(shifted, offset), centers - offset
        moved = on_iteration and partial(_moved_back, on_iteration, offset)
        around_zero = kmeans(rows, centers, **limits, on_iteration=moved)
        return around_zero._replace(centers=around_zero.centers + offset)
    return lloyd(step_over(rows, RowStep), centers, **limits, on_iteration=on_iteration)


def _moved_back(on_iteration, offset, centers, inertia):
    return on_iteration(centers + offset, inertia)


def lloyd(
    step: Step,
    centers: torch.Tensor,
    *,
    max_iter: int,
    tol: float,
    momentum: float = 0.0,
    on_iteration: Callable | None = None,
) -> Dictionary:
    """Lloyd's algorithm from given centers.

    Centers without rows move to the rows that are farthest from theirs. When no
    such row is left, because the data has fewer different rows than centers, they are
    dropped; so every center that comes out has at least one row.

    Parameters
    ----------
    step : Step
        Of Euclidean centers, such as `RowStep`.
    centers : tensor of shape (k, d)
        Where to start; not changed.
    max_iter : int
    tol : float
        Stop when the squared distance of all centers together from the means of their rows is
        at most this times the mean square of the values.
    momentum : float, default=0.0
        A center goes beyond the mean of its rows, by this part of the way from the mean before
        to this one (Nesterov 1983); not where that made the inertia grow (O'Donoghue & Candes
        2015), and not to the mean of other rows, after it had none. 0 is Lloyd's algorithm.
    on_iteration : callable or None, default=None
        Called as ``on_iteration(centers, inertia)`` after each iteration, with the means and
        the inertia of the centers that the rows were assigned to; a true answer stops.

    Returns
    -------
    Dictionary
    """
    n_iter, stop, means, inertia = 0, False, centers, float("inf")
    for n_iter in range(1, max_iter + 1):
        totals, before = step(centers), means
        counts = totals.counts
        means = means_of(totals.sums, counts, before)
        shift = float((means - centers).square().sum())
        moved = move_empty(means, counts, totals.worst)
        stop = bool(on_iteration is not None and on_iteration(means, totals.inertia))
        enough = shift <= tol * totals.norm / (int(counts.sum()) * centers.shape[1])
        if stop or (not moved and enough):
            break
        goes_on = n_iter > 1 and totals.inertia <= inertia
        centers = ahead(means, before, counts > 0, momentum * goes_on)
        inertia = totals.inertia
    return assigned(step, means, n_iter)._replace(stopped=stop)


def means_of(sums: torch.Tensor, counts: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """Means from sums (k, d) and counts (k,); those before where a center has no rows."""
    means = (sums / counts.clamp(min=1)[:, None]).to(before)
    return torch.where((counts > 0)[:, None], means, before)


def ahead(
    means: torch.Tensor, before: torch.Tensor, live: torch.Tensor, momentum: float
) -> torch.Tensor:
    """Beyond the means (k, d), by a part of their way from those before; of live (k,) ones."""
    return torch.where(live[:, None], means + momentum * (means - before), means)


def patch_dictionary(X: torch.Tensor | Rows, centers: torch.Tensor) -> Dictionary:
    """Rows themselves as a dictionary, and how many are assigned to each."""
    return assigned(step_over(X, RowStep), centers, 1)


def assigned(
    step: Step,
    centers: torch.Tensor,
    n_iter: int,
    normalize: Callable[[torch.Tensor], torch.Tensor] | None = None,
    repeats: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Dictionary:
    """Assign a last time; give every center without rows one, or drop it.

    Parameters
    ----------
    step : Step
    centers : tensor of shape (k, d)
        Not changed.
    n_iter : int
        Iterations so far.
    normalize : callable or None, default=None
        What makes centers of rows, if they are not rows themselves.
    repeats : callable or None, default=None
        From centers (k, d) and rows (m, d) to which rows mean the same as a center, or as a row
        before them, a bool tensor (m,). Such centers count as empty. None: equal ones.

    Returns
    -------
    Dictionary
    """
    centers = centers.clone()
    for repair in range(_REPAIRS):
        totals = step(centers, exact=True)
        counts = totals.counts
        if repeats is not None:
            counts = counts * ~repeats(centers[:0], centers)
        last = repair == _REPAIRS - 1
        if last or not move_empty(centers, counts, totals.worst, repeats):
            break
        centers = centers if normalize is None else normalize(centers)
    if repeats is not None and bool(repeats(centers[:0], centers).any()):
        centers = centers[~repeats(centers[:0], centers)]
        totals = step(centers, exact=True)
    alive = totals.counts > 0
    counts, weights = totals.counts[alive], totals.squared_gains
    weights = counts if weights is None else weights[alive]
    offsets = totals.offset_counts
    return Dictionary(centers[alive], counts, totals.inertia, n_iter, weights, offsets)


def move_empty(
    centers: torch.Tensor,
    counts: torch.Tensor,
    worst: Callable,
    repeats: Callable | None = None,
) -> bool:
    """Put centers without rows, in place, on the rows with the largest errors.

    Parameters
    ----------
    centers : tensor of shape (k, d)
    counts : int64 tensor of shape (k,)
    worst : callable
        That of `Sums`.
    repeats : callable or None, default=None
        As in `assigned`.

    Returns
    -------
    bool
        Whether any was moved.
    """
    empty = (counts == 0).nonzero()[:, 0]
    if not len(empty):
        return False
    rows = without_repeats(worst(_CANDIDATES * len(empty))[0])
    if repeats is not None:
        rows = rows[~repeats(centers[counts > 0], rows)]
    rows = rows[: len(empty)]
    centers[empty[: len(rows)]] = rows
    return len(rows) > 0


def worst_rows(
    m: int, errors: torch.Tensor, norms: torch.Tensor, row_at: Callable
) -> tuple[torch.Tensor, torch.Tensor]:
    """The `worst` of `Sums`, from the errors and squared norms (n,) of all rows."""
    worst = errors.topk(min(m, len(errors))).indices
    worst = worst[errors[worst] > _ROUNDING * norms[worst]]
    return row_at(worst), errors[worst]


def total(errors: torch.Tensor) -> float:
    """Sum in float64, where the device has it."""
    return float(errors.sum(dtype=torch.float32 if errors.is_mps else torch.float64))
