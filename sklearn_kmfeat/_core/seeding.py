"""Where k-means starts: rows of the data."""

import numpy as np
import torch

# Rows whose mean lies off zero by more than a hundredth of their spread lose digits when squared
# distances are expanded: they are moved to their mean first.
_FAR = 1e-4


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
    trials = 2 + int(np.log(n_rows))
    offset = X.mean(0)
    rows = X - offset if is_far_from_zero(offset, X) else X
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
        closest[chosen[-1]] = 0  # rounding may leave more
    return without_repeats(X[torch.tensor(chosen, device=X.device)])


#: The choices of `init`.
SEEDINGS = {"sample": sample_rows, "k-means++": kmeans_plusplus}


def without_repeats(rows: torch.Tensor) -> torch.Tensor:
    """The rows without those that stand further up already, in their order."""
    values = np.ascontiguousarray(rows.cpu().numpy())
    # Bytes are compared, so that minus zero must become zero.
    view = (values + 0.0).view(np.dtype((np.void, values.dtype.itemsize * values.shape[1])))
    first = np.unique(view.ravel(), return_index=True)[1]
    return rows[torch.from_numpy(np.sort(first)).to(rows.device)]


def is_far_from_zero(offset: torch.Tensor, X: torch.Tensor) -> bool:
    """Whether rows with the mean `offset` lose digits when their squares are expanded."""
    return bool(offset.square().sum() > _FAR * X.var(0, correction=0).sum())


def _distances_to(X, norms, index):
    centers = X[torch.as_tensor(index, device=X.device)]
    squares = centers.square().sum(1)[:, None]
    return torch.addmm(norms[None, :] + squares, centers, X.T, alpha=-2).clamp_(min=0)
