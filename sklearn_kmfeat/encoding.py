"""From a fitted bank and checked images to codes: batches, cells, memory."""

from dataclasses import dataclass

import numpy as np
import torch

from .backend import resolve_device, scratch_bytes
from .core.dense import DenseCode, Workspace, encode_pooled, label_maps, normalized_images, project
from .core.encoders import ENCODERS
from .core.pooling import Cells
from .geometry import PatchGrid, pair, patch_grid, pooling_edges


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
        grid = None if maps or bank.pool_grid is None else pair(bank.pool_grid, "pool_grid")
        window = None if bank.pool_size is None else pair(bank.pool_size, "pool_size")
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
            tuple(len(edge) - 1 for edge in self.edges(grid.map_shape(size))) for size in sizes
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
        return None if images.ready else grid.map_shape(images.sizes[0].tolist())

    def n_cells(self, locations):
        """Number of cells of a map of this size; of ready patches, which have None, one."""
        if locations is None:
            return 1
        down, across = self.edges(locations)
        return (len(down) - 1) * (len(across) - 1)


@dataclass(frozen=True)
class Encoding:
    """A dictionary ready to encode images of one kind on one device."""

    grid: PatchGrid
    code: DenseCode
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
        return cls(
            grid, dense_code(bank, grid, device, images.dtype, **changed), Pooling.of(bank), device
        )

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
        n_codes = len(self.code.projection.matrix)
        maps = self.pooling.maps and not images.ready
        shape = (*cells, n_codes) if maps else (cells[0] * cells[1] * n_codes,)
        result = np.empty((len(images), *shape), _numpy_dtype(images))
        done = 0
        workspace = None
        for index, batch in images.batches(lambda size: self._batch(images, size)[0]):
            size = tuple(batch.shape[1:3])
            _, rows, sizes = self._batch(images, size)
            workspace = self._workspace(workspace, sizes, images.dtype)
            cells = self.pooling.cells(self.grid.map_shape(size), images.ready, workspace.values)
            pooled = encode_pooled(batch.to(self.device), self.code, cells, rows, workspace)
            result[index] = pooled.reshape(len(batch), *shape).cpu().numpy()
            done += len(batch)
            if on_batch is not None:
                on_batch(done)
        return result

    def labels(self, images):
        """The nearest filter of every location, a list of int64 maps (H', W')."""
        found = [None] * len(images)
        workspace = None
        for index, batch in images.batches(lambda size: self._batch(images, size)[0]):
            _, rows, sizes = self._batch(images, tuple(batch.shape[1:3]))
            workspace = self._workspace(workspace, sizes, images.dtype)
            batch = normalized_images(batch.to(self.device), self.code)
            members = range(len(images))[index] if isinstance(index, slice) else index
            maps = label_maps(batch, self.code, rows, workspace).cpu().numpy()
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
        n_codes = len(self.code.projection.matrix)
        width = self.grid.size[0] * self.grid.size[1] * images.n_channels + 2
        down, across = self.grid.map_shape(size)
        row = item * across * n_codes
        rows = max(1, min(down, codes // row, columns // (2 * item * across * width)))
        pixels = 3 * size[0] * size[1] * images.n_channels
        n_images = max(1, columns // (item * (2 * rows * across * width + pixels)))
        at_once = max(1, min(n_images, codes // (rows * row)))
        return n_images, rows, (n_images * rows * across * width, at_once * rows * across * n_codes)


def dense_code(bank, grid, device, dtype, encoder=None, split_sign=None):
    """What the core needs to encode with a fitted bank."""
    encoder = encoder or bank.encoder
    split_sign = bank.split_sign if split_sign is None else split_sign
    filters = torch.from_numpy(bank.cluster_centers_).to(device, dtype)
    filters = torch.cat([filters, -filters]) if split_sign else filters
    whitening = mean = None
    if bank.whitener_ is not None:
        whitening = torch.from_numpy(bank.whitener_.whitening_)
        mean = torch.from_numpy(bank.whitener_.mean_)
    projection = project(filters, ENCODERS[encoder].affinity, whitening, mean)
    return DenseCode(
        grid.size,
        grid.stride,
        bank.contrast,
        bank.contrast_eps_,
        projection,
        encoder,
        bank.alpha,
        bank.knn_fraction,
    )


def _numpy_dtype(images):
    return np.float64 if images.dtype is torch.float64 else np.float32
