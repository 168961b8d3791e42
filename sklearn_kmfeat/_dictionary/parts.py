"""The parts of a learner: dictionaries with the channels they see and what comes before them.

The one place that knows how parts and fitted attributes follow from each other.
"""

from typing import Any, NamedTuple

import numpy as np
import torch

from .._core.kmeans import Dictionary
from .._core.preparation import Preparation
from .._core.streaming import RunningSums
from .zca_whitener import ZCAWhitener


class Part(NamedTuple):
    """A dictionary of its own.

    Attributes
    ----------
    channels : int array or None
        The channels that it sees; None: all.
    contrast : {"patch", "image"} or None
        What is normalised.
    contrast_eps : float or None
    whitener : ZCAWhitener or None
    dictionary : Dictionary or None
        None while it is learned.
    sums : RunningSums or None
        What `partial_fit` goes on from.
    """

    channels: np.ndarray | None
    contrast: str | None
    contrast_eps: float | None
    whitener: ZCAWhitener | None
    dictionary: Dictionary | None = None
    sums: RunningSums | None = None

    @property
    def image_eps(self) -> float | None:
        """What is added to the variance of each image; None: images are left alone."""
        return self.contrast_eps if self.contrast == "image" else None

    @property
    def preparation(self) -> Preparation:
        """What is done to each patch."""
        eps = self.contrast_eps if self.contrast == "patch" else None
        return Preparation(eps, None if self.whitener is None else self.whitener._whitening)


def attributes_of(parts: list[Part]) -> dict[str, Any]:
    """The fitted attributes of a learner with these parts.

    Parameters
    ----------
    parts : list of Part
        One that sees all channels, or one of each group.
    """
    dictionaries = [part.dictionary for part in parts]
    weights = [d.counts if d.weights is None else d.weights for d in dictionaries]
    alone = parts[0].channels is None

    def each(name):
        values = [getattr(part, name) for part in parts]
        return values[0] if alone or values[0] is None else values

    sums = [part.sums for part in parts]
    attributes = {
        "cluster_centers_": torch.cat([d.centers for d in dictionaries]).cpu().numpy(),
        "counts_": torch.cat([d.counts for d in dictionaries]).cpu().numpy(),
        "inertia_": float(sum(d.inertia for d in dictionaries)),
        "n_iter_": max(d.n_iter for d in dictionaries),
        "whitener_": each("whitener"),
        "contrast_eps_": each("contrast_eps"),
        "_channel_groups": None if alone else [part.channels for part in parts],
        "_weights": torch.cat(weights).cpu().numpy(),
        "_part_sizes": [len(d.centers) for d in dictionaries],
        "_part_results": [(d.inertia, d.n_iter) for d in dictionaries],
        "_running_sums": None if sums[0] is None else [_as_arrays(s) for s in sums],
    }
    if dictionaries[0].offset_counts is not None:
        offset_counts = np.stack([d.offset_counts.numpy() for d in dictionaries])
        attributes["offset_counts_"] = offset_counts[0] if alone else offset_counts
    return attributes


def parts_of(learner: Any) -> list[Part]:
    """The parts of a fitted learner.

    Parameters
    ----------
    learner : fitted learner of dictionaries

    Returns
    -------
    list of Part
        Of copies on the CPU.
    """
    groups = learner._channel_groups
    alone = groups is None
    ends = np.cumsum([0, *learner._part_sizes])
    offset_counts = getattr(learner, "offset_counts_", None)

    def of_part(value, i):
        return value if alone or value is None else value[i]

    parts = []
    for i, (inertia, n_iter) in enumerate(learner._part_results):
        filters = slice(ends[i], ends[i + 1])
        values = (learner.cluster_centers_, learner.counts_, learner._weights)
        centers, counts, weights = (torch.tensor(value[filters]) for value in values)
        offsets = of_part(offset_counts, i)
        offsets = None if offsets is None else torch.tensor(offsets)
        sums = learner._running_sums
        part = Part(
            None if alone else groups[i],
            learner.contrast,
            of_part(learner.contrast_eps_, i),
            of_part(learner.whitener_, i),
            Dictionary(centers, counts, inertia, n_iter, weights, offsets),
            None if sums is None else RunningSums(*map(torch.tensor, sums[i])),
        )
        parts.append(part)
    return parts


def _as_arrays(sums):
    """Fitted attributes are NumPy."""
    return sums.sums.numpy(), sums.weights.numpy(), sums.counts.numpy()
