"""A net whose training several processes share, and one net again after it."""

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet

from .._inputs.base import ImageSource
from .._utils.fingerprint import checksum, described
from .checkpoint import without_reading
from .ranks import Ranks
from .recipe import Purpose

# Parameters that may be others in each process.
_MAY_DIFFER = {"verbose", "checkpoint", "callbacks", "device"}


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
    take_from_first(net)
    for name in head.per_image_buffers:
        rows = getattr(head, name)
        setattr(head, name, rows[ranks.share(len(rows))].clone())
    if not ranks.is_first:
        net.verbose = 0


def take_from_first(net: NeuralNet) -> None:
    """Give all processes the weights and buffers of the first, but for what is kept by image.

    Where an epoch has learned, weights are equal already, and the statistics of batch
    normalisation; other buffers that depend on the images are not.
    """
    if net.ranks.size == 1:
        return
    per_image = {f"head.{name}" for name in net.module_.head.per_image_buffers}
    state = net.module_.state_dict()
    others = {name: value for name, value in state.items() if name not in per_image}
    net.module_.load_state_dict(net.ranks.from_first(others), strict=False)


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


def check_same(ranks: Ranks, estimator: Any, source: ImageSource) -> None:
    """Refuse processes that were given different images or parameters.

    Parameters
    ----------
    ranks : Ranks
    estimator : DeepClusterEstimator
    source : ImageSource
        All images.

    Raises
    ------
    ValueError
        With the name of what differs.
    """
    if ranks.size == 1:
        return
    params = estimator.get_params(deep=False)
    params["net_params"] = without_reading(params["net_params"])
    goes_on = estimator.warm_start and hasattr(estimator, "net_")
    given = {
        "numbers of images": len(source),
        **{f"values of {name}": described(params[name]) for name in params.keys() - _MAY_DIFFER},
        "beginnings, some that of an earlier fit (warm_start)": goes_on,
    }
    _refuse_different(ranks.gather(given))
    if not source.varies:
        _refuse_different(ranks.gather({"images, by the checksums of a few": _of_some(source)}))


def _refuse_different(given):
    for name, value in sorted(given[0].items()):
        values = [each[name] for each in given]
        if any(each != value for each in values):
            raise ValueError(
                f"The processes were given different {name}: {values}. Give each of them all "
                "images, of which it takes its share by itself, and the same parameters."
            )


def _of_some(source):
    """A checksum of the first image, the last, and one between them."""
    last = len(source) - 1
    return checksum(*(source.read(np.array([i])).float() for i in (0, last // 2, last)))


def check_enough(ranks: Ranks, n_images: int) -> None:
    """Refuse fewer images than processes."""
    if n_images < ranks.size:
        raise ValueError(f"{n_images} images cannot be shared by {ranks.size} processes.")


def merge_seen(ranks: Ranks, source: ImageSource) -> None:
    """Let all processes know the range of the values that any of them has read."""
    for values in ranks.gather(source.seen.values):
        source.seen.values |= values
