"""The fused encoder: images to pooled codes, without holding patches or maps."""

from typing import NamedTuple

import torch

from .contrast import contrast_normalize
from .encoders import ENCODERS
from .patches import PatchGrid, map_size, patch_columns

# Below this many filters the product is laid out with the locations last, which
# vectorises reductions over few filters.
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


class DenseCode(NamedTuple):
    """Everything that encoding a location needs.

    `channels` is an int64 tensor of those that the filters see, or None for all.
    """

    patch_size: tuple
    stride: tuple
    contrast: str | None
    contrast_eps: float | None
    projection: Projection
    encoder: str
    alpha: float
    knn_fraction: float
    channels: torch.Tensor | None = None


def project(filters, affinity, whitening=None, mean=None):
    """Fold dictionary and whitening into one product where that is possible.

    Parameters
    ----------
    filters : tensor of shape (K, d)
        In whitened space.
    affinity : {"response", "nearness", "distance"}
    whitening, mean : tensors of shape (d, d) and (d,), or None
        A patch x is whitened as ``(x - mean) @ whitening``.

    Returns
    -------
    Projection
        On the device and in the dtype of `filters`.
    """
    wide = filters.dtype if filters.device.type == "mps" else torch.float64
    filters, dtype = filters.to(wide), filters.dtype
    origin = None
    if whitening is None and affinity != "response":
        filters, origin = _centred(filters)
    squares = filters.square().sum(1, keepdim=True)
    offset = None
    if whitening is not None:
        whitening = whitening.to(filters)
        offset = -(mean.to(filters) @ whitening)[:, None]
    if affinity == "distance":
        matrix = torch.cat([-2 * filters, squares, torch.ones_like(squares)], 1)
        if whitening is None:
            return Projection(None, matrix.to(dtype), None if origin is None else origin.to(dtype))
        affine = torch.eye(len(whitening) + 1).to(whitening)
        affine[:-1] = torch.cat([whitening.T, offset], 1)
        return Projection(affine.to(dtype), matrix.to(dtype))
    bias = -squares / 2 if affinity == "nearness" else torch.zeros_like(squares)
    if whitening is not None:
        bias = bias + filters @ offset
        filters = filters @ whitening.T
    matrix = torch.cat([filters, bias], 1)
    return Projection(None, matrix.to(dtype), None if origin is None else origin.to(dtype))


def _centred(filters):
    """Filters around their mean, and the mean as a column, where it is large."""
    origin = filters.detach().mean(0, keepdim=True)
    spread = (filters.detach() - origin).square().sum(1).mean()
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

    def pair(self, n_rows, n_columns):
        """Two tensors of shape (n_rows, n_columns)."""
        return self.columns[:, : n_rows * n_columns].view(2, n_rows, n_columns)


def prepared_columns(images, code, workspace=None):
    """Patches as the columns that the projection multiplies.

    Parameters
    ----------
    images : tensor of shape (n, H, W, C)
        Normalised already where the contrast is that of the image.
    code : DenseCode
    workspace : Workspace or None, default=None
        None where gradients are wanted.

    Returns
    -------
    tensor of shape (d + 1, n * H' * W') or (d + 2, n * H' * W')
        The patch, normalised and, for distances, whitened; a one; the squared norm.
    """
    whitening, matrix, origin = code.projection
    n_rows = code.patch_size[0] * code.patch_size[1] * images.shape[3]
    here = there = None
    if workspace is not None:
        down, across = map_size(images.shape[1:3], code.patch_size, code.stride)
        here, there = workspace.pair(n_rows + 2, len(images) * down * across)
    columns = patch_columns(
        images, PatchGrid(code.patch_size, code.stride), _rows(here, n_rows + 1)
    )
    if code.contrast == "patch":
        out, scratch = _rows(here, n_rows), _rows(there, n_rows)
        patches = contrast_normalize(columns[:-1], code.contrast_eps, 0, out, scratch)
        columns = columns if workspace else torch.cat([patches, columns[-1:]])
    if origin is not None:
        columns = torch.cat([columns[:-1] - origin, columns[-1:]])
    if whitening is not None:
        columns = torch.mm(whitening, columns, out=_rows(there, n_rows + 1))
        here, there = there, here
    if matrix.shape[1] == len(columns):
        return columns
    if workspace is None or origin is not None:
        return torch.cat([columns, columns[:-1].square().sum(0, keepdim=True)])
    squares = torch.mul(columns[:-1], columns[:-1], out=there[:n_rows])
    torch.sum(squares, 0, out=here[-1])
    return here


def _rows(tensor, n):
    return None if tensor is None else tensor[:n]


def affinities(columns, matrix, out=None):
    """Affinities of prepared patches to filters.

    Parameters
    ----------
    columns : tensor of shape (d', L)
    matrix : tensor of shape (K, d')
    out : tensor of at least L * K values or None, default=None
        Memory for the result; None where gradients are wanted.

    Returns
    -------
    tensor of shape (L, K)
        Of either memory layout.
    """
    few = len(matrix) < _MANY_FILTERS
    left, right = (matrix, columns) if few else (columns.T, matrix.T)
    if out is not None:
        shape = left.shape[0], right.shape[1]
        out = out[: shape[0] * shape[1]].view(shape)
    values = torch.mm(left, right, out=out)
    return values.T if few else values


def affinity_maps(images, code, workspace=None):
    """Affinities at every location, a few images at a time.

    Parameters
    ----------
    images : tensor of shape (n, H, W, C)
        Normalised already where the contrast is that of the image.
    code : DenseCode
    workspace : Workspace or None, default=None
        None: all images at once, in fresh memory.

    Yields
    ------
    tensor of shape (some images, H', W', K)
        To be used before the next one is asked for.
    """
    n, height, width, _ = images.shape
    down, across = map_size((height, width), code.patch_size, code.stride)
    matrix = code.projection.matrix
    columns = prepared_columns(images, code, workspace)
    locations = down * across
    out = workspace and workspace.values
    at_once = n if out is None else max(1, len(out) // (locations * len(matrix)))
    for start in range(0, n, at_once):
        stop = min(start + at_once, n)
        some = columns[:, start * locations : stop * locations]
        yield affinities(some, matrix, out).view(stop - start, down, across, -1)


def encode(values, code):
    """Codes from affinities.

    Parameters
    ----------
    values : tensor of shape (n, H', W', K)
        May be overwritten.
    code : DenseCode

    Returns
    -------
    tensor of shape (n, H', W', K)
    """
    encoder = ENCODERS[code.encoder].code
    flat = values.flatten(0, 2)
    return encoder(flat, alpha=code.alpha, knn_fraction=code.knn_fraction).view(values.shape)


def label_maps(images, code, rows_at_once, workspace=None):
    """The filter with the largest affinity at every location.

    Parameters
    ----------
    images : tensor of shape (n, H, W, C)
        Normalised already where the contrast is that of the image.
    code : DenseCode
        Whose affinity is not a distance.
    rows_at_once : int
        Rows of locations that are held at once.
    workspace : Workspace or None, default=None
        As in `affinity_maps`.

    Returns
    -------
    int64 tensor of shape (n, H', W')
    """
    images = _seen(images, code)
    height, down = code.patch_size[0], code.stride[0]
    n_rows = (images.shape[1] - height) // down + 1
    labels = []
    for start in range(0, n_rows, rows_at_once):
        stop = min(start + rows_at_once, n_rows)
        strip = images[:, start * down : (stop - 1) * down + height]
        labels.append(torch.cat([v.argmax(-1) for v in affinity_maps(strip, code, workspace)]))
    return torch.cat(labels, 1)


def normalized_images(images, code):
    """The images, normalised where the contrast is that of the image."""
    if code.contrast != "image":
        return images
    return contrast_normalize(images.flatten(1), code.contrast_eps).view(images.shape)


def encode_pooled(images, code, cells, rows_at_once, workspace=None):
    """Codes pooled over cells.

    The maps exist only for a strip of at most `rows_at_once` rows of locations.

    Parameters
    ----------
    images : tensor of shape (n, H, W, C)
        Normalised already where the contrast is that of the image.
    code : DenseCode
    cells : Cells
        For maps of this size.
    rows_at_once : int
    workspace : Workspace or None, default=None
        As in `affinity_maps`.

    Returns
    -------
    tensor of shape (n, cell rows, cell columns, K)
    """
    images = _seen(images, code)
    height, down = code.patch_size[0], code.stride[0]
    n_rows = cells.row_edges[-1]
    strips = []
    for start in range(0, n_rows, rows_at_once):
        stop = min(start + rows_at_once, n_rows)
        strip = images[:, start * down : (stop - 1) * down + height]
        maps = affinity_maps(strip, code, workspace)
        strips.append(torch.cat([cells.reduce(encode(values, code), start) for values in maps]))
    return cells.finish(strips)


def _seen(images, code):
    return images if code.channels is None else images[..., code.channels]
