"""Dictionaries that go on learning from batches while the whitening moves."""

from typing import NamedTuple

import torch

from .assign import label_sums, nearest, squared_errors
from .kmeans import Dictionary


class Stream(NamedTuple):
    """What each filter has won so far, before whitening.

    Whitening is affine, so the whitened mean is the mean of the whitened patches: sums
    kept in the space of contrast-normalised patches can be read in any whitening.

    Attributes
    ----------
    update : {"mean", "direction", "keep"}
        A filter is the mean of its patches, the unit direction of their gain-weighted
        sum, or stays the patch it was.
    sums : float64 tensor of shape (k, d)
        Of the patches, weighted by their gains for ``"direction"``.
    gains : float64 tensor of shape (k,)
        Sum of the weights.
    counts : int64 tensor of shape (k,)
        Patches won.
    inertia : float
    n_iter : int
    """

    update: str
    sums: torch.Tensor
    gains: torch.Tensor
    counts: torch.Tensor
    inertia: float
    n_iter: int

    @classmethod
    def of(cls, part, update):
        """The stream that goes on from a fitted part of a bank."""
        found = part.dictionary
        weights = found.counts if found.weights is None else found.weights
        weights = weights.double()
        if update == "keep":
            weights = torch.ones_like(weights)
        gains = torch.zeros_like(weights) if update == "direction" else weights
        sums = _unwhitened(weights[:, None] * found.centers.double(), gains, part.whitener)
        return cls(update, sums, gains, found.counts.clone(), found.inertia, found.n_iter)

    @classmethod
    def begin(cls, dictionary, update):
        """The stream before its first batch, whose patches made the dictionary."""
        k, width = dictionary.centers.shape
        zeros = torch.zeros(k, dtype=torch.float64)
        counts = torch.zeros(k, dtype=torch.int64)
        return cls(
            update, zeros[:, None].repeat(1, width), zeros, counts, 0.0, dictionary.n_iter - 1
        )

    def centers(self, whitener):
        """The filters in a given whitening, float64 (k, d)."""
        sums = self.sums
        if whitener is not None:
            mean = torch.from_numpy(whitener.mean_)
            sums = (sums - self.gains[:, None] * mean) @ torch.from_numpy(whitener.whitening_)
        if self.update == "direction":
            return sums / sums.norm(dim=1, keepdim=True).clamp(min=1e-300)
        return sums / self.gains.clamp(min=1)[:, None]

    def updated(self, patches, whitener, centers=None, norms=None):
        """Give a batch of patches to their filters.

        Parameters
        ----------
        patches : tensor of shape (m, d)
            Prepared, in the whitening of now.
        whitener : ZCAWhitener or None
            That of all patches so far, these included.
        centers : tensor of shape (k, d) or None, default=None
            The filters that win them; None: those of the stream.
        norms : tensor of shape (m,) or None, default=None
            For ``"direction"``, what the squared gains are taken from for the inertia; None:
            the squared norms of the patches.

        Returns
        -------
        Stream, Dictionary
        """
        direction = self.update == "direction"
        centers = self.centers(whitener).to(patches) if centers is None else centers
        labels, scores = nearest(patches, centers, direction=direction)
        k = len(centers)
        if direction:
            weights = (patches * centers[labels]).sum(1)
            norms = patches.square().sum(1) if norms is None else norms
            errors = norms - scores.square()
        else:
            weights = torch.ones_like(scores)
            errors = squared_errors(patches, centers, labels)
        stream = self._replace(
            counts=self.counts + torch.bincount(labels, minlength=k).cpu(),
            inertia=float(errors.double().sum()),
            n_iter=self.n_iter + 1,
        )
        if self.update != "keep":
            gains = label_sums(weights[:, None], labels, k)[:, 0].cpu().double()
            sums = label_sums(patches * weights[:, None], labels, k).cpu().double()
            sums = self.sums + _unwhitened(sums, gains, whitener)
            stream = stream._replace(sums=sums, gains=self.gains + gains)
        new = stream.centers(whitener).to(patches)
        return stream, Dictionary(new, stream.counts, stream.inertia, stream.n_iter)


def _unwhitened(sums, weights, whitener):
    """Weighted sums of whitened patches, (k, d), as sums of the patches before whitening."""
    if whitener is None:
        return sums
    mean = torch.from_numpy(whitener.mean_)
    return sums @ torch.from_numpy(whitener.unwhitening_) + weights[:, None] * mean
