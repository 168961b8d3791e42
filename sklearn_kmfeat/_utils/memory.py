"""How much memory a step may take: what is best for the caches, within scikit-learn's limit."""

import os

import torch
from sklearn import get_config

# Cutting patches from 3,000 images of 64x64x3 takes the same time, to a third, in blocks of 1 to
# 256 MiB.
_READ_BYTES = 64 * 2**20
# Patches of a tile and codes of a block on a CPU, of each thread. With 1,600 filters of 6x6x3 and
# two threads, 2 to 10 MiB of codes take the same time, and 20 MiB, which leave the cache, 1.3 times
# as long. One image is enough for the patches, and four cost fewer calls.
_CPU_COLUMN_BYTES = 5 * 2**19
_CPU_CODE_BYTES = 5 * 2**20


def working_memory() -> int:
    """scikit-learn's `working_memory`, in bytes."""
    return int(get_config()["working_memory"] * 2**20)


def read_bytes() -> int:
    """Bytes of the images that are read at once: 64 MiB, or half of `working_memory`."""
    return min(_READ_BYTES, working_memory() // 2)


def scratch_bytes(device: torch.device) -> tuple[int, int]:
    """Bytes for the patches and for the codes that a thread holds.

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
