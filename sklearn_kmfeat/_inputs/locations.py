"""Where patches are cut in images."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Locations:
    """Locations in images, flat: a list of an array for each image costs more than the draw.

    Attributes
    ----------
    places : int array of shape (n_locations,)
        Those of the first image in increasing order, those of the second, ...
    counts : int array of shape (n_images,)
        How many each image has.
    """

    places: np.ndarray
    counts: np.ndarray

    @cached_property
    def ends(self) -> np.ndarray:
        """Where the locations of each image end in `places`."""
        return np.cumsum(self.counts)

    def part(self, start: int, stop: int) -> "Locations":
        """The locations of a block of the images."""
        counts = self.counts[start:stop]
        end = self.ends[stop - 1] if stop else 0
        return Locations(self.places[end - counts.sum() : end], counts)

    def rows(self, index: slice | np.ndarray) -> np.ndarray:
        """Where the locations of some images are in `places`, image by image."""
        counts = self.counts[index]
        return _ranges(self.ends[index] - counts, counts)


def _ranges(starts, lengths):
    """The numbers from each start on, as many as its length, one range after the other."""
    before = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum()) + np.repeat(starts - before, lengths)
