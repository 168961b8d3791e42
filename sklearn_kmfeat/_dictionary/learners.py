"""How a dictionary is learned: small objects with one contract.

drawn patches -> prepare -> samples -> start -> centers -> fit -> Dictionary
one more batch -> prepare -> samples -> update -> RunningSums, Dictionary
"""

from abc import ABC, abstractmethod
from collections import ChainMap
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from .._core.conv_kmeans import WindowStep, convolutional
from .._core.gain_shape import GainStep, spherical
from .._core.init import DIRECTION_SEEDINGS, MANY, ROW_SEEDINGS, SEEDINGS
from .._core.kmeans import MOMENTUM, Dictionary, RowStep, Step, kmeans, patch_dictionary
from .._core.preparation import Preparation
from .._core.rows import in_parts, plain
from .._core.streaming import RunningSums
from .._core.windows import Windows

#: From patches, which may be changed, to prepared ones and what was done to them.
Prepare = Callable[[Any], tuple[Any, Preparation]]


@dataclass(frozen=True)
class DictionaryLearner(ABC):
    """Learns a dictionary of filters from samples.

    The contract for a new one, which is one class and one entry in `LEARNERS`:

    * `prepare` makes samples of what was drawn from the images; here they are the prepared
      patches themselves. Samples have a length, a device, and parts at int64 tensors. Those that
      lie on several machines are `Rows`, which all functions of the core take for a tensor.
    * `start` and `fit` are called for every restart, `fit` with a callback after each iteration
      that stops by answering true. Neither changes the samples.
    * `update` adds one more batch of samples to all before it. It needs a `step`, and what the
      three methods below it define for filters and their sums.

    Parameters
    ----------
    n_centers : int
        Filters asked for.
    sample_size : (int, int)
        Height and width of what is drawn from the images, in pixels.
    init : str
        A name in `seedings`, the table of the class; or ``"auto"``: ``"hierarchical"`` for many
        filters where that pays, otherwise `init_of_few`.
    max_iter : int
    tol : float
    init_of_few : str
    """

    seedings = ChainMap(SEEDINGS, ROW_SEEDINGS)
    #: Whether ``"auto"`` may be ``"hierarchical"``.
    levels_pay = True

    n_centers: int
    sample_size: tuple[int, int]
    init: str = "sample"
    max_iter: int = 50
    tol: float = 1e-4
    init_of_few: str = "sample"

    @property
    def limits(self) -> dict:
        """How k-means iterates, and until when."""
        return {"max_iter": self.max_iter, "tol": self.tol, "momentum": MOMENTUM}

    def prepare(self, drawn: Any, prepare: Prepare) -> tuple[Any, Preparation]:
        """Samples from rows (n, d), which may be changed, and how they were prepared."""
        return prepare(drawn)

    def start(self, samples: Any, rng: np.random.RandomState) -> torch.Tensor:
        """Centers (k, d) to start from."""
        init = self.init
        if init == "auto":
            in_levels = self.levels_pay and self.n_centers >= MANY
            init = "hierarchical" if in_levels else self.init_of_few
        return self.seedings[init](samples, self.n_centers, rng)

    @abstractmethod
    def fit(self, samples: Any, centers: torch.Tensor, on_iteration: Callable) -> Dictionary:
        """The dictionary that comes out from given centers."""

    def update(
        self,
        before: RunningSums,
        samples: Any,
        preparation: Preparation,
        centers: torch.Tensor,
    ) -> tuple[RunningSums, Dictionary]:
        """Add a batch of samples to all before it.

        Parameters
        ----------
        before : RunningSums
        samples : tensor of shape (n, d), or what `prepare` gave
        preparation : Preparation
            Of all samples so far.
        centers : tensor of shape (k, d)
            The filters that the samples are assigned to.

        Returns
        -------
        RunningSums, Dictionary
            The dictionary counts over all batches; its inertia, and where it was in windows, is
            that of this one.
        """
        sums = self.step(samples)(centers, exact=True)
        after = self.merge(before, RunningSums.of(sums, preparation))
        new = self.centers(after, preparation).to(centers)
        offsets = sums.offset_counts
        return after, Dictionary(new, after.counts, sums.inertia, 1, offset_counts=offsets)

    @abstractmethod
    def step(self, samples: Any) -> Step:
        """From filters to the sums of the samples that are assigned to them."""

    def initial_sums(self, dictionary: Dictionary, preparation: Preparation) -> RunningSums:
        """The sums before the first batch, which made the dictionary and is added next."""
        return RunningSums.zero(*dictionary.centers.shape)

    @abstractmethod
    def sums_of_fitted(self, dictionary: Dictionary, preparation: Preparation) -> RunningSums:
        """The sums that a fitted dictionary stands for."""

    @abstractmethod
    def centers(self, sums: RunningSums, preparation: Preparation) -> torch.Tensor:
        """Filters (k, d) from sums, float64."""

    def merge(self, before: RunningSums, batch: RunningSums) -> RunningSums:
        """The sums after a batch."""
        return before + batch


class Lloyd(DictionaryLearner):
    """Euclidean k-means: a filter is the mean of its patches."""

    def fit(self, samples, centers, on_iteration):
        return kmeans(samples, centers, **self.limits, on_iteration=on_iteration)

    def step(self, samples):
        return RowStep(samples)

    def sums_of_fitted(self, dictionary, preparation):
        return RunningSums.of_means(dictionary, preparation)

    def centers(self, sums, preparation):
        return sums.means(preparation)


class Spherical(DictionaryLearner):
    """Gain-shape k-means: a filter is the direction of its patches, each times its gain."""

    # The levels are Euclidean. Of 200,000 whitened patches, 400 filters from random ones have less
    # inertia after any time; 1,600 the same from 3 s on, when those have made 7 iterations and
    # those from levels 4.
    levels_pay = False

    def fit(self, samples, centers, on_iteration):
        return spherical(samples, centers, **self.limits, on_iteration=on_iteration)

    def step(self, samples):
        return GainStep(samples)

    def sums_of_fitted(self, dictionary, preparation):
        return RunningSums.of_directions(dictionary, preparation)

    def centers(self, sums, preparation):
        return sums.directions(preparation)


class RandomPatches(Lloyd):
    """Patches themselves, which stay what they are."""

    def start(self, samples, rng):
        return SEEDINGS["sample"](samples, self.n_centers, rng)

    def fit(self, samples, centers, on_iteration):
        return patch_dictionary(samples, centers)

    def initial_sums(self, dictionary, preparation):
        patches = RunningSums.of_patches(dictionary, preparation)
        return replace(patches, counts=torch.zeros_like(patches.counts))

    def sums_of_fitted(self, dictionary, preparation):
        return RunningSums.of_patches(dictionary, preparation)

    def merge(self, before, batch):
        return replace(before, counts=before.counts + batch.counts)


@dataclass(frozen=True)
class Convolutional(Spherical):
    """Convolutional k-means: gain-shape k-means of the best patch of each window.

    With windows of the size of a patch it is `Spherical`, on rows. Filters are shifted in `fit`
    alone: in a stream, the sums of patches beside those before are not known.

    Parameters
    ----------
    patch_size : (int, int)
        Height and width of a filter.
    """

    # "sample" remains the default beside "energy". Of 64 filters of the shipped samples, from 5,000
    # windows and three seeds, "energy" changes the inertia by -0.2 % on CIFAR-10 and by -12 % on
    # MNIST, the iterations from 43 to 40 and from 40 to 27, the accuracy of a linear classifier by
    # -1.0 ± 2 and by -0.9 ± 0.7 points, and redundancy from 0.71 to 0.72 and from 0.78 to 0.86.
    seedings = ChainMap(SEEDINGS, DIRECTION_SEEDINGS)

    patch_size: tuple[int, int] = (1, 1)

    @property
    def in_windows(self) -> bool:
        """Whether samples are windows in which a patch has several places."""
        return self.sample_size != self.patch_size

    def prepare(self, drawn, prepare):
        if not self.in_windows:
            return super().prepare(drawn, prepare)
        pixels = in_parts(drawn).map(_pixels_of_windows, self.sample_size)
        del drawn  # the caller keeps none: half the memory from here on
        _, preparation = prepare(plain(pixels.map(_middle_patches, self.patch_size)))
        windows = pixels.map_own(Windows.of, self.patch_size, preparation)
        return plain(windows), preparation

    def start(self, samples, rng):
        if self.in_windows:
            by_energy = self.init in DIRECTION_SEEDINGS
            patches = _largest_patches if by_energy else Windows.middle_patches
            samples = plain(in_parts(samples).map(patches))
        return super().start(samples, rng)

    def fit(self, samples, centers, on_iteration):
        if self.in_windows:
            return convolutional(samples, centers, **self.limits, on_iteration=on_iteration)
        dictionary = super().fit(samples, centers, on_iteration)
        return dictionary._replace(offset_counts=_one_offset(samples))

    def update(self, before, samples, preparation, centers):
        after, dictionary = super().update(before, samples, preparation, centers)
        if dictionary.offset_counts is None:
            dictionary = dictionary._replace(offset_counts=_one_offset(samples))
        return after, dictionary

    def step(self, samples):
        return WindowStep(samples) if self.in_windows else GainStep(samples)


def _pixels_of_windows(rows, size):
    """Windows (H, W, C, n) from rows (n, H * W * C)."""
    return rows.T.contiguous().view(*size, -1, len(rows))


def _middle_patches(pixels, size):
    """The patches (n, d) in the middle of windows (H, W, C, n)."""
    (height, width), (h, w) = pixels.shape[:2], size
    top, left = (height - h) // 2, (width - w) // 2
    middle = pixels[top : top + h, left : left + w].permute(3, 0, 1, 2)
    # A copy, never a view: they are prepared in place.
    return middle.clone(memory_format=torch.contiguous_format).flatten(1)


def _largest_patches(windows):
    return windows.at(windows.largest)


def _one_offset(samples):
    """The counts of windows that hold one patch."""
    return torch.full((1, 1), len(samples))


#: The choices of `algorithm`: learners of patches.
LEARNERS = {"lloyd": Lloyd, "spherical": Spherical, "random": RandomPatches}
