"""What torch's tracers and exporters need of the code that they record."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


def is_traced() -> bool:
    """Whether operations are being recorded, for other values than those at hand.

    So it is inside `torch.jit.trace`, `torch.export.export`, `torch.onnx.export` and
    `torch.compile`. No value of a tensor may then decide what is computed.
    """
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def static_size(tensor: torch.Tensor, axis: int) -> int:
    """The size of an axis as a plain number, which a record holds fixed.

    Not for the number of images, which must stay free. In `torch.jit.trace` sizes are tensors,
    and arithmetic with them warns, or becomes part of the record.
    """
    if not torch.jit.is_tracing():
        return int(tensor.shape[axis])
    with _held_fixed():
        return int(tensor.shape[axis])


def constant(values: Any, like: torch.Tensor) -> torch.Tensor:
    """A tensor of numbers, in the dtype and on the device of another one."""
    if not torch.jit.is_tracing():
        return torch.tensor(values, dtype=like.dtype, device=like.device)
    with _held_fixed():
        return torch.tensor(values, dtype=like.dtype, device=like.device)


@contextmanager
def _held_fixed() -> Iterator[None]:
    """Without the warning of `torch.jit.trace` that something becomes fixed: so it shall."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        yield
