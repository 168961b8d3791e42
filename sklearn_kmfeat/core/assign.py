"""Which centre each row belongs to: the step in which k-means spends its time."""

import torch

_CPU_TILE_BYTES = 12 * 2**20
_GPU_TILE_BYTES = 256 * 2**20
_GROUP = 64


def nearest(X, centers, *, direction=False):
    """The best centre of every row and its score.

    The arg-max takes two steps, maxima of groups of centres and then a search inside
    the winning group, because a maximum vectorises and an arg-max does not.

    Parameters
    ----------
    X : tensor of shape (n, d)
    centers : tensor of shape (k, d)
    direction : bool, default=False
        False: the Euclidean nearest, score ``x.c - |c|^2 / 2``. True: the largest
        ``|x.c|``, the code of gain-shape quantisation. The first centre wins a tie.

    Returns
    -------
    labels : int64 tensor of shape (n,)
    scores : tensor of shape (n,)
    """
    matrix, group = _grouped_matrix(centers, direction)
    k = matrix.shape[1]
    tile = _CPU_TILE_BYTES if X.device.type == "cpu" else _GPU_TILE_BYTES
    step = max(64, tile // (k * X.element_size()))
    labels = torch.empty(len(X), dtype=torch.int64, device=X.device)
    scores = X.new_empty(len(X))
    product = X.new_empty(min(step, len(X)), k)
    padded = X.new_ones(len(product), len(matrix))
    for start in range(0, len(X), step):
        rows = X[start : start + step]
        m = len(rows)
        padded[:m, :-1] = rows
        torch.mm(padded[:m], matrix, out=product[:m])
        if direction:
            product.abs_()
        _argmax_in_groups(
            product[:m].view(m, -1, group), labels[start : start + m], scores[start : start + m]
        )
    return labels, scores


def _grouped_matrix(centers, direction):
    """Centres as columns over a row of biases, padded to whole groups."""
    k = len(centers)
    group = min(_GROUP, k)
    missing = -k % group
    bias = -centers.square().sum(1, keepdim=True) / 2
    if direction:
        bias = torch.zeros_like(bias)
    columns = torch.cat([centers, bias], 1)
    columns = torch.cat([columns, columns[-1:].expand(missing, -1)])
    return columns.T.contiguous(), group


def _argmax_in_groups(values, labels, scores):
    """Write arg-max and maximum over groups and members of (m, groups, group)."""
    maxima = values.amax(2)
    winner = maxima.argmax(1, keepdim=True)
    torch.gather(maxima, 1, winner, out=scores.unsqueeze(1))
    inside = values.gather(1, winner.unsqueeze(2).expand(-1, 1, values.shape[2])).squeeze(1)
    labels.copy_(winner.squeeze(1) * values.shape[2] + inside.argmax(1))


def sums_by_label(rows, labels, n_labels):
    """Sum of the rows of each label, (n_labels, d), the same in every run."""
    if rows.device.type == "cpu":
        return rows.new_zeros(n_labels, rows.shape[1]).index_add_(0, labels, rows)
    order = labels.argsort(stable=True)  # atomic adds would not be reproducible
    lengths = torch.bincount(labels, minlength=n_labels)
    return torch.segment_reduce(rows[order], "sum", lengths=lengths, axis=0, initial=0)


def squared_errors(X, centers, labels):
    """|x - centre|^2 of every row, from the differences, a chunk at a time."""
    errors = X.new_empty(len(X))
    step = max(1, _CPU_TILE_BYTES // (X.element_size() * X.shape[1]))
    for start in range(0, len(X), step):
        part = slice(start, start + step)
        errors[part] = (X[part] - centers[labels[part]]).square().sum(1)
    return errors
