"""Codes of locations: how strongly each filter responds there.

An encoder is one function and one entry in `ENCODERS`. It gets the affinities of all
locations to all filters, (L, K), may overwrite them, and returns the codes, (L, K). Where it is
recorded (`is_traced`), no value may decide what is computed, or it cannot be exported.
The entry names the affinity it gets:

``"response"``
    d.x, the inner product with the whitened patch;
``"nearness"``
    d.x - |d|^2 / 2, which orders the filters as the Euclidean distance does;
``"distance"``
    |x - d|^2, which rounding can make slightly negative;

and names the parameters of the learner that it takes.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from .._utils.tracing import is_traced, static_size


class Encoder(NamedTuple):
    """An entry of `ENCODERS`.

    Attributes
    ----------
    affinity : {"response", "nearness", "distance"}
        What it gets.
    code : callable
        From affinities (L, K), and its parameters as keywords, to codes (L, K).
    parameters : tuple of str, default=()
        Parameters of the learners that it takes.
    """

    affinity: str
    code: Callable[..., torch.Tensor]
    parameters: tuple[str, ...] = ()

    def bind(self, values: Mapping[str, Any]) -> Callable[[torch.Tensor], torch.Tensor]:
        """The function from affinities to codes, with the values of its parameters."""
        return partial(self.code, **{name: values[name] for name in self.parameters})


def hard(nearness: torch.Tensor) -> torch.Tensor:
    """One at the nearest filter, zero elsewhere; the first one where several tie."""
    if is_traced():
        places = torch.arange(static_size(nearness, 1), device=nearness.device)
        return (nearness.argmax(1, keepdim=True) == places).to(nearness.dtype)
    codes = _at_least(nearness, nearness.amax(1, keepdim=True))
    # A tie is rare, and a maximum with a comparison is faster than the place of the maximum.
    if codes.sum() > len(codes):
        tied = (codes.sum(1) > 1).nonzero()[:, 0]
        first = codes[tied].argmax(1)
        codes[tied] = 0
        codes[tied, first] = 1
    return codes


def triangle(distance: torch.Tensor) -> torch.Tensor:
    """max(0, mean distance - distance), Coates, Lee & Ng (2011), equation 3."""
    traced = is_traced()
    if traced or distance.requires_grad:  # the slope of the root at zero is infinite
        distance = distance.clamp_min(torch.finfo(distance.dtype).tiny)
    if traced:
        z = distance.sqrt()
        return (z.mean(1, keepdim=True) - z).relu()
    z = _root_(distance)
    mean = z.mean(1, keepdim=True)
    if mean.sum().isnan():  # the root of a zero that was rounded below zero
        wrong = mean.isnan()[:, 0]
        z[wrong] = z[wrong].nan_to_num(nan=0.0)
        mean[wrong] = z[wrong].mean(1, keepdim=True)
    return torch.sub(mean, z, out=None if z.requires_grad else z).relu_()


def soft_threshold(response: torch.Tensor, *, alpha: float) -> torch.Tensor:
    """max(0, response - alpha), Coates & Ng (2011)."""
    return response.sub_(alpha).relu_() if alpha else response.relu_()


def knn(nearness: torch.Tensor, *, knn_fraction: float) -> torch.Tensor:
    """One at the nearest fraction of the filters, Thiry et al. (2021).

    Filters that tie with the last one admitted are admitted too.
    """
    n_filters = static_size(nearness, 1)
    k = min(n_filters, max(1, round(knn_fraction * n_filters)))
    return _at_least(nearness, _kth_largest(nearness, k))


#: The choices of `encoder`.
ENCODERS = {
    "hard": Encoder("nearness", hard),
    "triangle": Encoder("distance", triangle),
    "soft_threshold": Encoder("response", soft_threshold, parameters=("alpha",)),
    "knn": Encoder("nearness", knn, parameters=("knn_fraction",)),
}


def _root_(values):
    """The root of values, in place; NaN below zero."""
    if values.device.type != "cpu" or values.requires_grad:
        return values.sqrt_()
    # NumPy's root takes 0.85 of the time of torch's, which is MKL's.
    array = values.numpy()
    with np.errstate(invalid="ignore"):
        np.sqrt(array, out=array)
    return values


def _at_least(values, threshold):
    """One where a value reaches the threshold, zero elsewhere."""
    if values.requires_grad or is_traced():
        return values.ge(threshold).to(values.dtype)
    return values.ge_(threshold)


def _kth_largest(values, k):
    if is_traced():
        return values.detach().topk(k, dim=1).values[:, -1:]
    nth = values.shape[1] - k
    if values.device.type == "cpu":  # numpy's selection is four times faster there
        part = np.partition(values.detach().numpy(), nth, axis=1)[:, nth]
        return torch.from_numpy(part)[:, None]
    return values.detach().kthvalue(nth + 1, dim=1, keepdim=True).values
