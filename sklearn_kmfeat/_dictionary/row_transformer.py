"""The base of transformers that take each image as one row."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.metaestimators import available_if

from .._inputs.check import check_images
from .._inputs.sampling import images_per_batch
from .._inputs.values import numpy_dtype
from .._utils.container import set_container
from .._utils.device import matmul_precision
from .._utils.settings import standard_settings
from .._utils.threads import coarse_threads
from .._utils.version import Versioned


def _gives_rows(estimator):
    return getattr(estimator, "image_shape_", None) is None


class RowTransformer(Versioned, OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Transforms each image as one row of numbers and gives it back in its own shape.

    A subclass defines in `transform`, by calling `_map`, which function from rows (n, d) to rows
    (n, d) that is.
    """

    #: Whether `sklearn_kmfeat.dask.fit` takes it.
    _fits_blocks = True

    @abstractmethod
    def transform(self, X: Any) -> Any:
        """Transform each image."""

    @standard_settings()
    @matmul_precision("exact", torch.device("cpu"))
    @coarse_threads()
    def _map(self, X: Any, function: Callable[[torch.Tensor], torch.Tensor], back: bool = False):
        source = check_images(self, X, reset=False, pixels_of_fit=not back)
        if source.shape is None:
            return self._map_each(source, function)
        dtype = self._dtype or numpy_dtype(source.dtype)
        result = np.empty((len(source), source.n_features), dtype=dtype)
        for index, batch in source.batches(images_per_batch(source)):
            result[index] = function(batch.flatten(1)).numpy()
        return result.reshape(len(source), *source.stored_shape(0))

    def _map_each(self, source, function):
        """A list of images that may differ in size; grey ones without an axis for channels."""
        results = []
        for i in range(len(source)):
            pixels = source.read([i])
            rows = function(pixels.flatten(1)).numpy().astype(self._dtype, copy=False)
            results.append(rows.reshape(source.stored_shape(i)))
        source.seen.end()
        return results

    @available_if(_gives_rows)
    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the features.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Those of `X`; None: its column names, or ``x0``, ``x1``, ...

        Returns
        -------
        ndarray of str
            The same names. Only for rows: images stay images.
        """
        return super().get_feature_names_out(input_features)

    def set_output(self, *, transform: str | None = None) -> Self:
        """Choose the container of `transform` for rows; images stay arrays.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"} or None, default=None
            As in scikit-learn.

        Returns
        -------
        self : estimator
            This one.
        """
        return set_container(self, transform)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
