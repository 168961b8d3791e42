"""From a source of images to the parts of a learner, and on with more images.

source -> samples of every group of channels, cut in one pass
       -> contrast and whitening -> starts, of which the best goes on -> Part
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from .._core.contrast import ContrastVariance, auto_eps
from .._core.kmeans import Dictionary
from .._core.mirror import with_mirrored
from .._core.preparation import Preparation
from .._core.restarts import best_of_restarts
from .._core.rows import in_parts, plain
from .._core.whitening import Moments, check_size
from .._inputs.base import ImageSource
from .._inputs.sampling import (
    cut_patches,
    draw_locations,
    even_counts,
    images_per_batch,
    patch_grid,
)
from .._utils.memory import working_memory
from .._utils.progress import FitProgress
from .contrast_normalizer import image_variance
from .learners import DictionaryLearner
from .parts import Part
from .zca_whitener import ZCAWhitener

# With so many samples, in all and for each filter, two starts compare as they do on all of them.
_RANKED = 50_000
_RANKED_PER_FILTER = 200


@dataclass(frozen=True)
class Training:
    """What is learned from images, and how; decided once, from the parameters of an estimator.

    Attributes
    ----------
    learner : DictionaryLearner
    size_name, count_name, sample_size_name : str
        What the size of the dictionary, the number of samples and their height and width are
        called in messages.
    n_samples : int or None
        From all images together; None: all.
    n_init : int
    stride : int or (int, int)
    contrast : {"patch", "image"} or None
    contrast_eps : "auto" or float
    whiten_eps : float or None
    mirror : (int, int) or None
        Height and width of patches, for a whitening that treats left and right alike.
    groups : list of int array, or None
        The channels of each part; None: one part that sees all.
    device : torch.device
    group_bytes : int or None
        Memory for the samples of several groups; None: scikit-learn's `working_memory`.
    """

    learner: DictionaryLearner
    size_name: str
    count_name: str
    sample_size_name: str
    n_samples: int | None
    n_init: int
    stride: Any
    contrast: str | None
    contrast_eps: str | float
    whiten_eps: float | None
    mirror: tuple[int, int] | None
    groups: list[np.ndarray] | None
    device: torch.device
    group_bytes: int | None = None

    @property
    def noun(self) -> str:
        """What samples are called."""
        return self.count_name.removeprefix("n_")

    def learn(
        self,
        source: ImageSource,
        rng: np.random.RandomState,
        progress: FitProgress,
        preview: Callable[[Part], dict],
        streaming: bool,
    ) -> list[Part]:
        """The parts that images give.

        Parameters
        ----------
        source : ImageSource
        rng : numpy RandomState
        progress : FitProgress
        preview : callable
            From the only part, while it is learned, to fitted attributes.
        streaming : bool
            Whether more images will follow.
        """
        n_channels = source.n_channels if self.groups is None else len(self.groups[0])
        n_values = self._n_values(source, n_channels)
        if self.whiten_eps is not None:
            check_size(n_values)
        if self.mirror is not None and n_values % (self.mirror[0] * self.mirror[1]):
            raise ValueError(
                f"mirror=True needs patches of patch_size={self.mirror}, in the order (row, "
                f"column, channel), but the rows of X have {n_values} values."
            )
        image_eps = None
        if self.contrast == "image":
            image_eps = self._resolved_eps(lambda: image_variance(source))
        samples = self._samples(source, image_eps, rng, progress)
        groups = [None] if self.groups is None else self.groups
        parts = []
        for i, channels in enumerate(groups):
            name = "" if self.groups is None else f"group {i + 1}/{len(groups)}: "
            prepare = _FittedPreparation(self, image_eps)
            prepared, preparation = self.learner.prepare(next(samples), prepare)
            part = Part(channels, self.contrast, prepare.contrast_eps, prepare.whitener)
            watch = partial(self._fit, part, progress, preview, f"{name}k-means")
            dictionary = self._best_of_starts(prepared, watch, rng)
            parts.append(part._replace(dictionary=dictionary))
            if streaming:
                initial_sums = self.learner.initial_sums(dictionary, preparation)
                parts[-1] = self._updated(
                    parts[-1], initial_sums, prepared, preparation, dictionary.centers
                )
        return parts

    def learn_more(
        self, source: ImageSource, parts: list[Part], rng: np.random.RandomState
    ) -> list[Part]:
        """The parts after one more batch of images."""
        samples = self._samples(source, parts[0].image_eps, rng)
        learner, after = self.learner, []
        for part in parts:
            moments = None if part.whitener is None else part.whitener._moments
            prepare = _FittedPreparation(self, part.contrast_eps, moments)
            before = part.sums or learner.sums_of_fitted(part.dictionary, part.preparation)
            prepared, preparation = learner.prepare(next(samples), prepare)
            centers = learner.centers(before, preparation).to(self.device, source.dtype)
            part = part._replace(whitener=prepare.whitener)
            after.append(self._updated(part, before, prepared, preparation, centers, 1))
        return after

    def _samples(self, source, image_eps, rng, progress=None) -> Iterator[torch.Tensor]:
        """The samples of each group: the same places, cut in as few passes as memory allows.

        In a first fit, fewer samples than filters are refused.
        """
        grid = patch_grid(self.learner.sample_size, self.stride, source, self.sample_size_name)
        available = grid.n_locations(source.sizes)
        total = available.sum() if self.n_samples is None else self.n_samples
        counts = even_counts(available, total, rng)
        if progress is not None and counts.sum() < self.learner.n_centers:
            raise ValueError(
                f"{self.size_name}={self.learner.n_centers} needs at least as many {self.noun}, "
                f"but n_samples={len(source)} images gave only {counts.sum()}."
            )
        locations = draw_locations(available, counts, rng)
        cut = partial(cut_patches, source, grid, locations, self.device, image_eps=image_eps)
        for groups in self._passes(source, grid, int(counts.sum())):
            if progress is None:
                patches = cut(groups=groups)
            else:
                n_batches = self._n_batches(source, counts)
                with progress.task(f"reading {self.noun}", n_batches) as task:
                    patches = cut(groups=groups, on_batch=task.step)
            while patches:  # only the caller keeps what was handed out
                yield patches.pop(0)

    def _passes(self, source, grid, n_samples):
        """The groups of channels that are cut in each pass over the images."""
        if self.groups is None:
            return [[None]]
        width = grid.size[0] * grid.size[1] * len(self.groups[0])
        budget = working_memory() if self.group_bytes is None else self.group_bytes
        at_once = max(1, budget // (source.dtype.itemsize * width * max(n_samples, 1)))
        starts = range(0, len(self.groups), at_once)
        return [list(self.groups[start : start + at_once]) for start in starts]

    def _n_values(self, source, n_channels):
        """Values of a patch; ready patches are as long as they are."""
        if source.ready:
            return n_channels
        height, width = getattr(self.learner, "patch_size", self.learner.sample_size)
        return height * width * n_channels

    @staticmethod
    def _n_batches(source, counts):
        if source.shape is None:
            return None
        return source.n_batches(images_per_batch(source), np.flatnonzero(counts))

    def _best_of_starts(self, prepared, fit, rng):
        learner = self.learner
        return best_of_restarts(
            prepared,
            learner.start,
            fit,
            n_centers=learner.n_centers,
            n_init=self.n_init,
            n_ranked=max(_RANKED, _RANKED_PER_FILTER * learner.n_centers),
            rng=rng,
        )

    def _fit(self, part, progress, preview, name, prepared, start):
        """One run from one start; callbacks see every iteration."""
        with progress.task(name, self.learner.max_iter) as task:

            def on_iteration(centers, inertia):
                counts = torch.zeros(len(centers), dtype=torch.int64)
                now = Dictionary(centers, counts, inertia, task.n_steps + 1)
                attributes = None
                if part.channels is None:
                    attributes = partial(preview, part._replace(dictionary=now))
                return task.step(f", inertia {inertia:.6g}", attributes)

            return self.learner.fit(prepared, start, on_iteration)

    def _updated(self, part, before, prepared, preparation, centers, n_more=0):
        """A part after a batch of samples is assigned to its filters."""
        sums, dictionary = self.learner.update(before, prepared, preparation, centers)
        offsets = dictionary.offset_counts
        if n_more and offsets is not None:
            offsets = part.dictionary.offset_counts + offsets
        centers = dictionary.centers.to(part.dictionary.centers.dtype)
        n_iter = part.dictionary.n_iter + n_more
        return part._replace(
            dictionary=dictionary._replace(centers=centers, n_iter=n_iter, offset_counts=offsets),
            sums=sums,
        )

    def _resolved_eps(self, variance):
        return auto_eps(variance()) if self.contrast_eps == "auto" else float(self.contrast_eps)


class _FittedPreparation:
    """Fits contrast and whitening to patches, prepares them, and keeps what was fitted.

    Parameters
    ----------
    training : Training
    contrast_eps : float or None
        None: to be fitted, where the contrast is that of patches.
    moments : Moments or None, default=None
        Of the patches before these.
    """

    def __init__(self, training, contrast_eps, moments=None):
        self.training = training
        self.contrast_eps = contrast_eps
        self.moments = moments
        self.whitener = None

    def __call__(self, patches: Any) -> tuple[Any, Preparation]:
        training, eps, rows = self.training, None, in_parts(patches)
        if training.contrast == "patch":
            if self.contrast_eps is None:
                self.contrast_eps = training._resolved_eps(lambda: rows.added(ContrastVariance.of))
            eps = self.contrast_eps
        preparation = Preparation(eps)
        rows = rows.map_own(_prepared, preparation)
        if training.whiten_eps is None:
            return plain(rows), preparation
        moments = rows.added(Moments.of)
        if training.mirror is not None:
            moments = with_mirrored(moments, training.mirror)
        moments = moments if self.moments is None else self.moments + moments
        self.whitener = ZCAWhitener.from_moments(
            moments, training.whiten_eps, zero_sum=True if eps is not None else None
        )
        whitening = self.whitener._whitening
        rows = rows.map_own(_prepared, Preparation(None, whitening))
        return plain(rows), preparation._replace(whitening=whitening)


def _prepared(patches, preparation):
    return preparation.apply_(patches)
