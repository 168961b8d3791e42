"""Encoding without holding patches or maps: images to pooled codes.

    images (n, H, W, C) -> patches as columns -> affinities to all filters -> codes
           -> cells (n, cell rows, cell columns, K)

All at once, with gradients, or a tile and a block at a time (`workspace.py`), in memory that is
used again.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch

from .._utils.tracing import is_traced, static_size
from .contrast import contrast_normalize
from .patches import PatchGrid, patch_columns
from .pooling import Cells, Pooling, Strip
from .preparation import Preparation
from .products import first_of_largest, in_two_parts
from .whitening import Whitening
from .workspace import Tiling, Workspace

# Below this many filters the product is laid out with the locations last, which vectorises
# reductions over few filters. On two cores, locations first take the same time with 50 filters,
# and three quarters with 256 and more; the step could lie at 100, but would change last digits.
_MANY_FILTERS = 256


class Projection(NamedTuple):
    """The map from patches to affinities.

    Attributes
    ----------
    whitening : tensor of shape (d + 1, d + 1), or None
        Applied first where the whitened patch itself is needed: takes a patch over a one
        to the whitened patch over a one.
    matrix : tensor of shape (K, d + 1) or (K, d + 2)
        Multiplies the patch, a one and, for distances, the patch's squared norm.
    origin : tensor of shape (d, 1) or None
        Subtracted from patches that are not whitened, where the filters lie far from
        zero: distances from expanded squares are exact only near it.
    rounded : tensor of shape (K, d) or (K, d + 4), or None
        In a reduced precision, in which products are made then: `matrix`, without the bias, which
        keeps its digits where it is added afterwards, or, for distances, with the bias in two parts
        and ones for a norm in two parts.
    """

    whitening: torch.Tensor | None
    matrix: torch.Tensor
    origin: torch.Tensor | None = None
    rounded: torch.Tensor | None = None


class PatchCode(NamedTuple):
    """Everything that encoding locations with one dictionary needs.

    Attributes
    ----------
    grid : PatchGrid
    contrast_eps : float or None
        Added to the variance of each patch; None: the contrast of patches is left alone.
    projection : Projection
    code : callable
        From affinities (L, K), which it may overwrite, to codes (L, K).
    channels : int64 tensor or None, default=None
        Those that the filters see; None: all.
    locations_first : bool or None, default=None
        The layout of the product. None: by the number of filters.
    """

    grid: PatchGrid
    contrast_eps: float | None
    projection: Projection
    code: Callable[[torch.Tensor], torch.Tensor]
    channels: torch.Tensor | None = None
    locations_first: bool | None = None

    @property
    def n_codes(self) -> int:
        """K."""
        return static_size(self.projection.matrix, 0)


def patch_code(
    filters: torch.Tensor,
    preparation: Preparation,
    grid: PatchGrid,
    affinity: str,
    code: Callable[[torch.Tensor], torch.Tensor],
    channels: torch.Tensor | None = None,
    reduced: torch.dtype | None = None,
) -> PatchCode:
    """The `PatchCode` of filters (K, d) of prepared patches."""
    # Of patches as they are, rounding would lose the small directions that whitening enlarges.
    fold = reduced is None or preparation.contrast_eps is not None
    projection = project(filters, affinity, preparation.whitening, reduced, fold)
    return PatchCode(grid, preparation.contrast_eps, projection, code, channels)


def project(
    filters: torch.Tensor,
    affinity: str,
    whitening: Whitening | None = None,
    reduced: torch.dtype | None = None,
    fold: bool = True,
) -> Projection:
    """Fold dictionary and whitening into one product where that is possible.

    Parameters
    ----------
    filters : tensor of shape (K, d)
        In whitened space.
    affinity : {"response", "nearness", "distance"}
    whitening : Whitening or None, default=None
    reduced : torch.dtype or None, default=None
        Of inner products with patches; None: as all the rest.
    fold : bool, default=True
        Whether inner products are with patches that are not whitened.

    Returns
    -------
    Projection
        On the device and in the dtype of `filters`.
    """
    dtype, length = filters.dtype, filters.shape[1]
    filters = filters.to(dtype if filters.device.type == "mps" else torch.float64)
    origin = None
    if whitening is None and affinity != "response":
        filters, origin = _centered(filters)
        origin = None if origin is None else origin.to(dtype)
    squares = filters.square().sum(1, keepdim=True)
    if affinity == "distance":
        # Less by what the product of up to 1,200 values may be wrong, so that the distance of a
        # filter from itself is never above zero: `triangle` makes zero of what is below.
        share = 1 - (1 + 0.5 * static_size(filters, 1) ** 0.5) * torch.finfo(dtype).eps
        ones = torch.ones_like(squares)
        matrix = torch.cat([-2 * filters, share * squares, share * ones], 1)
        first = _as_product(whitening, filters, dtype)
    else:
        bias = -squares / 2 if affinity == "nearness" else torch.zeros_like(squares)
        first = None if fold else _as_product(whitening, filters, dtype)
        if whitening is not None and fold:
            filters, offset = whitening.fold(filters)
            bias = bias + offset
        matrix = torch.cat([filters, bias], 1)
    matrix, rounded = matrix.to(dtype), None
    if reduced is not None:
        rounded = matrix[:, :length].to(reduced)
        if affinity == "distance":
            parts = in_two_parts(matrix[:, length : length + 1], reduced)
            rounded = torch.cat(
                [rounded, *parts, torch.ones_like(parts[0][:, :1]).expand(-1, 2)], 1
            )
    return Projection(first, matrix, origin, rounded)


def _as_product(whitening, like, dtype):
    """The matrix that whitens a patch over a one, or None."""
    if whitening is None:
        return None
    matrix = whitening.matrix.to(like)
    offset = -(whitening.mean.to(like) @ matrix)[:, None]
    last = torch.cat([torch.zeros_like(offset), torch.ones_like(offset[:1])])
    return torch.cat([torch.cat([matrix.T, offset], 1), last.T]).to(dtype)


def _centered(filters):
    """Filters around their mean, and the mean as a column, where it is large."""
    origin = filters.detach().mean(0, keepdim=True)
    if is_traced():  # what is large now may be so for no other filters, and the other way round
        return filters - origin, origin.T
    spread = (filters.detach() - origin).square().sum(1).mean()
    # Nearer than twice their spread, expanded squares lose less than three bits.
    if origin.square().sum() <= 4 * spread:
        return filters, None
    return filters - origin, origin.T


def normalized_images(images: torch.Tensor, eps: float | None) -> torch.Tensor:
    """Images (n, H, W, C) whose contrast is normalised; as they are for None."""
    if eps is None:
        return images
    return contrast_normalize(images.flatten(1), eps).view(images.shape)


def encode_pooled(images: torch.Tensor, code: PatchCode, pooling: Pooling) -> torch.Tensor:
    """Codes of whole images, pooled over cells, all at once; with gradients where they are on.

    Parameters
    ----------
    images : tensor of shape (n, H, W, C)
        Normalised already where the contrast is that of the image.
    code : PatchCode
    pooling : Pooling

    Returns
    -------
    tensor of shape (n, cell rows, cell columns, K)
    """
    return pooling.pool(_coded(affinity_maps(images, code), code))


def affinity_maps(images: torch.Tensor, code: PatchCode) -> torch.Tensor:
    """Affinities at every location, all at once, (n, H', W', K)."""
    values = affinities(prepared_columns(_seen(images, code), code), code)
    return values.view(-1, *_map_size(images, code), values.shape[1])


def encode_strips(
    images: torch.Tensor,
    code: PatchCode,
    cells: Cells,
    start: int,
    tiling: Tiling,
    workspace: Workspace,
) -> list[Strip]:
    """Codes of some rows of locations, strip by strip, pooled over the cells that they touch.

    Parameters
    ----------
    images : tensor of shape (n, H, W, C)
        The rows of pixels that the rows of locations see. Normalised already where the contrast is
        that of the image.
    code : PatchCode
    cells : Cells
    start : int
        The row of locations that these begin with.
    tiling : Tiling
        The maps exist only for a block.
    workspace : Workspace
        That holds such a tile and block.

    Returns
    -------
    list of Strip
    """
    strips = {}
    for row, values in _blocks(images, code, tiling, workspace):
        codes = _coded(values, code)
        first, values = cells.reduce(codes, start + row)
        # The next block comes into the same memory.
        values = values.clone() if values.data_ptr() == codes.data_ptr() else values
        strips.setdefault(row, []).append(Strip(first, values))
    return [
        Strip(parts[0].first, torch.cat([part.values for part in parts]))
        for parts in strips.values()
    ]


def nearest_maps(
    images: torch.Tensor, code: PatchCode, tiling: Tiling, workspace: Workspace
) -> torch.Tensor:
    """The filter with the largest affinity at every location.

    Parameters
    ----------
    images, tiling, workspace
        As in `encode_strips`.
    code : PatchCode
        Whose affinity is not a distance.

    Returns
    -------
    int64 tensor of shape (n, H', W')
    """
    strips = {}
    for row, values in _blocks(images, code, tiling, workspace):
        strips.setdefault(row, []).append(first_of_largest(values))
    return torch.cat([torch.cat(parts) for parts in strips.values()], 1)


def _blocks(images, code, tiling, workspace):
    """Affinities (some images, some rows, W', K) of each block, and the row that it begins with.

    All images of some rows come one after the other.
    """
    images = _seen(images, code)
    height, stride = code.grid.size[0], code.grid.stride[0]
    n_rows, across = _map_size(images, code)
    for start in range(0, n_rows, tiling.tile[1]):
        stop = min(start + tiling.tile[1], n_rows)
        strip = images[:, start * stride : (stop - 1) * stride + height]
        for some in strip.split(tiling.tile[0]):
            columns = prepared_columns(some, code, workspace)
            for row, first, last in _parts(len(some), stop - start, tiling.block):
                part = columns[:, first * across : last * across]
                values = affinities(part, code, workspace)
                n_images = max(1, (last - first) // (stop - start))
                yield start + row, values.view(n_images, -1, across, code.n_codes)


def _parts(n_images, n_rows, block):
    """Blocks of the rows of a tile, which come image by image: first row in its image, start, stop.

    >>> list(_parts(3, 5, (2, 5)))
    [(0, 0, 10), (0, 10, 15)]
    >>> list(_parts(2, 5, (1, 3)))
    [(0, 0, 3), (3, 3, 5), (0, 5, 8), (3, 8, 10)]
    """
    if block[1] >= n_rows:
        for i in range(0, n_images, block[0]):
            yield 0, i * n_rows, min(i + block[0], n_images) * n_rows
        return
    for i in range(n_images):
        for row in range(0, n_rows, block[1]):
            yield row, i * n_rows + row, i * n_rows + min(row + block[1], n_rows)


def _coded(values, code):
    """Codes (n, rows, W', K) from affinities."""
    return code.code(values.flatten(0, 2)).view(values.shape)


def _seen(images, code):
    """The channels that the filters see."""
    return images if code.channels is None else images[..., code.channels]


def _map_size(images, code):
    return code.grid.map_size((static_size(images, 1), static_size(images, 2)))


def prepared_columns(
    images: torch.Tensor, code: PatchCode, workspace: Workspace | None = None
) -> torch.Tensor:
    """Patches as the columns that the projection multiplies.

    Parameters
    ----------
    images : tensor of shape (n, H, W, C)
        Normalised already where the contrast is that of the image.
    code : PatchCode
    workspace : Workspace or None, default=None
        None where gradients are wanted.

    Returns
    -------
    tensor of shape (d + 1, n * H' * W') or (d + 2, n * H' * W')
        The patch, normalised and, for distances, whitened; a one; the squared norm.
    """
    whitening, matrix, origin, _ = code.projection
    first = second = None
    n_rows = code.grid.size[0] * code.grid.size[1] * static_size(images, 3)
    if workspace is not None:
        down, across = _map_size(images, code)
        first, second = workspace.pair(n_rows + 2, len(images) * down * across)
    columns = patch_columns(images, code.grid, _rows(first, n_rows + 1))
    if code.contrast_eps is not None:
        out, scratch = _rows(first, n_rows), _rows(second, n_rows)
        patches = contrast_normalize(columns[:-1], code.contrast_eps, 0, out, scratch)
        columns = columns if workspace else torch.cat([patches, columns[-1:]])
    if origin is not None:
        columns = torch.cat([columns[:-1] - origin, columns[-1:]])
    if whitening is not None:
        columns = torch.mm(whitening, columns, out=_rows(second, n_rows + 1))
        first, second = second, first
    if static_size(matrix, 1) == static_size(columns, 0):
        return columns
    if workspace is None or origin is not None:
        return torch.cat([columns, columns[:-1].square().sum(0, keepdim=True)])
    squares = torch.mul(columns[:-1], columns[:-1], out=second[:n_rows])
    torch.sum(squares, 0, out=first[-1])
    return first


def _rows(tensor, n):
    return None if tensor is None else tensor[:n]


def affinities(
    columns: torch.Tensor, code: PatchCode, workspace: Workspace | None = None
) -> torch.Tensor:
    """Affinities of prepared patches to filters.

    Parameters
    ----------
    columns : tensor of shape (d', L)
    code : PatchCode
    workspace : Workspace or None, default=None
        Memory for the result; None where gradients are wanted.

    Returns
    -------
    tensor of shape (L, K)
        Of either memory layout. Distances in reduced precision stay in it.
    """
    matrix, rounded = code.projection.matrix, code.projection.rounded
    locations_first = code.locations_first
    if locations_first is None:
        locations_first = matrix.shape[0] >= _MANY_FILTERS
    if rounded is not None:
        return _rounded_affinities(columns, matrix, rounded, locations_first, workspace)
    memory = None if workspace is None else workspace.values
    return _product(columns, matrix, locations_first, memory)


def _rounded_affinities(columns, matrix, rounded, locations_first, workspace):
    has_norm = matrix.shape[1] < rounded.shape[1]
    length = matrix.shape[1] - 1 - has_norm
    factors = columns[:length].to(rounded.dtype)
    if has_norm:
        norms = in_two_parts(columns[length + 1 :], rounded.dtype)
        factors = torch.cat([factors, torch.ones_like(norms[0]).expand(2, -1), *norms])
    memory = None if workspace is None else workspace.rounded
    values = _product(factors, rounded, locations_first, memory)
    if has_norm:
        return values
    out = torch.empty_like(values, dtype=matrix.dtype)
    if workspace is not None:
        out = workspace.values[: values.numel()].as_strided(values.shape, values.stride())
    return out.copy_(values).add_(matrix[:, length].contiguous())  # five times faster than strided


def _product(columns, matrix, locations_first, memory):
    """columns.T @ matrix.T in one of two layouts, in memory that is given, or not."""
    left, right = (columns.T, matrix.T) if locations_first else (matrix, columns)
    shape = left.shape[0], right.shape[1]
    out = None if memory is None else memory[: shape[0] * shape[1]].view(shape)
    values = torch.mm(left, right, out=out)
    return values if locations_first else values.T
