"""Which channels of a layer's maps the next layer looks at together.

Groups are int64 arrays (n_groups, group_size): different channels inside a group, in
increasing order.
"""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from .rows import Rows, in_parts
from .whitening import CHUNK_BYTES, Moments, row_chunks

# Two channels whose correlation is this close to one, or minus one, count as one.
_SAME = 1e-6


def deal_channels(
    n_channels: int, n_groups: int, group_size: int, rng: np.random.RandomState
) -> np.ndarray:
    """Groups dealt like cards: every channel goes out before any comes a second time.

    Parameters
    ----------
    n_channels, n_groups, group_size : int
        At most `n_channels` go into a group.
    rng : numpy RandomState
        Shuffles.

    Returns
    -------
    int64 array of shape (n_groups, group_size)
        How often two channels are used differs by one at most.
    """
    deck = np.empty(0, dtype=np.int64)
    groups = []
    for _ in range(n_groups):
        group, deck = deck[:group_size], deck[group_size:]
        if len(group) < group_size:
            deck = rng.permutation(n_channels)
            more = deck[~np.isin(deck, group)][: group_size - len(group)]
            group, deck = np.concatenate([group, more]), deck[~np.isin(deck, more)]
        groups.append(np.sort(group))
    return np.array(groups, dtype=np.int64)


def inverse_deviations(moments: Moments, dtype: torch.dtype) -> torch.Tensor:
    """What scales each channel to variance one (ddof=0); zero for one that does not vary.

    Parameters
    ----------
    moments : Moments
        Of the channels.
    dtype : torch.dtype
        That they came in: less than its rounding is no variation.

    Returns
    -------
    float64 tensor of shape (C,)
    """
    variance = moments.scatter.diagonal() / moments.count
    varies = variance > (8 * torch.finfo(dtype).eps * moments.mean).square()
    return torch.where(varies, variance.rsqrt(), 0.0)


def square_similarities(rows: torch.Tensor | Rows, chunk_bytes: int = CHUNK_BYTES) -> torch.Tensor:
    """Correlation of the squares of every two channels, once that pair is whitened.

    The measure of Coates & Ng (NIPS 2011). Each pair of channels, scaled to variance
    one, is whitened by its own symmetric 2x2 matrix; the squares of the two results then
    show whether the channels are strong at the same places, whatever their signs. All
    pairs follow from a few products of matrices, for the squares are polynomials of
    degree four in the channels.

    Parameters
    ----------
    rows : tensor of shape (n, C), or Rows
        The channels at n places, on any device; summed in float64, a chunk at a time.
    chunk_bytes : int, default=32 MiB
        Of such a chunk.

    Returns
    -------
    float64 tensor of shape (C, C), on the CPU
        Symmetric, between -1 and 1, with ones on the diagonal. A channel that does not
        vary has zero with all, itself included.
    """
    rows = in_parts(rows)
    moments = rows.added(Moments.of, chunk_bytes)
    scale = inverse_deviations(moments, rows.dtype)
    varies = scale > 0
    correlation = scale[:, None] * moments.scatter / moments.count * scale
    third, second = rows.added(_products, moments.mean, scale, chunk_bytes) / len(rows)
    similarity = _from_product_moments(correlation, third, second)
    similarity = (similarity + similarity.T) / 2  # the products round each half by itself
    similarity.fill_diagonal_(1.0)
    return torch.where(varies[:, None] & varies, similarity, 0.0)


def _products(rows, mean, scale, chunk_bytes):
    """Sums of z_j^3 z_k and z_j^2 z_k^2 of standardised channels z, a tensor (2, C, C)."""
    device = torch.device("cpu") if rows.device.type == "mps" else rows.device
    mean, scale = mean.to(device), scale.to(device)
    third = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=device)
    second = torch.zeros_like(third)
    for chunk in row_chunks(rows, chunk_bytes):
        z = (chunk.to(device).double() - mean) * scale
        squares = z * z
        third.addmm_((squares * z).T, z)
        second.addmm_(squares.T, squares)
    return torch.stack([third, second]).cpu()


def _from_product_moments(correlation, third, second):
    """The similarities of all pairs; off the diagonal, for channels that vary.

    The symmetric whitening of a pair is ``[[a, b], [b, a]]``, so that
    ``w_j = a z_j + b z_k`` and ``w_k = b z_j + a z_k``. Below are the mean of ``w_j^2``,
    the variance of ``w_j^2`` and the covariance of ``w_j^2`` and ``w_k^2``, multiplied out.
    """
    along, across = _inverse_root(1 + correlation), _inverse_root(1 - correlation)
    a, b = (along + across) / 2, (along - across) / 2
    fourth = second.diagonal()
    ab, squares = a * b, a * a + b * b
    mean = squares + 2 * ab * correlation
    variance = (
        a**4 * fourth[:, None]
        + b**4 * fourth
        + 4 * ab * (a * a * third + b * b * third.T)
        + 6 * ab**2 * second
        - mean**2
    )
    covariance = (
        ab**2 * (fourth[:, None] + fourth)
        + 2 * ab * squares * (third + third.T)
        + (squares**2 + 2 * ab**2) * second
        - mean**2
    )
    vary = torch.minimum(variance, variance.T) > _SAME
    product = torch.where(vary, variance * variance.T, 1.0)
    return torch.where(vary, covariance / product.sqrt(), 0.0).clamp(-1, 1)


def _inverse_root(eigenvalues):
    """1 / sqrt, or zero for the direction that two equal channels lack."""
    kept = eigenvalues > _SAME
    return torch.where(kept, eigenvalues, 1.0).rsqrt() * kept


def draw_seeds(varies: np.ndarray, n_seeds: int, rng: np.random.RandomState) -> np.ndarray:
    """Channels to gather groups around, as different as can be.

    Parameters
    ----------
    varies : bool array of shape (C,)
        Channels that do not vary are drawn only when none does.
    n_seeds : int
        More than there are channels: each is drawn about equally often.
    rng : numpy RandomState

    Returns
    -------
    int64 array of shape (n_seeds,)
    """
    channels = np.flatnonzero(varies) if np.any(varies) else np.arange(len(varies))
    return channels[deal_channels(len(channels), n_seeds, 1, rng)[:, 0]]


def most_similar(similarity: torch.Tensor, seeds: np.ndarray, group_size: int) -> np.ndarray:
    """Each seed with the channels most similar to it; of equal ones, the lowest index.

    Parameters
    ----------
    similarity : tensor of shape (C, C)
    seeds : int array of shape (n_groups,)
    group_size : int

    Returns
    -------
    int64 array of shape (n_groups, group_size)
    """
    of_seeds = similarity[torch.from_numpy(seeds)].numpy()
    of_seeds[np.arange(len(seeds)), seeds] = np.inf
    order = np.argsort(-of_seeds, axis=1, kind="stable")
    return np.sort(order[:, :group_size], axis=1)


def balanced_groups(
    similarity: torch.Tensor,
    varies: np.ndarray,
    n_groups: int,
    group_size: int,
    rng: np.random.RandomState,
) -> tuple[np.ndarray, np.ndarray]:
    """Groups of similar channels that use every channel equally often.

    Groups are gathered one after the other: a channel drawn among those that are in the
    fewest groups so far, and, again of those in the fewest, the ones most similar to it.

    Parameters
    ----------
    similarity : tensor of shape (C, C)
    varies : bool array of shape (C,)
        Channels that do not vary come only where there are too few others.
    n_groups, group_size : int
    rng : numpy RandomState
        Draws the first channel of each group.

    Returns
    -------
    groups : int64 array of shape (n_groups, group_size)
    seeds : int64 array of shape (n_groups,)
        The first channels.
    """
    similarity = similarity.numpy()
    times_used = np.where(varies, 0, n_groups + 1)
    groups, seeds = [], []
    for _ in range(n_groups):
        seed = rng.choice(np.flatnonzero(times_used == times_used.min()))
        others = np.lexsort((-similarity[seed], times_used))
        group = np.append(seed, others[others != seed][: group_size - 1])
        times_used[group] += 1
        groups.append(np.sort(group))
        seeds.append(seed)
    return np.array(groups, dtype=np.int64), np.array(seeds, dtype=np.int64)


def slot_weights(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """How each slot mixes the channels: a softmax, scaled to unit length.

    Of channels with variance one, a slot then has a variance of about one too, however
    many it mixes.

    Parameters
    ----------
    logits : tensor of shape (slots, C)
    temperature : float
        The lower, the more a slot keeps to its strongest channel.

    Returns
    -------
    tensor of shape (slots, C)
        Not negative, rows of length one.
    """
    weights = (logits / temperature).softmax(1)
    return weights / torch.linalg.vector_norm(weights, dim=1, keepdim=True)


def strongest_channels(weights: np.ndarray) -> np.ndarray:
    """The different channels of each group that carry the most weight together.

    Parameters
    ----------
    weights : array of shape (n_groups, group_size, C)
        Of each slot of each group on each channel.

    Returns
    -------
    int64 array of shape (n_groups, group_size)
    """
    chosen = [linear_sum_assignment(group, maximize=True)[1] for group in weights]
    return np.sort(np.array(chosen, dtype=np.int64), axis=1)
