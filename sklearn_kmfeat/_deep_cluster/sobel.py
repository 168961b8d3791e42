"""The fixed front of DeepCluster: grey, then edges."""

import torch
import torch.nn.functional as F
from torch import nn

# The horizontal derivative; its transpose is the vertical one.
_ACROSS = [[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]


class Sobel(nn.Module):
    """Grey values, then their horizontal and vertical derivative; nothing is learned.

    Edges of the image are continued outwards, so that its frame is no edge.

    Parameters
    ----------
    in_channels : int
        Their mean is the grey value.
    """

    out_channels = 2

    def __init__(self, in_channels: int):
        super().__init__()
        self.grey = nn.Conv2d(in_channels, 1, kernel_size=1)
        self.edges = nn.Conv2d(1, 2, kernel_size=3, padding=1, padding_mode="replicate")
        across = torch.tensor(_ACROSS)
        with torch.no_grad():
            self.grey.weight.fill_(1 / in_channels)
            self.grey.bias.zero_()
            self.edges.weight.copy_(torch.stack([across, across.T])[:, None])
            self.edges.bias.zero_()
        self.requires_grad_(False)

    def forward(self, images):
        """Edges (n, 2, H, W) of images (n, C, H, W)."""
        return self.edges(self.grey(images))

    def joined(self, weights: torch.Tensor) -> torch.Tensor:
        """Filters (k, 1, h + 2, w + 2) of grey values that do what filters of the edges do.

        Parameters
        ----------
        weights : tensor of shape (k, 2, h, w)
        """
        return F.conv_transpose2d(weights, self.edges.weight)
