"""The parts of a bank: dictionaries with the channels they see and what comes before them."""

from typing import NamedTuple

import numpy as np
import torch

from .._core.kmeans import Dictionary
from .preprocessing import ZCAWhitener


class Part(NamedTuple):
    """A dictionary of its own.

    Attributes
    ----------
    channels : int array or None
        The channels that it sees; None: all.
    whitener : ZCAWhitener or None
    contrast_eps : float or None
    dictionary : Dictionary
    """

    channels: np.ndarray | None
    whitener: ZCAWhitener | None
    contrast_eps: float | None
    dictionary: Dictionary


def attributes_of(parts):
    """The fitted attributes of a bank with these parts.

    Parameters
    ----------
    parts : list of Part
        One that sees all channels, or one of each group.

    Returns
    -------
    dict
    """
    found = [part.dictionary for part in parts]
    weights = [d.counts if d.weights is None else d.weights for d in found]
    alone = parts[0].channels is None

    def each(name):
        values = [getattr(part, name) for part in parts]
        return values[0] if alone or values[0] is None else values

    attributes = {
        "cluster_centers_": torch.cat([d.centers for d in found]).cpu().numpy(),
        "counts_": torch.cat([d.counts for d in found]).cpu().numpy(),
        "inertia_": float(sum(d.inertia for d in found)),
        "n_iter_": max(d.n_iter for d in found),
        "whitener_": each("whitener"),
        "contrast_eps_": each("contrast_eps"),
        "_weights": torch.cat(weights).cpu().numpy(),
        "_part_sizes": [len(d.centers) for d in found],
        "_part_results": [(d.inertia, d.n_iter) for d in found],
    }
    if found[0].offset_counts is not None:
        offset_counts = np.stack([d.offset_counts.numpy() for d in found])
        attributes["offset_counts_"] = offset_counts[0] if alone else offset_counts
    return attributes


def parts_of(bank):
    """The parts of a fitted bank.

    Parameters
    ----------
    bank : fitted PatchBank

    Returns
    -------
    list of Part
        Of copies on the CPU.
    """
    groups = getattr(bank, "connections_", None)
    alone = groups is None
    ends = np.cumsum([0, *bank._part_sizes])
    offset_counts = getattr(bank, "offset_counts_", None)

    def own(value, i):
        return value if alone or value is None else value[i]

    parts = []
    for i, (inertia, n_iter) in enumerate(bank._part_results):
        filters = slice(ends[i], ends[i + 1])
        values = (bank.cluster_centers_, bank.counts_, bank._weights)
        centers, counts, weights = (torch.tensor(value[filters]) for value in values)
        chosen = own(offset_counts, i)
        chosen = None if chosen is None else torch.tensor(chosen)
        dictionary = Dictionary(centers, counts, inertia, n_iter, weights, chosen)
        channels = None if alone else groups[i]
        whitener, eps = own(bank.whitener_, i), own(bank.contrast_eps_, i)
        parts.append(Part(channels, whitener, eps, dictionary))
    return parts
