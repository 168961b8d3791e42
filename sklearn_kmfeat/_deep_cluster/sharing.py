"""A net whose training several processes share, and one net again after it."""

from contextlib import AbstractContextManager
from typing import Any

import torch
from skorch import NeuralNet

from .._inputs.base import ImageSource
from .ranks import Ranks
from .recipe import Purpose


def share_out(net: NeuralNet, ranks: Ranks) -> None:
    """Give all processes the weights of the first, and each its share of what is kept by image.

    Parameters
    ----------
    net : _DeepClusterNet
        Initialised, the same in all processes but for what was drawn without a seed.
    ranks : Ranks
    """
    if ranks.size == 1:
        return
    head = net.module_.head
    net.ranks = head.ranks = ranks
    per_image = {name: getattr(head, name) for name in head.per_image_buffers}
    others = {
        name: value
        for name, value in net.module_.state_dict().items()
        if name.removeprefix("head.") not in per_image
    }
    net.module_.load_state_dict(ranks.from_first(others), strict=False)
    for name, rows in per_image.items():
        setattr(head, name, rows[ranks.share(len(rows))].clone())
    if not ranks.is_first:
        net.verbose = 0


def bring_together(net: NeuralNet) -> None:
    """Make it an ordinary net, which holds all that is kept by image."""
    if net.ranks.size == 1:
        return
    head, ranks = net.module_.head, net.ranks
    del net.ranks, head.ranks
    for name in head.per_image_buffers:
        setattr(head, name, ranks.whole(getattr(head, name)))


def whole_state(net: NeuralNet, state: dict[str, Any]) -> dict[str, Any]:
    """The state of a net with what all processes keep by image, in the first of them.

    Parameters
    ----------
    net : _DeepClusterNet
    state : dict
        Of `state_of`, in this process.
    """
    module = dict(state["module"])
    for name in net.module_.head.per_image_buffers:
        shares = net.ranks.gather_at_first(module[f"head.{name}"])
        module[f"head.{name}"] = None if shares is None else torch.cat(shares)
    return state | {"module": module}


def among(net: NeuralNet, ranks: Ranks) -> NeuralNet:
    """The same net, which embeds images together with other processes; all else is shared."""
    other = object.__new__(type(net))
    other.__dict__.update(vars(net), ranks=ranks)
    return other


def own_draws(net: NeuralNet) -> AbstractContextManager:
    """Inside the block, processes draw different numbers in an epoch; after it all go on alike."""
    epoch = len(net.records_) + 1
    return net.ranks.own_draws(net.recipe.derived_seed(Purpose.OF_RANK, epoch))


def check_same(ranks: Ranks, n_images: int) -> None:
    """Refuse processes that were given different numbers of images, or are more than images."""
    numbers = ranks.gather(n_images)
    if len(set(numbers)) > 1:
        raise ValueError(
            f"The processes were given different numbers of images: {numbers}. Give each of them "
            "all images, it takes its share by itself."
        )
    if n_images < ranks.size:
        raise ValueError(f"{n_images} images cannot be shared by {ranks.size} processes.")


def merge_seen(ranks: Ranks, source: ImageSource) -> None:
    """Let all processes know the range of the values that any of them has read."""
    for values in ranks.gather(source.seen.values):
        source.seen.values |= values
