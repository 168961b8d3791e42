"""How a network computes, whatever other people have set or draw."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .._utils.device import matmul_precision
from .._utils.generators import OwnGenerators
from .._utils.settings import standard_settings


@contextmanager
def computing(device: torch.device, precision: str, gradients: bool) -> Iterator[None]:
    """With torch's settings as in a new process, and generators of its own.

    Parameters
    ----------
    device : torch.device
    precision : {"exact", "fast"}
    gradients : bool
    """
    with (
        standard_settings(),
        OwnGenerators(device, draws=False),
        matmul_precision(precision, device),
        torch.set_grad_enabled(gradients),
    ):
        yield
