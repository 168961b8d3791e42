"""Networks from images (n, C, H, W) to embeddings (n, d)."""

import copy
import inspect
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from .._utils.tracing import static_size

# Up to this side a ResNet keeps the resolution of its input in the first layer, as is usual for
# CIFAR (32) and Tiny ImageNet (64): strides would leave maps of one or two pixels.
_SMALL_IMAGE = 64
# Values of a row for a linear probe: about 9,000 in the papers on AlexNet, 6 * 6 * 256 at conv5.
_PROBE_VALUES = 9216
# Layers of torch that draw no random numbers, and where else such layers come from.
_QUIET_LAYERS = {
    *("AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "AvgPool2d", "BatchNorm1d", "BatchNorm2d"),
    *("Conv2d", "ELU", "Flatten", "GELU", "GroupNorm", "Identity", "LayerNorm", "LeakyReLU"),
    *("Linear", "MaxPool2d", "ModuleList", "ReLU", "Sequential", "Sigmoid", "SiLU", "Tanh"),
}
_QUIET_PLACES = ("sklearn_kmfeat.", "torchvision.models.resnet", "torchvision.models.vgg")


def draws_numbers(module: nn.Module) -> bool:
    """Whether a network may draw random numbers as it runs; True for layers that are not known."""
    return not all(map(_is_quiet, module.modules()))


def _is_quiet(layer):
    kind = type(layer)
    if kind.__module__.startswith("torch.nn."):
        return kind.__name__ in _QUIET_LAYERS
    return kind.__module__.startswith(_QUIET_PLACES)


class SmallestSide(nn.Module):
    """Images with a frame of zeros to the right and below, where they are smaller than a side."""

    def __init__(self, side):
        super().__init__()
        self.side = side

    def forward(self, images):
        """Images of at least that height and width."""
        missing = [max(0, self.side - static_size(images, axis)) for axis in (-2, -1)]
        return nn.functional.pad(images, (0, missing[1], 0, missing[0])) if any(missing) else images


class Pool(nn.MaxPool2d):
    """Maximum over windows; maps smaller than a window stay as they are."""

    def forward(self, maps):
        """Pooled maps."""
        least = min(static_size(maps, axis) for axis in (-2, -1))
        return super().forward(maps) if least >= self.kernel_size else maps


def conv_block(in_channels, out_channels, kernel_size, **options):
    """Convolution, batch normalisation, ReLU."""
    bias = options.pop("bias", False)
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, bias=bias, **options),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def small(in_channels, image_size=None, width=16):
    """Four blocks of 3x3 convolutions and global pooling, for images of 28 to 64 pixels.

    Its layers are called conv1 to conv4, pool1 to pool3 and fc; they have 1, 2, 4 and 4 times
    `width` channels.
    """
    widths = (width, 2 * width, 4 * width, 4 * width)
    layers = OrderedDict()
    for i, n_channels in enumerate(widths, start=1):
        layers[f"conv{i}"] = conv_block(in_channels, n_channels, 3, padding=1)
        if i < len(widths):
            layers[f"pool{i}"] = Pool(2)
        in_channels = n_channels
    layers["average"] = nn.AdaptiveAvgPool2d(1)
    layers["flat"] = nn.Flatten()
    layers["fc"] = nn.Sequential(
        nn.Linear(in_channels, in_channels, bias=False),
        nn.BatchNorm1d(in_channels),
        nn.ReLU(inplace=True),
    )
    return nn.Sequential(layers)


def alexnet(in_channels, image_size=None):
    """The AlexNet of DeepCluster: batch instead of local response normalisation.

    Its layers are called conv1 to conv5, pool1, pool2, pool5, fc6 and fc7.
    """
    same = {"padding": 1, "bias": True}
    layers = OrderedDict(
        frame=SmallestSide(7),
        conv1=conv_block(in_channels, 96, 11, stride=4, padding=2, bias=True),
        pool1=Pool(3, stride=2),
        conv2=conv_block(96, 256, 5, padding=2, bias=True),
        pool2=Pool(3, stride=2),
        conv3=conv_block(256, 384, 3, **same),
        conv4=conv_block(384, 384, 3, **same),
        conv5=conv_block(384, 256, 3, **same),
        pool5=Pool(3, stride=2),
        average=nn.AdaptiveAvgPool2d(6),
        flat=nn.Flatten(),
        fc6=nn.Sequential(nn.Dropout(0.5), nn.Linear(9216, 4096), nn.ReLU(inplace=True)),
        fc7=nn.Sequential(nn.Dropout(0.5), nn.Linear(4096, 4096), nn.ReLU(inplace=True)),
    )
    return nn.Sequential(layers)


def vgg16(in_channels, image_size=None):
    """torchvision's VGG-16 with batch normalisation, without its last layer."""
    network = _torchvision().vgg16_bn(weights=None)
    network.features[0] = nn.Conv2d(in_channels, 64, kernel_size=3, padding=1)
    for i, layer in enumerate(network.features):
        if isinstance(layer, nn.MaxPool2d):
            network.features[i] = Pool(2)
    network.classifier = network.classifier[:5]
    return network


def resnet18(in_channels, image_size=None):
    """torchvision's ResNet-18, without its last layer."""
    return _resnet(_torchvision().resnet18, in_channels, image_size)


def resnet50(in_channels, image_size=None):
    """torchvision's ResNet-50, without its last layer."""
    return _resnet(_torchvision().resnet50, in_channels, image_size)


def _resnet(make, in_channels, image_size):
    """Small images get the usual first layer for them: 3x3, no stride, no pooling."""
    network = make(weights=None)
    network.fc = nn.Identity()
    if image_size is not None and max(image_size) <= _SMALL_IMAGE:
        network.conv1 = nn.Conv2d(in_channels, 64, kernel_size=3, padding=1, bias=False)
        network.maxpool = nn.Identity()
    else:
        network.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
    return network


def _torchvision():
    """torchvision's networks; importing them takes half as long as importing torch."""
    from torchvision import models

    return models


#: From names for `DeepClusterEstimator(module=...)` to factories; see `build_network`.
NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "small": small,
    "alexnet": alexnet,
    "vgg16": vgg16,
    "resnet18": resnet18,
    "resnet50": resnet50,
}


def build_network(
    module: Any, in_channels: int, image_size: tuple[int, int], options: dict[str, Any]
) -> nn.Module:
    """A new network.

    Parameters
    ----------
    module : str, nn.Module class, factory or nn.Module
        A name in `NETWORKS`; a class or factory, which gets `in_channels` and `image_size`
        if it has parameters of these names; or a network, which is copied.
    in_channels : int
    image_size : (int, int)
    options : dict
        More arguments.

    Returns
    -------
    nn.Module

    Raises
    ------
    ValueError
        For arguments to a network that is built already.
    """
    if isinstance(module, nn.Module):
        if options:
            raise ValueError(
                f"net_params gives the network {', '.join(map(repr, options))}, but module is a "
                "network already: give its class instead."
            )
        return copy.deepcopy(module)
    make = NETWORKS[module] if isinstance(module, str) else module
    offered = {"in_channels": in_channels, "image_size": image_size}
    names = inspect.signature(make).parameters
    return make(**{name: offered[name] for name in offered if name in names} | options)


def cut_last_relu(network: nn.Module, images: torch.Tensor) -> bool:
    """Remove the ReLU that ends a network, in place; returns whether there was one.

    It ends the network if it runs once and its output is that of the network, in rows: maps are
    still to be averaged over their locations.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    images : tensor of shape (n, C, H, W)
        To run it with.
    """
    outputs = {}

    def record(layer, inputs, output):
        outputs.setdefault(layer, []).append((output, output._version))

    layers = [layer for layer in network.modules() if isinstance(layer, nn.ReLU)]
    handles = [layer.register_forward_hook(record) for layer in layers]
    try:
        result = network(images)
    finally:
        for handle in handles:
            handle.remove()
    if not isinstance(result, torch.Tensor) or result.dim() != 2:
        return False
    last = []
    for layer, runs in outputs.items():
        output, version = runs[0]
        # A layer that works in place gives the same tensor, in another version.
        if len(runs) == 1 and output is result and version == result._version:
            last.append(layer)
    names = [
        name
        for name, layer in network.named_modules(remove_duplicate=False)
        if name and any(layer is each for each in last)
    ]
    for name in names:
        network.set_submodule(name, nn.Identity())
    return bool(names)


def as_rows(maps: torch.Tensor) -> torch.Tensor:
    """Rows (n, d) as they are; maps (n, d, H, W) averaged over their locations."""
    return maps.flatten(2).mean(2) if maps.dim() > 2 else maps


def first_weights(network: nn.Module) -> torch.Tensor | None:
    """Weights (k, C, h, w) of the first convolution, or None where there is none."""
    layers = (layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    return next((layer.weight.detach() for layer in layers), None)


def probe_rows(output: torch.Tensor, n_values: int = _PROBE_VALUES) -> torch.Tensor:
    """The output of a layer as rows for a linear classifier.

    Maps are averaged over a grid of cells, as many as keep a row within `n_values` values:
    9x9, 6x6, 4x4, 4x4 and 6x6 for the layers of an AlexNet, as in DeepCluster's probes.

    Parameters
    ----------
    output : tensor of shape (n, C, H, W) or (n, d)
    n_values : int, default=9216

    Returns
    -------
    tensor of shape (n, cells * C) or (n, d)
        In the order (cell row, cell column, channel).
    """
    if output.dim() != 4:
        return output.flatten(1)
    channels, *sizes = (static_size(output, axis) for axis in (1, 2, 3))
    side = max(1, int((n_values / channels) ** 0.5))
    cells = [min(side, n) for n in sizes]
    pooled = torch.nn.functional.adaptive_avg_pool2d(output.contiguous(), cells)
    return pooled.permute(0, 2, 3, 1).flatten(1)
