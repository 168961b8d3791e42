"""Which center each row belongs to: the step in which k-means spends its time."""

import torch

from .._utils.threads import in_threads, run_in_threads
from .products import first_of_largest, first_of_smallest

# Rows that are assigned and added up together: a float32 sum of so many positive rows is wrong by
# 1e-6, of 60,000 by 8e-6. Fewer leave more sums to add: with 6,400 centers, 2 % of the time.
_CPU_ROWS = 4096
# Of rows with more than 256 values, fewer, so that there is work for more threads; not where the
# sums have so many values, too, that to add them would take long.
_CPU_VALUES = 2**20
_LEAST_CPU_ROWS = 512
_GPU_ROWS = 64 * _CPU_ROWS
# Of sums of threads that work: those of 1,600 centers of 3,072 values in 27. Two more wait.
_SUM_BYTES = 2**29
# Products of one tile. With 64 to 1,600 centers, 3 to 6 MiB take the same time, to 4 %, and 1 MiB
# up to a quarter more. A GPU has to be filled.
_CPU_TILE_BYTES = 4 * 2**20
_GPU_TILE_BYTES = 256 * 2**20


def nearest(
    X: torch.Tensor,
    centers: torch.Tensor,
    *,
    direction: bool = False,
    tile_bytes: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The best center of every row and its score.

    Parameters
    ----------
    X : tensor of shape (n, d)
    centers : tensor of shape (k, d)
    direction : bool, default=False
        False: the Euclidean nearest, score ``x.c - |c|^2 / 2``. True: the one with the largest
        ``|x.c|``, the code of gain-shape quantisation, score ``x.c``. Of equal ones the first
        counts.
    tile_bytes : int or None, default=None
        Memory for the products of some rows, of each thread; None: what suits the device.

    Returns
    -------
    labels : int64 tensor of shape (n,)
    scores : tensor of shape (n,)
    """
    blocks = _Blocks(X, centers, direction, tile_bytes)
    run_in_threads(blocks.worker, blocks.starts, X.device)
    return blocks.labels, blocks.scores


def nearest_and_sums(
    X: torch.Tensor,
    centers: torch.Tensor,
    *,
    direction: bool = False,
    tile_bytes: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The best center of every row, its score, and the sum of the rows of each center.

    Rows are added while they are in the cache: to read them again takes half as long as their
    product with 64 centers.

    Parameters
    ----------
    X, centers, direction, tile_bytes
        As in `nearest`.

    Returns
    -------
    labels : int64 tensor of shape (n,)
    scores : tensor of shape (n,)
    sums : float64 tensor of shape (k, d)
        For `direction`, of the rows times their scores. float32 on devices without float64.
    """
    blocks = _Blocks(X, centers, direction, tile_bytes)
    sums = torch.zeros(centers.shape, dtype=wide_dtype(X), device=X.device)
    # Each thread has sums of its own, and some wait to be added.
    most = _SUM_BYTES // max(1, centers.numel() * centers.element_size())
    for part in in_threads(blocks.summing_worker, blocks.starts, X.device, most):
        sums += part
    return blocks.labels, blocks.scores, sums


class _Blocks:
    """Rows assigned block by block, the products of a block tile by tile."""

    def __init__(self, X, centers, direction, tile_bytes):
        on_cpu, k = X.device.type == "cpu", len(centers)
        if tile_bytes is None:
            tile_bytes = _CPU_TILE_BYTES if on_cpu else _GPU_TILE_BYTES
        self.X, self.k, self.direction = X, k, direction
        self.columns = centers.T.contiguous()
        self.bias = X.new_zeros(k) if direction else centers.square().sum(1) / -2
        few = max(_LEAST_CPU_ROWS, min(_CPU_ROWS, _CPU_VALUES // max(1, X.shape[1])))
        few = few if centers.numel() <= _CPU_VALUES else _CPU_ROWS
        self.n_rows = few if on_cpu else _GPU_ROWS
        self.step = max(64, tile_bytes // (k * X.element_size()))
        self.labels = torch.empty(len(X), dtype=torch.int64, device=X.device)
        self.scores = X.new_empty(len(X))
        self.starts = range(0, len(X), self.n_rows)

    def worker(self):
        """The function of one block, with memory of its own."""
        products = self.X.new_empty(min(self.step, self.n_rows, len(self.X)), self.k)

        def assign(start):
            stop = min(start + self.n_rows, len(self.X))
            for first in range(start, stop, self.step):
                tile = slice(first, min(first + self.step, stop))
                rows = self.X[tile]
                values = torch.addmm(self.bias, rows, self.columns, out=products[: len(rows)])
                best = _largest_sizes(values) if self.direction else _largest(values)
                self.labels[tile], self.scores[tile] = best
            return slice(start, stop)

        return assign

    def summing_worker(self):
        """As `worker`; the function also adds up the rows of the block."""
        assign = self.worker()

        def assign_and_sum(start):
            block = assign(start)
            rows, labels = self.X[block], self.labels[block]
            rows = rows * self.scores[block, None] if self.direction else rows
            return sum(
                sums_by_label(*some, self.k)
                for some in zip(rows.split(_CPU_ROWS), labels.split(_CPU_ROWS), strict=True)
            )

        return assign_and_sum


def _largest(values):
    """Where each row (m, k) is largest, the first place of equals, and its value there."""
    places = first_of_largest(values)
    return places, values.gather(1, places[:, None])[:, 0]


def _largest_sizes(values):
    """As `_largest`, of absolute values; the value keeps its sign."""
    (up, high), down = _largest(values), first_of_smallest(values)
    low = values.gather(1, down[:, None])[:, 0]
    is_down = (-low > high) | ((-low == high) & (down < up))
    return torch.where(is_down, down, up), torch.where(is_down, low, high)


def wide_dtype(x: torch.Tensor) -> torch.dtype:
    """float64, where the device has it."""
    return x.dtype if x.device.type == "mps" else torch.float64


def sums_by_label(rows: torch.Tensor, labels: torch.Tensor, n_labels: int) -> torch.Tensor:
    """Sum of the rows of each label, (n_labels, d), the same in every run."""
    if not rows.is_cuda:  # MPS has no other way
        return rows.new_zeros(n_labels, rows.shape[1]).index_add_(0, labels, rows)
    order = labels.argsort(stable=True)  # atomic adds would not be reproducible
    lengths = torch.bincount(labels, minlength=n_labels)
    return torch.segment_reduce(rows[order], "sum", lengths=lengths, axis=0, initial=0)


def squared_errors(
    X: torch.Tensor, centers: torch.Tensor, labels: torch.Tensor, tile_bytes: int = _CPU_TILE_BYTES
) -> torch.Tensor:
    """|x - center|^2 of every row (n,), from the differences, a chunk at a time."""
    errors = X.new_empty(len(X))
    step = max(1, tile_bytes // (X.element_size() * X.shape[1]))

    def measure(start):
        part = slice(start, start + step)
        errors[part] = (X[part] - centers[labels[part]]).square().sum(1)

    run_in_threads(lambda: measure, range(0, len(X), step), X.device)
    return errors


def squared_norms(rows: torch.Tensor) -> torch.Tensor:
    """|x|^2 of every row (n, d)."""
    # The norm is one pass without memory: a fifteenth of the time of squares and their sum.
    return torch.linalg.vector_norm(rows, dim=1).square_()
