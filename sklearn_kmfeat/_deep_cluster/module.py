"""The whole network: a fixed front, the network that learns, and the head."""

import torch
from torch import nn

from .heads import HEADS
from .networks import as_rows, build_network, cut_last_relu, first_weights
from .sobel import Sobel


class Standardize(nn.Module):
    """Channels with mean zero and variance one over the training images.

    Parameters
    ----------
    mean, deviation : tensors of shape (C,)
    """

    def __init__(self, mean: torch.Tensor, deviation: torch.Tensor):
        super().__init__()
        self.register_buffer("mean", mean[:, None, None].clone())
        self.register_buffer("deviation", deviation[:, None, None].clone())

    def forward(self, images):
        """Standardised images (n, C, H, W)."""
        return (images - self.mean) / self.deviation


class DeepClusterModule(nn.Module):
    """From images (n, C, H, W) in the range of the training images to embeddings (n, d).

    Parameters
    ----------
    network : str, class, factory or nn.Module
        See `networks.build_network`.
    network_options : dict
        More arguments for it.
    head : str
        A name in `HEADS`.
    head_options : dict
        More arguments for the head.
    shape : (int, int, int)
        Height, width and channels of the input.
    statistics : (tensor, tensor)
        Mean and standard deviation of each channel.
    sobel : bool
        Whether a `Sobel` front comes first.
    n_labels : sequence of int
        Clusters of each classifier of the head.
    n_images : int
        In the training set.
    """

    def __init__(
        self,
        network,
        network_options,
        head,
        head_options,
        shape,
        statistics,
        sobel,
        n_labels,
        n_images,
    ):
        super().__init__()
        height, width, channels = shape
        self.standardize = Standardize(*statistics)
        self.sobel = Sobel(channels) if sobel else nn.Identity()
        in_channels = Sobel.out_channels if sobel else channels
        self.network = build_network(network, in_channels, (height, width), network_options)
        self.n_features, relu = self._cut_last_relu((1, channels, height, width))
        self.head = HEADS[head](self.n_features, n_labels, n_images, relu, **head_options)

    def forward(self, images):
        """Embeddings (n, d), before the last ReLU of the network."""
        return as_rows(self.network(self.sobel(self.standardize(images))))

    def first_filters(self) -> torch.Tensor | None:
        """Filters (k, h, w, C) of the first convolution, as they act on the image, or None.

        With a `Sobel` front they act on its grey values and are two pixels larger.
        """
        weights = first_weights(self.network)
        on_edges = weights is not None and weights.shape[1] == Sobel.out_channels
        if on_edges and isinstance(self.sobel, Sobel):
            weights = self.sobel.joined(weights)
        return None if weights is None else weights.permute(0, 2, 3, 1)

    def _cut_last_relu(self, shape):
        """Cut a ReLU that ends the network; the length of an embedding, and whether there was one.

        An embedding is what comes before it: the ReLU would set half of what is clustered to zero.
        The head has it instead.
        """
        before = self.training
        self.eval()
        with torch.no_grad():
            blank = self.sobel(self.standardize(torch.zeros(shape)))
            relu = cut_last_relu(self.network, blank)
            output = self.network(blank)
        self.train(before)
        if not isinstance(output, torch.Tensor) or output.dim() < 2 or len(output) != 1:
            got = getattr(output, "shape", None)
            raise ValueError(
                "module must give embeddings (n, d) or maps (n, d, H, W), but for one image it "
                f"gave {type(output).__name__ if got is None else tuple(got)}."
            )
        return output.shape[1], relu
