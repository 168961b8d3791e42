"""A fitted encoder as a torch module."""

import numpy as np
import torch
from torch import nn

from .._core.encode import encode_pooled, normalized_images
from .._core.patches import PatchGrid
from .._utils.validation import as_pair
from .encoding import ENCODER_OPTIONS, Pooling, code_of
from .parts import parts_of


class DenseEncoder(nn.Module):
    """The encoder of a fitted learner, for tensors and for fine-tuning.

    Made by the `to_torch` method of the learners. The filters are a parameter; contrast
    normalisation, whitening and pooling are fixed.

    Parameters
    ----------
    parts : list of Part
        Of a fitted learner. Their filters, each in the order (row, column, channel), are
        copied into one parameter (K, d), in whitened space.
    grid : PatchGrid
    pooling : sklearn_kmfeat.encoding.Pooling
    options : dict
        `contrast`, `encoder`, `alpha`, `knn_fraction`, `split_sign`.
    ready : bool, default=False
        Whether each image is one ready patch, (n, d, 1, 1).
    """

    def __init__(self, parts, grid, pooling, options, ready=False):
        super().__init__()
        self.filters = nn.Parameter(torch.cat([part.dictionary.centers for part in parts]))
        whitening = mean = channels = None
        if parts[0].whitener is not None:
            whitening = _stacked(part.whitener.whitening_ for part in parts)
            mean = _stacked(part.whitener.mean_ for part in parts)
        if parts[0].channels is not None:
            channels = _stacked(part.channels for part in parts)
        self.register_buffer("whitening", whitening)
        self.register_buffer("mean", mean)
        self.register_buffer("channels", channels)
        self.sizes = [len(part.dictionary.centers) for part in parts]
        self.epsilons = [part.contrast_eps for part in parts]
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
            grid = PatchGrid(as_pair(bank.patch_size, "patch_size"), as_pair(bank.stride, "stride"))
        options = {name: getattr(bank, name) for name in ENCODER_OPTIONS}
        return cls(parts_of(bank), grid, Pooling.of(bank), options, ready)

    def forward(self, images):
        """Encode a batch of images.

        Parameters
        ----------
        images : tensor of shape (n, C, H, W)
            In the pixel range that the learner was fitted on. Ready patches also (n, d).

        Returns
        -------
        tensor
            (n, features), or maps (n, K', H', W').
        """
        if self.ready and images.ndim == 2:
            images = images[:, :, None, None]
        # Distances that are differences of large numbers need all their digits.
        with torch.autocast(images.device.type, enabled=False):
            return self._encoded(images)

    def _encoded(self, images):
        images = images.to(self.filters.dtype).permute(0, 2, 3, 1)
        codes = self._codes()
        locations = self.grid.map_size(images.shape[1:3])
        cells = self.pooling.cells(locations, self.ready, self.filters)
        images = normalized_images(images, codes[0])
        pooled = [encode_pooled(images, code, cells, locations[0]) for code in codes]
        pooled = torch.cat(pooled, -1)
        return pooled.permute(0, 3, 1, 2) if self.pooling.maps else pooled.flatten(1)

    def _codes(self):
        """A DenseCode of each part, with the filters of now."""
        codes = []
        for i, filters in enumerate(self.filters.split(self.sizes)):
            whitening, mean, channels = (
                None if buffer is None else buffer[i]
                for buffer in (self.whitening, self.mean, self.channels)
            )
            code = code_of(
                filters, (whitening, mean), channels, self.epsilons[i], self.grid, self.options
            )
            codes.append(code)
        return codes


def _stacked(arrays):
    return torch.from_numpy(np.stack(list(arrays)))
