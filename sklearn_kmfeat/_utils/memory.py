"""How much memory a step may take: what is best for the caches, within scikit-learn's limit."""

import os

import torch
from sklearn import get_config

# Cutting patches from 3,000 images of 64x64x3 takes the same time, to a third, in blocks of 1 to
# 256 MiB.
_READ_BYTES = 64 * 2**20
# Patches and codes of one batch on a CPU. With 1,600 filters of 6x6x3 on two cores, a quarter of
# these takes 1.7 times as long, and more of them no less.
_CPU_COLUMN_BYTES = int(float(os.environ.get("CB", "2.5")) * 2**20)
_CPU_CODE_BYTES = int(float(os.environ.get("KB", "2")) * 2**20)


def working_memory() -> int:
    """scikit-learn's `working_memory`, in bytes."""
    return int(get_config()["working_memory"] * 2**20)


def read_bytes() -> int:
    """Bytes of the images that are read at once: 64 MiB, or half of `working_memory`."""
    return min(_READ_BYTES, working_memory() // 2)


def scratch_bytes(device: torch.device) -> tuple[int, int]:
    """Bytes for the patches and for the codes of one batch.

    Together at most scikit-learn's `working_memory`; less on a CPU, for its cache.
    """
    half = working_memory() // 2
    if device.type != "cpu":
        return half, half
    return min(half, _CPU_COLUMN_BYTES), min(half, _CPU_CODE_BYTES)


def physical_memory() -> int | None:
    """Bytes of memory of the machine, or None where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not a Unix
        return None
