"""A fitted estimator as a torch module, which needs neither skorch nor the estimator.

images (n, C, H, W) -> Embedding -> ClusterSpace -> Distances -> Nearest
                      (or a layer)
"""

import copy
from contextlib import nullcontext
from typing import Any

import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .._inputs.resize import CenterCrop
from .._utils.settings import standard_settings
from .clustering import PCAWhitening
from .heads.base import Head
from .layers import SPACES, check_layer, layer_width
from .module import DeepClusterModule
from .networks import as_rows, probe_rows

OUTPUTS = ("distances", "clusters", "embedding", "transform")


class Exported:
    """An estimator of clusters that can be had as a torch module."""

    @standard_settings()
    def to_torch(self, output: str = "distances") -> nn.Module:
        """The network with what follows it, as a torch module.

        Parameters
        ----------
        output : {"distances", "clusters", "embedding", "transform"}, default="distances"
            ``"distances"``: those of the images to the centers, (n, n_clusters); the least is at
            the cluster that `predict` gives. ``"clusters"``: this cluster, int64 (n,).
            ``"embedding"``: what `transform` gives with ``layer="embedding"``.
            ``"transform"``: what it gives with `layer` as it is.

        Returns
        -------
        torch.nn.Module
            Takes tensors (n, C, H, W) in the pixel range of `fit`; another height and width are
            cropped and scaled. In evaluation mode, in float32, on the CPU; a copy. The weights
            of the network and the centers are parameters.

        Raises
        ------
        ValueError
            For another `output`.
        NotFittedError
            When it is not fitted.
        """
        check_is_fitted(self)
        if output not in OUTPUTS:
            raise ValueError(f"output must be one of {OUTPUTS}, got {output!r}.")
        return exported(self, output)


def exported(estimator: Any, output: str) -> nn.Module:
    """The module of a fitted estimator, the only reader of its fitted attributes here.

    Parameters
    ----------
    estimator : DeepClusterEstimator
    output : str
        One of `OUTPUTS`.
    """
    module, size = estimator.net_.module_, estimator._input_shape[:2]
    layer = estimator.layer if output == "transform" else output
    if output in ("embedding", "transform") and layer != "clusters":
        if layer not in SPACES:
            check_layer(estimator.net_, layer, SPACES)
            layer_width(estimator.net_, layer, estimator._input_shape)  # refuses what runs twice
        return Embedding(module, size, None if layer in SPACES else layer).cpu().eval()
    head = module.head if estimator._on_projection else None
    stages = [Embedding(module, size), ClusterSpace(estimator._whitening, head)]
    if output != "transform":
        stages.append(Distances(torch.tensor(estimator.cluster_centers_)))
    if output == "clusters":
        stages.append(Nearest())
    return nn.Sequential(*stages).cpu().eval()


class Embedding(nn.Module):
    """From images to embeddings, or to what a layer of the network gives.

    Parameters
    ----------
    module : DeepClusterModule
        Is copied, without its head.
    size : (int, int)
        Height and width of the input of the network; other images are cropped and scaled to it.
    layer : str or None, default=None
        A name in `module.network`; None: its output.
    """

    def __init__(self, module: DeepClusterModule, size: tuple[int, int], layer: str | None = None):
        super().__init__()
        self.crop = CenterCrop(size)
        self.standardize = copy.deepcopy(module.standardize)
        self.sobel = copy.deepcopy(module.sobel)
        self.network = copy.deepcopy(module.network)
        self.layer = layer

    def forward(self, images):
        """Rows (n, d) of images (n, C, H, W); images of one pixel also (n, C)."""
        if images.ndim == 2:
            images = images[:, :, None, None]
        # The numbers are those of the estimator; who trains may do so in mixed precision.
        exact = torch.autocast(images.device.type, enabled=False)
        with nullcontext() if self.training else exact:
            images = self.crop(images.to(self.standardize.mean.dtype))
            images = self.sobel(self.standardize(images))
            return as_rows(self.network(images)) if self.layer is None else self._caught(images)

    def _caught(self, images):
        outputs = []

        def catch(layer, inputs, output):
            # A copy, because the next layer may work in place.
            outputs.append(probe_rows(output).clone())

        handle = self.network.get_submodule(self.layer).register_forward_hook(catch)
        try:
            self.network(images)
        finally:
            handle.remove()
        return outputs[0]


class ClusterSpace(nn.Module):
    """From embeddings to the space of the final clusters.

    Parameters
    ----------
    whitening : PCAWhitening
    head : Head or None
        Whose projections are whitened; copied, without what it keeps of each training image.
        None: the embeddings.
    """

    def __init__(self, whitening: PCAWhitening, head: Head | None):
        super().__init__()
        kept = (
            {} if head is None else {name: getattr(head, name) for name in head.per_image_buffers}
        )
        self.head = copy.deepcopy(head, {id(rows): rows[:0].clone() for rows in kept.values()})
        self.register_buffer("mean", whitening.mean.clone())
        self.register_buffer("components", whitening.components.clone())
        self.unit_length = whitening.unit_length

    def forward(self, embeddings):
        """Coordinates (n, n_components) of embeddings (n, d)."""
        # Whitening multiplies small directions, and with them the rounding of bfloat16.
        with torch.autocast(embeddings.device.type, enabled=False):
            rows = embeddings.to(self.mean.dtype)
            rows = rows if self.head is None else self.head.projected(rows)
            return PCAWhitening(self.mean, self.components, self.unit_length)(rows)


class Distances(nn.Module):
    """Euclidean distances to centers.

    Parameters
    ----------
    centers : tensor of shape (k, d)
    """

    def __init__(self, centers: torch.Tensor):
        super().__init__()
        self.centers = nn.Parameter(centers)

    def forward(self, rows):
        """Distances (n, k) of rows (n, d)."""
        # Expanded squares are differences of large numbers: near a center, and where rows lie far
        # from zero, they need more digits than float32 has.
        wide = rows.dtype if rows.device.type == "mps" else torch.float64
        centers = self.centers.to(wide)
        origin = centers.detach().mean(0)
        centers, moved = centers - origin, rows.to(wide) - origin
        squares = moved.square().sum(1, keepdim=True) + centers.square().sum(1)
        squares = squares - 2 * moved @ centers.T
        # The slope of the root at zero is infinite.
        return squares.clamp_min(torch.finfo(rows.dtype).tiny).sqrt().to(rows.dtype)


class Nearest(nn.Module):
    """The place of the least distance."""

    def forward(self, distances):
        """Int64 (n,) of distances (n, k)."""
        return distances.argmin(1)
