"""Products of matrices, and where their rows are largest."""

import numpy as np
import torch

from .._utils.device import has_bfloat16


def reduced_dtype(precision: str, like: torch.Tensor) -> torch.dtype | None:
    """The dtype to which the factors of products with a tensor are rounded; None: not at all.

    bfloat16 for ``precision="fast"``, float32 and a processor that multiplies in it. On CUDA
    devices ``"fast"`` is a setting of torch (`matmul_precision`).
    """
    fast = precision == "fast" and like.device.type == "cpu" and like.dtype is torch.float32
    return torch.bfloat16 if fast and has_bfloat16() else None


def in_two_parts(values: torch.Tensor, dtype: torch.dtype) -> list[torch.Tensor]:
    """Two tensors of a reduced dtype whose sum has the digits of both."""
    high = values.to(dtype)
    return [high, (values - high).to(dtype)]


def first_of_largest(values: torch.Tensor) -> torch.Tensor:
    """Where values (..., k) are largest, int64 (...); the first place of several."""
    if values.device.type == "cpu":  # with 1,600 values NumPy takes a tenth of torch's time
        return torch.from_numpy(np.asarray(np.argmax(values.numpy(), -1)))
    return values.argmax(-1)


def first_of_smallest(values: torch.Tensor) -> torch.Tensor:
    """As `first_of_largest`, where values are smallest."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.asarray(np.argmin(values.numpy(), -1)))
    return values.argmin(-1)
