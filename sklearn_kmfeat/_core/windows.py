"""Windows over which filters slide while they learn."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .._utils.threads import run_in_threads
from .contrast import center_and_scale
from .patches import map_size
from .preparation import Preparation

# What the products of some windows take: they are read again at once. On two cores 5 to 20 MiB take
# the same time, 1 MiB 1.4 and 80 MiB 1.2 times as long.
_CPU_TILE_BYTES = 5 * 2**20
_GPU_TILE_BYTES = 256 * 2**20


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows that wait for filters; every patch inside is prepared by itself.

    Attributes
    ----------
    pixels : tensor of shape (H, W, C, n)
        The windows last, so that patches are copied in long runs.
    patch_size : (int, int)
    preparation : Preparation
    divisors : tensor of shape (n_offsets, n) or None
        What contrast normalisation divides each patch by.
    norms : tensor of shape (n,)
        The largest squared norm of the prepared patches of each window.
    largest : int64 tensor of shape (n,)
        The offset of that patch.
    tile_bytes : int or None
        Memory for the patches of some windows; None: what suits the device.
    """

    pixels: torch.Tensor
    patch_size: tuple[int, int]
    preparation: Preparation
    divisors: torch.Tensor | None
    norms: torch.Tensor
    largest: torch.Tensor
    tile_bytes: int | None = None

    @classmethod
    def of(
        cls,
        pixels: torch.Tensor,
        patch_size: tuple[int, int],
        preparation: Preparation,
        tile_bytes: int | None = None,
    ) -> "Windows":
        """Measure windows (H, W, C, n), which may be changed."""
        n = pixels.shape[-1]
        has_contrast = preparation.contrast_eps is not None
        if has_contrast:  # products of large values lose digits
            pixels -= pixels.mean((0, 1, 2))
        offsets = map_size(pixels.shape[:2], patch_size, (1, 1))
        divisors = pixels.new_empty(math.prod(offsets), n) if has_contrast else None
        norms = pixels.new_empty(n)
        largest = torch.empty(n, dtype=torch.int64, device=pixels.device)
        windows = cls(pixels, patch_size, preparation, divisors, norms, largest, tile_bytes)
        windows._measure()
        return windows

    def __len__(self) -> int:
        return self.pixels.shape[-1]

    def __getitem__(self, index: torch.Tensor) -> "Windows":
        """The windows at an int64 tensor."""
        return Windows(
            self.pixels[..., index],
            self.patch_size,
            self.preparation,
            None if self.divisors is None else self.divisors[:, index],
            self.norms[index],
            self.largest[index],
            self.tile_bytes,
        )

    @classmethod
    def joined(cls, parts: Sequence["Windows"]) -> "Windows":
        """Windows of several parts, one after the other."""
        first = parts[0]
        divisors = None
        if first.divisors is not None:
            divisors = torch.cat([part.divisors for part in parts], -1)
        return cls(
            torch.cat([part.pixels for part in parts], -1),
            first.patch_size,
            first.preparation,
            divisors,
            torch.cat([part.norms for part in parts]),
            torch.cat([part.largest for part in parts]),
            first.tile_bytes,
        )

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.pixels.device

    @property
    def offsets(self) -> tuple[int, int]:
        """Number of places of a patch in a window, down and across."""
        return map_size(self.pixels.shape[:2], self.patch_size, (1, 1))

    @property
    def width(self) -> int:
        """Values of a patch."""
        return self.patch_size[0] * self.patch_size[1] * self.pixels.shape[2]

    def tiles(self, n_values: int) -> list[slice]:
        """Parts of the windows with at most so many values a window in the budget."""
        budget = self.tile_bytes
        if budget is None:
            budget = _CPU_TILE_BYTES if self.pixels.device.type == "cpu" else _GPU_TILE_BYTES
        step = max(1, budget // (self.pixels.element_size() * n_values))
        return [slice(i, min(i + step, len(self))) for i in range(0, len(self), step)]

    def columns(self, tile: slice, out: torch.Tensor) -> torch.Tensor:
        """Every patch of some windows, written to `out` (d, n_offsets, m)."""
        view = self.pixels[..., tile]
        for axis, size in enumerate(self.patch_size):
            view = view.unfold(axis, size, 1)
        view = view.permute(4, 5, 2, 0, 1, 3)
        return out.view(view.shape).copy_(view).view(out.shape)

    def bands(self, tile: slice, out: torch.Tensor) -> None:
        """The rows of some windows, cut in parts as wide as a patch.

        A patch is a run of whole rows of a band, so that one band holds the patches of all
        offsets down: far fewer values than every patch by itself.

        Parameters
        ----------
        tile : slice
        out : tensor of shape (H, w * C + 1, n_across, m)
            Where to write. The last value of a row is the divisor of the patch that begins
            with it, or one; zero where none begins.
        """
        view = self.pixels[..., tile].unfold(1, self.patch_size[1], 1).permute(0, 4, 2, 1, 3)
        out[:, :-1].view(view.shape).copy_(view)
        down, across = self.offsets
        last = out[:, -1]
        last[down:] = 0
        last[:down] = 1 if self.divisors is None else self.divisors[:, tile].view(down, across, -1)

    def workspace(self, shape: tuple[int, ...], tiles: list[slice]):
        """A function from a tile to memory of the shape (*shape, windows of the tile)."""
        size = max((tile.stop - tile.start for tile in tiles), default=0)
        n_values = math.prod(shape)
        memory = self.pixels.new_empty(n_values * size)

        def shaped(tile):
            m = tile.stop - tile.start
            return memory[: n_values * m].view(*shape, m)

        return shaped

    def at(self, offsets: torch.Tensor, index: torch.Tensor | slice = slice(None)) -> torch.Tensor:
        """Prepared patches (m, d) at int64 offsets (m,) of the windows at `index`."""
        view = self.pixels
        for axis, size in enumerate(self.patch_size):
            view = view.unfold(axis, size, 1)
        across = view.shape[1]
        which = torch.arange(len(self), device=offsets.device)[index]
        row = torch.div(offsets, across, rounding_mode="floor")
        cut = view[row, offsets % across, :, which]  # (m, C, h, w)
        return self.preparation.apply_(cut.permute(0, 2, 3, 1).flatten(1))

    def middle_patches(self) -> torch.Tensor:
        """The prepared patches (n, d) in the middle of the windows."""
        down, across = self.offsets
        middle = (down - 1) // 2 * across + (across - 1) // 2
        return self.at(torch.full((len(self),), middle, device=self.device))

    def count(self, offsets: torch.Tensor) -> torch.Tensor:
        """How often each offset occurs, int64 (down, across) on the CPU."""
        down, across = self.offsets
        return torch.bincount(offsets, minlength=down * across).view(down, across).cpu()

    def _measure(self):
        """Fill `divisors`, `norms` and `largest`."""
        prepare, whitening = self.preparation, self.preparation.whitening
        matrix = mean = None
        if whitening is not None:
            matrix, mean = whitening.matrix.T.to(self.pixels), whitening.mean.to(self.pixels)
        shape = self.width, math.prod(self.offsets)
        tiles = self.tiles(2 * math.prod(shape))

        def worker():
            columns_of, other_of = self.workspace(shape, tiles), self.workspace(shape, tiles)

            def measure(tile):
                columns, other = self.columns(tile, columns_of(tile)), other_of(tile)
                if prepare.contrast_eps is not None:
                    eps = prepare.contrast_eps
                    centered, scale = center_and_scale(columns, eps, 0, columns, other)
                    self.divisors[:, tile] = _divisors(scale[0], self.pixels[..., tile])
                    columns = centered.mul_(scale)
                if whitening is not None:
                    columns -= mean[:, None, None]
                    torch.mm(matrix, columns.flatten(1), out=other.flatten(1))
                    columns = other
                norms, largest = columns.square_().sum(0).max(0)
                self.norms[tile], self.largest[tile] = norms, largest

            return measure

        run_in_threads(worker, tiles, self.device)


def _divisors(scale, pixels):
    """What patches are divided by, (n_offsets, m), from what they are multiplied by.

    A flat patch is not divided at all. Its divisor is that of the others, so that the rounding
    of its response stays as small beside theirs.
    """
    flat = scale == 0
    divisors = torch.where(flat, 0.0, 1 / scale)
    largest = divisors.amax()
    if not largest:
        largest = pixels.abs().amax().clamp(min=1.0)
    return divisors.masked_fill_(flat, float(largest))
