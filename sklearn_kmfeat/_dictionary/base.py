"""The machine that all patch learners share: prepare, learn, encode, pool."""

import warnings
from abc import abstractmethod
from numbers import Integral, Real

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

from .._core.contrast import auto_eps, contrast_normalize, mean_variance
from .._core.encoders import ENCODERS
from .._core.kmeans import Dictionary
from .._core.pooling import POOLS
from .._core.streaming import Stream
from .._core.whitening import add_moments, no_moments, row_chunks
from .._inputs.check import check_images, remember, warn_if_flattened
from .._inputs.sampling import (
    cut_patches,
    draw_locations,
    even_counts,
    images_per_batch,
    patch_grid,
)
from .._utils.device import matmul_precision, resolve_device
from .._utils.progress import FitProgress, Tenths
from .._utils.validation import as_pair
from .encoding import Encoding, Pooling
from .parts import Part, attributes_of, parts_of
from .preprocessing import ZCAWhitener, mean_image_variance

# With so many, in all and for each filter, two starts compare as they do on all patches.
_PATCHES_TO_RANK_STARTS = 50_000
_PATCHES_PER_FILTER = 200
_POSITIVE = Interval(Integral, 1, None, closed="left")
_NOT_NEGATIVE = Interval(Real, 0, None, closed="left")


def _makes_rows(estimator):
    return estimator.output == "features"


class PatchBank(
    CallbackSupportMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Base of the estimators that learn a dictionary of patches and encode with it.

    A subclass names its parameters in ``__init__`` and says in `_learn` how the
    dictionary comes out of prepared patches, and in `_n_atoms` how large it is.
    """

    _parameter_constraints = {
        "patch_size": [_POSITIVE, tuple, list],
        "stride": [_POSITIVE, tuple, list],
        "image_shape": [tuple, list, None],
        "n_patches": [_POSITIVE, None],
        "contrast": [StrOptions({"patch", "image"}), None],
        "contrast_eps": [_NOT_NEGATIVE, StrOptions({"auto"})],
        "whiten_eps": [_NOT_NEGATIVE, None],
        "init": [StrOptions({"sample", "k-means++"})],
        "max_iter": [_POSITIVE],
        "tol": [_NOT_NEGATIVE],
        "n_init": [_POSITIVE],
        "encoder": [StrOptions(set(ENCODERS))],
        "alpha": [_NOT_NEGATIVE],
        "knn_fraction": [Interval(Real, 0, 1, closed="right")],
        "split_sign": ["boolean"],
        "pool": [StrOptions(set(POOLS))],
        "pool_grid": [_POSITIVE, tuple, list, None],
        "pool_size": [_POSITIVE, tuple, list, None],
        "output": [StrOptions({"features", "maps"})],
        "device": [str, torch.device, None],
        "precision": [StrOptions({"exact", "fast"})],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    @property
    @abstractmethod
    def _n_atoms(self):
        """Size of the dictionary that was asked for: parameter name and value."""

    # How a filter follows from the patches it wins: see `stream.Stream`.
    _update = "mean"
    _expects_images = False

    @abstractmethod
    def _start(self, patches, rng):
        """Where k-means starts: centres (k, d) from prepared patches (m, d)."""

    @abstractmethod
    def _learn(self, patches, start, on_iteration):
        """A Dictionary from prepared patches (m, d), which stay as they are."""

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn the dictionary.

        An interrupted fit leaves the estimator as it was.

        Parameters
        ----------
        X : array of shape (n, H, W), (n, H, W, C) or (n, f), or list of images
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
        return self._fit(X, check_random_state(self.random_state), y)

    def _fit(self, X, rng, y=None, streaming=False):
        images = check_images(self, X, image_shape=self.image_shape)
        if self._expects_images:
            warn_if_flattened(self, images)
        shared = self._described(images) | self._set_up(X, y, images, rng)
        groups = shared.get("connections_")
        progress = FitProgress(self, X)
        parts, streams = [], []
        with torch.no_grad(), matmul_precision(self.precision):
            image_eps = self._image_eps(images)
            for i, channels in enumerate([None] if groups is None else groups):
                progress.prefix = "" if groups is None else f"group {i + 1}/{len(groups)}: "
                part, stream = self._fit_part(
                    images, channels, image_eps, rng, progress, shared, streaming
                )
                parts.append(part)
                streams.append(stream)
        self._warn_if_fewer([len(part.dictionary.centers) for part in parts])
        fitted = self._fitted(parts, shared)
        progress.end(lambda: fitted)
        remember(self, X, images)
        self.__dict__.update(fitted)
        self._stream = streams if streaming else None
        self._rng = rng if streaming else None
        return self

    def _fit_part(self, images, channels, image_eps, rng, progress, shared, streaming):
        """A Part, and with `streaming` its Stream."""
        size = self._drawn_size(shared)
        prepared, whitener, contrast_eps = self._prepare(
            self._draw(images, size, channels, image_eps, rng, progress), size, image_eps
        )
        part = Part(channels, whitener, contrast_eps, None)

        def preview(dictionary):
            return self._fitted([part._replace(dictionary=dictionary)], shared)

        told = preview if channels is None else None
        dictionary = self._best_of_runs(prepared, rng, progress, told)
        stream = None
        if streaming:
            rows, norms, offset_counts = self._won(prepared, dictionary.centers)
            stream = Stream.begin(dictionary, self._update)
            stream, dictionary = stream.updated(rows, whitener, dictionary.centers, norms)
            dictionary = dictionary._replace(offset_counts=offset_counts)
        return part._replace(dictionary=dictionary), stream

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None):
        """Learn from one more batch of images.

        The first batch sets the epsilon of contrast, where it is ``"auto"``, and runs
        k-means; each later batch first updates the whitening, then gives its patches to
        their filters and updates these once. What is guaranteed: after any number of
        batches the whitening is that of all patches drawn so far, however they were
        split (for one epsilon of contrast), and each filter is the mean (spherical: the
        direction of the gain-weighted sum; random: unchanged) of all patches it has won,
        expressed in the whitening of now. Early patches stay where they were assigned, so
        the result depends on the order of the batches, as with any mini-batch k-means.
        After `fit`, it goes on from there. Each call draws up to `n_patches` patches.
        `counts_` counts over all batches, `inertia_` is that of the last one, `n_iter_`
        grows by one with each.

        Parameters
        ----------
        X : array or list of images
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
            return self._fit(X, check_random_state(self.random_state), y, streaming=True)
        images = check_images(self, X, image_shape=self.image_shape, reset=False)
        self._check_unchanged()
        rng = self._rng or check_random_state(self.random_state)
        parts = parts_of(self)
        streams = self._stream or [Stream.of(part, self._update) for part in parts]
        with torch.no_grad(), matmul_precision(self.precision):
            found = [
                self._updated_part(images, part, stream, rng)
                for part, stream in zip(parts, streams, strict=True)
            ]
        shared = self._described(images)
        shared["image_shape_"] = self.image_shape_
        self.__dict__.update(self._fitted([part for part, _ in found], shared))
        self._stream = [stream for _, stream in found]
        self._rng = rng
        return self

    def _updated_part(self, images, part, stream, rng):
        """A Part and its Stream after one more batch of images."""
        size = self._drawn_size(self.__dict__)
        image_eps = part.contrast_eps if self.contrast == "image" else None
        moments = part.whitener and part.whitener._moments
        prepared, whitener, _ = self._prepare(
            self._cut(images, size, part.channels, image_eps, rng), size, part.contrast_eps, moments
        )
        centers = stream.centers(whitener).to(resolve_device(self.device), images.dtype)
        rows, norms, offset_counts = self._won(prepared, centers)
        stream, dictionary = stream.updated(rows, whitener, norms=norms)
        if offset_counts is not None:
            offset_counts = part.dictionary.offset_counts + offset_counts
        dictionary = dictionary._replace(offset_counts=offset_counts)
        return part._replace(whitener=whitener, dictionary=dictionary), stream

    def _check_unchanged(self, names=None):
        """Refuse parameters that a fitted dictionary cannot follow."""
        now = self._identity()
        for name in names or now:
            if now[name] != self._fitted_with[name]:
                raise ValueError(
                    f"{name} was {self._fitted_with[name]!r} in fit and is {now[name]!r} now: "
                    "call fit again."
                )

    def _identity(self):
        """The parameters that a dictionary cannot do without."""
        name, wanted = self._n_atoms
        return {
            name: wanted,
            "patch_size": as_pair(self.patch_size, "patch_size"),
            "contrast": self.contrast,
            "whitening": self.whiten_eps is not None,
            "algorithm": getattr(self, "algorithm", None),
        }

    def transform(self, X):
        """Encode every location and pool.

        Parameters
        ----------
        X : array or list of images
            In the form and pixel range of `fit`.

        Returns
        -------
        ndarray of shape (n, cells * K')
            For ``output="features"``, in the order (cell row, cell column, filter).
            ``output="maps"`` gives (n, H', W', K'): every location, or every window of
            `pool_size` locations; (n, K') for ready patches. float64 for float64 images,
            otherwise float32.
        """
        images = self._checked(X)
        encoding = Encoding.of(self, images)
        told = Tenths(self, len(images)) if self.verbose else None
        with torch.no_grad(), matmul_precision(self.precision):
            return encoding.features(images, told)

    def _checked(self, X):
        """X for a fitted estimator, whose parameters may have changed since."""
        check_is_fitted(self)
        self._validate_params()
        self._check_unchanged(["patch_size", "contrast"])
        return check_images(self, X, image_shape=self.image_shape, reset=False)

    def predict(self, X):
        """The nearest filter of every location, in whitened space.

        Parameters
        ----------
        X : array or list of images
            In the form and pixel range of `fit`.

        Returns
        -------
        labels : int64 ndarray
            (n, H', W') for images, (n,) for ready patches, and a list of (H', W') for
            images of different sizes. Where groups of channels have filters of their own,
            with one more axis: the nearest of each group.
        """
        images = self._checked(X)
        encoding = Encoding.of(self, images, encoder="hard", split_sign=False)
        with torch.no_grad(), matmul_precision(self.precision):
            labels = encoding.labels(images)
        if images.shape is None:
            return labels
        labels = np.stack(labels)
        return labels[:, 0, 0] if images.ready else labels

    def to_torch(self):
        """The fitted encoder as a torch module.

        Returns
        -------
        torch.nn.Module
            Takes tensors (n, C, H, W) in the pixel range of `fit` and gives the numbers
            of `transform`: (n, features), or maps (n, K', H', W'). Its filters are a
            parameter, so it can be fine-tuned.
        """
        from .torch_module import DenseEncoder

        check_is_fitted(self)
        self._validate_params()
        self._check_unchanged(["patch_size", "contrast"])
        return DenseEncoder.from_bank(self)

    @available_if(_makes_rows)
    def get_feature_names_out(self, input_features=None):
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

    def set_output(self, *, transform=None):
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
        if self.output != "maps":
            return super().set_output(transform=transform)
        if transform is not None:
            self._sklearn_output_config = {"transform": transform}
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    # From images to prepared patches

    @property
    def _n_drawn(self):
        """How many patches to draw: parameter name and value."""
        return "n_patches", self.n_patches

    def _set_up(self, X, y, images, rng):
        """Fitted attributes that come first: `window_size_` and `connections_`, if any."""
        return {}

    def _drawn_size(self, fitted):
        """Height and width of what is drawn, by the fitted attributes."""
        return fitted.get("window_size_") or as_pair(self.patch_size, "patch_size")

    def _won(self, prepared, centers):
        """What filters code of what was drawn.

        Returns
        -------
        The prepared patches, the squared norms that count as their errors before coding (None:
        their own), and how often each offset was chosen (None: there are no windows).
        """
        return prepared, None, None

    def _image_eps(self, images):
        """The epsilon of image contrast."""
        if self.contrast != "image":
            return None
        return self._resolved_eps(lambda: mean_image_variance(images))

    def _draw(self, images, size, channels, image_eps, rng, progress):
        """The patches to learn from."""
        drawn, total = self._n_drawn
        n_batches = None
        if images.shape is not None:
            n_read = min(len(images), total or len(images))
            n_batches = -(-n_read // images_per_batch(images)(images.shape[:2]))
        noun = drawn.removeprefix("n_")
        with progress.task(f"reading {noun}", n_batches) as task:
            patches = self._cut(images, size, channels, image_eps, rng, task.step)
        name, wanted = self._n_atoms
        if len(patches) < wanted:
            raise ValueError(
                f"{name}={wanted} needs at least as many {noun}, but n_samples={len(images)} "
                f"images gave only {len(patches)}."
            )
        return patches

    def _cut(self, images, size, channels, image_eps, rng, on_batch=None):
        drawn = "window_size" if "window_size" in self._parameter_constraints else "patch_size"
        grid = patch_grid(size, self.stride, images, drawn)
        available = grid.n_locations(images.sizes)
        total = self._n_drawn[1]
        counts = even_counts(available, available.sum() if total is None else total, rng)
        locations = draw_locations(available, counts, rng)
        device = resolve_device(self.device)
        [patches] = cut_patches(
            images,
            grid,
            locations,
            device,
            image_eps=image_eps,
            groups=[channels],
            on_batch=on_batch,
        )
        return patches

    def _prepare(self, patches, size, contrast_eps, moments=None):
        """Normalise the contrast and whiten, in place.

        Parameters
        ----------
        patches : tensor of shape (m, d)
        size : (int, int)
            Their height and width.
        contrast_eps : float or None
            None: to be found.
        moments : Moments or None, default=None
            Of the patches before these.

        Returns
        -------
        The patches, the whitener and the epsilon of contrast.
        """
        if self.contrast == "patch":
            if contrast_eps is None:
                contrast_eps = self._resolved_eps(lambda: mean_variance(patches))
            for chunk in row_chunks(patches):
                contrast_normalize(chunk, contrast_eps, out=chunk)
        if self.whiten_eps is None:
            return patches, None, contrast_eps
        moments = add_moments(moments or no_moments(patches.shape[1]), patches)
        whitener = ZCAWhitener.from_moments(moments, self.whiten_eps)
        return whitener._whiten(patches, out=patches), whitener, contrast_eps

    def _resolved_eps(self, variance):
        return auto_eps(variance()) if self.contrast_eps == "auto" else float(self.contrast_eps)

    # From prepared patches to fitted attributes

    def _best_of_runs(self, prepared, rng, progress, preview):
        """The best of `n_init` runs; of many patches, a part decides which start is best."""
        enough = max(_PATCHES_TO_RANK_STARTS, _PATCHES_PER_FILTER * self._n_atoms[1])
        trial = prepared
        if self.n_init > 1 and len(prepared) > 2 * enough:
            order = torch.from_numpy(rng.permutation(len(prepared))[:enough])
            trial = prepared[order.to(prepared.device)]
        best = None
        for _ in range(self.n_init):
            found, stopped = self._run(trial, self._start(trial, rng), progress, preview)
            if best is None or found.inertia < best.inertia:
                best = found
            if stopped:
                break
        if trial is prepared:
            return best
        start = best.centers
        if len(start) < self._n_atoms[1]:  # the part has fewer different patches
            start = self._start(prepared, rng)
        return self._run(prepared, start, progress, preview)[0]

    def _run(self, patches, start, progress, preview):
        """One run of k-means, and whether a callback stopped it."""
        with progress.task("k-means", self.max_iter) as task:

            def on_iteration(centers, inertia):
                counts = torch.zeros(len(centers), dtype=torch.int64)
                now = Dictionary(centers, counts, inertia, task.n_steps + 1)
                told = preview and (lambda: preview(now))
                return task.step(f", inertia {inertia:.6g}", told)

            return self._learn(patches, start, on_iteration), task.stopped

    def _described(self, images):
        """The fitted attributes that follow from the images."""
        grid = patch_grid(self.patch_size, self.stride, images)
        return {
            "image_shape_": images.image_shape,
            "_fitted_with": self._identity(),
            "_locations": Pooling.of(self).locations(images, grid),
        }

    def _fitted(self, parts, shared):
        """All fitted attributes."""
        attributes = shared | attributes_of(parts)
        centers = attributes["cluster_centers_"]
        shape = self._filter_shape(centers, attributes["image_shape_"])
        return attributes | {"filters_": centers.reshape(len(centers), *shape)}

    @property
    def _n_features_out(self):
        cells = Pooling.of(self).n_cells(self._locations)
        return cells * len(self.cluster_centers_) * (1 + self.split_sign)

    def _filter_shape(self, centers, image_shape):
        size = as_pair(self.patch_size, "patch_size")
        width = centers.shape[1]
        if image_shape is None and width % (size[0] * size[1]):
            return (1, 1, width)
        return (*size, width // (size[0] * size[1]))

    def _warn_if_fewer(self, n_found):
        """Warn where one of the parts, whose sizes these are, has too few filters."""
        name, wanted = self._n_atoms
        if min(n_found) < wanted:
            what = "patches" if len(n_found) == 1 else "patches of some groups of channels"
            warnings.warn(
                f"Only {min(n_found)} different filters came out of {name}={wanted}: the {what} "
                "have no more different values than that.",
                ConvergenceWarning,
                stacklevel=3,
            )
