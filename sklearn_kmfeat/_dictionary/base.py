"""What all learners of dictionaries share.

    fit        X -> ImageSource -> samples -> prepared samples -> filters
                                                 |                  |      training.py, learners.py
                                           contrast_eps_     cluster_centers_
                                           whitener_                |
                                                 v                  v
    transform  X -> ImageSource -> patches -> prepared patches -> affinities -> codes -> cells
    predict    X -> ImageSource -> ...                            affinities -> nearest filter
    to_torch   tensor -----------> ...                            affinities -> codes -> cells
                                                                           patch_encoder.py

An estimator stores its parameters, checks X, hands both down, and sets all fitted attributes at
once. No lower module refers to the estimator.
"""

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import contextmanager
from numbers import Real
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._core.encoders import ENCODERS
from .._core.pooling import POOLS
from .._inputs.base import ImageSource
from .._inputs.check import check_images, set_fitted, warn_if_flattened
from .._inputs.sampling import patch_grid
from .._utils.container import set_container
from .._utils.device import matmul_precision, resolve_device
from .._utils.progress import FitProgress, TransformProgress
from .._utils.settings import standard_settings
from .._utils.threads import coarse_threads
from .._utils.validation import NON_NEGATIVE, POSITIVE_INT, as_pair, names_in
from .._utils.version import Versioned
from .._utils.warn import warn
from .learners import DictionaryLearner
from .parts import Part, attributes_of, parts_of
from .patch_encoder import PatchEncoder, grid_of, pooled_size, pooling_of
from .training import Training


def _makes_rows(estimator):
    return estimator.output == "features"


@contextmanager
def _computing(precision, device):
    """Without gradients, in the precision asked for, and in threads that share little."""
    with torch.no_grad(), matmul_precision(precision, resolve_device(device)), coarse_threads():
        yield


class PatchDictionary(
    Versioned,
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
):
    """Base of the estimators that learn a dictionary of patches and encode with it.

    The contract for a subclass: it stores its parameters in ``__init__``, with constraints for
    those of its own, names three of them in the attributes below, and makes its
    `DictionaryLearner` in `_learner`. What must be decided from X and y before, it decides in
    `_choose`.

    Attributes
    ----------
    _size_name, _count_name, _sample_size_name : str
        The names of the parameters for the size of the dictionary, the number of samples, and
        the size of a sample.
    _expects_images : bool
        Whether ready patches that look like flattened images are warned about.
    _takes_maps : bool
        Whether maps of a first layer are usual, which may look like images with channels first.
    """

    _parameter_constraints = {
        "patch_size": [POSITIVE_INT, tuple, list],
        "stride": [POSITIVE_INT, tuple, list],
        "image_shape": [tuple, list, None],
        "contrast": [StrOptions({"patch", "image"}), None],
        "contrast_eps": [NON_NEGATIVE, StrOptions({"auto"})],
        "whiten_eps": [NON_NEGATIVE, None],
        "init": [names_in(DictionaryLearner.seedings), StrOptions({"auto"})],
        "max_iter": [POSITIVE_INT],
        "tol": [NON_NEGATIVE],
        "n_init": [POSITIVE_INT],
        "encoder": [names_in(ENCODERS)],
        "alpha": [NON_NEGATIVE],
        "knn_fraction": [Interval(Real, 0, 1, closed="right")],
        "split_sign": ["boolean"],
        "mirror": ["boolean"],
        "pool": [StrOptions(set(POOLS))],
        "pool_grid": [POSITIVE_INT, tuple, list, None],
        "pool_size": [POSITIVE_INT, tuple, list, None],
        "pool_stride": [POSITIVE_INT, tuple, list, None],
        "output": [StrOptions({"features", "maps"})],
        "device": [str, torch.device, None],
        "precision": [StrOptions({"exact", "fast"})],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    _size_name = "n_filters"
    _count_name = "n_patches"
    _sample_size_name = "patch_size"
    _expects_images = False
    _takes_maps = False
    #: Whether `sklearn_kmfeat.dask.fit` takes it.
    _fits_blocks = True

    @abstractmethod
    def _learner(self, chosen: Mapping[str, Any]) -> DictionaryLearner:
        """How the dictionary is learned, from the parameters and what `_choose` gave."""

    def _choose(self, X: Any, y: Any, source: ImageSource, rng: np.random.RandomState) -> dict:
        """Fitted attributes that are decided before any sample is drawn.

        With ``_channel_groups``, a list of int arrays, each of them gets a dictionary of its own.
        """
        return {}

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: None = None) -> Self:
        """Learn the dictionary.

        An interrupted fit leaves the estimator as it was.

        Parameters
        ----------
        X : array, ImageFiles, list of images or torch Dataset
            Integers or floats in any range; see the class for the forms.
        y : None
            Ignored.

        Returns
        -------
        self : estimator
            Fitted.

        Raises
        ------
        ValueError
            For images that do not fit the parameters: a patch larger than an image,
            fewer patches than filters, NaN or infinity, and the like.
        """
        return self._fit(X, y)

    @standard_settings()
    def _fit(self, X, y=None, streaming=False):
        rng = check_random_state(self.random_state)
        by_image = self.contrast == "image" and self.contrast_eps == "auto"
        source = check_images(self, X, image_shape=self.image_shape, image_contrast=by_image)
        if self._expects_images:
            warn_if_flattened(self, source)
        chosen = self._seen(source) | self._choose(X, y, source, rng)
        progress = FitProgress(self, X, y)

        def preview(part: Part) -> dict:
            return self._fitted([part], chosen)

        with _computing(self.precision, self.device):
            parts = self._training(chosen).learn(source, rng, progress, preview, streaming)
        _warn_if_fewer(parts, self._size_name, getattr(self, self._size_name))
        fitted = self._fitted(parts, chosen) | {"_rng": rng if streaming else None}
        progress.end(lambda: fitted)
        set_fitted(self, X, source, fitted)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    @standard_settings()
    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """Learn from one more batch of images.

        The first batch sets the epsilon of contrast, where it is ``"auto"``, and runs
        k-means; each later batch first updates the whitening, then gives its patches to
        their filters and updates these once. What is guaranteed: after any number of
        batches the whitening is that of all patches drawn so far, however they were
        split (for one epsilon of contrast), and each filter is the mean (spherical: the
        direction of the gain-weighted sum; random: unchanged) of all patches assigned to it,
        expressed in the current whitening. Early patches stay where they were assigned, so
        the result depends on the order of the batches, as with any mini-batch k-means.
        After `fit`, it goes on from there. Each call draws up to `n_patches` patches.
        `counts_` counts over all batches, `inertia_` is that of the last one, `n_iter_`
        grows by one with each.

        Parameters
        ----------
        X : array, ImageFiles, list of images or torch Dataset
            As in `fit`. The first batch must hold at least as many different patches as
            there are filters.
        y : array-like or None, default=None
            As in `fit`; only the first batch may need it.

        Returns
        -------
        self : estimator
            Fitted.
        """
        if not hasattr(self, "cluster_centers_"):
            return self._fit(X, y, streaming=True)
        source = check_images(self, X, image_shape=self.image_shape, reset=False)
        self._check_unchanged()
        rng = self._rng or check_random_state(self.random_state)
        with _computing(self.precision, self.device):
            parts = self._training(vars(self)).learn_more(source, parts_of(self), rng)
        chosen = self._seen(source) | {"image_shape_": self.image_shape_}
        self.__dict__.update(self._fitted(parts, chosen) | {"_rng": rng})
        return self

    @standard_settings()
    def transform(self, X: Any) -> np.ndarray:
        """Encode every location and pool.

        Parameters
        ----------
        X : array, ImageFiles, list of images or torch Dataset
            In the form and pixel range of `fit`.

        Returns
        -------
        ndarray of shape (n, cells * K')
            For ``output="features"``, in the order (cell row, cell column, filter).
            ``output="maps"`` gives (n, H', W', K'): every location, or every window of
            `pool_size` locations; (n, K') for ready patches. float64 if the images of `fit`
            were float64, otherwise float32.
        """
        source = self._checked(X)
        progress = TransformProgress(self, len(source)) if self.verbose else None
        with _computing(self.precision, self.device):
            encoder, dtype = self._encoder(source), self.cluster_centers_.dtype
            return encoder.encode(source, progress, dtype, self.precision)

    @standard_settings()
    def predict(self, X: Any) -> np.ndarray | list[np.ndarray]:
        """The nearest filter of every location, in whitened space.

        Parameters
        ----------
        X : array, ImageFiles, list of images or torch Dataset
            In the form and pixel range of `fit`.

        Returns
        -------
        labels : int64 ndarray
            (n, H', W') for images, (n,) for ready patches, and a list of (H', W') for
            images of different sizes. Where groups of channels have filters of their own,
            with one more axis: the nearest of each group.
        """
        source = self._checked(X)
        with _computing(self.precision, self.device):
            labels = self._encoder(source).assign(source, self.precision)
        if source.shape is None:
            return labels
        labels = np.stack(labels)
        return labels[:, 0, 0] if source.ready else labels

    @standard_settings()
    def to_torch(self) -> PatchEncoder:
        """The fitted encoder as a torch module.

        Returns
        -------
        torch.nn.Module
            Takes tensors (n, C, H, W) in the pixel range of `fit` and gives the numbers
            of `transform`: (n, features), or maps (n, K', H', W'). Its filters are a
            parameter, so it can be fine-tuned.
        """
        self._check_fitted()
        return PatchEncoder.from_fitted(self)

    @available_if(_makes_rows)
    def get_feature_names_out(self, input_features: None = None) -> np.ndarray:
        """Name the features.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        ndarray of str
            The class name in lower case and a number. Only for ``output="features"``.
        """
        return super().get_feature_names_out(input_features)

    def set_output(self, *, transform: str | None = None) -> Self:
        """Choose the container of `transform`; maps always stay arrays.

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

    @property
    def _n_features_out(self):
        """By the parameters as they are now, which may have changed since the fit."""
        self._check_unchanged(["patch_size"])
        ready = self.image_shape_ is None
        grid, pooling = grid_of(self, ready), pooling_of(self, ready)
        down, across = pooling.n_cells(grid.map_size(self._first_size))
        return down * across * len(self.cluster_centers_) * (1 + self.split_sign)

    # From parameters and X to what is handed down

    def _training(self, chosen):
        return Training(
            learner=self._learner(chosen),
            size_name=self._size_name,
            count_name=self._count_name,
            sample_size_name=self._sample_size_name,
            n_samples=getattr(self, self._count_name),
            n_init=self.n_init,
            stride=self.stride,
            contrast=self.contrast,
            contrast_eps=self.contrast_eps,
            whiten_eps=self.whiten_eps,
            mirror=as_pair(self.patch_size, "patch_size") if self.mirror else None,
            groups=chosen.get("_channel_groups"),
            device=resolve_device(self.device),
        )

    def _encoder(self, source):
        patch_grid(self.patch_size, self.stride, source)
        return PatchEncoder.from_fitted(self, source.dtype, resolve_device(self.device))

    def _checked(self, X):
        """X for a fitted estimator, whose parameters may have changed since."""
        self._check_fitted()
        return check_images(self, X, image_shape=self.image_shape, reset=False)

    def _check_fitted(self):
        check_is_fitted(self)
        self._validate_params()
        self._check_unchanged(["patch_size", "contrast", "mirror"])

    def _check_unchanged(self, names=None):
        """Refuse parameters that a fitted dictionary cannot follow."""
        now = self._identity()
        for name in names or now:
            before, after = self._fitted_with[name], now[name]
            if after != before:
                raise ValueError(_changed_parameter(name, before, after))

    def _identity(self):
        """The parameters that a dictionary cannot do without."""
        return {
            self._size_name: getattr(self, self._size_name),
            "patch_size": as_pair(self.patch_size, "patch_size"),
            "contrast": self.contrast,
            "mirror": self.mirror,
            "whitening": self.whiten_eps is not None,
        }

    # From parts to fitted attributes

    def _seen(self, source):
        """The fitted attributes that follow from the images, once these suit the parameters."""
        grid = patch_grid(self.patch_size, self.stride, source)
        pooled_size(pooling_of(self, source.ready), grid, source)
        return {
            "image_shape_": source.image_shape,
            "_first_size": tuple(source.sizes[0].tolist()),
            "_fitted_with": self._identity(),
        }

    def _fitted(self, parts, chosen):
        """All fitted attributes."""
        attributes = chosen | attributes_of(parts)
        centers = attributes["cluster_centers_"]
        shape = _filter_shape(self, centers, attributes["image_shape_"])
        return attributes | {"filters_": centers.reshape(len(centers), *shape)}


def _filter_shape(learner, centers, image_shape):
    """Height, width and channels of filters (k, d); those of ready patches may have none."""
    height, width = as_pair(learner.patch_size, "patch_size")
    length = centers.shape[1]
    if image_shape is None and length % (height * width):
        return 1, 1, length
    return height, width, length // (height * width)


def _changed_parameter(name, before, after):
    """What changed, in one line: of an estimator among the parameters, one parameter of it."""
    nested = isinstance(before, tuple) and isinstance(after, tuple) and before[:1] == after[:1]
    if nested and isinstance(before[-1], dict):
        part = next(key for key in after[-1] if before[-1].get(key) != after[-1][key])
        name, before, after = f"{name}__{part}", before[-1].get(part), after[-1][part]
    return f"{name} was {before!r} in fit and is {after!r} now: call fit again."


def _warn_if_fewer(parts, size_name, wanted):
    """Warn where one of the parts has fewer filters than were asked for."""
    fewest = min(len(part.dictionary.centers) for part in parts)
    if fewest < wanted:
        what = "patches" if len(parts) == 1 else "patches of some groups of channels"
        warn(
            f"Only {fewest} different filters came out of {size_name}={wanted}: the {what} have "
            "no more different values than that.",
            ConvergenceWarning,
        )
