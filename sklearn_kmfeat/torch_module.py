"""A fitted encoder as a torch module."""

import torch
from torch import nn

from .core.dense import DenseCode, encode_pooled, project
from .core.encoders import ENCODERS
from .encoding import Pooling
from .geometry import PatchGrid, pair


class DenseEncoder(nn.Module):
    """The encoder of a fitted learner, for tensors and for fine-tuning.

    Made by the `to_torch` method of the learners. The filters are a parameter; contrast
    normalisation, whitening and pooling are fixed.

    Parameters
    ----------
    filters : tensor of shape (K, d)
        In whitened space, each in the order (row, column, channel).
    whitening, mean : tensors of shape (d, d) and (d,), or None
    grid : PatchGrid
    pooling : sklearn_kmfeat.encoding.Pooling
    options : dict
        `contrast`, `contrast_eps`, `encoder`, `alpha`, `knn_fraction`, `split_sign`.
    ready : bool, default=False
        Whether each image is one ready patch, (n, d, 1, 1).
    """

    def __init__(self, filters, whitening, mean, grid, pooling, options, ready=False):
        super().__init__()
        self.filters = nn.Parameter(filters)
        self.register_buffer("whitening", whitening)
        self.register_buffer("mean", mean)
        self.grid = grid
        self.pooling = pooling
        self.options = options
        self.ready = ready

    @classmethod
    def from_bank(cls, bank):
        """The module of a fitted learner.

        Parameters
        ----------
        bank : fitted learner
            Its filters are copied.

        Returns
        -------
        DenseEncoder
            In evaluation and training mode alike.
        """
        ready = bank.image_shape_ is None
        grid = PatchGrid((1, 1), (1, 1))
        if not ready:
            grid = PatchGrid(pair(bank.patch_size, "patch_size"), pair(bank.stride, "stride"))
        whitening = mean = None
        if bank.whitener_ is not None:
            whitening = torch.tensor(bank.whitener_.whitening_)
            mean = torch.tensor(bank.whitener_.mean_)
        names = ("contrast", "encoder", "alpha", "knn_fraction", "split_sign")
        options = {name: getattr(bank, name) for name in names}
        options["contrast_eps"] = bank.contrast_eps_
        filters = torch.tensor(bank.cluster_centers_)
        return cls(filters, whitening, mean, grid, Pooling.of(bank), options, ready)

    def forward(self, images):
        """Encode a batch of images.

        Parameters
        ----------
        images : tensor of shape (n, C, H, W)
            In the pixel range that the learner was fitted on.

        Returns
        -------
        tensor
            (n, features), or maps (n, K', H', W').
        """
        images = images.to(self.filters.dtype).permute(0, 2, 3, 1)
        locations = self.grid.map_shape(images.shape[1:3])
        cells = self.pooling.cells(locations, self.ready, self.filters)
        pooled = encode_pooled(images, self._code(), cells, locations[0])
        return pooled.permute(0, 3, 1, 2) if self.pooling.maps else pooled.flatten(1)

    def _code(self):
        options = self.options
        filters = self.filters
        filters = torch.cat([filters, -filters]) if options["split_sign"] else filters
        affinity = ENCODERS[options["encoder"]].affinity
        return DenseCode(
            self.grid.size,
            self.grid.stride,
            options["contrast"],
            options["contrast_eps"],
            project(filters, affinity, self.whitening, self.mean),
            options["encoder"],
            options["alpha"],
            options["knn_fraction"],
        )
