"""Memory that encoding uses again and again, and how much is encoded at once.

piece    some images, or some rows of locations of one: what a thread takes
tile     what is cut into patches at once
block    what is multiplied and encoded at once, while it stays in the caches
"""

from typing import NamedTuple

import torch

# Codes of a piece, or its patches. With 256 and 1,600 filters on two cores, 8 to 64 MiB take the
# same time, to 3 %; small ones keep more cores busy and take less memory.
PIECE_BYTES = 16 * 2**20


class Tiling(NamedTuple):
    """How maps of one size are divided.

    Attributes
    ----------
    piece, tile, block : (int, int)
        Images, and rows of locations. More than one image only where all rows fit.
    n_column_values, n_code_values : int
        Values of a workspace for a tile and a block.
    """

    piece: tuple[int, int]
    tile: tuple[int, int]
    block: tuple[int, int]
    n_column_values: int
    n_code_values: int

    def n_bytes(self, itemsize: int, reduced: bool) -> int:
        """Bytes of a `Workspace` that holds this tiling."""
        rounded = 2 * self.n_code_values if reduced else 0
        return itemsize * (2 * self.n_column_values + self.n_code_values) + rounded

    @classmethod
    def within(
        cls,
        budget: tuple[int, int],
        map_size: tuple[int, int],
        patch_length: int,
        n_codes: int,
        itemsize: int,
        piece_bytes: int = PIECE_BYTES,
    ) -> "Tiling":
        """As much as a budget allows; one row of locations of one image at least.

        Parameters
        ----------
        budget : (int, int)
            Bytes for the patches of a tile and for the codes of a block.
        map_size : (int, int)
            Rows and columns of locations of an image.
        patch_length : int
            Values of a patch.
        n_codes : int
        itemsize : int
            Bytes of a value.
        piece_bytes : int, default=16 MiB
            The codes of a piece, if they were held, or its patches, if these take more: so its
            pixels do not take more either, unless strides leave some out.
        """
        down, across = map_size
        length = patch_length + 2  # with the one and the norm
        column_row, code_row = 2 * itemsize * across * length, itemsize * across * n_codes
        tile = _images_and_rows(budget[0] // column_row, down)
        n_images, n_rows = _images_and_rows(budget[1] // code_row, tile[1])
        # Rows of several images lie one after the other only where a tile holds all of them.
        block = min(n_images, tile[0]), n_rows
        held_row = max(code_row, itemsize * across * patch_length)
        n_tiles = max(1, piece_bytes // (tile[0] * tile[1] * held_row))
        piece = tile[0] * max(1, n_tiles * tile[1] // down), min(down, n_tiles * tile[1])
        return cls(
            piece,
            tile,
            block,
            tile[0] * tile[1] * across * length,
            block[0] * block[1] * across * n_codes,
        )


def _images_and_rows(n_rows, down):
    """So many rows as whole images, or as one of several parts, of about the same size, of one."""
    if n_rows >= down:
        return n_rows // down, down
    n_parts = -(-down // max(1, n_rows))
    return 1, -(-down // n_parts)


class Workspace(NamedTuple):
    """Memory that is used again and again.

    Fresh memory for every product would cost as much time as the product itself.

    Attributes
    ----------
    columns : tensor of shape (2, at least (d + 2) * L)
        For L patches and what becomes of them.
    values : tensor of shape (at least (locations of a block) * K,)
        For affinities and codes.
    rounded : bfloat16 tensor of shape (at least (locations of a block) * K,)
        For products in reduced precision.
    """

    columns: torch.Tensor
    values: torch.Tensor
    rounded: torch.Tensor

    @classmethod
    def empty(cls, dtype: torch.dtype, device: torch.device) -> "Workspace":
        """One that holds nothing yet."""
        columns = torch.empty(2, 0, dtype=dtype, device=device)
        return cls(columns, columns[0], columns[0].bfloat16())

    def holding(self, tiling: Tiling, reduced: bool = False) -> "Workspace":
        """A workspace that is large enough; this one, where it is."""
        columns, values, rounded = self
        if columns.shape[1] < tiling.n_column_values:
            columns = columns.new_empty(2, tiling.n_column_values)
        if len(values) < tiling.n_code_values:
            values = values.new_empty(tiling.n_code_values)
        if reduced and len(rounded) < tiling.n_code_values:
            rounded = rounded.new_empty(tiling.n_code_values)
        return Workspace(columns, values, rounded)

    def pair(self, n_rows: int, n_columns: int) -> torch.Tensor:
        """Two tensors of shape (n_rows, n_columns)."""
        return self.columns[:, : n_rows * n_columns].view(2, n_rows, n_columns)
