"""ZCA whitening from first and second moments that merge."""

from dataclasses import dataclass
from typing import NamedTuple

import torch

# Rows are widened to float64 in chunks of this size: with 8 MiB, moments of 108 columns take 1.3
# times as long, with 128 MiB the same time.
CHUNK_BYTES = 32 * 2**20


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and scatter matrix of rows; those of two sets of rows merge with ``+``.

    Merging follows Chan, Golub & LeVeque (1983), so that any split of the rows gives the
    same result up to float64 rounding.

    Attributes
    ----------
    count : int
    mean : float64 tensor of shape (d,)
        On the CPU.
    scatter : float64 tensor of shape (d, d)
        Sum of the products of deviations from the mean; on the CPU.
    """

    count: int
    mean: torch.Tensor
    scatter: torch.Tensor

    @classmethod
    def zero(cls, n_features: int) -> "Moments":
        """The moments of no rows at all."""
        zeros = torch.zeros(n_features, n_features, dtype=torch.float64)
        return cls(0, zeros[0].clone(), zeros)

    @classmethod
    def of(cls, rows: torch.Tensor, chunk_bytes: int = CHUNK_BYTES) -> "Moments":
        """The moments of rows.

        Parameters
        ----------
        rows : tensor of shape (n, d)
            On any device.
        chunk_bytes : int, default=32 MiB
            Of rows that are summed at a time.
        """
        # Two passes, on the device of the rows where that has float64.
        device = torch.device("cpu") if rows.device.type == "mps" else rows.device
        mean = torch.zeros(rows.shape[1], dtype=torch.float64, device=device)
        scatter = torch.zeros(*mean.shape, *mean.shape, dtype=torch.float64, device=device)
        for chunk in row_chunks(rows, chunk_bytes):
            mean += chunk.to(device).double().sum(0)
        mean /= len(rows)
        for chunk in row_chunks(rows, chunk_bytes):
            centered = chunk.to(device).double() - mean
            scatter.addmm_(centered.T, centered)
        return cls(len(rows), mean.cpu(), scatter.cpu())

    def __add__(self, other: "Moments") -> "Moments":
        count = self.count + other.count
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.count / max(count, 1))
        between = torch.outer(delta, delta) * (self.count * other.count / max(count, 1))
        return Moments(count, mean, self.scatter + other.scatter + between)

    def covariance(self) -> torch.Tensor:
        """Covariance (d, d) with ddof=1; zeros for a single row."""
        return self.scatter / max(self.count - 1, 1)


class Whitening(NamedTuple):
    """The affine map ``(x - mean) @ matrix``, and the way back.

    Attributes
    ----------
    mean : float64 tensor of shape (d,)
    matrix : float64 tensor of shape (d, d)
        Symmetric.
    inverse : float64 tensor of shape (d, d) or None, default=None
        The pseudo-inverse where directions were dropped. None where it is not needed.
    """

    mean: torch.Tensor
    matrix: torch.Tensor
    inverse: torch.Tensor | None = None

    def apply(self, rows: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
        """Whitened rows (n, d); `out` may be `rows`."""
        return affine_rows(rows, self.matrix, before=-self.mean, out=out)

    def invert(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows (n, d) before they were whitened."""
        return affine_rows(rows, self.inverse, after=self.mean)

    def fold(self, filters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Filters of rows that are not whitened.

        Parameters
        ----------
        filters : tensor of shape (k, d)
            Of whitened rows, in the dtype to compute in.

        Returns
        -------
        matrix : tensor of shape (k, d)
        bias : tensor of shape (k, 1)
            ``matrix @ x + bias`` is the response of `filters` to x once it is whitened.
        """
        matrix = self.matrix.to(filters)
        offset = -(self.mean.to(filters) @ matrix)[:, None]
        return filters @ matrix.T, filters @ offset

    def undo_sums(self, sums: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Weighted sums (k, d) of whitened rows, as sums of the rows before whitening.

        Whitening is affine: the sum of the weights (k,) is all that is needed.
        """
        return sums @ self.inverse + weights[:, None] * self.mean

    def apply_to_sums(self, sums: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Weighted sums (k, d) of rows, as sums of the whitened rows."""
        return (sums - weights[:, None] * self.mean) @ self.matrix


def zca_matrices(
    covariance: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
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
    matrix, inverse : tensors of shape (d, d)
    eigenvalues : tensor of shape (d,)
        In descending order.
    """
    eigenvalues, vectors = torch.linalg.eigh(covariance)
    eigenvalues = eigenvalues.clamp(min=0).flip(0)
    vectors = vectors.flip(1)
    root = (eigenvalues + eps).sqrt()
    # What eigh itself gets wrong: a d-fold of the largest eigenvalue's rounding, as in
    # numpy.linalg.matrix_rank.
    null = eigenvalues[0] * len(eigenvalues) * torch.finfo(torch.float64).eps
    kept = (eigenvalues > null) | (eps > 0)
    inverse_root = torch.where(kept, 1 / root, 0.0)
    root = torch.where(kept, root, 0.0)
    return (vectors * inverse_root) @ vectors.T, (vectors * root) @ vectors.T, eigenvalues


def affine_rows(
    rows: torch.Tensor,
    matrix: torch.Tensor,
    before: torch.Tensor | float = 0.0,
    after: torch.Tensor | float = 0.0,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """``(rows + before) @ matrix + after``, computed in float64.

    Whitening multiplies directions of small variance by large factors, and with them the
    rounding of the products.

    Parameters
    ----------
    rows : tensor of shape (n, d)
    matrix : float64 tensor of shape (d, d)
    before, after : float64 tensors of shape (d,) or float
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
    # Memory for the chunks is taken once: fresh pages would cost as much as the product.
    source, product = torch.empty(2, *chunks[0].shape, dtype=wide, device=rows.device)
    for chunk, target in zip(chunks, row_chunks(out), strict=True):
        moved = source[: len(chunk)].copy_(chunk).add_(before)
        target.copy_(torch.addmm(after, moved, matrix, out=product[: len(chunk)]))
    return out


def row_chunks(rows: torch.Tensor, chunk_bytes: int = CHUNK_BYTES) -> tuple[torch.Tensor, ...]:
    """Views of some rows at a time, small enough to be held in float64."""
    return rows.split(max(1, chunk_bytes // (8 * max(rows.shape[1], 1))))
