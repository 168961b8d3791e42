"""Rows in the memory of workers, for k-means.

parts     a Delayed each, whose value stays on a worker
map       parts -> parts, on the workers
added     parts -> one sum on each worker -> here
"""

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import torch
from dask.delayed import Delayed

from .._core.rows import ForEach, Rows, by_part
from ._cluster import Cluster
from ._tasks import Held, task


class WorkerRows(Rows):
    """Rows in parts that lie on the workers of a cluster.

    Parameters
    ----------
    cluster : Cluster
    parts : list of Delayed
        Kept by the cluster.
    lengths : list of int
    dtype : torch.dtype
    """

    device = torch.device("cpu")

    def __init__(
        self,
        cluster: Cluster,
        parts: list[Delayed],
        lengths: Sequence[int],
        dtype: torch.dtype,
    ):
        self.cluster = cluster
        self.parts = parts
        self.lengths = list(lengths)
        self.dtype = dtype
        self._places = None

    def map(self, function, *args):
        parts = self.cluster.keep(self._tasks(function, args))
        return WorkerRows(self.cluster, parts, self.lengths, self.dtype)

    def each(self, function, *args):
        return self.cluster.results(self._tasks(function, args))

    def added(self, function, *args, packed=None):
        # What lies on one worker is added there: the sums of 8 parts on two workers would else
        # be four times as many bytes.
        if self._places is None:
            self._places = self.cluster.places(self.parts)
        tasks = self._tasks(function, args)
        how = Held(packed)
        sums = [task(_sum_of, [tasks[p] for p in some], how) for some in self._places]
        return reduce(add, self.cluster.results(sums))

    def __getitem__(self, index):
        if isinstance(index, slice):
            index = torch.arange(len(self))[index]
        places = by_part(index.cpu().numpy(), self.lengths)
        # Of no rows, too, a part tells what they are.
        some = [p for p, (which, _) in enumerate(places) if len(which)] or [0]
        tasks = [task(_at, self.parts[p], Held(places[p][1])) for p in some]
        order = np.argsort(np.concatenate([places[p][0] for p in some]))
        return joined(self.cluster.results(tasks))[torch.from_numpy(order)]

    def grouped(self, function, indices, arguments):
        """Each worker gets the rows of some groups from all others, and computes these groups."""
        n_bins = min(self.cluster.n_threads, len(indices))
        bins = [bin.tolist() for bin in np.array_split(np.arange(len(indices)), n_bins)]
        places = [by_part(np.concatenate([indices[i] for i in bin]), self.lengths) for bin in bins]
        split = [
            task(_split, part, Held([of_bin[p][1] for of_bin in places]))
            for p, part in enumerate(self.parts)
        ]
        tasks = []
        for b, (bin, of_bin) in enumerate(zip(bins, places, strict=True)):
            pieces = [task(_item, each, b) for each in split]
            which = [which for which, _ in of_bin]
            groups = [(len(indices[i]), arguments[i]) for i in bin]
            tasks.append(task(_of_groups, pieces, *map(Held, (function, which, groups))))
        return [result for of_bin in self.cluster.results(tasks) for result in of_bin]

    def _tasks(self, function, args):
        """A task of each part; what all parts are given goes to each worker once."""
        by_itself = [isinstance(arg, ForEach | WorkerRows) for arg in args]
        given = [_Own if own else arg for arg, own in zip(args, by_itself, strict=True)]
        given = task(_unchanged, Held((function, *given)))
        owns = [arg for arg, own in zip(args, by_itself, strict=True) if own]
        return [
            task(_called, part, given, *[_of_part(own, p) for own in owns])
            for p, part in enumerate(self.parts)
        ]


class _Own:
    """Stands for an argument of which each part has its own."""


def _called(part, given, *own):
    own = iter(own)
    function, *args = given
    return function(part, *[next(own) if arg is _Own else arg for arg in args])


def _of_part(own, p):
    return own.parts[p] if isinstance(own, WorkerRows) else Held(own.values[p])


def _unchanged(value):
    return value


def _item(values, i):
    return values[i]


def _sum_of(values, packed):
    total = reduce(add, values)
    return total if packed is None else packed(total)


def _at(part, index):
    return part[torch.from_numpy(index)]


def _split(part, indices):
    """The rows of a part for each bin of groups."""
    return [part[torch.from_numpy(index)] for index in indices]


def _of_groups(pieces, function, places, groups):
    """What a function gives for the groups of a bin, whose rows come from all parts."""
    lengths = [length for length, _ in groups]
    rows = pieces[0].new_empty(sum(lengths), pieces[0].shape[1])
    for piece, which in zip(pieces, places, strict=True):
        rows[torch.from_numpy(which)] = piece
    some = zip(rows.split(lengths), groups, strict=True)
    return [function(of_group, *args) for of_group, (_, args) in some]


def joined(values: Sequence[Any]) -> Any:
    """Rows or windows of several parts, one after the other."""
    first = values[0]
    return torch.cat(list(values)) if isinstance(first, torch.Tensor) else first.joined(values)
