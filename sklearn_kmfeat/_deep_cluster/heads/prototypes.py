"""Centroids as classifiers (DeepCluster-v2, Caron et al. 2020)."""

import torch
import torch.nn.functional as F
from torch import nn

from ..._core.assign import sums_by_label
from .base import Head


class PrototypesHead(Head):
    """Centroids of projected embeddings, which are not learned, as classifiers.

    The projections computed while learning are kept, one for each image; these are clustered.
    The defaults are those of the paper, but for a projection from 512 instead of 2,048 units.

    Parameters
    ----------
    n_features : int
        Length of an embedding.
    n_labels : sequence of int
        Prototypes of each classifier.
    n_images : int
        Rows of the memory.
    relu : bool
        Whether a ReLU comes first, because the network ends before its last one.
    n_hidden : int, default=512
        Units of the projection.
    n_projected : int, default=128
        Length of a projection.
    temperature : float, default=0.1
        Divides the cosines.
    """

    default_sampling = "shuffle"
    projects = True
    per_image_buffers = ("memory",)

    def __init__(
        self, n_features, n_labels, n_images, relu, n_hidden=512, n_projected=128, temperature=0.1
    ):
        super().__init__()
        self.temperature = temperature
        self.n_images = n_images
        self.projection = nn.Sequential(
            nn.ReLU() if relu else nn.Identity(),
            nn.Linear(n_features, n_hidden, bias=False),
            nn.BatchNorm1d(n_hidden),
            nn.ReLU(inplace=True),
            nn.Linear(n_hidden, n_projected),
        )
        self.register_buffer("memory", torch.zeros(n_images, n_projected))
        for i, k in enumerate(n_labels):
            self.register_buffer(f"prototypes{i}", torch.zeros(k, n_projected))
        self.n_classifiers = len(n_labels)

    def learned_parameters(self):
        """Names and parameters of the projection."""
        return self.projection.named_parameters()

    def rows_to_cluster(self):
        """The projections (n_images, n_projected) of the last epoch."""
        return self.memory

    def renew(self, labels: torch.Tensor) -> None:
        """Take the centroids of the clusters (n_classifiers, n_images) of the memory."""
        share = self.ranks.share(self.n_images)
        for i, assignment in enumerate(labels):
            prototypes = getattr(self, f"prototypes{i}")
            sums = sums_by_label(self.memory, assignment[share], len(prototypes))
            prototypes.copy_(F.normalize(self.ranks.total(sums)))

    def projected(self, embeddings):
        """Projections (n, n_projected) of unit length, of embeddings (n, d)."""
        return F.normalize(self.projection(embeddings).float())

    def forward(self, embeddings, index):
        """Logits (n, k) of each classifier; the projections go into the memory at `index`."""
        rows = self.projected(embeddings)
        self.ranks.keep(self.memory, self.n_images, index, rows.detach())
        prototypes = [getattr(self, f"prototypes{i}") for i in range(self.n_classifiers)]
        return [rows @ each.T / self.temperature for each in prototypes]
