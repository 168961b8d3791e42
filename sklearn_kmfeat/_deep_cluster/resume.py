"""The net that a fit begins with: a new one, that of a checkpoint, or that of the last fit."""

from pathlib import Path
from typing import Any

import torch
from sklearn.utils import check_random_state
from skorch import NeuralNet

from .._utils.generators import drawing, seed_generators
from .assembly import new_net
from .checkpoint import read_checkpoint, run_fingerprint
from .parameters import n_pseudo_labels
from .sources import ImageBatches
from .state import restore, state_of


@drawing(True)
def net_to_train(
    estimator: Any,
    batches: ImageBatches,
    shape: tuple[int, int, int],
    device: torch.device,
    checkpoint: Path | None,
) -> tuple[NeuralNet, dict[str, Any]]:
    """A net, initialised, in the state from which the fit goes on.

    Parameters
    ----------
    estimator : DeepClusterEstimator
        Its parameters are read, and with `warm_start` its `net_`.
    batches : ImageBatches
        The training images.
    shape : (int, int, int)
        Height, width and channels of the input of the network.
    device : torch.device
    checkpoint : Path or None
        The file from which the fit goes on, if it exists.

    Returns
    -------
    net : _DeepClusterNet
    fingerprint : dict
        That of the run, for its checkpoints.
    """
    n_labels = n_pseudo_labels(estimator, len(batches))
    fingerprint = run_fingerprint(estimator.get_params(deep=False), batches, shape, n_labels)
    state = None
    if checkpoint is not None:
        state = read_checkpoint(checkpoint, fingerprint)
    warm = state is None and estimator.warm_start and hasattr(estimator, "net_")
    if warm:
        state = state_of(estimator.net_)
    # Drawn in any case: a RandomState that is given must not depend on what is on the disk.
    seed = check_random_state(estimator.random_state).randint(2**31 - 1)
    seed = int(seed if state is None else state["seed"])
    seed_generators(seed)
    net = new_net(estimator, batches, shape, n_labels, seed, device).initialize()
    if warm and not _same_images(estimator._fingerprint, fingerprint):
        state = _without_images(state, net)
    if state is not None:
        _restore(net, state, warm)
    return net, fingerprint


def _same_images(before, now):
    """Whether two runs are sure to have the same images."""
    names = ("n_images", "checksum of images")
    return now[names[1]] is not None and all(before[name] == now[name] for name in names)


def _without_images(state, net):
    """A state without the parts that belong to single images of another run."""
    per_image = [f"head.{name}" for name in net.module_.head.per_image_buffers]
    initial = net.module_.state_dict()
    module = state["module"] | {name: initial[name] for name in per_image}
    return state | {"module": module, "pseudo_labels": None}


def _restore(net, state, warm):
    try:
        restore(net, state, keep_rates=warm)
    except (RuntimeError, ValueError, KeyError) as error:
        origin = "warm_start goes on with the network of the last fit"
        if not warm:
            origin = "the checkpoint goes on with its network"
        raise ValueError(
            f"{origin}, but module, head, n_pseudo_labels, optimizer or the kind of images are "
            "others now."
        ) from error
