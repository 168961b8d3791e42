"""The state of a run on disk: written whole or not at all, read without running code."""

import os
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .._utils.fingerprint import checksum, described
from .sources import ImageBatches, some_images

_FORMAT = "sklearn_kmfeat.DeepClusterEstimator"
# Counts what a file holds: 3 since the heads keep their projections under another name.
_VERSION = 3
# Parameters that may change between the parts of a run. Some are compared in another form: the
# pseudo-labels as numbers, the seed where it is one, the number of epochs where the learning rate
# follows it.
_FREE = {
    "callbacks",
    "checkpoint",
    "cluster_space",
    "device",
    "image_shape",
    "layer",
    "max_epochs",
    "n_clusters",
    "n_pseudo_labels",
    "precision",
    "random_state",
    "verbose",
    "warm_start",
}
# Options of a DataLoader that only decide how fast batches are read.
_READING = ("__num_workers", "__persistent_workers", "__prefetch_factor", "__pin_memory")
# Another data set differs everywhere; a thousand images are read in a fraction of an epoch.
_IMAGES_IN_CHECKSUM = 1_000


def write_checkpoint(
    path: str | os.PathLike, fingerprint: dict[str, Any], state: dict[str, Any]
) -> None:
    """Replace the file in one step.

    Parameters
    ----------
    path : path-like
    fingerprint : dict
        Of str, numbers and tuples: what a run must share to go on from here.
    state : dict
        Of tensors, str, numbers, lists and dicts.
    """
    path = Path(path).resolve()
    state = _plain(state)
    content = {"format": _FORMAT, "version": _VERSION, "fingerprint": fingerprint, "state": state}
    content["checksum"] = checksum(fingerprint, state)
    # One name for all writes: what a killed one leaves is overwritten by the next.
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def read_checkpoint(path: str | os.PathLike, fingerprint: dict[str, Any]) -> dict[str, Any] | None:
    """The state in a file, or None where there is no file.

    Parameters
    ----------
    path : path-like
    fingerprint : dict
        That of the run that is to go on.

    Returns
    -------
    dict or None
        Its tensors are on the CPU.

    Raises
    ------
    ValueError
        When the file is damaged, is no checkpoint, or belongs to another run.
    FileNotFoundError
        When there is no folder for it.
    """
    path = Path(path).resolve()
    if not path.exists():
        if not path.parent.is_dir():
            raise FileNotFoundError(f"There is no folder {str(path.parent)!r} for a checkpoint.")
        return None
    content = _content(path)
    known = isinstance(content, dict) and content.get("format") == _FORMAT
    if not known or content.get("version") != _VERSION:
        raise ValueError(
            f"{str(path)!r} is no checkpoint of DeepClusterEstimator (version {_VERSION})."
        )
    parts = [content.get(name) for name in ("fingerprint", "state")]
    if checksum(*parts) != content.get("checksum"):
        raise _damaged(path)
    _refuse_foreign(path, content["fingerprint"], fingerprint)
    return content["state"]


def _content(path):
    with path.open("rb") as file:
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except MemoryError:
            raise
        except Exception as error:  # torch raises many kinds, depending on what is damaged
            raise _damaged(path) from error


def _plain(value):
    """A value with NumPy's numbers replaced by Python's: reading those would run code."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(part) for part in value)
    return value.item() if isinstance(value, np.generic) else value


def _damaged(path):
    return ValueError(
        f"The checkpoint {str(path)!r} is damaged, or no checkpoint, and cannot be read. Choose "
        "another path, or remove the file to start anew."
    )


def run_fingerprint(
    params: dict[str, Any],
    batches: ImageBatches,
    shape: tuple[int, int, int],
    n_labels: tuple[int, ...],
) -> dict[str, Any]:
    """What must be the same for a run to go on from a checkpoint.

    Parameters
    ----------
    params : dict
        Those of the estimator.
    batches : ImageBatches
        The training images. Of arrays, a thousand of them count; of a torch Dataset the names of
        its files where it has `samples`, as an `ImageFolder`, otherwise only how many there are:
        they may differ each time they are read.
    shape : (int, int, int)
        Height, width and channels of the input of the network.
    n_labels : tuple of int
        Clusters of each classifier.

    Returns
    -------
    dict
        Of str, numbers and tuples.
    """
    fingerprint = {name: described(params[name]) for name in params.keys() - _FREE}
    if isinstance(params["random_state"], Integral):
        fingerprint["random_state"] = int(params["random_state"])
    if params["lr_schedule"] != "constant":
        fingerprint["max_epochs"] = params["max_epochs"]
    fingerprint["net_params"] = _without_reading(fingerprint["net_params"])
    numbers = {"n_images": len(batches), "shape": tuple(shape), "n_pseudo_labels": n_labels}
    return fingerprint | numbers | {"checksum of images": _checksum_of_images(batches)}


def _without_reading(net_params):
    """Without the options that only decide how batches are read."""
    if net_params is None:
        return None
    return {name: value for name, value in net_params.items() if not name.endswith(_READING)}


def _checksum_of_images(batches):
    """A checksum of images that are the same each time they are read, otherwise None."""
    if batches.may_vary:
        dataset = getattr(batches.source.source, "dataset", None)
        files = getattr(dataset, "samples", None)
        return checksum(*files) if isinstance(files, list | tuple) else None
    return checksum(*some_images(batches, _IMAGES_IN_CHECKSUM))


def _refuse_foreign(path, fingerprint, expected):
    for name in sorted(fingerprint.keys() | expected.keys()):
        before, now = fingerprint.get(name), expected.get(name)
        if before != now:
            raise ValueError(
                f"The checkpoint {str(path)!r} belongs to another run: its {name} was {before!r}, "
                f"now it is {now!r}. Choose another path, or remove the file to start anew."
            )
