"""Devices and precision."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from .settings import SharedSetting
from .warn import warn


def resolve_device(device: Any) -> torch.device:
    """The torch device that a `device` parameter means.

    Parameters
    ----------
    device : str, torch.device or None
        None is the CPU; ``"auto"`` the first of CUDA, MPS and CPU that is there.

    Returns
    -------
    torch.device

    Raises
    ------
    ValueError
        When the device is unknown or not there.
    """
    if device is None:
        return torch.device("cpu")
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"device must be None, 'auto', or a torch device such as 'cuda' or 'cuda:1', got "
            f"{device!r}."
        ) from error
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available.get(resolved.type, False):
        raise ValueError(f"device={device!r} was asked for, but this machine has none.")
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device={device!r} was asked for, but CUDA devices here are 0 to "
            f"{torch.cuda.device_count() - 1}."
        )
    return resolved


def device_of_model(device: str) -> str:
    """The device that a model was on, or the CPU, with a warning, if it is not there.

    Parameters
    ----------
    device : str

    Returns
    -------
    str
    """
    try:
        return str(resolve_device(device))
    except ValueError:
        warn(f"This model was fitted on device={device!r}, which is not there: now it is on 'cpu'.")
        return "cpu"


def _products_of_float32(backend):
    """The setting of a backend: "exact", "fast", or torch's name for what was there."""

    def put(value):
        name = {"exact": "ieee", "fast": "tf32"}.get(value, value)
        now = backend.fp32_precision
        # "none" is exact, too, and what most processes have.
        if now != name and (value != "exact" or now != "none"):
            backend.fp32_precision = name

    return SharedSetting(lambda: backend.fp32_precision, put)


_CPU_PRODUCTS = _products_of_float32(torch.backends.mkldnn.matmul)
_CUDA_PRODUCTS = _products_of_float32(torch.backends.cuda.matmul)


def _set_deterministic(value):
    torch.backends.cudnn.deterministic = value


_CUDNN_DETERMINISTIC = SharedSetting(lambda: torch.backends.cudnn.deterministic, _set_deterministic)


@contextmanager
def matmul_precision(precision: str, device: torch.device | None = None) -> Iterator[None]:
    """Products of float32 run in full or, for ``"fast"`` on CUDA devices, in TF32 inside the block.

    For the CPU they are exact: what may be rounded there is rounded before it is multiplied
    (`reduced_dtype`). Without a device, as for CUDA. torch has one setting of each kind of device
    for the whole process: a call that needs another precision of CUDA's products than those which
    are running in other threads waits for them; a call on a CPU leaves CUDA's alone.
    """
    on_cpu = device is not None and device.type == "cpu"
    with _CPU_PRODUCTS.held("exact"), nullcontext() if on_cpu else _CUDA_PRODUCTS.held(precision):
        yield


@contextmanager
def deterministic_cudnn(device: torch.device) -> Iterator[None]:
    """The same convolutions in every run, on a CUDA device."""
    if device.type != "cuda":
        yield
        return
    with _CUDNN_DETERMINISTIC.held(True):
        yield


def autocast(precision: str, device: Any) -> torch.autocast:
    """Run a network in bfloat16 inside the block, for ``"fast"``, where the hardware has it.

    Parameters
    ----------
    precision : {"exact", "fast"}
    device : torch.device

    Returns
    -------
    context manager
    """
    available = {"cuda": True, "cpu": has_bfloat16()}.get(device.type, False)
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "fast" and available)


def has_bfloat16() -> bool:
    """Whether the processor multiplies numbers in bfloat16; old releases of torch cannot tell."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in ("amx_bf16", "avx512_bf16"))
