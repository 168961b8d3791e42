"""Contrast normalisation of patches and images."""

import torch

# Coates's 10 on CIFAR-10 patches in 0..255, as a share of their mean variance.
EPS_SHARE = 0.0065


def contrast_normalize(x, eps, dim=-1, out=None, scratch=None):
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
    centred, scale = centre_and_scale(x, eps, dim, out, scratch)
    return torch.mul(centred, scale, out=out)


def centre_and_scale(x, eps, dim=-1, out=None, scratch=None):
    """The two factors of `contrast_normalize`: what is centred, and what it is multiplied by.

    Parameters
    ----------
    x, eps, dim, out, scratch
        As in `contrast_normalize`.

    Returns
    -------
    centred : tensor
        Of the shape of `x`.
    scale : tensor
        Of length one along `dim`; zero where the vector is constant up to rounding.
    """
    mean = x.mean(dim, keepdim=True)
    centred = torch.sub(x, mean, out=out)
    squares = torch.mul(centred, centred, out=scratch)
    var = squares.sum(dim, keepdim=True) / max(x.shape[dim] - 1, 1)
    rounding = (8 * torch.finfo(x.dtype).eps * mean).square()
    flat = var <= rounding
    return centred, (var + eps).masked_fill(flat, 1.0).rsqrt().masked_fill(flat, 0.0)


def mean_variance(x, dim=-1):
    """Mean over all vectors of their variance (ddof=1), as a float."""
    centred = x - x.mean(dim, keepdim=True)
    total = centred.square_().sum(dim).sum(dtype=_wide(x)).item()
    vectors = x.numel() // x.shape[dim]
    return total / max(x.shape[dim] - 1, 1) / max(vectors, 1)


def auto_eps(variance):
    """The `eps` that follows the data's scale; 1 where the data has no contrast."""
    return EPS_SHARE * variance if variance > 0 else 1.0


def _wide(x):
    return torch.float32 if x.device.type == "mps" else torch.float64
