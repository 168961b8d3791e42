"""Which center each row belongs to: the step in which k-means spends its time."""

import torch

# Products of one tile. On two cores with 1,600 centers, 6 to 24 MiB take the same time, 3 MiB 1.4
# and 48 MiB 1.2 times as long, which fall out of the cache. A GPU has to be filled.
_CPU_TILE_BYTES = 12 * 2**20
_GPU_TILE_BYTES = 256 * 2**20
# Centers whose maximum is taken together, where there are many: 32 to 128 take the same time, 16
# and 256 take 1.5 and 1.25 times as long.
_GROUP = 64
# From so many centers on, maxima of groups take three quarters of the time; at 128 and 200 the
# same, at 64 a quarter more.
_MANY_CENTERS = 256
# A float32 sum of so many positive rows is wrong by 1e-6; of 60,000 by 8e-6.
_ROWS_PER_SUM = 8192


def nearest(
    X: torch.Tensor,
    centers: torch.Tensor,
    *,
    direction: bool = False,
    tile_bytes: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The best center of every row and its score.

    A maximum vectorises and an arg-max does not, so the arg-max is made of maxima: over
    many centers, first of groups of them and then inside the winning group; over few
    centers, of their places in the list where they reach the maximum.

    Parameters
    ----------
    X : tensor of shape (n, d)
    centers : tensor of shape (k, d)
    direction : bool, default=False
        False: the Euclidean nearest, score ``x.c - |c|^2 / 2``. True: the largest
        ``|x.c|``, the code of gain-shape quantisation. Of equal ones the first counts.
    tile_bytes : int or None, default=None
        Memory for the products of some rows; None: what suits the device.

    Returns
    -------
    labels : int64 tensor of shape (n,)
    scores : tensor of shape (n,)
    """
    # The norms are one more column of the centers, met by a one in the rows: the product
    # then gives the score itself, without another pass over it.
    bias = torch.zeros_like(centers[:, :1])
    if not direction:
        bias = -centers.square().sum(1, keepdim=True) / 2
    matrix = torch.cat([centers, bias], 1)
    labels = torch.empty(len(X), dtype=torch.int64, device=X.device)
    scores = X.new_empty(len(X))
    among = _among_many if len(centers) >= _MANY_CENTERS else _among_few
    among(X, matrix, direction, labels, scores, tile_bytes)
    return labels, scores


def _among_many(X, matrix, direction, labels, scores, tile_bytes):
    """Products with the rows first; arg-max of groups, then inside the winning group."""
    missing = -len(matrix) % _GROUP
    # A copy of the last center wins only by rounding, where a product differs by its column.
    columns = torch.cat([matrix, matrix[-1:].expand(missing, -1)]).T.contiguous()
    step = _rows_per_tile(X, columns.shape[1], tile_bytes)
    product = X.new_empty(min(step, len(X)), columns.shape[1])
    padded = X.new_ones(len(product), len(columns))
    for start in range(0, len(X), step):
        part = slice(start, start + step)
        m = len(X[part])
        padded[:m, :-1] = X[part]
        values = torch.mm(padded[:m], columns, out=product[:m])
        values = (values.abs_() if direction else values).view(m, -1, _GROUP)
        maxima = values.amax(2)
        best = maxima.argmax(1, keepdim=True)
        scores[part] = maxima.gather(1, best).squeeze(1)
        inside = values.gather(1, best.unsqueeze(2).expand(-1, 1, _GROUP)).squeeze(1)
        labels[part] = best.squeeze(1) * _GROUP + inside.argmax(1)
    labels.clamp_(max=len(matrix) - 1)  # of a copy


def _among_few(X, matrix, direction, labels, scores, tile_bytes):
    """Products with the centers first; the first place that reaches the maximum."""
    k = len(matrix)
    step = max(1, _rows_per_tile(X, k, tile_bytes) // 8)
    product = X.new_empty(k * min(step, len(X)))
    centers, bias = matrix[:, :-1], matrix[:, -1:]
    places = torch.arange(k, 0, -1, device=X.device).to(X)[:, None]
    for start in range(0, len(X), step):
        rows = X[start : start + step]
        best, label = scores[start : start + step], labels[start : start + step]
        values = product[: k * len(rows)].view(k, len(rows))
        torch.addmm(bias, centers, rows.T, out=values)
        values = values.abs_() if direction else values
        torch.amax(values, 0, out=best)
        label.copy_(k - values.ge_(best).mul_(places).amax(0))
    labels.clamp_(max=k - 1)  # where products overflow, nothing reaches the maximum


def _rows_per_tile(X, n_centers, tile_bytes):
    if tile_bytes is None:
        tile_bytes = _CPU_TILE_BYTES if X.device.type == "cpu" else _GPU_TILE_BYTES
    return max(64, tile_bytes // (n_centers * X.element_size()))


def sums_by_label(rows: torch.Tensor, labels: torch.Tensor, n_labels: int) -> torch.Tensor:
    """Sum of the rows of each label, (n_labels, d), the same in every run."""
    if not rows.is_cuda:  # MPS has no other way
        return rows.new_zeros(n_labels, rows.shape[1]).index_add_(0, labels, rows)
    order = labels.argsort(stable=True)  # atomic adds would not be reproducible
    lengths = torch.bincount(labels, minlength=n_labels)
    return torch.segment_reduce(rows[order], "sum", lengths=lengths, axis=0, initial=0)


def label_sums(
    X: torch.Tensor,
    labels: torch.Tensor,
    n_labels: int,
    before: torch.Tensor | None = None,
    sums: torch.Tensor | None = None,
) -> torch.Tensor:
    """Float64 sums of the rows of each label, brought up to date where labels changed.

    Parameters
    ----------
    X : tensor of shape (n, d)
    labels : int64 tensor of shape (n,)
    n_labels : int
    before : int64 tensor of shape (n,) or None, default=None
        The labels that `sums` belongs to.
    sums : float64 tensor of shape (n_labels, d) or None, default=None

    Returns
    -------
    float64 tensor of shape (n_labels, d)
    """
    wide = X.dtype if X.device.type == "mps" else torch.float64
    changed = None if before is None else (labels != before).nonzero()[:, 0]
    # A changed row is added and subtracted, and gathered first: from a third on, a new sum of
    # all rows costs less.
    if changed is None or 3 * len(changed) > len(X):
        total = torch.zeros(n_labels, X.shape[1], dtype=wide, device=X.device)
        parts = zip(X.split(_ROWS_PER_SUM), labels.split(_ROWS_PER_SUM), strict=True)
        for rows, labels_of_rows in parts:
            total += sums_by_label(rows, labels_of_rows, n_labels)
        return total
    sums = sums.clone()
    for some in changed.split(_ROWS_PER_SUM):
        rows = X[some]
        sums += sums_by_label(rows, labels[some], n_labels)
        sums -= sums_by_label(rows, before[some], n_labels)
    return sums


def squared_errors(
    X: torch.Tensor, centers: torch.Tensor, labels: torch.Tensor, tile_bytes: int = _CPU_TILE_BYTES
) -> torch.Tensor:
    """|x - center|^2 of every row (n,), from the differences, a chunk at a time."""
    errors = X.new_empty(len(X))
    step = max(1, tile_bytes // (X.element_size() * X.shape[1]))
    for start in range(0, len(X), step):
        part = slice(start, start + step)
        errors[part] = (X[part] - centers[labels[part]]).square().sum(1)
    return errors
