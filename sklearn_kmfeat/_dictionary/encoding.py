"""From a fitted bank and checked images to codes: batches, cells, memory."""

from dataclasses import dataclass

import numpy as np
import torch

from .._core.encode import (
    DenseCode,
    Workspace,
    encode_pooled,
    label_maps,
    normalized_images,
    project,
)
from .._core.encoders import ENCODERS
from .._core.patches import PatchGrid
from .._core.pooling import Cells, pooling_edges
from .._inputs.sampling import patch_grid
from .._utils.device import resolve_device
from .._utils.memory import scratch_bytes
from .._utils.validation import as_pair
from .parts import parts_of

#: The parameters of a bank that decide what a location's code is.
ENCODER_OPTIONS = ("contrast", "encoder", "alpha", "knn_fraction", "split_sign")


@dataclass(frozen=True)
class Pooling:
    """Which locations are pooled together, and how.

    Attributes
    ----------
    pool : {"sum", "mean", "max"}
    grid : (int, int) or None
        Number of cells; None leaves every location its own cell.
    window : (int, int) or None
        Size of local windows, comes before `grid`.
    maps : bool
        Whether the result keeps its rows and columns.
    """

    pool: str
    grid: tuple | None
    window: tuple | None
    maps: bool

    @classmethod
    def of(cls, bank):
        """As the parameters of a bank say."""
        maps = bank.output == "maps"
        grid = None if maps or bank.pool_grid is None else as_pair(bank.pool_grid, "pool_grid")
        window = None if bank.pool_size is None else as_pair(bank.pool_size, "pool_size")
        return cls(bank.pool, grid, window, maps)

    def edges(self, locations):
        """Edges of the cells down and across a map of this size."""
        return pooling_edges(locations, self.grid, self.window)

    def cells(self, locations, ready, like):
        """The cells of a map of this size, for codes like a tensor.

        Ready patches have one location, and one cell.
        """
        edges = ([0, 1], [0, 1]) if ready else self.edges(locations)
        return Cells.of(*edges, self.pool, like)

    def shape(self, images, grid):
        """Number of cells down and across, the same for all images.

        Raises
        ------
        ValueError
            When the images' sizes do not allow that.
        """
        if images.ready:
            return (1, 1)
        sizes = np.unique(images.sizes, axis=0).tolist()
        shapes = {
            tuple(len(edge) - 1 for edge in self.edges(grid.map_size(size))) for size in sizes
        }
        if len(shapes) > 1:
            raise ValueError(
                "Images of different sizes need a pooling grid that makes equal rows of them: "
                'output="features" with pool_grid=(rows, columns) and pool_size=None.'
            )
        return shapes.pop()

    def locations(self, images, grid):
        """Size of the maps of images that allow this pooling; None for ready patches."""
        self.shape(images, grid)
        return None if images.ready else grid.map_size(images.sizes[0].tolist())

    def n_cells(self, locations):
        """Number of cells of a map of this size; of ready patches, which have None, one."""
        if locations is None:
            return 1
        down, across = self.edges(locations)
        return (len(down) - 1) * (len(across) - 1)


@dataclass(frozen=True)
class Encoding:
    """Dictionaries ready to encode images of one kind on one device.

    Attributes
    ----------
    grid : PatchGrid
    codes : list of DenseCode
        One for each part of the bank.
    pooling : Pooling
    device : torch.device
    """

    grid: PatchGrid
    codes: list
    pooling: Pooling
    device: torch.device

    @classmethod
    def of(cls, bank, images, **changed):
        """The encoding of a fitted bank.

        Parameters
        ----------
        bank : PatchBank
        images : Images
        **changed : dict
            Values in place of the bank's `encoder` and `split_sign`.
        """
        grid = patch_grid(bank.patch_size, bank.stride, images)
        device = resolve_device(bank.device)
        codes = [
            dense_code(bank, part, grid, device, images.dtype, **changed) for part in parts_of(bank)
        ]
        return cls(grid, codes, Pooling.of(bank), device)

    def features(self, images, on_batch=None):
        """Codes of images, pooled.

        Parameters
        ----------
        images : Images
        on_batch : callable or None
            Told the number of images done.

        Returns
        -------
        ndarray of shape (n, cells * K) or (n, H', W', K)
        """
        cells = self.pooling.shape(images, self.grid)
        n_codes = sum(len(code.projection.matrix) for code in self.codes)
        maps = self.pooling.maps and not images.ready
        shape = (*cells, n_codes) if maps else (cells[0] * cells[1] * n_codes,)
        result = np.empty((len(images), *shape), _numpy_dtype(images))
        done = 0
        workspace = None
        for index, batch in images.batches(lambda size: self._batch(images, size)[0]):
            size = tuple(batch.shape[1:3])
            _, rows, sizes = self._batch(images, size)
            workspace = self._workspace(workspace, sizes, images.dtype)
            cells = self.pooling.cells(self.grid.map_size(size), images.ready, workspace.values)
            batch = normalized_images(batch.to(self.device), self.codes[0])
            pooled = torch.cat(
                [encode_pooled(batch, code, cells, rows, workspace) for code in self.codes], -1
            )
            result[index] = pooled.reshape(len(batch), *shape).cpu().numpy()
            done += len(batch)
            if on_batch is not None:
                on_batch(done)
        return result

    def labels(self, images):
        """The nearest filter of every location.

        Returns
        -------
        list of int64 arrays
            Maps (H', W'); (H', W', parts) where there are several.
        """
        first = np.cumsum([0, *(len(code.projection.matrix) for code in self.codes)])
        found = [None] * len(images)
        workspace = None
        for index, batch in images.batches(lambda size: self._batch(images, size)[0]):
            _, rows, sizes = self._batch(images, tuple(batch.shape[1:3]))
            workspace = self._workspace(workspace, sizes, images.dtype)
            batch = normalized_images(batch.to(self.device), self.codes[0])
            members = range(len(images))[index] if isinstance(index, slice) else index
            maps = [label_maps(batch, code, rows, workspace).cpu().numpy() for code in self.codes]
            maps = maps[0] if len(maps) == 1 else np.stack(maps, -1) + first[:-1]
            for i, label_map in zip(members, maps, strict=True):
                found[i] = label_map
        return found

    def _workspace(self, workspace, sizes, dtype):
        """The workspace, made anew only where it is too small."""
        columns, values = sizes
        if workspace is None or workspace.columns.shape[1] < columns:
            new = torch.empty(2, columns, dtype=dtype, device=self.device)
            workspace = Workspace(new, new[0, :0])
        if len(workspace.values) < values:
            new = torch.empty(values, dtype=dtype, device=self.device)
            workspace = workspace._replace(values=new)
        return workspace

    def _batch(self, images, size):
        """Images and rows of locations at once, and values in a workspace for them."""
        columns, codes = scratch_bytes(self.device)
        item = images.dtype.itemsize
        n_codes = max(len(code.projection.matrix) for code in self.codes)
        channels = self.codes[0].channels
        seen = images.n_channels if channels is None else len(channels)
        width = self.grid.size[0] * self.grid.size[1] * seen + 2
        down, across = self.grid.map_size(size)
        row = item * across * n_codes
        rows = max(1, min(down, codes // row, columns // (2 * item * across * width)))
        pixels = 3 * size[0] * size[1] * images.n_channels
        n_images = max(1, columns // (item * (2 * rows * across * width + pixels)))
        at_once = max(1, min(n_images, codes // (rows * row)))
        return n_images, rows, (n_images * rows * across * width, at_once * rows * across * n_codes)


def dense_code(bank, part, grid, device, dtype, encoder=None, split_sign=None):
    """What the core needs to encode with a part of a fitted bank."""
    options = {name: getattr(bank, name) for name in ENCODER_OPTIONS}
    options["encoder"] = encoder or bank.encoder
    options["split_sign"] = bank.split_sign if split_sign is None else split_sign
    filters = part.dictionary.centers.to(device, dtype)
    whitening = mean = channels = None
    if part.whitener is not None:
        whitening = torch.from_numpy(part.whitener.whitening_)
        mean = torch.from_numpy(part.whitener.mean_)
    if part.channels is not None:
        channels = torch.from_numpy(part.channels).to(device)
    return code_of(filters, (whitening, mean), channels, part.contrast_eps, grid, options)


def code_of(filters, whitening, channels, contrast_eps, grid, options):
    """A DenseCode.

    Parameters
    ----------
    filters : tensor of shape (K, d)
    whitening : (tensor, tensor) or (None, None)
        Matrix and mean.
    channels : int64 tensor or None
    contrast_eps : float or None
    grid : PatchGrid
    options : dict
        The parameters of a bank that are named in `ENCODER_OPTIONS`.

    Returns
    -------
    DenseCode
    """
    filters = torch.cat([filters, -filters]) if options["split_sign"] else filters
    encoder = options["encoder"]
    return DenseCode(
        grid.size,
        grid.stride,
        options["contrast"],
        contrast_eps,
        project(filters, ENCODERS[encoder].affinity, *whitening),
        encoder,
        options["alpha"],
        options["knn_fraction"],
        channels,
    )


def _numpy_dtype(images):
    return np.float64 if images.dtype is torch.float64 else np.float32
