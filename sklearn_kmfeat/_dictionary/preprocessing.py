"""Contrast normalisation and ZCA whitening as transformers of their own."""

from numbers import Real

import numpy as np
import torch
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._core.contrast import auto_eps, contrast_normalize, mean_variance
from .._core.whitening import add_moments, affine_rows, no_moments, zca_matrices
from .._inputs.check import check_images, remember
from .._inputs.sampling import images_per_batch


class _RowTransformer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Transforms each image as one row of numbers and gives it back in its own shape."""

    def _map(self, X, function):
        images = check_images(self, X, reset=False)
        if images.shape is None:
            pixels = (images.read([i]) for i in range(len(images)))
            return [
                function(rows.flatten(1)).numpy().reshape(image.shape)
                for rows, image in zip(pixels, images.images, strict=True)
            ]
        dtype = np.float64 if images.dtype is torch.float64 else np.float32
        result = np.empty((len(images), images.n_features), dtype=dtype)
        for index, batch in images.batches(images_per_batch(images)):
            result[index] = function(batch.flatten(1)).numpy()
        return result.reshape(np.shape(images.data))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class ContrastNormalizer(_RowTransformer):
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
    A. Coates, H. Lee, A. Y. Ng, "An analysis of single-layer networks in unsupervised
    feature learning", AISTATS 2011.

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
    def fit(self, X, y=None):
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
            self.eps_ = auto_eps(mean_image_variance(images))
        else:
            self.eps_ = float(self.eps)
        remember(self, X, images)
        return self

    def transform(self, X):
        """Normalise each row or image.

        Parameters
        ----------
        X : array or list of images
            As in `fit`.

        Returns
        -------
        ndarray, or list of ndarray
            Of the shape of `X`. float64 stays float64, all else becomes float32.
        """
        check_is_fitted(self)
        return self._map(X, lambda rows: contrast_normalize(rows, self.eps_))


class ZCAWhitener(_RowTransformer):
    """Whiten by the symmetric matrix that changes the data least.

    With the covariance ``V diag(l) V'`` of the rows, x becomes
    ``(x - mean) V diag(1 / sqrt(l + eps)) V'``. The covariance of the result has the
    eigenvalues ``l / (l + eps)``.

    Parameters
    ----------
    eps : float, default=0.1
        Added to the eigenvalues, in squared units of the data; 0.1 suits 6x6 and 8x8
        colour patches after contrast normalisation, 0.01 larger ones. 0 drops the
        directions in which the data does not vary.

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
    A. J. Bell, T. J. Sejnowski, "The 'independent components' of natural scenes are edge
    filters", Vision Research 1997.

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
    def fit(self, X, y=None):
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
        return self._update(X, None)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None):
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
        return self._update(X, getattr(self, "_moments", None))

    def _update(self, X, moments):
        images = check_images(self, X, reset=moments is None)
        if images.shape is None:
            raise ValueError(f"{type(self).__name__} needs rows or images of one size.")
        total = moments or no_moments(images.n_features)
        for _, batch in images.batches(images_per_batch(images)):
            total = add_moments(total, batch.flatten(1))
        if moments is None:
            remember(self, X, images)
        return self._set_moments(total)

    def _set_moments(self, moments):
        whitening, unwhitening, eigenvalues = zca_matrices(moments.covariance(), self.eps)
        self._moments = moments
        self.mean_ = moments.mean.numpy().copy()
        self.whitening_ = whitening.numpy()
        self.unwhitening_ = unwhitening.numpy()
        self.eigenvalues_ = eigenvalues.numpy()
        self.n_samples_seen_ = moments.count
        return self

    @classmethod
    def from_moments(cls, moments, eps):
        """A whitener fitted to given moments.

        Parameters
        ----------
        moments : sklearn_kmfeat._core.whitening.Moments
            Of the rows to whiten.
        eps : float
            Added to the eigenvalues.

        Returns
        -------
        ZCAWhitener
            Fitted.
        """
        whitener = cls(eps=eps)._set_moments(moments)
        whitener.n_features_in_ = len(moments.mean)
        whitener.image_shape_ = None
        return whitener

    def transform(self, X):
        """Whiten rows with what was learned in `fit`.

        Parameters
        ----------
        X : array
            Rows or images as in `fit`.

        Returns
        -------
        ndarray
            Of the shape of `X`. float64 stays float64, all else becomes float32.
        """
        check_is_fitted(self)
        return self._map(X, self._whiten)

    def _whiten(self, rows, out=None):
        return affine_rows(rows, self.whitening_, before=-self.mean_, out=out)

    def _unwhiten(self, rows):
        return affine_rows(rows, self.unwhitening_, after=self.mean_)

    def inverse_transform(self, X):
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
        return self._map(X, self._unwhiten)


def mean_image_variance(images):
    """Mean over images of the variance of their pixels (ddof=1)."""
    total = 0.0
    for _, batch in images.batches(images_per_batch(images)):
        total += mean_variance(batch.flatten(1)) * len(batch)
    return total / len(images)
