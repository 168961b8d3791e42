"""Dictionaries that go on learning from batches while the whitening moves.

Whitening is affine, so the whitened mean is the mean of the whitened patches: sums that are kept
in the space of contrast-normalised patches can be read in any whitening.
"""

from dataclasses import dataclass

import torch

from .kmeans import Dictionary, Sums
from .preparation import Preparation


@dataclass(frozen=True, eq=False)
class RunningSums:
    """The patches assigned to each filter so far, before whitening; two of them merge with ``+``.

    Attributes
    ----------
    sums : float64 tensor of shape (k, d)
        Of the patches, each times its weight; on the CPU.
    weights : float64 tensor of shape (k,)
        Sums of the weights: the gains for filters of unit length, otherwise ones.
    counts : int64 tensor of shape (k,)
        Patches assigned.
    """

    sums: torch.Tensor
    weights: torch.Tensor
    counts: torch.Tensor

    @classmethod
    def zero(cls, k: int, d: int) -> "RunningSums":
        """Those of filters before any patch."""
        sums = torch.zeros(k, d, dtype=torch.float64)
        return cls(sums, sums[:, :0].sum(1), torch.zeros(k, dtype=torch.int64))

    @classmethod
    def of(cls, sums: Sums, preparation: Preparation) -> "RunningSums":
        """Those of one step over prepared patches."""
        counts = sums.counts.cpu()
        weights = counts.double() if sums.gains is None else sums.gains.cpu().double()
        return cls(preparation.undo_sums(sums.sums.cpu().double(), weights), weights, counts)

    @classmethod
    def of_means(cls, dictionary: Dictionary, preparation: Preparation) -> "RunningSums":
        """Those that made a dictionary whose filters are the means of their patches."""
        counts = dictionary.counts.cpu().clone()
        weights = counts.double()
        sums = weights[:, None] * dictionary.centers.cpu().double()
        return cls(preparation.undo_sums(sums, weights), weights, counts)

    @classmethod
    def of_directions(cls, dictionary: Dictionary, preparation: Preparation) -> "RunningSums":
        """Those that made a dictionary of unit filters, as far as it remembers.

        The sum of patches times gains points along the filter, and is as long as the sum of the
        squared gains. The sum of the gains is not known, and about zero: patches and their
        negatives share a filter.
        """
        centers, gains = dictionary.centers.cpu().double(), dictionary.weights.cpu().double()
        weights = torch.zeros(len(centers), dtype=torch.float64)
        sums = preparation.undo_sums(gains[:, None] * centers, weights)
        return cls(sums, weights, dictionary.counts.cpu().clone())

    @classmethod
    def of_patches(cls, dictionary: Dictionary, preparation: Preparation) -> "RunningSums":
        """Each filter once, with the counts it has."""
        weights = torch.ones(len(dictionary.centers), dtype=torch.float64)
        sums = preparation.undo_sums(dictionary.centers.cpu().double(), weights)
        return cls(sums, weights, dictionary.counts.cpu().clone())

    def __add__(self, other: "RunningSums") -> "RunningSums":
        return RunningSums(
            self.sums + other.sums, self.weights + other.weights, self.counts + other.counts
        )

    def means(self, preparation: Preparation) -> torch.Tensor:
        """Prepared means of the patches, float64 (k, d)."""
        # A filter whose weights sum to less than one has no patches: its sums are zeros.
        return self._prepared(preparation) / self.weights.clamp(min=1)[:, None]

    def directions(self, preparation: Preparation) -> torch.Tensor:
        """Unit directions of the sums, float64 (k, d)."""
        sums = self._prepared(preparation)
        return sums / torch.linalg.vector_norm(sums, dim=1, keepdim=True).clamp(
            min=torch.finfo(torch.float64).tiny
        )

    def _prepared(self, preparation):
        return preparation.apply_to_sums(self.sums, self.weights)
