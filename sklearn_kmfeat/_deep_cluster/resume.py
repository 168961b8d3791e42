"""The net that a run begins with: a new one, that of a checkpoint, or that of the last fit."""

from pathlib import Path
from typing import Any, NamedTuple

from sklearn.utils import check_random_state
from skorch import NeuralNet

from .._utils.generators import drawing, seed_generators
from .assembly import new_net
from .checkpoint import read_checkpoint, run_fingerprint
from .parameters import n_pseudo_labels
from .ranks import Ranks
from .recipe import seed_of_run
from .sharing import share_out
from .sources import ImageBatches
from .state import restore, state_of


class Start(NamedTuple):
    """From where the runs of a fit go on.

    Attributes
    ----------
    states : list of dict
        Of the runs that have begun, in their order.
    warm : bool
        Whether there is one, that of the last fit.
    same_images : bool
        Whether that one is sure to have had the same images.
    seed : int
        Of the first run.
    n_labels : tuple of int
        Clusters of each classifier.
    fingerprint : dict
        That of the runs, for their checkpoint.
    """

    states: list[dict[str, Any]]
    warm: bool
    same_images: bool
    seed: int
    n_labels: tuple[int, ...]
    fingerprint: dict[str, Any]


def start_of(
    estimator: Any,
    batches: ImageBatches,
    shape: tuple[int, int, int],
    checkpoint: Path | None,
    ranks: Ranks,
) -> Start:
    """From where the runs of a fit go on.

    Parameters
    ----------
    estimator : DeepClusterEstimator
        Its parameters are read, and with `warm_start` its `net_`.
    batches : ImageBatches
        The training images.
    shape : (int, int, int)
        Height, width and channels of the input of the network.
    checkpoint : Path or None
        The file from which the fit goes on, if it exists; of the first process.
    ranks : Ranks

    Returns
    -------
    Start
    """
    n_labels = n_pseudo_labels(estimator, len(batches))
    fingerprint = run_fingerprint(estimator.get_params(deep=False), batches, shape, n_labels, ranks)
    content = None if checkpoint is None else read_checkpoint(checkpoint, fingerprint)
    states = ranks.from_first([] if content is None else content["runs"])
    warm = not states and estimator.warm_start and hasattr(estimator, "net_")
    same_images = True
    if warm:
        states = [state_of(estimator.net_)]
        same_images = _same_images(estimator._fingerprint, fingerprint)
    # Drawn in any case: a RandomState that is given must not depend on what is on the disk.
    seed = check_random_state(estimator.random_state).randint(2**31 - 1)
    seed = ranks.from_first(int(states[0]["seed"] if states else seed))
    return Start(states, warm, same_images, seed, n_labels, fingerprint)


@drawing(True)
def net_of_run(
    estimator: Any,
    start: Start,
    run: int,
    batches: ImageBatches,
    shape: tuple[int, int, int],
    ranks: Ranks,
) -> NeuralNet:
    """The net of a run, initialised, in the state from which it goes on.

    Parameters
    ----------
    estimator : DeepClusterEstimator
        Its parameters are read.
    start : Start
    run : int
        From zero.
    batches : ImageBatches
        The training images.
    shape : (int, int, int)
        Height, width and channels of the input of the network.
    ranks : Ranks

    Returns
    -------
    _DeepClusterNet
    """
    seed = seed_of_run(start.seed, run)
    seed_generators(seed)
    net = new_net(estimator, batches, shape, start.n_labels, seed, ranks.device).initialize()
    if run < len(start.states):
        state = start.states[run]
        _restore(net, state if start.same_images else _without_images(state, net), start.warm)
    share_out(net, ranks)
    return net


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
