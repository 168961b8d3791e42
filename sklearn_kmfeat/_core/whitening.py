"""ZCA whitening from first and second moments that merge."""

from dataclasses import dataclass
from typing import NamedTuple

import torch

from .._utils.memory import physical_memory
from .._utils.threads import in_threads, run_in_threads

# Rows are widened to float64 in chunks. In two threads, moments of 108 columns take 1.2 times as
# long with 8 MiB as with 2 to 4, and 2 times with 32 MiB, which leave the cache; products with many
# columns need long chunks.
_SMALL_CHUNK_BYTES = 4 * 2**20
CHUNK_BYTES = 32 * 2**20
# Up to so many columns, chunks of rows go to threads, each with a scatter matrix of at most 8 MiB;
# with more, some columns of one: few enough that there is work for many threads.
_FEW_COLUMNS = 1024
_COLUMNS = 256
# Of chunks that all threads together hold.
_ALL_CHUNK_BYTES = 2**30
# Values may be wrong by so many roundings once means were subtracted. Patches of 3 to 8 pixels in
# float32, normalised in contrast, had 6 to 40 along the direction in which they are constant; the
# least variance that was content lay a factor of 10,000 above what this drops.
_ROUNDINGS = 64
# An `eps` of so many times the variance of rounding leaves less than 1e-5 of it in the codes of
# patches of 3 to 8 pixels.
_HARMLESS = 1e5
# Covariance, eigenvectors, the two results, and what eigh needs beside them.
_MATRICES = 5


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
    rounding : float
        The relative rounding of the rows' dtype, the largest of all rows.
    """

    count: int
    mean: torch.Tensor
    scatter: torch.Tensor
    rounding: float = 0.0

    @classmethod
    def zero(cls, n_features: int) -> "Moments":
        """The moments of no rows at all."""
        check_size(n_features)
        zeros = torch.zeros(n_features, n_features, dtype=torch.float64)
        return cls(0, zeros[0].clone(), zeros)

    @classmethod
    def of(cls, rows: torch.Tensor, chunk_bytes: int | None = None) -> "Moments":
        """The moments of rows.

        Parameters
        ----------
        rows : tensor of shape (n, d)
            On any device.
        chunk_bytes : int or None, default=None
            Of rows that are summed at a time; None: 4 MiB, or 32 MiB of long rows.
        """
        check_size(rows.shape[1])
        # Two passes, on the device of the rows where that has float64.
        device = torch.device("cpu") if rows.device.type == "mps" else rows.device
        mean = torch.zeros(rows.shape[1], dtype=torch.float64, device=device)
        scatter = torch.zeros(*mean.shape, *mean.shape, dtype=torch.float64, device=device)
        chunks = row_chunks(rows, chunk_bytes)

        def sum_of(chunk):
            return chunk.to(device).double().sum(0)

        for part in in_threads(lambda: sum_of, chunks, device):
            mean += part
        mean /= len(rows)

        def scatter_of(chunk):
            centered = chunk.to(device).double() - mean
            return centered.T @ centered

        def add_columns(some):
            scatter[:, some].addmm_(centered.T, centered[:, some])

        if rows.shape[1] <= _FEW_COLUMNS:
            for part in in_threads(lambda: scatter_of, chunks, device):
                scatter += part
        else:
            columns = torch.arange(rows.shape[1]).split(_COLUMNS)
            columns = [slice(int(some[0]), int(some[-1]) + 1) for some in columns]
            for chunk in chunks:
                centered = chunk.to(device).double() - mean
                run_in_threads(lambda: add_columns, columns, device)
        return cls(len(rows), mean.cpu(), scatter.cpu(), torch.finfo(rows.dtype).eps)

    def __add__(self, other: "Moments") -> "Moments":
        count = self.count + other.count
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.count / max(count, 1))
        between = torch.outer(delta, delta) * (self.count * other.count / max(count, 1))
        rounding = max(self.rounding, other.rounding)
        return Moments(count, mean, self.scatter + other.scatter + between, rounding)

    def covariance(self) -> torch.Tensor:
        """Covariance (d, d) with ddof=1; zeros for a single row."""
        return self.scatter / max(self.count - 1, 1)

    def whitening_matrices(
        self, eps: float, zero_sum: bool | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """`zca_matrices` of these rows.

        Parameters
        ----------
        eps : float
        zero_sum : bool or None, default=None
            Whether the values of each row sum to zero, as after contrast normalisation; None:
            found from the moments. The direction of equal values is then dropped for an `eps` so
            small that rounding along it would be magnified.
        """
        covariance = self.covariance()
        # Errors that all values of a row share, as that of its mean, add up along one direction.
        relative = len(self.mean) * (_ROUNDINGS * self.rounding) ** 2
        noise = relative * (covariance.diagonal() + self.mean.square())
        if zero_sum is None:
            mean_square = covariance.mean() + self.mean.mean().square()  # of the mean of a row
            zero_sum = bool(mean_square * len(noise) <= noise.mean())
        magnified = bool(eps <= _HARMLESS * noise.mean())
        return zca_matrices(covariance, eps, noise=noise, zero_sum=zero_sum and magnified)


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


def check_size(n_features: int, memory: int | None = None) -> None:
    """Refuse rows of so many values that their covariance does not fit in memory.

    Parameters
    ----------
    n_features : int
    memory : int or None, default=None
        Bytes; None: those of the machine.

    Raises
    ------
    ValueError
    """
    memory = physical_memory() if memory is None else memory
    needed = _MATRICES * 8 * n_features**2
    if memory is not None and needed > memory:
        raise ValueError(
            f"Whitening rows of {n_features} values takes {needed / 1e9:.3g} GB, for "
            f"{_MATRICES} matrices of {n_features} x {n_features}, but this machine has "
            f"{memory / 1e9:.3g} GB. Whiten less: patches instead of whole images, smaller "
            "images, or some components with sklearn.decomposition.PCA(n_components, whiten=True)."
        )


def zca_matrices(
    covariance: torch.Tensor,
    eps: float,
    *,
    noise: torch.Tensor | None = None,
    zero_sum: bool = False,
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
    noise : float64 tensor of shape (d,) or None, default=None
        Variance of each value that may be rounding: what varies no more than that does not vary,
        for an `eps` that is no larger.
    zero_sum : bool, default=False
        Whether to drop the direction of equal values, whatever `eps` is. Where the values of each
        row sum to zero, nothing but rounding lies along it, in all rows to come, too.

    Returns
    -------
    matrix, inverse : tensors of shape (d, d)
    eigenvalues : tensor of shape (d,)
        In descending order.
    """
    covariance = _double_centered(covariance) if zero_sum else covariance
    # On one thread, since its digits depend on how many there are: 8 s for the 3,072 values of a
    # whole colour image of 32 pixels, where two threads take 4 s.
    eigenvalues, vectors = torch.linalg.eigh(covariance)
    eigenvalues = eigenvalues.clamp(min=0).flip(0)
    vectors = vectors.flip(1)
    root = (eigenvalues + eps).sqrt()
    # What eigh itself gets wrong: a d-fold of the largest eigenvalue's rounding, as in
    # numpy.linalg.matrix_rank.
    null = eigenvalues[0] * len(eigenvalues) * torch.finfo(torch.float64).eps
    if noise is not None:
        null = torch.maximum(null, vectors.T.square() @ noise)
    # An `eps` below that would multiply rounding by more than its inverse.
    null = torch.as_tensor(null, dtype=torch.float64)
    kept = (eigenvalues > null) | (eps > null)
    inverse_root = torch.where(kept, 1 / root, 0.0)
    root = torch.where(kept, root, 0.0)
    matrix, inverse = ((vectors * each) @ vectors.T for each in (inverse_root, root))
    if zero_sum:
        matrix, inverse = _double_centered(matrix), _double_centered(inverse)
    return matrix, inverse, eigenvalues


def _double_centered(matrix):
    """A symmetric matrix (d, d) without its part along the direction of equal values."""
    centered = matrix - matrix.mean(0)
    return centered - centered.mean(1, keepdim=True)


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
    chunks, targets = row_chunks(rows), row_chunks(out)

    def worker():
        # Memory is taken once: fresh pages would cost as much as the product.
        source, product = torch.empty(2, *chunks[0].shape, dtype=wide, device=rows.device)

        def transform(i):
            chunk = chunks[i]
            moved = source[: len(chunk)].copy_(chunk).add_(before)
            targets[i].copy_(torch.addmm(after, moved, matrix, out=product[: len(chunk)]))

        return transform

    held = 2 * 8 * chunks[0].numel()
    run_in_threads(worker, range(len(chunks)), rows.device, _ALL_CHUNK_BYTES // max(1, held))
    return out


def row_chunks(rows: torch.Tensor, chunk_bytes: int | None = None) -> tuple[torch.Tensor, ...]:
    """Views of some rows at a time, small enough to be held in float64."""
    if chunk_bytes is None:
        chunk_bytes = _SMALL_CHUNK_BYTES if rows.shape[1] <= _FEW_COLUMNS else CHUNK_BYTES
    return rows.split(max(1, chunk_bytes // (8 * max(rows.shape[1], 1))))
