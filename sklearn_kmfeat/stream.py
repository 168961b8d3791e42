"""Dictionaries that go on learning from batches while the whitening moves."""

from typing import NamedTuple

import torch

from .core.assign import nearest, squared_errors, sums_by_label
from .core.kmeans import Dictionary


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
    rng : numpy RandomState or None
        Draws the patches of the next batch.
    """

    update: str
    sums: torch.Tensor
    gains: torch.Tensor
    counts: torch.Tensor
    inertia: float
    n_iter: int
    rng: object = None

    @classmethod
    def of(cls, bank):
        """The stream that begins with a fitted bank."""
        centers = torch.from_numpy(bank.cluster_centers_).double()
        counts = torch.from_numpy(bank.counts_)
        weights = counts.double()
        if bank._update == "keep":
            weights = torch.ones_like(weights)
        gains = torch.zeros_like(weights) if bank._update == "direction" else weights
        if bank.whitener_ is not None:
            unwhitening = torch.from_numpy(bank.whitener_.unwhitening_)
            mean = torch.from_numpy(bank.whitener_.mean_)
            sums = weights[:, None] * (centers @ unwhitening) + gains[:, None] * mean
        else:
            sums = weights[:, None] * centers
        return cls(bank._update, sums, gains, counts.clone(), bank.inertia_, bank.n_iter_)

    def centers(self, whitener):
        """The filters in a given whitening, float64 (k, d)."""
        sums = self.sums
        if whitener is not None:
            mean = torch.from_numpy(whitener.mean_)
            sums = (sums - self.gains[:, None] * mean) @ torch.from_numpy(whitener.whitening_)
        if self.update == "direction":
            return sums / sums.norm(dim=1, keepdim=True).clamp(min=1e-300)
        return sums / self.gains.clamp(min=1)[:, None]

    def updated(self, patches, whitener):
        """Give a batch of patches to their filters.

        Parameters
        ----------
        patches : tensor of shape (m, d)
            Contrast-normalised, not whitened.
        whitener : ZCAWhitener or None
            That of all patches so far, these included.

        Returns
        -------
        Stream, Dictionary
        """
        prepared = patches if whitener is None else whitener._whiten(patches)
        direction = self.update == "direction"
        centers = self.centers(whitener).to(prepared)
        labels, scores = nearest(prepared, centers, direction=direction)
        weights = (prepared * centers[labels]).sum(1) if direction else torch.ones_like(scores)
        k = len(centers)
        counts = self.counts + torch.bincount(labels, minlength=k).cpu()
        stream = self._replace(counts=counts, n_iter=self.n_iter + 1)
        if self.update != "keep":
            sums = sums_by_label(patches * weights[:, None], labels, k).cpu().double()
            gains = sums_by_label(weights[:, None], labels, k)[:, 0].cpu().double()
            stream = stream._replace(sums=self.sums + sums, gains=self.gains + gains)
        if direction:
            inertia = float((prepared.square().sum(1) - scores.square()).sum())
        else:
            inertia = float(squared_errors(prepared, centers, labels).sum())
        stream = stream._replace(inertia=inertia)
        new = stream.centers(whitener).to(prepared)
        return stream, Dictionary(new, counts, inertia, stream.n_iter)
