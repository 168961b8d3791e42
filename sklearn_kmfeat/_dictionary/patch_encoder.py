"""The fitted encoder: one module behind `transform`, `predict` and `to_torch`."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from .._core.encode import (
    Batch,
    PatchCode,
    Workspace,
    encode_pooled,
    nearest_maps,
    normalized_images,
    patch_code,
)
from .._core.encoders import ENCODERS
from .._core.mirror import MirrorPooling, mirrored, symmetric
from .._core.patches import PatchGrid
from .._core.pooling import Pooling
from .._core.preparation import Preparation
from .._core.whitening import Whitening
from .._inputs.base import ImageSource
from .._inputs.values import numpy_dtype
from .._utils.memory import scratch_bytes
from .._utils.tracing import static_size
from .._utils.validation import as_pair
from .parts import Part, parts_of

_ONE_PIXEL = PatchGrid((1, 1), (1, 1))


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
            pooled = self._pooled(images, self._codes())
        return pooled.permute(0, 3, 1, 2) if self.as_maps else pooled.flatten(1)

    @torch.no_grad()
    def encode(
        self, source: ImageSource, on_batch: Callable | None = None, dtype: Any = None
    ) -> np.ndarray:
        """Codes of images, pooled.

        Parameters
        ----------
        source : ImageSource
        on_batch : callable or None, default=None
            Called with the number of images done, after each batch.
        dtype : numpy dtype or None, default=None
            Of the result; None: that of the tensors of the source.

        Returns
        -------
        ndarray of shape (n, cells * K) or (n, H', W', K)
        """
        codes = self._codes()
        folded = self.mirror is not None and not self.as_maps
        n_codes = sum(code.n_codes for code in codes) // (1 + folded)
        down, across = pooled_size(self.pooling, self.grid, source)
        maps = self.as_maps and not source.ready
        shape = (down, across, n_codes) if maps else (down * across * n_codes,)
        result = np.empty((len(source), *shape), dtype or numpy_dtype(source.dtype))
        done = 0
        for index, batch, n_rows, workspace in self._batches(source, codes):
            pooled = self._pooled(batch, codes, n_rows, workspace)
            result[index] = pooled.reshape(len(batch), *shape).cpu().numpy()
            done += len(batch)
            if on_batch is not None:
                on_batch(done)
        return result

    @torch.no_grad()
    def assign(self, source: ImageSource) -> list[np.ndarray]:
        """The nearest filter of every location, in whitened space.

        Returns
        -------
        list of int64 arrays
            Maps (H', W'); (H', W', parts) where there are several.
        """
        codes = self._codes("nearness")
        first = np.cumsum([0, *self.sizes])[:-1]
        labels = [None] * len(source)
        for index, batch, n_rows, workspace in self._batches(source, codes):
            batch = normalized_images(batch, self.image_eps)
            maps = [nearest_maps(batch, code, n_rows, workspace).cpu().numpy() for code in codes]
            maps = maps[0] if len(maps) == 1 else np.stack(maps, -1) + first
            members = range(len(source))[index] if isinstance(index, slice) else index
            for i, label_map in zip(members, maps, strict=True):
                labels[i] = label_map
        return labels

    def _pooled(self, images, codes, n_rows=None, workspace=None):
        """Codes (n, cell rows, cell columns, K) of images (n, H, W, C)."""
        images = normalized_images(images, self.image_eps)
        folded = self.mirror is not None and not self.as_maps
        pooling = MirrorPooling(self.pooling) if folded else self.pooling

        def encode(images):
            pooled = [encode_pooled(images, code, pooling, n_rows, workspace) for code in codes]
            return torch.cat(pooled, -1)

        if folded and not symmetric(self.grid, static_size(images, 2)):
            return pooling.pool_both(encode, images)
        return encode(images)

    def _batches(
        self, source: ImageSource, codes: list[PatchCode]
    ) -> Iterator[tuple[Any, torch.Tensor, int, Workspace]]:
        """Index, images on the device, rows of locations at once, and memory for them."""
        device, itemsize = self.filters.device, self.filters.itemsize
        budget = scratch_bytes(device)
        workspace = Workspace.empty(self.filters.dtype, device)

        def plan(size):
            return Batch.within(budget, (*size, source.n_channels), codes, itemsize)

        for index, images in source.batches(lambda size: plan(size).n_images):
            batch = plan(tuple(images.shape[1:3]))
            workspace = workspace.holding(batch)
            yield index, images.to(device), batch.n_rows, workspace

    def _codes(self, affinity=None):
        """A PatchCode of each part, with the filters as they are now.

        With an affinity, codes that are only looked at for it: of the filters themselves.
        """
        encoder = ENCODERS[self.encoder]
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
            codes.append(patch_code(filters, preparation, self.grid, kind, code, channels))
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
