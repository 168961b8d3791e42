"""The base of transformers that take each image as one row."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin

from .._inputs.base import numpy_dtype
from .._inputs.check import check_images
from .._inputs.sampling import images_per_batch


class RowTransformer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Transforms each image as one row of numbers and gives it back in its own shape.

    A subclass defines in `transform`, by calling `_map`, which function from rows (n, d) to rows
    (n, d) that is.
    """

    @abstractmethod
    def transform(self, X: Any) -> Any:
        """Transform each image."""

    def _map(self, X: Any, function: Callable[[torch.Tensor], torch.Tensor]):
        source = check_images(self, X, reset=False)
        if source.shape is None:
            return self._map_each(source, function)
        result = np.empty((len(source), source.n_features), dtype=numpy_dtype(source.dtype))
        for index, batch in source.batches(images_per_batch(source)):
            result[index] = function(batch.flatten(1)).numpy()
        return result.reshape(len(source), *source.stored_shape(0))

    def _map_each(self, source, function):
        """A list of images that may differ in size; grey ones without an axis for channels."""
        results = []
        for i in range(len(source)):
            pixels = source.read([i])
            rows = function(pixels.flatten(1)).numpy()
            results.append(rows.reshape(source.stored_shape(i)))
        return results

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
