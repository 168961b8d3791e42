"""Patches as a transformer of its own."""

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from .._core.patches import PatchGrid, overlap_average
from .._inputs.check import check_images, set_fitted
from .._inputs.sampling import cut_patches, draw_locations, even_counts, patch_grid
from .._utils.container import in_container, set_container
from .._utils.settings import standard_settings
from .._utils.validation import as_pair
from .._utils.version import Versioned


class PatchExtractor(
    Versioned,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
    auto_wrap_output_keys=None,
):
    """Cut patches out of images.

    The number of rows changes, so this transformer cannot stand in a Pipeline that is
    given `y`, or be cross-validated; the learners of this package cut their own patches.

    Parameters
    ----------
    patch_size : int or (int, int), default=6
        Height and width, in pixels.
    stride : int or (int, int), default=1
        Step from patch to patch, in pixels.
    max_patches : int, float or None, default=None
        Patches per image: a number, or a share of those the image has (0 to 1). They
        are drawn without replacement and stay in the order of the image.
    n_patches : int or None, default=None
        Patches of all images together, drawn evenly over the images, without
        replacement. Not together with `max_patches`. None of both: every patch.
    image_shape : (int, int), (int, int, int) or None, default=None
        What the rows of a two-dimensional `X` are: images (H, W) or (H, W, C). None:
        each row is a ready patch.
    random_state : int, RandomState or None, default=None
        Which patches are drawn.

    Attributes
    ----------
    image_shape_ : tuple or None
        (H, W, C); (None, None, C) for images that differ in size; None for ready patches.
    patch_shape_ : tuple
        (h, w, C).
    n_features_in_ : int
        H * W * C, where it is fixed.
    feature_names_in_ : ndarray of str
        When `X` has column names.

    See Also
    --------
    sklearn.feature_extraction.image.PatchExtractor : Stride 1 and arrays only; draws
        with replacement.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_kmfeat import PatchExtractor
    >>> images = np.arange(32.0).reshape(2, 4, 4)
    >>> extractor = PatchExtractor(patch_size=3)
    >>> patches = extractor.fit_transform(images)
    >>> patches.shape
    (8, 9)
    >>> bool((extractor.inverse_transform(patches)[..., 0] == images).all())
    True
    """

    #: Whether `sklearn_kmfeat.dask.fit` takes it.
    _fits_blocks = True
    _parameter_constraints = {
        "patch_size": [Interval(Integral, 1, None, closed="left"), tuple, list],
        "stride": [Interval(Integral, 1, None, closed="left"), tuple, list],
        "max_patches": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, 1, closed="neither"),
            None,
        ],
        "n_patches": [Interval(Integral, 1, None, closed="left"), None],
        "image_shape": [tuple, list, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        patch_size=6,
        *,
        stride=1,
        max_patches=None,
        n_patches=None,
        image_shape=None,
        random_state=None,
    ):
        self.patch_size = patch_size
        self.stride = stride
        self.max_patches = max_patches
        self.n_patches = n_patches
        self.image_shape = image_shape
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    @standard_settings()
    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters against the images; nothing is learned.

        Parameters
        ----------
        X : array of shape (n, H, W), (n, H, W, C) or (n, f), or list of images
            Integers or floats.
        y : None
            Ignored.

        Returns
        -------
        self : PatchExtractor
            Fitted.

        Raises
        ------
        ValueError
            When a patch is larger than an image, or both `max_patches` and `n_patches`
            are given.
        """
        if self.max_patches is not None and self.n_patches is not None:
            raise ValueError(
                f"Give max_patches (per image) or n_patches (in all), not both: got "
                f"max_patches={self.max_patches} and n_patches={self.n_patches}."
            )
        images = check_images(self, X, image_shape=self.image_shape)
        grid = patch_grid(self.patch_size, self.stride, images)
        shape = (*grid.size, images.n_channels)
        fitted = {"patch_shape_": shape, "_n_features_out": int(np.prod(shape))}
        set_fitted(self, X, images, fitted)
        return self

    @standard_settings()
    def transform(self, X: Any) -> np.ndarray:
        """Cut the patches.

        Parameters
        ----------
        X : array or list of images
            As in `fit`, of any number.

        Returns
        -------
        patches : ndarray of shape (n_patches, h * w * C)
            In the order of the images and, inside an image, row by row; each in the
            order (row, column, channel). float64 if the images of `fit` were float64,
            otherwise float32, in the range of the pixels.
        """
        check_is_fitted(self)
        images = check_images(self, X, image_shape=self.image_shape, reset=False)
        return in_container(self, self._cut(images, self._locations(images)))

    def _locations(self, images):
        """Which patches of each image are cut."""
        grid = patch_grid(self.patch_size, self.stride, images)
        rng = check_random_state(self.random_state)
        available = grid.n_locations(images.sizes)
        return draw_locations(available, self._counts(available, rng), rng)

    def _cut(self, images, locations):
        grid = patch_grid(self.patch_size, self.stride, images)
        [patches] = cut_patches(images, grid, locations, torch.device("cpu"))
        return patches.numpy().astype(self._dtype, copy=False)

    def _counts(self, available, rng):
        if self.n_patches is not None:
            return even_counts(available, self.n_patches, rng)
        if self.max_patches is None:
            return available
        if isinstance(self.max_patches, Integral):
            return np.minimum(available, self.max_patches)
        return np.maximum(1, (self.max_patches * available).astype(int))

    def set_output(self, *, transform: str | None = None) -> Self:
        """Choose the container of the patches.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None, default=None
            As in scikit-learn, but that the rows of a DataFrame have an index of their own: they
            are patches, and not those of `X`.

        Returns
        -------
        self : PatchExtractor
            This one.
        """
        return set_container(self, transform)

    @standard_settings()
    def inverse_transform(self, X: Any) -> np.ndarray:
        """Rebuild images from all their patches.

        Parameters
        ----------
        X : array of shape (n_patches, h * w * C)
            Every patch of every image, as `transform` gives them.

        Returns
        -------
        images : ndarray of shape (n, H, W, C)
            Averages where patches overlap. Ready patches come back as they are.

        Raises
        ------
        ValueError
            When patches were drawn, the images differed in size, or the stride leaves
            pixels without a patch.
        """
        check_is_fitted(self)
        X = np.asarray(X)
        if X.ndim != 2 or X.shape[1] != self._n_features_out:
            raise ValueError(f"Expected patches (n, {self._n_features_out}), got shape {X.shape}.")
        if self.image_shape_ is None:
            return X.copy()
        if self.image_shape_[0] is None or self.max_patches or self.n_patches:
            raise ValueError(
                "Only images of one size can be rebuilt, and only from all their patches "
                "(max_patches=None, n_patches=None)."
            )
        images, covered = self._average(X)
        if not covered.all():
            raise ValueError(
                f"stride={self.stride} leaves {int((~covered).sum())} pixels of each image "
                "without a patch, so the images cannot be rebuilt."
            )
        return images.numpy()

    def _average(self, X):
        height, width, _ = self.image_shape_
        grid = PatchGrid(as_pair(self.patch_size, "patch_size"), as_pair(self.stride, "stride"))
        locations = int(np.prod(grid.map_size((height, width))))
        if len(X) % locations:
            raise ValueError(
                f"Each image has {locations} patches, so {len(X)} rows are no whole number of "
                "images."
            )
        dtype = np.float64 if X.dtype.type is np.float64 else np.float32
        patches = torch.from_numpy(np.array(X, dtype=dtype))
        return overlap_average(patches, self.image_shape_, grid)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
