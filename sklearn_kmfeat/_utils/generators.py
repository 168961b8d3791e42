"""torch's generators of random numbers, used without a trace; results that repeat."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def preserved_generators(device: torch.device) -> Iterator[None]:
    """Put torch's generators back, when the block ends, to where they were before it.

    Parameters
    ----------
    device : torch.device
        Its generator and that of the CPU are put back.
    """
    devices = [device] if device.type == "cuda" else []
    on_mps = torch.mps.get_rng_state() if device.type == "mps" else None
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            # fork_rng knows no MPS.
            if on_mps is not None:
                torch.mps.set_rng_state(on_mps)


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed the generators of the CPU and of one device, and no others.

    Parameters
    ----------
    seed : int
    device : torch.device
    """
    # torch.manual_seed would seed those of all devices.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


@contextmanager
def deterministic_cudnn() -> Iterator[None]:
    """The same convolutions in every run; the setting is global to the process and is restored."""
    before = torch.backends.cudnn.deterministic
    try:
        torch.backends.cudnn.deterministic = True
        yield
    finally:
        torch.backends.cudnn.deterministic = before
