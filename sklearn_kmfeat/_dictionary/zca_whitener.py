"""ZCA whitening as a transformer of its own."""

from numbers import Real
from typing import Any, Self

import torch
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from .._core.whitening import Moments, Whitening
from .._inputs.check import check_images, set_fitted
from .._inputs.sampling import images_per_batch
from .._utils.device import matmul_precision
from .._utils.settings import standard_settings
from .._utils.tensors import shared_tensor
from .._utils.threads import coarse_threads
from .row_transformer import RowTransformer


class ZCAWhitener(RowTransformer):
    """Whiten by the symmetric matrix that changes the data least.

    With the covariance ``V diag(l) V'`` of the rows, x becomes
    ``(x - mean) V diag(1 / sqrt(l + eps)) V'``. The covariance of the result has the
    eigenvalues ``l / (l + eps)``.

    Parameters
    ----------
    eps : float, default=0.1
        Added to the eigenvalues, in squared units of the data; 0.1 suits 6x6 and 8x8
        colour patches after contrast normalisation, 0.01 larger ones. 0 drops the
        directions in which the data varies by no more than the rounding of its dtype (so does
        an eps below that rounding). Where
        the values of each row sum to zero, as after `ContrastNormalizer`, the direction of
        equal values is dropped for a tiny `eps`, too, which would magnify the rounding of
        that sum.

    Attributes
    ----------
    mean_ : ndarray of shape (d,)
        Mean of the rows.
    whitening_ : ndarray of shape (d, d)
        The symmetric whitening matrix.
    unwhitening_ : ndarray of shape (d, d)
        Its inverse; the pseudo-inverse where ``eps=0`` dropped directions.
    eigenvalues_ : ndarray of shape (d,)
        Of the covariance, in descending order.
    n_samples_seen_ : int
        Rows seen so far.
    n_features_in_ : int
        d.
    feature_names_in_ : ndarray of str
        When `X` has column names.
    image_shape_ : tuple or None
        Shape of the images; None for rows.

    See Also
    --------
    sklearn.decomposition.PCA : ``whiten=True`` whitens, but rotates.

    References
    ----------
    .. [1] Bell, Sejnowski (1997). "The 'independent components' of natural scenes are edge
       filters." Vision Research.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_kmfeat import ZCAWhitener
    >>> rng = np.random.RandomState(0)
    >>> rows = rng.randn(500, 3) @ rng.randn(3, 3)
    >>> white = ZCAWhitener(eps=0).fit_transform(rows)
    >>> bool(np.allclose(np.cov(white.T), np.eye(3)))
    True
    """

    _parameter_constraints = {"eps": [Interval(Real, 0, None, closed="left")]}

    def __init__(self, eps=0.1):
        self.eps = eps

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn mean and covariance.

        Parameters
        ----------
        X : array of shape (n, d), (n, H, W) or (n, H, W, C)
            Integers or floats; an image is one row.
        y : None
            Ignored.

        Returns
        -------
        self : ZCAWhitener
            Fitted.
        """
        return self._fit(X, None)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Add rows; any split of the rows gives the same result as one `fit`.

        Parameters
        ----------
        X : array of shape (n, d), (n, H, W) or (n, H, W, C)
            More rows.
        y : None
            Ignored.

        Returns
        -------
        self : ZCAWhitener
            Fitted.
        """
        return self._fit(X, self._moments if hasattr(self, "_scatter") else None)

    @standard_settings()
    @matmul_precision("exact", torch.device("cpu"))
    @coarse_threads()
    def _fit(self, X, before):
        source = check_images(self, X, reset=before is None)
        if source.shape is None:
            raise ValueError(f"{type(self).__name__} needs rows or images of one size.")
        moments = before or Moments.zero(source.n_features)
        moments = source.added(_moments_of_images, images_per_batch(source), moments)
        fitted = _fitted(moments, self.eps)
        if before is None:
            set_fitted(self, X, source, fitted)
        else:
            self.__dict__.update(fitted)
        return self

    @classmethod
    def from_moments(
        cls, moments: Moments, eps: float, *, zero_sum: bool | None = None
    ) -> "ZCAWhitener":
        """A whitener fitted to given moments.

        Parameters
        ----------
        moments : Moments
            Of the rows to whiten.
        eps : float
            Added to the eigenvalues.
        zero_sum : bool or None, default=None
            Whether the values of each row sum to zero, as after contrast normalisation: the
            direction of equal values is then dropped for a tiny `eps`, which would magnify the
            rounding along it. None: found from the moments.

        Returns
        -------
        ZCAWhitener
            Fitted.
        """
        whitener = cls(eps=eps)
        whitener.__dict__.update(_fitted(moments, eps, zero_sum))
        whitener.n_features_in_ = len(moments.mean)
        whitener.image_shape_ = whitener._dtype = None
        return whitener

    @property
    def _moments(self):
        """What `partial_fit` goes on from."""
        arrays = torch.tensor(self.mean_), torch.tensor(self._scatter)
        return Moments(self.n_samples_seen_, *arrays, self._rounding)

    @property
    def _whitening(self):
        """The map as the core takes it; the arrays are shared where they may be."""
        arrays = self.mean_, self.whitening_, self.unwhitening_
        return Whitening(*map(shared_tensor, arrays))

    def transform(self, X: Any) -> Any:
        """Whiten rows with what was learned in `fit`.

        Parameters
        ----------
        X : array
            Rows or images as in `fit`.

        Returns
        -------
        ndarray
            Of the shape of `X`. float64 if the rows of `fit` were float64, otherwise float32.
        """
        check_is_fitted(self)
        return self._map(X, self._whitening.apply)

    def inverse_transform(self, X: Any) -> Any:
        """Undo `transform`.

        Parameters
        ----------
        X : array
            Whitened rows or images.

        Returns
        -------
        ndarray
            Of the shape of `X`, in the units of the data.
        """
        check_is_fitted(self)
        return self._map(X, self._whitening.invert, back=True)


def _moments_of_images(images):
    return Moments.of(images.flatten(1))


def _fitted(moments, eps, zero_sum=None):
    """The fitted attributes that follow from moments."""
    matrix, inverse, eigenvalues = moments.whitening_matrices(eps, zero_sum)
    return {
        "mean_": moments.mean.numpy().copy(),
        "whitening_": matrix.numpy(),
        "unwhitening_": inverse.numpy(),
        "eigenvalues_": eigenvalues.numpy(),
        "n_samples_seen_": moments.count,
        "_scatter": moments.scatter.numpy().copy(),
        "_rounding": moments.rounding,
    }
