"""What turns pseudo-labels into a loss: a classifier made new, or centroids as classifier."""

import torch
import torch.nn.functional as F
from torch import nn

from .._core.assign import sums_by_label


class ResetHead(nn.Module):
    """Linear classifiers that start anew with each clustering (DeepCluster, 2018).

    Clusters are those of the whitened, unit-length features of the whole set.

    Parameters
    ----------
    n_features : int
    n_labels : sequence of int
        Outputs of each classifier.
    n_images : int
        Not used.
    relu : bool
        Whether a ReLU comes first, because the network ends before its last one.
    """

    bank = None

    def __init__(self, n_features, n_labels, n_images, relu):
        super().__init__()
        self.relu = nn.ReLU() if relu else nn.Identity()
        self.classifiers = nn.ModuleList([nn.Linear(n_features, k) for k in n_labels])

    def fresh_parameters(self):
        """Those that start anew, and so have an optimiser without momentum."""
        return self.classifiers.parameters()

    def learned_parameters(self):
        """Names and parameters of those that stay."""
        return []

    def renew(self, labels):
        """Start anew, whatever the clusters are."""
        for classifier in self.classifiers:
            nn.init.normal_(classifier.weight, std=0.01)
            nn.init.zeros_(classifier.bias)

    def forward(self, embeddings, index):
        """Logits (n, k) of each classifier, from embeddings (n, d)."""
        features = self.relu(embeddings)
        return [classifier(features) for classifier in self.classifiers]


class PrototypesHead(nn.Module):
    """Centroids as fixed classifiers of projected embeddings (DeepCluster-v2, 2020).

    Clusters are those of a bank of the projections that were met while learning.

    Parameters
    ----------
    n_features : int
    n_labels : sequence of int
        Prototypes of each classifier.
    n_images : int
        Rows of the bank.
    relu : bool
        Whether a ReLU comes first, because the network ends before its last one.
    n_hidden : int, default=512
        Units of the projection.
    n_projected : int, default=128
        Length of a projection.
    temperature : float, default=0.1
        Divides the cosines.
    """

    def __init__(
        self, n_features, n_labels, n_images, relu, n_hidden=512, n_projected=128, temperature=0.1
    ):
        super().__init__()
        self.temperature = temperature
        self.projection = nn.Sequential(
            nn.ReLU() if relu else nn.Identity(),
            nn.Linear(n_features, n_hidden, bias=False),
            nn.BatchNorm1d(n_hidden),
            nn.ReLU(inplace=True),
            nn.Linear(n_hidden, n_projected),
        )
        self.register_buffer("bank", torch.zeros(n_images, n_projected))
        for i, k in enumerate(n_labels):
            self.register_buffer(f"prototypes{i}", torch.zeros(k, n_projected))
        self.n_classifiers = len(n_labels)

    def fresh_parameters(self):
        """None: prototypes are not learned by descent."""
        return []

    def learned_parameters(self):
        """Names and parameters of the projection."""
        return self.projection.named_parameters()

    def renew(self, labels):
        """Take the centroids of the clusters in the bank, labels (n,) of each classifier."""
        for i, own in enumerate(labels):
            prototypes = getattr(self, f"prototypes{i}")
            prototypes.copy_(F.normalize(sums_by_label(self.bank, own, len(prototypes))))

    def projected(self, embeddings):
        """Projections (n, n_projected) of unit length, of embeddings (n, d)."""
        return F.normalize(self.projection(embeddings).float())

    def forward(self, embeddings, index):
        """Logits (n, k) of each classifier; the projections go into the bank at `index`."""
        rows = self.projected(embeddings)
        self.bank[index] = rows.detach()
        prototypes = [getattr(self, f"prototypes{i}") for i in range(self.n_classifiers)]
        return [rows @ own.T / self.temperature for own in prototypes]


HEADS = {"reset": ResetHead, "prototypes": PrototypesHead}
