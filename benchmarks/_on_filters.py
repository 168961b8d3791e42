"""A network on top of filters that k-means finds: both families of the library in one.

The first layer is a dictionary of whitened patches, learned from the same images without labels in
seconds. It stays as it is; what comes after it learns by deep clustering.
"""

import numpy as np
import torch
from torch import nn

from sklearn_kmfeat import KMeansFilterLearner
from sklearn_kmfeat._deep_cluster.networks import conv_block

N_PATCHES = 60_000


class Residual(nn.Module):
    """Two convolutions and a shortcut, to half as many locations and twice as many channels."""

    def __init__(self, width):
        super().__init__()
        self.first = conv_block(width, 2 * width, 3, stride=2, padding=1)
        self.second = nn.Sequential(
            nn.Conv2d(2 * width, 2 * width, 3, padding=1, bias=False), nn.BatchNorm2d(2 * width)
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(width, 2 * width, 1, stride=2, bias=False), nn.BatchNorm2d(2 * width)
        )

    def forward(self, maps):
        """Maps (n, 2 * width, H / 2, W / 2)."""
        return torch.relu(self.second(self.first(maps)) + self.shortcut(maps))


def on_filters(filters):
    """A new network on top of a dictionary, from images to maps of twice as many channels.

    Parameters
    ----------
    filters : module of a fitted learner
        From standardised images (n, C, H, W) to maps.
    """
    width = len(filters.filters)
    return nn.Sequential(
        filters.requires_grad_(False),
        nn.BatchNorm2d(width),
        conv_block(width, width, 1),
        conv_block(width, width, 3, padding=1),
        Residual(width),
    )


def learned_filters(images, n_filters=96, random_state=0):
    """A dictionary of patches of images (n, H, W, C), as a module for standardised images."""
    mean, deviation = images.mean((0, 1, 2)), images.std((0, 1, 2))
    standardised = ((images - mean) / deviation).astype(np.float32)
    learner = KMeansFilterLearner(
        n_filters,
        stride=2,
        n_patches=N_PATCHES,
        max_iter=15,
        output="maps",
        random_state=random_state,
    ).fit(standardised)
    return learner.to_torch()
