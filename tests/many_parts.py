"""Rows in several parts of this process, which hold tasks to their contract."""

import pickle

import numpy as np
import torch

from sklearn_kmfeat._core.rows import ForEach, Rows, by_part
from sklearn_kmfeat._core.windows import Windows


class ManyParts(Rows):
    """Parts in a list. What is called goes through a pickle, and may not change what it is given.

    Parameters
    ----------
    parts : list of tensors or Windows
    n_calls : list of int
        How often parts were asked for results, one number that all share.
    """

    device = torch.device("cpu")

    def __init__(self, parts, lengths=None, n_calls=None):
        self.parts = parts
        self.lengths = [len(part) for part in parts] if lengths is None else lengths
        self.n_calls = [0] if n_calls is None else n_calls

    @property
    def dtype(self):
        return self.parts[0].dtype

    def map(self, function, *args):
        return ManyParts(self._results(function, args), self.lengths, self.n_calls)

    def each(self, function, *args):
        self.n_calls[0] += 1
        return self._results(function, args)

    def __getitem__(self, index):
        if isinstance(index, slice):
            index = torch.arange(len(self))[index]
        places = by_part(index.numpy(), self.lengths)
        some = [
            part[torch.from_numpy(at)] for part, (_, at) in zip(self.parts, places, strict=True)
        ]
        order = torch.from_numpy(np.argsort(np.concatenate([which for which, _ in places])))
        joined = Windows.joined if isinstance(some[0], Windows) else torch.cat
        return joined(some)[order]

    def grouped(self, function, indices, arguments):
        function = pickle.loads(pickle.dumps(function))
        groups = zip(indices, arguments, strict=True)
        return [function(self[torch.from_numpy(index)], *args) for index, args in groups]

    def _results(self, function, args):
        results = []
        for p, part in enumerate(self.parts):
            own = [_of_part(arg, p) for arg in args]
            before = pickle.dumps([part, own])
            called, given = pickle.loads(pickle.dumps([function, own]))
            results.append(called(part, *given))
            assert pickle.dumps([part, own]) == before, f"{function} changes what it is given"
        return results


def _of_part(arg, p):
    if isinstance(arg, ManyParts):
        return arg.parts[p]
    return arg.values[p] if isinstance(arg, ForEach) else arg


def in_many_parts(rows, ends):
    """A tensor as parts that end there."""
    return ManyParts(list(rows.tensor_split(ends)))
