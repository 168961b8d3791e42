"""Where k-means starts: rows of the data."""

import numpy as np
import torch

from .._utils.threads import in_threads
from .assign import squared_norms, wide_dtype

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


def sample_rows(X: torch.Tensor, n_rows: int, rng: np.random.RandomState) -> torch.Tensor:
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
        drawn = without_repeats(torch.cat([drawn, X[index]]))
        if len(drawn) >= n_rows:
            break
    return drawn[:n_rows].clone()


def kmeans_plusplus(X: torch.Tensor, n_rows: int, rng: np.random.RandomState) -> torch.Tensor:
    """Greedy k-means++ seeding (Arthur & Vassilvitskii 2007).

    Each new center is the best of ``2 + log(n_rows)`` rows drawn in proportion to
    their squared distance from the centers so far, as in scikit-learn.

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
    offset = X.mean(0)
    rows = X - offset if is_far_from_zero(offset, X) else X
    first = int(rng.randint(len(X)))
    errors = torch.full_like(rows[:, 0], torch.inf)
    return without_repeats(X[_greedy(_distances, rows, errors, [first], n_rows, rng)])


def energy_plusplus(X: torch.Tensor, n_rows: int, rng: np.random.RandomState) -> torch.Tensor:
    """Greedy k-means++ seeding for filters of unit length, whose sign does not count.

    As `kmeans_plusplus`, but the error of a row is the energy that no multiple of a row so far
    captures, ``|x|^2 - (d.x)^2``; before the first one it is all of ``|x|^2``.

    Parameters
    ----------
    X : tensor of shape (n, d)
    n_rows : int
    rng : numpy RandomState

    Returns
    -------
    tensor of shape (at most n_rows, d)
        Fewer rows where X has not so many different directions.
    """
    chosen = _greedy(_errors_of_directions, X, squared_norms(X), [], n_rows, rng)
    # Rows of zeros have no direction; one is better than none.
    return X[chosen] if len(chosen) else X[:1].clone()


def _greedy(errors_of, X, errors, first, n_rows, rng):
    """The index of rows that leave little error, of those drawn in proportion to theirs.

    From a function of rows (r, d), their squared norms and candidates (m, d) to the errors (m, r)
    that each candidate alone leaves; from the errors (n,) that no row leaves, and the first rows.
    """
    norms, chosen, trials = squared_norms(X), [], 2 + int(np.log(n_rows))
    for index in first:
        errors = _best_candidate(errors_of, X, norms, errors, [index])[1]
        chosen.append(index)
    while len(chosen) < n_rows:
        # On the CPU: CUDA adds up in an order of its own, and MPS has no float64.
        cumulative = errors.cpu().double().cumsum(0).numpy()
        if cumulative[-1] <= 0:
            break
        draws = rng.random_sample(trials) * cumulative[-1]
        drawn = np.searchsorted(cumulative, draws, side="right")
        candidates = np.minimum(drawn, len(errors) - 1)
        best, errors = _best_candidate(errors_of, X, norms, errors, candidates)
        chosen.append(int(candidates[best]))
    return torch.tensor(chosen, dtype=torch.int64, device=errors.device)


def _best_candidate(errors_of, X, norms, errors, index):
    """Which of the rows at `index` leaves least, beside those before, and the errors it leaves."""
    candidates = X[torch.as_tensor(index, device=X.device)]
    left = X.new_empty(len(candidates), len(X))
    n_rows = max(_LEAST_ROWS, _VALUES // max(1, X.shape[1]))
    n_rows = n_rows if X.device.type == "cpu" else _GPU_ROWS

    def measure(start):
        part = slice(start, start + n_rows)
        of_part = errors_of(X[part], norms[part], candidates)
        left[:, part] = torch.minimum(of_part, errors[part])
        return left[:, part].sum(1, dtype=wide_dtype(X))

    starts = range(0, len(X), n_rows)
    best = int(sum(in_threads(lambda: measure, starts, X.device)).argmin())
    errors = left[best].clone()
    errors[int(index[best])] = 0  # rounding may leave more
    return best, errors


def without_repeats(rows: torch.Tensor) -> torch.Tensor:
    """The rows without those that stand further up already, in their order."""
    values = np.ascontiguousarray(rows.cpu().numpy())
    # Bytes are compared, so that minus zero must become zero.
    view = (values + 0.0).view(np.dtype((np.void, values.dtype.itemsize * values.shape[1])))
    first = np.unique(view.ravel(), return_index=True)[1]
    return rows[torch.from_numpy(np.sort(first)).to(rows.device)]


def is_far_from_zero(offset: torch.Tensor, X: torch.Tensor) -> bool:
    """Whether rows with the mean `offset` lose digits when their squares are expanded."""
    size, square = float(offset.square().sum()), float(squared_norms(X).mean(dtype=wide_dtype(X)))
    return size > _FAR * (square - size)  # the squares less that of the mean: the spread


def _distances(rows, norms, candidates):
    squares = candidates.square().sum(1)[:, None]
    return torch.addmm(norms[None, :] + squares, candidates, rows.T, alpha=-2).clamp_(min=0)


def _errors_of_directions(rows, norms, candidates):
    """What multiples of each of the candidates leave of the squared norms."""
    lengths = torch.linalg.vector_norm(candidates, dim=1, keepdim=True)
    lengths = lengths.clamp(min=torch.finfo(rows.dtype).tiny)
    errors = norms - (candidates / lengths @ rows.T).square()
    return torch.where(errors > _CODED * norms, errors, 0.0)
