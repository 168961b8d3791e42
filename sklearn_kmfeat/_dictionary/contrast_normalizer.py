"""Contrast normalisation as a transformer of its own."""

from numbers import Real
from typing import Any, Self

import torch
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._core.contrast import ContrastVariance, auto_eps
from .._core.preparation import Preparation
from .._inputs.base import ImageSource
from .._inputs.check import check_images, set_fitted
from .._inputs.sampling import images_per_batch
from .._utils.settings import standard_settings
from .row_transformer import RowTransformer


class ContrastNormalizer(RowTransformer):
    """Give every patch, or every image, mean zero and about the same contrast.

    Each row becomes ``(x - mean) / sqrt(var + eps)``, with the variance of the row
    itself (``ddof=1``). On whole images this is global contrast normalisation.

    Parameters
    ----------
    eps : "auto" or float, default="auto"
        Added to the variance, in squared pixel units: keeps flat patches from becoming
        noise. ``"auto"`` is 0.0065 times the mean variance of the rows seen in `fit`,
        which is the 10 of Coates, Lee & Ng on CIFAR-10 in 0..255 and follows the data
        to any other pixel range.

    Attributes
    ----------
    eps_ : float
        What is added.
    n_features_in_ : int
        Values of a row, where that is fixed.
    feature_names_in_ : ndarray of str
        When `X` has column names.
    image_shape_ : tuple or None
        Shape of the images; None for rows.

    References
    ----------
    .. [1] Coates, Lee, Ng (2011). "An analysis of single-layer networks in unsupervised feature
       learning." AISTATS.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_kmfeat import ContrastNormalizer
    >>> ContrastNormalizer(eps=1.0).fit_transform(np.array([[0.0, 2.0, 4.0], [7.0, 7.0, 7.0]]))
    array([[-0.89442719,  0.        ,  0.89442719],
           [ 0.        ,  0.        ,  0.        ]])
    """

    _parameter_constraints = {
        "eps": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
    }

    def __init__(self, eps="auto"):
        self.eps = eps

    @_fit_context(prefer_skip_nested_validation=True)
    @standard_settings()
    def fit(self, X: Any, y: Any = None) -> Self:
        """Find `eps_`.

        Parameters
        ----------
        X : array of shape (n, f), (n, H, W) or (n, H, W, C), or list of images
            Integers or floats; each row or image is normalised as a whole.
        y : None
            Ignored.

        Returns
        -------
        self : ContrastNormalizer
            Fitted.
        """
        images = check_images(self, X)
        if self.eps == "auto":
            eps = auto_eps(image_variance(images))
        else:
            eps = float(self.eps)
        set_fitted(self, X, images, {"eps_": eps})
        return self

    def transform(self, X: Any) -> Any:
        """Normalise each row or image.

        Parameters
        ----------
        X : array or list of images
            As in `fit`.

        Returns
        -------
        ndarray, or list of ndarray
            Of the shape of `X`. float64 if the rows of `fit` were float64, otherwise float32.
        """
        check_is_fitted(self)
        # A copy, which may be written to: the rows may be those of the caller.
        return self._map(X, lambda rows: Preparation(self.eps_).apply_(rows.clone()))


def image_variance(source: ImageSource) -> ContrastVariance:
    """The variance of the pixels of each image (ddof=1), of all images together."""
    if source.known_variance is not None:
        return source.known_variance
    return source.added(variance_of_images, images_per_batch(source), ContrastVariance())


def variance_of_images(images: torch.Tensor) -> ContrastVariance:
    """That of a batch (n, H, W, C)."""
    return ContrastVariance.of(images.flatten(1))
