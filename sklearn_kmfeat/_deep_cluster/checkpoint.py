"""The state of a run on disk: written whole or not at all, read without running code."""

import os
import re
import zlib
from functools import partial
from numbers import Integral
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from .sources import DatasetImages, some_images
from .views import of_torchvision

_FORMAT = "sklearn_kmfeat.DeepClusterEstimator"
_VERSION = 2
# Parameters that may change and the run still goes on; pseudo-labels are held against what they
# mean, the seed only where it is given, the number of epochs where the learning rate follows it.
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
_READING = ("__num_workers", "__persistent_workers", "__prefetch_factor", "__pin_memory")
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
        except Exception as error:  # torch raises of all kinds, depending on what is damaged
            raise _damaged(path) from error


def _plain(value):
    """With the numbers of Python in place of NumPy's, which a file without code cannot hold."""
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


def checksum(*values):
    """A sum over all that the values hold.

    Parameters
    ----------
    *values : tensor, ndarray, dict, list, tuple, str, number or None

    Returns
    -------
    int
    """
    found = 0
    for value in values:
        if isinstance(value, dict):
            value = [part for item in value.items() for part in item]
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
        if isinstance(value, list | tuple):
            value = checksum(*value)
        raw = value if isinstance(value, np.ndarray) else repr(value).encode()
        found = zlib.crc32(raw, found)
    return found


def run_fingerprint(params, source, shape, n_labels):
    """What must be the same for a run to go on from a checkpoint.

    Parameters
    ----------
    params : dict
        Of the estimator.
    source : Dataset
        The images. Of arrays, a thousand of them count; of a torch Dataset the names of its files
        where it has `samples`, as an `ImageFolder`, otherwise only how many there are: it may give
        others each time.
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
    found["net_params"] = _deciding(found["net_params"])
    numbers = {"n_images": len(source), "shape": tuple(shape), "n_pseudo_labels": n_labels}
    return found | numbers | {"checksum of images": _checksum_of_images(source)}


def _deciding(net_params):
    """Without what says only how batches are read."""
    if net_params is None:
        return None
    return {name: value for name, value in net_params.items() if not name.endswith(_READING)}


def _checksum_of_images(source):
    if isinstance(source, DatasetImages):
        files = getattr(source.dataset, "samples", None)
        return checksum(*files) if isinstance(files, list | tuple) else None
    return checksum(*some_images(source, _IMAGES_IN_CHECKSUM))


def _described(value):
    """A parameter as something that a checkpoint can hold and a new process can repeat.

    Of networks the layers count, and not the weights, which a checkpoint replaces; of transforms
    their settings; of functions the name.
    """
    if isinstance(value, dict):
        return {str(name): _described(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return tuple(_described(part) for part in value)
    if isinstance(value, partial):
        return tuple(_described(part) for part in (value.func, value.args, value.keywords))
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, torch.Tensor | np.ndarray):
        return f"{tuple(value.shape)} ({checksum(torch.as_tensor(value)):08x})"
    named = value if hasattr(value, "__qualname__") else type(value)
    name = f"{named.__module__}.{named.__qualname__}"
    if isinstance(value, nn.Module) or of_torchvision(value):
        settings = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
        return f"{name} ({checksum(settings, _shapes(value)):08x})"
    return name


def _shapes(module):
    if not isinstance(module, nn.Module):
        return None
    tensors = module.state_dict(keep_vars=True).items()
    return [(name, tuple(each.shape)) for name, each in tensors if not is_lazy(each)]


def _refuse_foreign(path, found, expected):
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            raise ValueError(
                f"The checkpoint {str(path)!r} belongs to another run: there {name} was "
                f"{found.get(name)!r}, here it is {expected.get(name)!r}. Choose another path, or "
                "remove the file to start anew."
            )
