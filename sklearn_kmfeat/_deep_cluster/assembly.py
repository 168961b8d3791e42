"""The net of an estimator, put together from its parameters."""

import inspect
from typing import Any

import torch
from skorch import NeuralNet
from torch import nn

from .._inputs.resize import CenterCrop
from .heads import HEADS, heads_that
from .module import DeepClusterModule
from .net import _DeepClusterNet
from .recipe import Recipe
from .sources import ImageBatches, channel_statistics, value_range
from .views import of_torchvision, random_views

# The batch of the papers.
_LARGEST_BATCH = 256
# Below it, batch normalisation estimates its statistics from too few images.
_SMALLEST_BATCH = 16
# Steps in an epoch: a classifier that starts from nothing has so many to learn new clusters.
_STEPS = 40
# An edge filter of 3x3 pixels needs an image that is not all frame.
_LEAST_SIDE_FOR_SOBEL = 4


def new_net(
    estimator: Any,
    batches: ImageBatches,
    shape: tuple[int, int, int],
    n_labels: tuple[int, ...],
    seed: int,
    device: torch.device,
) -> NeuralNet:
    """A net for images, not yet initialised.

    Parameters
    ----------
    estimator : DeepClusterEstimator
        Its parameters are read.
    batches : ImageBatches
        The training images.
    shape : (int, int, int)
        Height, width and channels of the input of the network.
    n_labels : tuple of int
        Clusters of each classifier.
    seed : int
    device : torch.device

    Returns
    -------
    _DeepClusterNet
    """
    options = dict(estimator.net_params or {})
    network_options, head_options, fresh_options = (
        _take_out(options, part) for part in ("module__", "head__", "head_optimizer__")
    )
    limits = value_range(batches) if of_torchvision(estimator.augment) else (0.0, 1.0)
    arguments = {
        "optimizer": estimator.optimizer,
        "lr": estimator.lr,
        "batch_size": batch_size_of(estimator.batch_size, len(batches)),
        "callbacks": estimator.callbacks,
        "device": str(device),
        "module__network": estimator.module,
        "module__network_options": network_options,
        "module__head": estimator.head,
        "module__head_options": head_options,
        "module__shape": shape,
        "module__statistics": channel_statistics(batches),
        "module__sobel": uses_sobel(estimator.sobel, estimator.module, shape),
        "module__n_labels": n_labels,
        "module__n_images": len(batches),
        "head_optimizer": fresh_options,
        "recipe": recipe_of(estimator, shape, n_labels, seed, limits),
    }
    if fresh_options and not HEADS[estimator.head].restarts:
        raise ValueError(
            f"net_params has head_optimizer__{next(iter(fresh_options))}, but only "
            f"head={heads_that('restarts')} makes a classifier new."
        )
    known = inspect.signature(estimator.optimizer).parameters
    takes_all = any(each.kind is each.VAR_KEYWORD for each in known.values())
    for name in ("momentum", "weight_decay"):
        if name in known or takes_all:
            arguments[f"optimizer__{name}"] = getattr(estimator, name)
    return _DeepClusterNet(DeepClusterModule, **(arguments | options))


def recipe_of(
    estimator: Any,
    shape: tuple[int, int, int],
    n_labels: tuple[int, ...],
    seed: int,
    limits: tuple[float, float] = (0.0, 1.0),
) -> Recipe:
    """How the net of an estimator learns; as in `new_net`, and the limits of pixel values."""
    sampling = estimator.sampling
    return Recipe(
        seed=seed,
        n_labels=n_labels,
        n_components=estimator.n_components,
        kmeans_iter=estimator.kmeans_iter,
        reassign_every=estimator.reassign_every,
        sampling=HEADS[estimator.head].default_sampling if sampling == "auto" else sampling,
        precision=estimator.precision,
        lr_schedule=estimator.lr_schedule,
        augment=random_views(estimator.augment, shape, shape[:2], limits),
        center_crop=CenterCrop(shape[:2]),
    )


def batch_size_of(batch_size: Any, n_images: int) -> int:
    """Images in a step."""
    if batch_size != "auto":
        return batch_size
    return min(_LARGEST_BATCH, max(_SMALLEST_BATCH, n_images // _STEPS))


def uses_sobel(sobel: Any, module: Any, shape: tuple[int, int, int]) -> bool:
    """Whether the input of the network is edges.

    ``"auto"``: those of images with three channels, and of all images for AlexNet, as in the
    paper; but not for a network that is made for a number of channels of its own.
    """
    if sobel != "auto":
        return sobel
    if module == "alexnet":
        return True
    any_channels = isinstance(module, str) or (
        not isinstance(module, nn.Module) and "in_channels" in inspect.signature(module).parameters
    )
    return any_channels and shape[2] == 3 and min(shape[:2]) >= _LEAST_SIDE_FOR_SOBEL


def _take_out(options, prefix):
    """Remove the options with a prefix, in place; returns them, without the prefix."""
    names = [name for name in options if name.startswith(prefix)]
    return {name.removeprefix(prefix): options.pop(name) for name in names}
