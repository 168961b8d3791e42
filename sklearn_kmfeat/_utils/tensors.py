"""From NumPy to torch."""

import numpy as np
import torch


def shared_tensor(array: np.ndarray) -> torch.Tensor:
    """A tensor that shares the memory of an array where torch can: not of a read-only one.

    Models that joblib maps into memory are read-only.
    """
    return torch.from_numpy(array if array.flags.writeable else array.copy())
