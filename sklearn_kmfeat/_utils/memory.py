"""How much memory a step may take: what is best for the caches, within scikit-learn's limit."""

import torch
from sklearn import get_config

# Images are read in blocks of this size: from 16 MiB on, the calls cost nothing beside the work.
_READ_BYTES = 64 * 2**20
# Patches and codes of one batch on a CPU. Measured with 1,600 filters of 6x6x3 on two cores:
# larger batches fall out of the cache (10 to 20 % slower at twice these), smaller ones cost calls.
_CPU_COLUMN_BYTES = 24 * 2**20
_CPU_CODE_BYTES = 20 * 2**20


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
