"""Where k-means starts: rows of the data."""

from functools import partial

import numpy as np
import torch

from .assign import squared_norms, wide_dtype

# Rows whose mean lies off zero by more than a hundredth of their spread lose digits when squared
# distances are expanded: they are moved to their mean first.
_FAR = 1e-4
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
    errors_by = partial(_distances_to, rows, squared_norms(rows))
    first = int(rng.randint(len(X)))
    errors = errors_by([first])[0]
    errors[first] = 0
    return without_repeats(X[_greedy(errors_by, errors, [first], n_rows, rng)])


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
    norms = squared_norms(X)
    chosen = _greedy(partial(_errors_of_directions, X, norms), norms, [], n_rows, rng)
    # Rows of zeros have no direction; one is better than none.
    return X[chosen] if len(chosen) else X[:1].clone()


def _greedy(errors_by, errors, chosen, n_rows, rng):
    """The index of rows that leave little error, of those drawn in proportion to theirs.

    From the index of candidates (m,) to the errors (m, n) that each alone leaves, the errors (n,)
    that the rows `chosen` leave, and these.
    """
    chosen, trials = list(chosen), 2 + int(np.log(n_rows))
    while len(chosen) < n_rows:
        cumulative = errors.double().cumsum(0).cpu().numpy()
        if cumulative[-1] <= 0:
            break
        draws = rng.random_sample(trials) * cumulative[-1]
        drawn = np.searchsorted(cumulative, draws, side="right")
        candidates = np.minimum(drawn, len(errors) - 1)
        left = torch.minimum(errors_by(candidates), errors)
        best = int(left.sum(1, dtype=torch.float64).argmin())
        chosen.append(int(candidates[best]))
        errors = left[best].clone()
        errors[chosen[-1]] = 0  # rounding may leave more
    return torch.tensor(chosen, dtype=torch.int64, device=errors.device)


#: The choices of `init`.
SEEDINGS = {"sample": sample_rows, "k-means++": kmeans_plusplus}
#: Those that suit filters of unit length alone.
DIRECTION_SEEDINGS = {"energy": energy_plusplus}


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


def _distances_to(X, norms, index):
    centers = X[torch.as_tensor(index, device=X.device)]
    squares = centers.square().sum(1)[:, None]
    return torch.addmm(norms[None, :] + squares, centers, X.T, alpha=-2).clamp_(min=0)


def _errors_of_directions(X, norms, index):
    """What multiples of each of the rows at `index` leave of the squared norms of all, (m, n)."""
    rows = X[torch.as_tensor(index, device=X.device)]
    lengths = rows.norm(dim=1, keepdim=True).clamp(min=torch.finfo(X.dtype).tiny)
    errors = norms - (rows / lengths @ X.T).square()
    return torch.where(errors > _CODED * norms, errors, 0.0)
