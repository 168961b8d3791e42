"""Encoding without holding patches or maps: images to pooled codes.

    images (n, H, W, C) -> strips of rows -> patches as columns -> affinities to all filters
           -> codes -> cells (n, cell rows, cell columns, K)

Each arrow works on as many images and rows as a workspace holds, in memory that is used again.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch

from .._utils.tracing import is_traced, static_size
from .contrast import contrast_normalize
from .patches import PatchGrid, patch_columns
from .pooling import Pooling
from .preparation import Preparation
from .whitening import Whitening

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
    """

    whitening: torch.Tensor | None
    matrix: torch.Tensor
    origin: torch.Tensor | None = None


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
) -> PatchCode:
    """The `PatchCode` of filters (K, d) of prepared patches."""
    projection = project(filters, affinity, preparation.whitening)
    return PatchCode(grid, preparation.contrast_eps, projection, code, channels)


def project(filters: torch.Tensor, affinity: str, whitening: Whitening | None = None) -> Projection:
    """Fold dictionary and whitening into one product where that is possible.

    Parameters
    ----------
    filters : tensor of shape (K, d)
        In whitened space.
    affinity : {"response", "nearness", "distance"}
    whitening : Whitening or None, default=None

    Returns
    -------
    Projection
        On the device and in the dtype of `filters`.
    """
    dtype = filters.dtype
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
        return Projection(_as_product(whitening, filters, dtype), matrix.to(dtype), origin)
    bias = -squares / 2 if affinity == "nearness" else torch.zeros_like(squares)
    if whitening is not None:
        filters, offset = whitening.fold(filters)
        bias = bias + offset
    return Projection(None, torch.cat([filters, bias], 1).to(dtype), origin)


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


class Workspace(NamedTuple):
    """Memory that is used again and again.

    Fresh memory for every product would cost as much time as the product itself.

    Attributes
    ----------
    columns : tensor of shape (2, at least (d + 2) * L)
        For L patches and what becomes of them.
    values : tensor of shape (at least one image's locations * K,)
        For affinities and codes; decides how many images are done at a time.
    """

    columns: torch.Tensor
    values: torch.Tensor

    @classmethod
    def empty(cls, dtype: torch.dtype, device: torch.device) -> "Workspace":
        """One that holds nothing yet."""
        columns = torch.empty(2, 0, dtype=dtype, device=device)
        return cls(columns, columns[0])

    def holding(self, batch: "Batch") -> "Workspace":
        """A workspace large enough for a batch; this one, where it is."""
        columns, values = self
        if columns.shape[1] < batch.n_column_values:
            columns = columns.new_empty(2, batch.n_column_values)
        if len(values) < batch.n_code_values:
            values = values.new_empty(batch.n_code_values)
        return Workspace(columns, values)

    def pair(self, n_rows: int, n_columns: int) -> torch.Tensor:
        """Two tensors of shape (n_rows, n_columns)."""
        return self.columns[:, : n_rows * n_columns].view(2, n_rows, n_columns)


class Batch(NamedTuple):
    """How much is encoded at once.

    Attributes
    ----------
    n_images : int
    n_rows : int
        Rows of locations.
    n_column_values, n_code_values : int
        Values of a workspace for them.
    """

    n_images: int
    n_rows: int
    n_column_values: int
    n_code_values: int

    @classmethod
    def within(
        cls,
        budget: tuple[int, int],
        image_shape: tuple[int, int, int],
        codes: list[PatchCode],
        itemsize: int,
    ) -> "Batch":
        """As much as a budget allows; one row of locations of one image at least.

        Parameters
        ----------
        budget : (int, int)
            Bytes for patches and for codes.
        image_shape : (int, int, int)
            H, W, C.
        codes : list of PatchCode
            Of one grid, used one after the other.
        itemsize : int
            Bytes of a value.
        """
        column_bytes, code_bytes = budget
        grid, channels = codes[0].grid, codes[0].channels
        n_codes = max(code.n_codes for code in codes)
        height, width, n_channels = image_shape
        n_seen = n_channels if channels is None else len(channels)
        n_values = grid.size[0] * grid.size[1] * n_seen + 2  # with the one and the norm
        down, across = grid.map_size((height, width))
        row = itemsize * across * n_codes
        n_rows = column_bytes // (2 * itemsize * across * n_values)
        n_rows = max(1, min(down, code_bytes // row, n_rows))
        # The image as it was read, as floats, and normalised.
        pixels = 3 * height * width * n_channels
        n_images = column_bytes // (itemsize * (2 * n_rows * across * n_values + pixels))
        n_images = max(1, n_images)
        at_once = max(1, min(n_images, code_bytes // (n_rows * row)))
        return cls(
            n_images,
            n_rows,
            n_images * n_rows * across * n_values,
            at_once * n_rows * across * n_codes,
        )


def normalized_images(images: torch.Tensor, eps: float | None) -> torch.Tensor:
    """Images (n, H, W, C) whose contrast is normalised; as they are for None."""
    if eps is None:
        return images
    return contrast_normalize(images.flatten(1), eps).view(images.shape)


def encode_pooled(
    images: torch.Tensor,
    code: PatchCode,
    pooling: Pooling,
    n_rows: int | None = None,
    workspace: Workspace | None = None,
) -> torch.Tensor:
    """Codes pooled over cells.

    The maps exist only for a strip of at most `n_rows` rows of locations.

    Parameters
    ----------
    images : tensor of shape (n, H, W, C)
        Normalised already where the contrast is that of the image.
    code : PatchCode
    pooling : Pooling
    n_rows : int or None, default=None
        None: all rows at once.
    workspace : Workspace or None, default=None
        As in `affinity_maps`.

    Returns
    -------
    tensor of shape (n, cell rows, cell columns, K)
    """
    map_size = _map_size(images, code)
    strips = (
        (start, (_coded(values, code) for values in maps))
        for start, maps in _strips(images, code, n_rows, workspace)
    )
    return pooling.pool(strips, map_size)


def nearest_maps(
    images: torch.Tensor,
    code: PatchCode,
    n_rows: int | None = None,
    workspace: Workspace | None = None,
) -> torch.Tensor:
    """The filter with the largest affinity at every location.

    Parameters
    ----------
    images, n_rows, workspace
        As in `encode_pooled`.
    code : PatchCode
        Whose affinity is not a distance.

    Returns
    -------
    int64 tensor of shape (n, H', W')
    """
    strips = _strips(images, code, n_rows, workspace)
    return torch.cat([torch.cat([values.argmax(-1) for values in maps]) for _, maps in strips], 1)


def _map_size(images, code):
    return code.grid.map_size((static_size(images, 1), static_size(images, 2)))


def _coded(values, code):
    """Codes (n, rows, W', K) from affinities."""
    return code.code(values.flatten(0, 2)).view(values.shape)


def _strips(images, code, n_rows, workspace):
    """The row that each strip begins with, and its affinity maps."""
    images = images if code.channels is None else images[..., code.channels]
    height, down = code.grid.size[0], code.grid.stride[0]
    n_all = _map_size(images, code)[0]
    n_rows = n_all if n_rows is None else n_rows
    for start in range(0, n_all, n_rows):
        stop = min(start + n_rows, n_all)
        strip = images[:, start * down : (stop - 1) * down + height]
        yield start, affinity_maps(strip, code, workspace)


def affinity_maps(
    images: torch.Tensor, code: PatchCode, workspace: Workspace | None = None
) -> Iterator[torch.Tensor]:
    """Affinities at every location, a few images at a time.

    Parameters
    ----------
    images : tensor of shape (n, H, W, C)
        Normalised already where the contrast is that of the image.
    code : PatchCode
    workspace : Workspace or None, default=None
        None: all images at once, in fresh memory.

    Yields
    ------
    tensor of shape (some images, H', W', K)
        To be used before the next one is asked for.
    """
    down, across = _map_size(images, code)
    columns = prepared_columns(images, code, workspace)
    if workspace is None:
        yield affinities(columns, code).view(-1, down, across, code.n_codes)
        return
    n, locations = len(images), down * across
    at_once = max(1, len(workspace.values) // (locations * code.n_codes))
    for start in range(0, n, at_once):
        stop = min(start + at_once, n)
        some = columns[:, start * locations : stop * locations]
        yield affinities(some, code, workspace.values).view(stop - start, down, across, -1)


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
    whitening, matrix, origin = code.projection
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
    columns: torch.Tensor, code: PatchCode, out: torch.Tensor | None = None
) -> torch.Tensor:
    """Affinities of prepared patches to filters.

    Parameters
    ----------
    columns : tensor of shape (d', L)
    code : PatchCode
    out : tensor of at least L * K values or None, default=None
        Memory for the result; None where gradients are wanted.

    Returns
    -------
    tensor of shape (L, K)
        Of either memory layout.
    """
    matrix, locations_first = code.projection.matrix, code.locations_first
    if locations_first is None:
        locations_first = code.n_codes >= _MANY_FILTERS
    left, right = (columns.T, matrix.T) if locations_first else (matrix, columns)
    if out is not None:
        shape = left.shape[0], right.shape[1]
        out = out[: shape[0] * shape[1]].view(shape)
    values = torch.mm(left, right, out=out)
    return values if locations_first else values.T
