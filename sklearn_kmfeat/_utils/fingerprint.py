"""Values in a form that can be compared in another process and years later."""

import re
import zlib
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

# Parameters of an estimator that do not decide what it learns, or cannot be compared.
_INCIDENTAL = {"device", "random_state", "verbose"}
# Of zlib.crc32, the highest power in the lowest bit.
_CRC_POLYNOMIAL = 0xEDB88320


def checksum(*values: Any) -> int:
    """A sum over all that the values hold.

    Parameters
    ----------
    *values : tensor, ndarray, dict, list, tuple, str, number or None

    Returns
    -------
    int
    """
    total = 0
    for value in values:
        if isinstance(value, dict):
            value = [part for item in value.items() for part in item]
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()
        if isinstance(value, list | tuple):
            value = checksum(*value)
        raw = value if isinstance(value, np.ndarray) else repr(value).encode()
        total = zlib.crc32(raw, total)
    return total


def described(value: Any) -> Any:
    """A parameter as strings, numbers and tuples, without addresses in memory.

    Of an estimator its class and parameters count, except the random state; of a network its
    layers, and not the weights; of a transform its settings; of a function its name.

    Parameters
    ----------
    value : object

    Returns
    -------
    str, number, tuple, dict or None
        Equal for equal values, also in another process.
    """
    if isinstance(value, dict):
        return {str(name): described(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return tuple(described(part) for part in value)
    if isinstance(value, partial):
        return tuple(described(part) for part in (value.func, value.args, value.keywords))
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind not in "biufc":
        return described(value.tolist())
    if isinstance(value, torch.Tensor | np.ndarray):
        return f"{tuple(value.shape)} ({checksum(torch.as_tensor(value)):08x})"
    named = value if hasattr(value, "__qualname__") else type(value)
    name = f"{named.__module__}.{named.__qualname__}"
    # As scikit-learn's estimators; transforms of torchvision have another `get_params`.
    if hasattr(value, "set_params") and not isinstance(value, type):
        params = value.get_params(deep=False)
        return name, described({key: params[key] for key in sorted(params.keys() - _INCIDENTAL)})
    if isinstance(value, nn.Module) or _is_transform(value):
        return f"{name} ({checksum(without_addresses(value), _shapes(value)):08x})"
    return name


def without_addresses(value: Any) -> str:
    """The `repr` of a value, for people, without addresses in memory."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _is_transform(value):
    """Whether this is a transform of torchvision; their `repr` tells all settings."""
    kinds = type(value).__mro__
    return any(kind.__module__.startswith("torchvision.transforms.") for kind in kinds)


def _shapes(module):
    if not isinstance(module, nn.Module):
        return None
    tensors = module.state_dict(keep_vars=True).items()
    return [(name, tuple(each.shape)) for name, each in tensors if not is_lazy(each)]


def joined_checksums(first: int, second: int, n_bytes: int) -> int:
    """The CRC-32 of two blocks one after the other.

    As in zlib's `crc32_combine`, which Python lacks: zeros are appended to the first block by
    multiplication in GF(2), a matrix for each bit of their number.

    Parameters
    ----------
    first, second : int
        Those of the blocks, as of `zlib.crc32`.
    n_bytes : int
        Length of the second block.
    """
    # The matrix of one zero bit: the polynomial, and a shift; columns as ints.
    matrix = [_CRC_POLYNOMIAL, *(1 << i for i in range(31))]
    for _ in range(3):
        matrix = [_times(matrix, column) for column in matrix]
    while n_bytes:
        if n_bytes & 1:
            first = _times(matrix, first)
        matrix = [_times(matrix, column) for column in matrix]
        n_bytes >>= 1
    return first ^ second


def _times(matrix, vector):
    """Product in GF(2) of a matrix, a list of its columns, and a vector of bits."""
    product = 0
    for i, column in enumerate(matrix):
        if vector >> i & 1:
            product ^= column
    return product
