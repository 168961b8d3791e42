"""What happens to a patch before a filter sees it."""

from typing import NamedTuple

import torch

from .._utils.threads import run_in_threads
from .contrast import contrast_normalize
from .whitening import Whitening, row_chunks


class Preparation(NamedTuple):
    """Contrast normalisation, then whitening.

    Attributes
    ----------
    contrast_eps : float or None
        Added to the variance of each patch. None: the contrast of patches is left alone.
    whitening : Whitening or None
        Of patches whose contrast is normalised.
    """

    contrast_eps: float | None = None
    whitening: Whitening | None = None

    def apply_(self, rows: torch.Tensor) -> torch.Tensor:
        """Prepare patches (m, d) in place."""
        if self.contrast_eps is not None:
            run_in_threads(lambda: self._normalize_, row_chunks(rows), rows.device)
        if self.whitening is not None:
            self.whitening.apply(rows, out=rows)
        return rows

    def _normalize_(self, rows):
        contrast_normalize(rows, self.contrast_eps, out=rows)

    def fold(self, filters: torch.Tensor) -> torch.Tensor:
        """Filters that respond to patches which are not prepared.

        Parameters
        ----------
        filters : tensor of shape (k, d)
            Of prepared patches.

        Returns
        -------
        tensor of shape (k, d + 1)
            Its product with a raw patch over what contrast normalisation divides that by (over
            a one, without it) is the response of `filters` to the prepared patch, times what
            contrast normalisation divides by.
        """
        wide = filters if filters.is_mps else filters.double()
        bias = wide.new_zeros(len(wide), 1)
        if self.whitening is not None:
            wide, bias = self.whitening.fold(wide)
        if self.contrast_eps is not None:
            # The mean of a patch is subtracted by the filter.
            wide = wide - wide.mean(1, keepdim=True)
        return torch.cat([wide, bias], 1).to(filters)

    def undo_sums(self, sums: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Weighted sums (k, d) of prepared patches, as sums of patches before whitening.

        There they can be read in any other whitening, while contrast normalisation, which is
        not linear, stays as it was.
        """
        return sums if self.whitening is None else self.whitening.undo_sums(sums, weights)

    def apply_to_sums(self, sums: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """The inverse of `undo_sums`."""
        return sums if self.whitening is None else self.whitening.apply_to_sums(sums, weights)
