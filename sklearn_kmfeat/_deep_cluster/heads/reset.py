"""Classifiers that start anew with each clustering (DeepCluster, Caron et al. 2018)."""

import torch
from torch import nn

from .base import Head

# Standard deviation of a new classifier's weights, as in the authors' code.
_INITIAL_STD = 0.01


class ResetHead(Head):
    """Linear classifiers of the embeddings, made new for each clustering.

    Parameters
    ----------
    n_features : int
        Length of an embedding.
    n_labels : sequence of int
        Outputs of each classifier.
    n_images : int
        Not used: nothing is kept of single images.
    relu : bool
        Whether a ReLU comes first, because the network ends before its last one.
    """

    default_sampling = "uniform"
    restarts = True

    def __init__(self, n_features, n_labels, n_images, relu):
        super().__init__()
        self.relu = nn.ReLU() if relu else nn.Identity()
        self.classifiers = nn.ModuleList([nn.Linear(n_features, k) for k in n_labels])

    def fresh_parameters(self):
        """All parameters."""
        return self.classifiers.parameters()

    @torch.no_grad()
    def renew(self, labels: torch.Tensor) -> None:
        """New random weights, whatever the labels are: clusters have no order to go on from."""
        for classifier in self.classifiers:
            # Drawn on the CPU: the same on every device.
            weights = torch.empty(classifier.weight.shape)
            classifier.weight.copy_(nn.init.normal_(weights, std=_INITIAL_STD))
            nn.init.zeros_(classifier.bias)

    def forward(self, embeddings, index):
        """Logits (n, k) of each classifier, from embeddings (n, d)."""
        features = self.relu(embeddings)
        return [classifier(features) for classifier in self.classifiers]
