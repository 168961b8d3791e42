"""Arrays that are not in memory, such as those of zarr, h5py and xarray, as sources of images."""

from collections.abc import Iterable, Iterator
from numbers import Integral
from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse

from .._core.contrast import ContrastVariance
from .._utils.warn import warn
from .arrays import ArraySource, shape_of_images
from .request import Request, check_dtype
from .values import UNSEEN, ValueRange, checked_range, parts_of_chunks

# From this share of the rows between the first and the last on, all of them are read at once, in
# at most four times the memory: h5py reads a list of rows one by one.
_DENSE = 0.25


class StoredSource(ArraySource):
    """Images in one array that is read in pieces, which end where its chunks do.

    A chunk is decompressed whole even for one image of it.

    Parameters
    ----------
    data, shape, ready, values
        As in `ArraySource`. For values that were not looked at, they are as they are read.
    ends : increasing int array or None, default=None
        Where chunks end, the last of them with the array; None: each image is one.
    """

    def __init__(
        self,
        data: Any,
        shape: tuple[int, int, int],
        ready: bool = False,
        values: ValueRange = UNSEEN,
        ends: np.ndarray | None = None,
    ):
        super().__init__(data, shape, ready, values)
        self.ends = np.arange(1, len(self) + 1) if ends is None else ends
        self.seen_when_read = not values.known

    def read(self, index, writable=False):
        (block,) = self.blocks([index], writable)
        return block

    def blocks(self, indices: Iterable[Any], writable: bool = False) -> Iterator[torch.Tensor]:
        """The images at each index; a chunk that several share is read once."""
        start, held = 0, np.empty(0)
        for index in indices:
            rows = np.arange(len(self))[index] if isinstance(index, slice) else np.asarray(index)
            first, last = int(rows[0]), int(rows[-1]) + 1
            inside = start <= first and last <= start + len(held)
            if not inside:
                start, held = self._piece(rows, first, last)
            block = held if held.shape[:1] == rows.shape else held[rows - start]
            yield self.as_tensor(self._checked(block, rows), writable)

    def _piece(self, rows, first, last):
        """Where a piece of the array begins that holds certain rows, and the piece."""
        chunk = np.searchsorted(self.ends, first, side="right")
        if last <= self.ends[chunk]:
            start = int(self.ends[chunk - 1]) if chunk else 0
            return start, np.asarray(self.data[start : int(self.ends[chunk])])
        if len(rows) >= _DENSE * (last - first):
            return first, np.asarray(self.data[first:last])
        # Not a range of rows: exactly these, which no other index shares.
        return -len(self), np.asarray(self.data[rows])

    def _batch_indices(self, n_images, members):
        """Batches that end where chunks do."""
        step = n_images(self.shape[:2])
        for start, stop in parts_of_chunks(len(self), step, self.ends):
            if members is None:
                for first in range(start, stop, step):
                    yield slice(first, min(first + step, stop))
                continue
            some = members[np.searchsorted(members, start) : np.searchsorted(members, stop)]
            for first in range(0, len(some), step):
                yield some[first : first + step]

    def _checked(self, block, rows):
        """What was read, looked at where nobody did before."""
        if not self.seen_when_read:
            return block
        values = checked_range(block, "Input X", first=int(rows[0]))
        if not values.fits(self.dtype):
            raise ValueError(
                f"X holds values up to {values.magnitude:.3g}, whose squares {self.dtype} cannot "
                "hold, in which images like those of fit are computed. Scale them."
            )
        self.saw(block)
        return block


def is_stored(X: Any) -> bool:
    """Whether X is an array that is not in memory, such as those of h5py and zarr."""
    if isinstance(X, np.ndarray) or torch.is_tensor(X) or issparse(X) or hasattr(X, "iloc"):
        return False
    return len(getattr(X, "shape", ())) > 1 and hasattr(X, "dtype") and hasattr(X, "__getitem__")


def stored_source(X: Any, request: Request) -> StoredSource:
    """The source of an array that is not in memory."""
    check_dtype(request, X.dtype)
    if _is_lazy(X):
        _check_lazy(X, request)
    shape, ready = shape_of_images(X, request)
    ends = _ends_of_chunks(X)
    if not request.reset:
        return StoredSource(X, shape, ready, ends=ends)
    variances = []

    def note(block):
        rows = torch.from_numpy(block.reshape(len(block), -1).astype(np.float64))
        variances.append(ContrastVariance.of(rows))

    on_block = note if request.image_contrast else None
    values = checked_range(X, "Input X", request.scan_bytes, ends=ends, on_block=on_block)
    source = StoredSource(X, shape, ready, values, ends)
    source.known_variance = sum(variances[1:], variances[0]) if variances else None
    return source


def _is_lazy(X: Any) -> bool:
    """Whether X is a dask array, or one of xarray's that holds one; dask is not imported."""
    # dask's own protocol; what may hold an array of dask, but does not, gives None.
    graph = getattr(X, "__dask_graph__", None)
    return graph is not None and graph() is not None


def _check_lazy(X, request):
    """Refuse blocks of unknown length, and name what works where the blocks are."""
    if np.isnan(X.shape).any():
        raise ValueError(
            f"X is a dask array of shape {X.shape}, whose blocks have an unknown length: call "
            "X.compute_chunk_sizes() before."
        )
    array = "X.data" if hasattr(X, "dims") else "X"
    if not request.reset:
        method = "transform" if hasattr(request.estimator, "transform") else "predict"
        advice = (
            "transform and predict of sklearn_kmfeat.dask compute where its blocks are: "
            f"sklearn_kmfeat.dask.{method}(estimator, {array})."
        )
    elif getattr(request.estimator, "_fits_blocks", False):
        advice = f"sklearn_kmfeat.dask.fit(estimator, {array}) computes where its blocks are."
    else:
        advice = "With memory for all of it, X.compute() is faster."
    warn(
        f"X is a dask array, which {request.name} reads through this process, a batch at a time. "
        f"{advice}"
    )


def _ends_of_chunks(X):
    """Where chunks of images end: of zarr, h5py and dask, and of the file behind xarray's array.

    None where there are none.
    """
    n, chunks = X.shape[0], getattr(X, "chunks", None)
    if chunks is None and hasattr(X, "dims"):
        stored = getattr(X, "encoding", {})
        chunks = stored.get("chunks") or stored.get("chunksizes")
    if not isinstance(chunks, tuple | list) or not len(chunks):
        return None
    first = chunks[0]
    if isinstance(first, tuple | list):
        return np.unique(np.cumsum(first))  # blocks without images end where others do
    if not isinstance(first, Integral) or first < 1:
        return None
    return np.minimum(np.arange(first, n + first, first), n)
