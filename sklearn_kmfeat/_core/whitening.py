"""ZCA whitening from streamed first and second moments."""

from typing import NamedTuple

import torch

_CHUNK_BYTES = 32 * 2**20


class Moments(NamedTuple):
    """Count, mean (d,) and scatter matrix (d, d) of rows, in float64."""

    count: int
    mean: torch.Tensor
    scatter: torch.Tensor

    def covariance(self):
        """Covariance (d, d) with ddof=1; zeros for a single row."""
        return self.scatter / max(self.count - 1, 1)


def no_moments(n_features):
    """The moments of no rows at all."""
    zeros = torch.zeros(n_features, n_features, dtype=torch.float64)
    return Moments(0, zeros[0].clone(), zeros)


def add_moments(moments, rows):
    """Moments of the rows seen so far and of these together.

    Merges by Chan, Golub & LeVeque (1983), so that any split of the rows gives the
    same result up to float64 rounding.

    Parameters
    ----------
    moments : Moments
        Of the rows seen so far, on the CPU.
    rows : tensor of shape (n, d)
        On any device; summed in float64, a chunk at a time.

    Returns
    -------
    Moments
        On the CPU.
    """
    return _merge(moments, _moments_of(rows))


def _moments_of(rows):
    """Two passes, on the device of the rows where that has float64."""
    device = torch.device("cpu") if rows.device.type == "mps" else rows.device
    mean = torch.zeros(rows.shape[1], dtype=torch.float64, device=device)
    scatter = torch.zeros(*mean.shape, *mean.shape, dtype=torch.float64, device=device)
    for chunk in row_chunks(rows):
        mean += chunk.to(device).double().sum(0)
    mean /= len(rows)
    for chunk in row_chunks(rows):
        centred = chunk.to(device).double() - mean
        scatter.addmm_(centred.T, centred)
    return Moments(len(rows), mean.cpu(), scatter.cpu())


def _merge(a, b):
    count = a.count + b.count
    delta = b.mean - a.mean
    mean = a.mean + delta * (b.count / count)
    between = torch.outer(delta, delta) * (a.count * b.count / count)
    return Moments(count, mean, a.scatter + b.scatter + between)


def zca_matrices(covariance, eps):
    """Symmetric whitening matrix, its inverse, and the eigenvalues.

    With ``covariance = V diag(l) V'`` the whitening matrix is
    ``V diag(1 / sqrt(l + eps)) V'``. ``eps=0`` drops the directions in which the data
    does not vary: the inverse is then the pseudo-inverse.

    Parameters
    ----------
    covariance : tensor of shape (d, d), float64
    eps : float
        Added to the eigenvalues.

    Returns
    -------
    whitening, unwhitening : tensors of shape (d, d)
    eigenvalues : tensor of shape (d,)
        In descending order.
    """
    eigenvalues, vectors = torch.linalg.eigh(covariance)
    eigenvalues = eigenvalues.clamp(min=0).flip(0)
    vectors = vectors.flip(1)
    root = (eigenvalues + eps).sqrt()
    null = eigenvalues[0] * len(eigenvalues) * torch.finfo(torch.float64).eps
    kept = (eigenvalues > null) | (eps > 0)
    inverse_root = torch.where(kept, 1 / root, 0.0)
    root = torch.where(kept, root, 0.0)
    return (vectors * inverse_root) @ vectors.T, (vectors * root) @ vectors.T, eigenvalues


def affine_rows(rows, matrix, before=0.0, after=0.0, out=None):
    """``(rows + before) @ matrix + after``, computed in float64.

    Whitening multiplies directions of small variance by large factors, and with them the
    rounding of the products.

    Parameters
    ----------
    rows : tensor of shape (n, d)
    matrix : float64 array of shape (d, d)
    before, after : float64 arrays of shape (d,) or float
    out : tensor of shape (n, d) or None, default=None
        Where to write; may be `rows`. None: a new tensor.

    Returns
    -------
    tensor of shape (n, d)
        Of the dtype and on the device of `rows`.
    """
    wide = torch.float32 if rows.device.type == "mps" else torch.float64
    matrix, before, after = (
        torch.as_tensor(part).to(rows.device, wide) for part in (matrix, before, after)
    )
    out = torch.empty_like(rows) if out is None else out
    chunks = row_chunks(rows)
    source = torch.empty(2, *chunks[0].shape, dtype=wide, device=rows.device)
    for chunk, target in zip(chunks, row_chunks(out), strict=True):
        here, there = source[:, : len(chunk)]
        here.copy_(chunk).add_(before)
        target.copy_(torch.addmm(after, here, matrix, out=there))
    return out


def row_chunks(rows):
    """Views of some rows at a time, small enough to be held in float64."""
    return rows.split(max(1, _CHUNK_BYTES // (8 * max(rows.shape[1], 1))))
