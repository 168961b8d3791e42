"""What single layers of a trained network give, caught by hooks."""

import threading
from collections.abc import Iterable

import torch
from skorch import NeuralNet
from torch.utils.data import Dataset

from .networks import probe_rows

#: Values of `layer` that are no layers of the network.
SPACES = ("embedding", "clusters")


def check_layer(net: NeuralNet, layer: str, others: Iterable[str] = ()) -> None:
    """Refuse a name that is no layer of the network; `others` are named in the message."""
    names = [name for name, _ in net.module_.network.named_modules() if name]
    if layer not in names:
        raise ValueError(
            f"layer={layer!r} is no layer of the network; there are "
            f"{', '.join(map(repr, [*others, *names]))}."
        )


def layer_width(net: NeuralNet, layer: str, shape: tuple[int, int, int]) -> int:
    """Length of a row of `layer_rows`, for images (H, W, C)."""
    height, width, channels = shape
    blank = torch.zeros(1, height, width, channels).permute(0, 3, 1, 2)
    with torch.no_grad():
        return _caught(net, layer, [(blank, torch.zeros(1))]).shape[1]


def layer_rows(net: NeuralNet, layer: str, dataset: Dataset) -> torch.Tensor:
    """Rows for a linear classifier, from the output of a layer for all images.

    Parameters
    ----------
    net : _DeepClusterNet
    layer : str
        A name of `net.module_.network.named_modules()`.
    dataset : Dataset

    Returns
    -------
    tensor of shape (n, d)
        On the CPU; see `probe_rows`. Of all images in each process.

    Raises
    ------
    ValueError
        When the layer does not run exactly once.
    """
    return net.ranks.whole(_caught(net, layer, net.get_iterator(dataset)))


def _caught(net, layer, batches):
    outputs, this_thread = [], threading.get_ident()

    def catch(module, inputs, output):
        # Other threads may use the same network.
        if threading.get_ident() != this_thread:
            return
        # A copy, because the next layer may work in place.
        outputs.append(probe_rows(output.float()).to("cpu", copy=True))

    handle = net.module_.network.get_submodule(layer).register_forward_hook(catch)
    rows = []
    try:
        for batch in batches:
            outputs.clear()
            net.evaluation_step(batch)
            if len(outputs) != 1:
                raise ValueError(
                    f"layer={layer!r} runs {len(outputs)} times in the network: choose one that "
                    "runs once."
                )
            rows += outputs
    finally:
        handle.remove()
    return torch.cat(rows)
