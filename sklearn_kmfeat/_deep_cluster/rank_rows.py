"""Rows of which each process of a job holds its share."""

from typing import Any

import numpy as np
import torch

from .._core.rows import ForEach, Rows, by_part


class RankRows(Rows):
    """The share of this process; results come to all processes.

    Parameters
    ----------
    ranks : Job
    own : tensor of shape (n of the share, d), or what `map` made of it
    lengths : list of int or None, default=None
        Rows of each process; None: asked for.
    """

    def __init__(self, ranks: Any, own: Any, lengths: list[int] | None = None):
        self.ranks, self.own = ranks, own
        self.lengths = ranks.gather(len(own)) if lengths is None else lengths

    @property
    def dtype(self):
        return self.own.dtype

    @property
    def device(self):
        return self.own.device

    def map(self, function, *args):
        return RankRows(self.ranks, function(self.own, *map(self._of_rank, args)), self.lengths)

    def each(self, function, *args):
        return self.ranks.gather(function(self.own, *map(self._of_rank, args)))

    def __getitem__(self, index):
        if isinstance(index, slice):
            index = torch.arange(len(self))[index]
        places = by_part(index.cpu().numpy(), self.lengths)
        own = torch.from_numpy(places[self.ranks.rank][1]).to(self.device)
        found = self.ranks.gather(self.own[own])
        back = np.argsort(np.concatenate([which for which, _ in places]), kind="stable")
        return torch.cat(found)[torch.from_numpy(back).to(self.device)]

    def grouped(self, function, indices, arguments):
        results = []
        for i, (index, given) in enumerate(zip(indices, arguments, strict=True)):
            rows = self[torch.from_numpy(index)]
            if i % self.ranks.size == self.ranks.rank:
                results.append(function(rows, *given))
        found = self.ranks.gather(results)
        return [found[i % self.ranks.size][i // self.ranks.size] for i in range(len(indices))]

    def _of_rank(self, value):
        if isinstance(value, ForEach):
            return value.values[self.ranks.rank]
        return value.own if isinstance(value, RankRows) else value
