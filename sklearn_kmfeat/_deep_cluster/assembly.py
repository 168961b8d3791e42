"""The net of an estimator, put together from its parameters."""

import inspect

from torch import nn

from .module import DeepClusterModule
from .net import Recipe, _DeepClusterNet
from .sources import channel_statistics, value_range
from .views import Centre, of_torchvision, random_views

_LARGEST_BATCH = 256
_SMALLEST_BATCH = 16
_STEPS = 40
_SAMPLING = {"reset": "uniform", "prototypes": "shuffle"}


def new_net(estimator, source, shape, n_labels, seed, device):
    """A net for images, not yet initialised.

    Parameters
    ----------
    estimator : DeepClusterEstimator
        Its parameters are read.
    source : Dataset
        The images.
    shape : (int, int, int)
        Height, width and channels of what the network sees.
    n_labels : tuple of int
        Clusters of each classifier.
    seed : int
    device : torch.device

    Returns
    -------
    skorch.NeuralNet
    """
    options = dict(estimator.net_params or {})
    network_options, head_options, fresh_options = (
        _taken(options, part) for part in ("module__", "head__", "head_optimizer__")
    )
    limits = value_range(source) if of_torchvision(estimator.augment) else (0.0, 1.0)
    arguments = {
        "optimizer": estimator.optimizer,
        "lr": estimator.lr,
        "batch_size": batch_size_of(estimator.batch_size, len(source)),
        "callbacks": estimator.callbacks,
        "device": str(device),
        "module__network": estimator.module,
        "module__network_options": network_options,
        "module__head": estimator.head,
        "module__head_options": head_options,
        "module__shape": shape,
        "module__statistics": channel_statistics(source),
        "module__sobel": uses_sobel(estimator.sobel, estimator.module, shape),
        "module__n_labels": n_labels,
        "module__n_images": len(source),
        "head_optimizer": fresh_options,
        "recipe": recipe_of(estimator, shape, n_labels, seed, limits),
    }
    if fresh_options and estimator.head != "reset":
        raise ValueError(
            f"net_params has head_optimizer__{next(iter(fresh_options))}, but only head='reset' "
            "makes a classifier new."
        )
    known = inspect.signature(estimator.optimizer).parameters
    takes_all = any(each.kind is each.VAR_KEYWORD for each in known.values())
    for name in ("momentum", "weight_decay"):
        if name in known or takes_all:
            arguments[f"optimizer__{name}"] = getattr(estimator, name)
    return _DeepClusterNet(DeepClusterModule, **(arguments | options))


def recipe_of(estimator, shape, n_labels, seed, limits=(0.0, 1.0)):
    """How the net of an estimator learns; parameters as in `new_net`, and limits of the values."""
    sampling = estimator.sampling
    return Recipe(
        seed=seed,
        n_labels=n_labels,
        n_components=estimator.n_components,
        kmeans_iter=estimator.kmeans_iter,
        reassign_every=estimator.reassign_every,
        sampling=_SAMPLING[estimator.head] if sampling == "auto" else sampling,
        precision=estimator.precision,
        lr_schedule=estimator.lr_schedule,
        augment=random_views(estimator.augment, shape, shape[:2], limits),
        centre=Centre(shape[:2]),
    )


def batch_size_of(batch_size, n_images):
    """Images in a step."""
    if batch_size != "auto":
        return batch_size
    return min(_LARGEST_BATCH, max(_SMALLEST_BATCH, n_images // _STEPS))


def uses_sobel(sobel, module, shape):
    """Whether the network sees edges: by itself of colour images, and as AlexNet.

    A network that does not ask for the number of channels has its own.
    """
    if sobel != "auto":
        return sobel
    if module == "alexnet":
        return True
    asks = isinstance(module, str) or (
        not isinstance(module, nn.Module) and "in_channels" in inspect.signature(module).parameters
    )
    return asks and shape[2] == 3 and min(shape[:2]) >= 4


def _taken(options, prefix):
    """Take the options with a prefix out; returns them without it."""
    names = [name for name in options if name.startswith(prefix)]
    return {name.removeprefix(prefix): options.pop(name) for name in names}
