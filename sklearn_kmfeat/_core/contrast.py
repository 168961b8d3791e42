"""Contrast normalisation of patches and images."""

from dataclasses import dataclass

import torch

from .._utils.tracing import static_size

# Coates's 10 on CIFAR-10 patches in 0..255, as a share of their mean variance.
EPS_SHARE = 0.0065
# A deviation of so many roundings of the mean is no contrast: the mean of a constant vector is
# wrong by up to two of them for 27 and 108 values, by up to four for 3,072.
_ROUNDINGS = 8


def contrast_normalize(
    x: torch.Tensor,
    eps: float,
    dim: int = -1,
    out: torch.Tensor | None = None,
    scratch: torch.Tensor | None = None,
) -> torch.Tensor:
    """Subtract the mean and divide by the standard deviation along one axis.

    Computes ``(x - mean) / sqrt(var + eps)`` with ``ddof=1`` (Coates, Lee & Ng
    2011). A vector that is constant up to rounding becomes exactly zero, at every
    grey level and for every `eps`.

    Parameters
    ----------
    x : tensor of floats
        Any shape.
    eps : float
        Added to the variance; in squared pixel units.
    dim : int, default=-1
        The axis that holds the values of one patch.
    out : tensor or None, default=None
        Where to write, of the same shape; may be `x`. None: a new tensor.
    scratch : tensor or None, default=None
        Memory of the same shape for intermediate results.

    Returns
    -------
    tensor
        Of the same shape.
    """
    centered, scale = center_and_scale(x, eps, dim, out, scratch)
    return torch.mul(centered, scale, out=out)


def center_and_scale(
    x: torch.Tensor,
    eps: float,
    dim: int = -1,
    out: torch.Tensor | None = None,
    scratch: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The two factors of `contrast_normalize`: what is centered, and what it is multiplied by.

    Parameters
    ----------
    x, eps, dim, out, scratch
        As in `contrast_normalize`.

    Returns
    -------
    centered : tensor
        Of the shape of `x`.
    scale : tensor
        Of length one along `dim`; zero where the vector is constant up to rounding.
    """
    mean = x.mean(dim, keepdim=True)
    centered = torch.sub(x, mean, out=out)
    squares = torch.mul(centered, centered, out=scratch)
    var = squares.sum(dim, keepdim=True) / max(static_size(x, dim) - 1, 1)
    rounding = (_ROUNDINGS * torch.finfo(x.dtype).eps * mean).square()
    flat = var <= rounding
    return centered, (var + eps).masked_fill(flat, 1.0).rsqrt().masked_fill(flat, 0.0)


@dataclass(frozen=True)
class ContrastVariance:
    """Sum over vectors of their variance (ddof=1); those of two sets merge with ``+``.

    Attributes
    ----------
    total : float
    count : int
        Vectors.
    """

    total: float = 0.0
    count: int = 0

    @classmethod
    def of(cls, x: torch.Tensor) -> "ContrastVariance":
        """That of vectors (..., d)."""
        width = x.shape[-1]
        centered = x - x.mean(-1, keepdim=True)
        wide = torch.float32 if x.device.type == "mps" else torch.float64
        total = centered.square_().sum(-1).sum(dtype=wide).item()
        return cls(total / max(width - 1, 1), x.numel() // width)

    def __add__(self, other: "ContrastVariance") -> "ContrastVariance":
        return ContrastVariance(self.total + other.total, self.count + other.count)

    @property
    def mean(self) -> float:
        """Mean variance of a vector."""
        return self.total / max(self.count, 1)


def auto_eps(variance: ContrastVariance) -> float:
    """The `eps` that follows the data's scale; 1 where the data has no contrast."""
    return EPS_SHARE * variance.mean if variance.mean > 0 else 1.0
