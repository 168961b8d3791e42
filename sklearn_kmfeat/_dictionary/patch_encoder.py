"""The fitted encoder: one module behind `transform`, `predict` and `to_torch`."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from .._core.encode import (
    PatchCode,
    encode_pooled,
    encode_strips,
    nearest_maps,
    normalized_images,
    patch_code,
)
from .._core.encoders import ENCODERS
from .._core.mirror import MirrorPooling, mirrored, symmetric
from .._core.patches import PatchGrid
from .._core.pooling import Pooling, Strip
from .._core.preparation import Preparation
from .._core.products import reduced_dtype
from .._core.whitening import Whitening
from .._core.workspace import PIECE_BYTES, Tiling, Workspace
from .._inputs.base import ImageSource
from .._inputs.values import numpy_dtype
from .._utils.memory import scratch_bytes, working_memory
from .._utils.threads import in_threads
from .._utils.tracing import static_size
from .._utils.validation import as_pair
from .parts import Part, parts_of

_ONE_PIXEL = PatchGrid((1, 1), (1, 1))


class _Piece(NamedTuple):
    """What a thread takes: images of one size, or some rows of locations of one.

    Attributes
    ----------
    index : slice or int array
        Of the images in their source.
    images : tensor of shape (n, rows of pixels, W, C)
    map_size : (int, int)
        Rows and columns of locations of the whole image.
    start : int
        The first row of locations.
    is_last : bool
        Whether the images end with these.
    """

    index: Any
    images: torch.Tensor
    map_size: tuple[int, int]
    start: int
    is_last: bool


class PatchEncoder(nn.Module):
    """The encoder of a fitted learner, for sources of images, for tensors and for fine-tuning.

    Made by the `to_torch` method of the learners. The filters are a parameter; contrast
    normalisation, whitening and pooling are fixed.

    Parameters
    ----------
    parts : list of Part
        Of a fitted learner. Their filters, each in the order (row, column, channel), are
        copied into one parameter (K, d), in whitened space.
    grid : PatchGrid
        Of one pixel for ready patches.
    pooling : Pooling
    encoder : str
        A name in `ENCODERS`.
    options : dict
        The values of the encoder's parameters.
    split_sign : bool, default=False
        Whether to encode with the filters and their negatives.
    mirror : (int, int) or None, default=None
        Height and width of the filters, to encode with their mirror images, too; None: without.
    as_maps : bool, default=False
        Whether the result keeps its rows and columns.
    dtype : torch.dtype or None, default=None
        To compute in; None: that of the filters.
    """

    def __init__(
        self,
        parts: list[Part],
        grid: PatchGrid,
        pooling: Pooling,
        encoder: str,
        options: dict[str, Any],
        split_sign: bool = False,
        mirror: tuple[int, int] | None = None,
        as_maps: bool = False,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        filters = torch.cat([part.dictionary.centers for part in parts])
        self.filters = nn.Parameter(filters.to(dtype or filters.dtype))
        whitenings = [part.preparation.whitening for part in parts]
        whitened, grouped = whitenings[0] is not None, parts[0].channels is not None
        # In float64: whitening multiplies small directions, and with them the rounding.
        matrices = torch.stack([w.matrix for w in whitenings]) if whitened else None
        means = torch.stack([w.mean for w in whitenings]) if whitened else None
        channels = torch.from_numpy(np.stack([p.channels for p in parts])) if grouped else None
        buffers = {"whitening": matrices, "mean": means, "channels": channels}
        # torch.export counts those that are None, and takes the last for missing (torch 2.14).
        for name in sorted(buffers, key=lambda name: buffers[name] is None):
            self.register_buffer(name, buffers[name])
        self.sizes = [len(part.dictionary.centers) for part in parts]
        self.patch_eps = [part.preparation.contrast_eps for part in parts]
        self.image_eps = parts[0].image_eps
        self.grid = grid
        self.pooling = pooling
        self.encoder = encoder
        self.options = options
        self.split_sign = split_sign
        self.mirror = mirror
        self.as_maps = as_maps

    @classmethod
    def from_fitted(
        cls,
        learner: Any,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
    ) -> "PatchEncoder":
        """The module of a fitted learner, the only reader of its fitted attributes.

        Parameters
        ----------
        learner : fitted learner of dictionaries
            Its filters are copied.
        dtype : torch.dtype or None, default=None
            To compute in; None: that of the filters.
        device : torch.device or None, default=None
            None: the CPU.

        Returns
        -------
        PatchEncoder
            In evaluation and training mode alike.
        """
        ready = learner.image_shape_ is None
        module = cls(
            parts_of(learner),
            grid_of(learner, ready),
            pooling_of(learner, ready),
            learner.encoder,
            {name: getattr(learner, name) for name in ENCODERS[learner.encoder].parameters},
            learner.split_sign,
            as_pair(learner.patch_size, "patch_size") if learner.mirror else None,
            learner.output == "maps",
            dtype,
        )
        if device is None:
            return module
        return (module.float() if device.type == "mps" else module).to(device)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Encode a batch of images.

        Parameters
        ----------
        images : tensor of shape (n, C, H, W)
            In the pixel range that the learner was fitted on. Ready patches also (n, d).

        Returns
        -------
        tensor
            (n, features), or maps (n, K', H', W').
        """
        if images.ndim == 2:
            images = images[:, :, None, None]
        # Distances that are differences of large numbers need all their digits.
        with torch.autocast(images.device.type, enabled=False):
            images = images.to(self.filters.dtype).permute(0, 2, 3, 1)
            images = normalized_images(images, self.image_eps)
            codes, pooling = self._codes(), self._pooling

            def encode(images):
                return torch.cat([encode_pooled(images, code, pooling) for code in codes], -1)

            pooled = encode(images)
            if self._looks_twice(images):
                pooled = pooling.both(pooled, encode(images.flip(2)))
        return pooled.permute(0, 3, 1, 2) if self.as_maps else pooled.flatten(1)

    @torch.no_grad()
    def encode(
        self,
        source: ImageSource,
        on_batch: Callable | None = None,
        dtype: Any = None,
        precision: str = "exact",
    ) -> np.ndarray:
        """Codes of images, pooled.

        Parameters
        ----------
        source : ImageSource
        on_batch : callable or None, default=None
            Called with the number of images done, after each batch.
        dtype : numpy dtype or None, default=None
            Of the result; None: that of the tensors of the source.
        precision : {"exact", "fast"}, default="exact"
            Of products with the filters, as `reduced_dtype` has it.

        Returns
        -------
        ndarray of shape (n, cells * K) or (n, H', W', K)
        """
        codes = self._codes(precision=precision)
        pooling = self._pooling
        n_codes = sum(code.n_codes for code in codes) // (1 if pooling is self.pooling else 2)
        down, across = pooled_size(self.pooling, self.grid, source)
        maps = self.as_maps and not source.ready
        shape = (down, across, n_codes) if maps else (down * across * n_codes,)
        result = np.empty((len(source), *shape), dtype or numpy_dtype(source.dtype))

        def encode(piece, tiling, workspace):
            cells = pooling.cells(piece.map_size)

            def strips_of(images):
                parts = [
                    encode_strips(images, code, cells, piece.start, tiling, workspace)
                    for code in codes
                ]
                return [
                    Strip(some[0].first, torch.cat([strip.values for strip in some], -1))
                    for some in zip(*parts, strict=True)
                ]

            strips = strips_of(piece.images)
            if not self._looks_twice(piece.images):
                return strips
            others = strips_of(piece.images.flip(2))
            return [
                Strip(strip.first, pooling.both(strip.values, other.values))
                for strip, other in zip(strips, others, strict=True)
            ]

        done, strips = 0, []
        for piece, more in self._in_pieces(source, codes, encode):
            strips += more
            if piece.is_last:
                pooled = pooling.cells(piece.map_size).join(strips)
                result[piece.index] = pooled.reshape(len(pooled), *shape).cpu().numpy()
                done, strips = done + len(pooled), []
                if on_batch is not None:
                    on_batch(done)
        return result

    @torch.no_grad()
    def assign(self, source: ImageSource, precision: str = "exact") -> list[np.ndarray]:
        """The nearest filter of every location, in whitened space.

        Parameters
        ----------
        source : ImageSource
        precision : {"exact", "fast"}, default="exact"
            As in `encode`.

        Returns
        -------
        list of int64 arrays
            Maps (H', W'); (H', W', parts) where there are several.
        """
        codes = self._codes("nearness", precision)
        first = np.cumsum([0, *self.sizes])[:-1]
        labels = [None] * len(source)

        def assign(piece, tiling, workspace):
            maps = [
                nearest_maps(piece.images, code, tiling, workspace).cpu().numpy() for code in codes
            ]
            return maps[0] if len(maps) == 1 else np.stack(maps, -1) + first

        strips = []
        for piece, more in self._in_pieces(source, codes, assign):
            strips.append(more)
            if piece.is_last:
                members = piece.index
                members = range(len(source))[members] if isinstance(members, slice) else members
                for i, label_map in zip(members, np.concatenate(strips, 1), strict=True):
                    labels[i] = label_map
                strips = []
        return labels

    @property
    def _pooling(self):
        """How codes are pooled: those of mirrored filters with those of the filters."""
        folded = self.mirror is not None and not self.as_maps
        return MirrorPooling(self.pooling) if folded else self.pooling

    def _looks_twice(self, images):
        """Whether mirrored images (n, H, W, C) must be encoded, too."""
        folded = self._pooling is not self.pooling
        return folded and not symmetric(self.grid, static_size(images, 2))

    def _in_pieces(
        self, source: ImageSource, codes: list[PatchCode], function: Callable
    ) -> Iterator[tuple["_Piece", Any]]:
        """Pieces of the images, in order, and what a function of piece, tiling, workspace gives."""
        device, itemsize = self.filters.device, self.filters.itemsize
        reduced = codes[0].projection.rounded is not None
        tiling_of = partial(
            Tiling.within,
            scratch_bytes(device),
            patch_length=self._patch_length(source),
            n_codes=max(code.n_codes for code in codes),
            itemsize=itemsize,
            piece_bytes=PIECE_BYTES,
        )

        def pieces():
            def n_images(size):
                return tiling_of(self.grid.map_size(size)).piece[0]

            for index, images in source.batches(n_images):
                images = normalized_images(images.to(device), self.image_eps)
                yield from self._pieces(index, images, tiling_of)

        def worker():
            workspace = Workspace.empty(self.filters.dtype, device)

            def of_piece(piece):
                nonlocal workspace
                tiling = tiling_of(piece.map_size)
                workspace = workspace.holding(tiling, reduced)
                return piece, function(piece, tiling, workspace)

            return of_piece

        sizes = np.unique(source.sizes, axis=0).tolist()
        tilings = (tiling_of(self.grid.map_size(tuple(size))) for size in sizes)
        largest = max(tiling.n_bytes(itemsize, reduced) for tiling in tilings)
        # A piece is images, and what each part makes of them. Two more than there are threads wait.
        most = working_memory() // (largest + (1 + len(codes)) * PIECE_BYTES) - 2
        return in_threads(worker, pieces(), device, most)

    def _pieces(self, index, images, tiling_of):
        """The pieces of images (n, H, W, C) of one size."""
        (height, _), (stride, _) = self.grid
        map_size = self.grid.map_size(tuple(images.shape[1:3]))
        n_rows, step = map_size[0], tiling_of(map_size).piece[1]
        for start in range(0, n_rows, step):
            stop = min(start + step, n_rows)
            strip = images[:, start * stride : (stop - 1) * stride + height]
            yield _Piece(index, strip, map_size, start, stop == n_rows)

    def _patch_length(self, source):
        n_channels = source.n_channels if self.channels is None else self.channels.shape[1]
        return self.grid.size[0] * self.grid.size[1] * n_channels

    def _codes(self, affinity=None, precision="exact"):
        """A PatchCode of each part, with the filters as they are now.

        With an affinity, codes that are only looked at for it: of the filters themselves.
        """
        encoder, reduced = ENCODERS[self.encoder], reduced_dtype(precision, self.filters)
        code = encoder.bind(self.options)
        split, mirror = (self.split_sign, self.mirror) if affinity is None else (False, None)
        codes = []
        stops = np.cumsum(self.sizes).tolist()
        for i, (size, stop) in enumerate(zip(self.sizes, stops, strict=True)):
            filters = self.filters[stop - size : stop]
            filters = torch.cat([filters, -filters]) if split else filters
            filters = torch.cat([filters, mirrored(filters, mirror)]) if mirror else filters
            whitening = None
            if self.whitening is not None:
                whitening = Whitening(self.mean[i], self.whitening[i])
            preparation = Preparation(self.patch_eps[i], whitening)
            channels = None if self.channels is None else self.channels[i]
            kind = affinity or encoder.affinity
            codes.append(patch_code(filters, preparation, self.grid, kind, code, channels, reduced))
        return codes


def grid_of(learner: Any, ready: bool) -> PatchGrid:
    """The grid of patches by the parameters of a learner."""
    if ready:
        return _ONE_PIXEL
    return PatchGrid(as_pair(learner.patch_size, "patch_size"), as_pair(learner.stride, "stride"))


def pooling_of(learner: Any, ready: bool) -> Pooling:
    """The pooling by the parameters of a learner; ready patches are a cell each."""
    if ready:
        return Pooling(learner.pool)
    by_location = learner.output == "maps" or learner.pool_grid is None
    grid = None if by_location else as_pair(learner.pool_grid, "pool_grid")
    if learner.pool_size is None:
        if learner.pool_stride is not None:
            raise ValueError(
                f"pool_stride={learner.pool_stride} is the step between windows: give pool_size, "
                "too, or leave it out."
            )
        return Pooling(learner.pool, grid)
    window = as_pair(learner.pool_size, "pool_size")
    stride = window if learner.pool_stride is None else as_pair(learner.pool_stride, "pool_stride")
    if any(step > size for step, size in zip(stride, window, strict=True)):
        raise ValueError(
            f"pool_stride={stride} would leave out locations between windows of pool_size={window}."
        )
    return Pooling(learner.pool, grid, window, stride)


def pooled_size(pooling: Pooling, grid: PatchGrid, source: ImageSource) -> tuple[int, int]:
    """Number of cells down and across, the same for all images.

    Raises
    ------
    ValueError
        When the images' sizes do not allow that.
    """
    sizes = np.unique(source.sizes, axis=0).tolist()
    shapes = {pooling.n_cells(grid.map_size(size)) for size in sizes}
    if len(shapes) > 1:
        raise ValueError(
            "Images of different sizes need a pooling grid that makes equal rows of them: "
            'output="features" with pool_grid=(rows, columns) and pool_size=None.'
        )
    return shapes.pop()
