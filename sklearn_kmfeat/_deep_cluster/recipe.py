"""What the training is asked for, apart from network, head and optimiser."""

from collections.abc import Callable
from enum import IntEnum
from typing import Literal, NamedTuple

import numpy as np
import torch


class Purpose(IntEnum):
    """What random numbers are drawn for. The values decide the results, and so never change."""

    #: The weights of the network and of the head.
    INITIAL_WEIGHTS = 0
    #: Views, order of the images, dropout, the weights of a classifier that is made new.
    EPOCH = 1
    CLUSTERING = 2
    FINAL_CLUSTERING = 3
    #: What the transforms of a Dataset draw in the processes of a DataLoader.
    WORKERS = 4
    #: What they draw when the images are embedded for the final clusters, and when new images are.
    EMBEDDING = 5
    #: The seeds of the runs after the first.
    RUN = 6
    #: What one of several processes draws by itself in an epoch, before and while it learns.
    OF_RANK, VIEWS_OF_RANK = 7, 8


def seed_of_run(seed: int, run: int) -> int:
    """The seed of one of several runs; the first has the seed itself."""
    return _derived(seed, Purpose.RUN, run) if run else seed


class Recipe(NamedTuple):
    """How pseudo-labels are made and learned, and the seed of all that is random.

    Attributes
    ----------
    seed : int
    n_labels : tuple of int
        Clusters of each classifier.
    n_components : int
        Principal components that are clustered.
    kmeans_iter : int
        Iterations of each k-means.
    reassign_every : int
        Epochs from one clustering to the next.
    sampling : {"uniform", "shuffle"}
    precision : {"exact", "fast"}
    lr_schedule : {"constant", "cosine"}
    augment : callable
        From images (n, C, H, W) to the random views that are learned from.
    center_crop : callable
        From images to the views that are embedded for clustering.
    """

    seed: int
    n_labels: tuple[int, ...]
    n_components: int
    kmeans_iter: int
    reassign_every: int
    sampling: Literal["uniform", "shuffle"]
    precision: Literal["exact", "fast"]
    lr_schedule: Literal["constant", "cosine"]
    augment: Callable[[torch.Tensor], torch.Tensor]
    center_crop: Callable[[torch.Tensor], torch.Tensor]

    def derived_seed(self, purpose: Purpose, *epoch: int) -> int:
        """A seed for a purpose: that of an epoch is known without the epochs before it.

        Parameters
        ----------
        purpose : Purpose
        *epoch : int
            Nothing for what is done once.
        """
        return _derived(self.seed, purpose, *epoch)


def _derived(*key):
    return int(np.random.SeedSequence([int(each) for each in key]).generate_state(1)[0])
