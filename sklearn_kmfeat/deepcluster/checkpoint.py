"""The state of a run on disk: written whole or not at all, read without running code."""

import os
import pickle
import tempfile
import zipfile
from pathlib import Path

import torch

_FORMAT = "sklearn_kmfeat.DeepClusterEstimator"
_VERSION = 1


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


def read_checkpoint(path, fingerprint, device):
    """The state in a file, or None where there is no file.

    Parameters
    ----------
    path : path-like
    fingerprint : dict
        Of the run that wants to go on.
    device : torch.device

    Returns
    -------
    dict or None

    Raises
    ------
    ValueError
        When the file is damaged, is no checkpoint, or belongs to another run.
    """
    path = Path(path)
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location=device, weights_only=True)
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


def _refuse_foreign(path, found, expected):
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            raise ValueError(
                f"The checkpoint {str(path)!r} belongs to another run: there {name} was "
                f"{found.get(name)!r}, here it is {expected.get(name)!r}. Choose another path, or "
                "remove the file to start anew."
            )
