"""The state of a run on disk: written whole or not at all, read without running code."""

import os
import pickle
import tempfile
import zipfile
import zlib
from numbers import Integral
from pathlib import Path

import numpy as np
import torch

from .sources import DatasetImages

_FORMAT = "sklearn_kmfeat.DeepClusterEstimator"
_VERSION = 1
# Parameters that may change and the run still goes on; pseudo-labels are held against what they
# mean, the seed only where it is given, the number of epochs where the learning rate follows it.
_FREE = {
    "callbacks",
    "checkpoint",
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
_IMAGES_IN_CHECKSUM = 1_000


def write_checkpoint(path, fingerprint, state):
    """Replace the file in one step.

    Parameters
    ----------
    path : path-like
    fingerprint : dict
        Of str, numbers and tuples: what a run must share to go on from here.
    state : dict
        Of tensors, str, numbers, lists and dicts.
    """
    path = Path(path)
    content = {"format": _FORMAT, "version": _VERSION, "fingerprint": fingerprint, "state": state}
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_checkpoint(path, fingerprint):
    """The state in a file, or None where there is no file.

    Parameters
    ----------
    path : path-like
    fingerprint : dict
        Of the run that wants to go on.

    Returns
    -------
    dict or None
        Its tensors are on the CPU.

    Raises
    ------
    ValueError
        When the file is damaged, is no checkpoint, or belongs to another run.
    """
    path = Path(path)
    if not path.exists():
        return None
    try:
        _refuse_damaged(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        known = content["format"] == _FORMAT and content["version"] == _VERSION
    except (RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"The checkpoint {str(path)!r} is damaged and cannot be read. Remove it to start anew."
        ) from error
    except (KeyError, TypeError, IndexError):
        known = False
    if not known:
        raise ValueError(
            f"{str(path)!r} is no checkpoint of DeepClusterEstimator (version {_VERSION})."
        )
    _refuse_foreign(path, content["fingerprint"], fingerprint)
    return content["state"]


def _refuse_damaged(path):
    """The sums that were written with the numbers; torch does not look at them."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"{damaged} has another checksum")


def run_fingerprint(params, source, shape, n_labels):
    """What must be the same for a run to go on from a checkpoint.

    Parameters
    ----------
    params : dict
        Of the estimator.
    source : Dataset
        The images. Of arrays, a thousand of them count; of a torch Dataset only how many: it may
        give others each time.
    shape : (int, int, int)
        Height, width and channels of what the network sees.
    n_labels : tuple of int
        Clusters of each classifier.

    Returns
    -------
    dict
        Of str, numbers and tuples.
    """
    found = {name: _described(params[name]) for name in params.keys() - _FREE}
    if isinstance(params["random_state"], Integral):
        found["random_state"] = int(params["random_state"])
    if params["lr_schedule"] != "constant":
        found["max_epochs"] = params["max_epochs"]
    checksum = None if isinstance(source, DatasetImages) else _checksum(source)
    numbers = {"n_images": len(source), "shape": tuple(shape), "n_pseudo_labels": n_labels}
    return found | numbers | {"checksum of images": checksum}


def _checksum(source):
    n_read = min(len(source), _IMAGES_IN_CHECKSUM)
    places = torch.linspace(0, len(source) - 1, n_read, dtype=torch.float64).long()
    found = 0
    for index in places.split(100):
        block = source.__getitems__(index)[0].cpu().contiguous()
        found = zlib.crc32(block.numpy().tobytes(), found)
    return found


def _described(value):
    """A parameter as something that a checkpoint can hold and a new process can repeat."""
    if isinstance(value, dict):
        return {str(name): _described(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return tuple(_described(part) for part in value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, np.generic):
        return value.item()
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


def _refuse_foreign(path, found, expected):
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            raise ValueError(
                f"The checkpoint {str(path)!r} belongs to another run: there {name} was "
                f"{found.get(name)!r}, here it is {expected.get(name)!r}. Choose another path, or "
                "remove the file to start anew."
            )
