"""A map of images: each at its place in two dimensions."""

import math
from typing import Any, Self

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from .._cluster_classifier import ClusterClassifier, one_cluster_per_sample
from .._utils.labels import read_labels, to_numpy
from ._encoded import encoded_once
from ._figure import figure_and_axes, pyplot
from ._image_map import Canvas, limits
from ._label_colors import NEUTRAL, label_colors
from ._thumbnails import as_images, natural_size, scaled_size, thumbnails

# Side of the axes of a new figure, in inches.
_SIDE = 7.5
# Pixels of the picture of all thumbnails, an inch: twice those of a screen, so that it prints well.
_RESOLUTION = 200
# Labels that a legend beside the map has room for.
_MOST_NAMES = 24


class EmbeddingDisplay:
    """A map of images: each is a point, and where there is room, its thumbnail.

    What lies close together looks alike to the features. Thumbnails never cover each other, so
    a crowded part of the map shows some of its images. A few that lie far from all others do not
    squash the rest: they are drawn at the edge, in their direction.

    Make it with :meth:`from_estimator` or :meth:`from_predictions`, or directly.

    Parameters
    ----------
    images : array-like, list of images, or any form of images that the estimators take
        Of shape (n_samples, height, width) or (n_samples, height, width, C), or flattened with
        `image_shape`; the images of a list may differ in size. uint8 values are taken as 0..255;
        all others are scaled from the smallest to the largest value drawn, unless they are
        between 0 and 1. NaN is left blank. Only the images that are drawn are read.

    positions : array-like of shape (n_samples, 2)
        The place of each image: right and up.

    labels : array-like of shape (n_samples,), default=None
        The cluster or class of each image, for the colours of points and frames. -1 and what is
        not known (None, NaN) are grey.

    image_shape : tuple of int, default=None
        (height, width) or (height, width, C), when the rows of `images` are flattened images.

    Attributes
    ----------
    positions_ : ndarray of shape (n_samples, 2)
        The place of each image.

    shown_ : ndarray of int
        Which images have a thumbnail, in increasing order.

    im_ : matplotlib AxesImage or None
        All thumbnails, as one picture. `None` if there are none.

    scatter_ : matplotlib PathCollection
        The points.

    ax_ : matplotlib Axes
        The axes drawn into.

    figure_ : matplotlib Figure
        The figure of the axes.

    See Also
    --------
    ClusterGalleryDisplay : Clusters, row by row.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_kmfeat.displays import EmbeddingDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> kmeans = KMeans(n_clusters=10, random_state=0).fit(X)
    >>> display = EmbeddingDisplay.from_estimator(kmeans, X, image_shape=(8, 8))
    >>> display.positions_.shape
    (1797, 2)
    """

    def __init__(self, images, positions, *, labels=None, image_shape=None):
        self.images = images
        self.positions = positions
        self.labels = labels
        self.image_shape = image_shape

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        reducer: Any = None,
        y: Any = None,
        image_shape: tuple[int, ...] | None = None,
        ax: Any = None,
        **plot_params: Any,
    ) -> Self:
        """Draw a map of the features that a fitted estimator gives images.

        The features are those of the estimator's `transform`; of a
        :class:`~sklearn.pipeline.Pipeline` whose last step has none, those that this step gets;
        of a :class:`~sklearn_kmfeat.ClusterClassifier`, those of its clusterer.

        Parameters
        ----------
        estimator : estimator
            A fitted estimator with `transform`, or a Pipeline.

        X : array-like, ImageFiles, list of images or torch Dataset
            The images, in a form that the estimator takes.

        reducer : transformer, default=None
            Brings the features to two dimensions by `fit_transform`, such as
            :class:`~sklearn.manifold.TSNE`. It is cloned, never changed. `None`: two features
            are the places themselves, of more the first two principal components are.

        y : array-like of shape (n_samples,), default=None
            The classes, for the colours. `None`: the colours are what `predict` finds, if the
            estimator has it and it gives one label for each image.

        image_shape : tuple of int, default=None
            (height, width) or (height, width, C), when the rows of `X` are flattened images.

        ax : matplotlib Axes, default=None
            The axes to draw into. `None`: a new figure.

        **plot_params : dict
            More parameters of :meth:`plot`.

        Returns
        -------
        display : EmbeddingDisplay
            The drawn display.

        Raises
        ------
        TypeError
            If the estimator has no `transform`.

        ValueError
            If its features are not a row for each image, or the reducer gives other than two.
        """
        last, rows = encoded_once(estimator, X)
        by_steps = last is not estimator and not hasattr(last, "transform")
        features = _rows(rows, estimator) if by_steps else _features(last, rows, estimator)
        labels = _predicted(last, rows) if y is None else y
        positions = _in_two_dimensions(features, reducer)
        return cls.from_predictions(
            X, positions, labels=labels, image_shape=image_shape, ax=ax, **plot_params
        )

    @classmethod
    def from_predictions(
        cls,
        X: Any,
        positions: Any,
        *,
        labels: Any = None,
        image_shape: tuple[int, ...] | None = None,
        ax: Any = None,
        **plot_params: Any,
    ) -> Self:
        """Draw images at given places.

        Parameters
        ----------
        X : array-like, ImageFiles, list of images or torch Dataset
            The images: (n_samples, height, width), (n_samples, height, width, C), or flattened
            with `image_shape`; those of a list may differ in size.

        positions : array-like of shape (n_samples, 2)
            The place of each image: right and up.

        labels : array-like of shape (n_samples,), default=None
            The cluster or class of each image, for the colours.

        image_shape : tuple of int, default=None
            (height, width) or (height, width, C), when the rows of `X` are flattened images.

        ax : matplotlib Axes, default=None
            The axes to draw into. `None`: a new figure.

        **plot_params : dict
            More parameters of :meth:`plot`.

        Returns
        -------
        display : EmbeddingDisplay
            The drawn display.
        """
        display = cls(X, positions, labels=labels, image_shape=image_shape)
        return display.plot(ax=ax, **plot_params)

    def plot(
        self,
        *,
        ax: Any = None,
        n_images: int | None = None,
        thumbnail_size: float | str = "auto",
        min_distance: float = 1.05,
        bands: int | tuple[int, ...] | None = None,
        legend: bool = True,
        cmap: Any = "gray",
        imshow_kw: dict | None = None,
        scatter_kw: dict | None = None,
    ) -> Self:
        """Draw the map.

        The two axes are stretched to fill the picture, each for itself.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw into. `None`: a new figure.

        n_images : int, default=None
            The most thumbnails drawn. `None`: as many as have room.

        thumbnail_size : float or "auto", default="auto"
            The longer side of a thumbnail, in points (1/72 inch). `"auto"`: the larger, the fewer
            images.

        min_distance : float, default=1.05
            How far apart thumbnails are at least, from center to center, in widths or in heights
            of a thumbnail. At 1 they may touch.

        bands : int or tuple of int, default=None
            The channels to draw, counted from 0: three as red, green and blue, as in `(7, 3, 1)`,
            or one in grey. `None`: three channels in colour, of any other number the mean in grey.

        legend : bool, default=True
            Name the labels, if there are at most 24 different ones.

        cmap : str or matplotlib Colormap, default="gray"
            The colours of images with one channel.

        imshow_kw : dict, default=None
            More keywords for `ax.imshow`.

        scatter_kw : dict, default=None
            More keywords for `ax.scatter`.

        Returns
        -------
        self : EmbeddingDisplay
            The display.

        Raises
        ------
        ValueError
            If `bands` are not one or three channels of the images.
        """
        if min_distance < 1:
            raise ValueError(
                f"min_distance must be at least 1, where thumbnails touch; got {min_distance!r}."
            )
        images = as_images(self.images, self.image_shape)
        self.positions_ = _checked_positions(self.positions)
        labels, unknown = read_labels(self.labels) if self.labels is not None else (None, None)
        check_consistent_length(range(len(images)), self.positions_, labels)
        colors, names = np.full((len(images), 3), NEUTRAL), {}
        if labels is not None:
            colors, names = label_colors(column_or_1d(labels), unknown.ravel())
        names = names if legend and len(names) <= _MOST_NAMES else {}

        beside = 0.5 + 0.08 * max(len(str(name)) for name in names) if names else 0
        self.figure_, self.ax_ = figure_and_axes(ax, (_SIDE + beside, _SIDE))
        inches = (_SIDE, _SIDE) if ax is None else _inches(self.ax_)
        side = _side_in_points(thumbnail_size, inches, len(images)) / 72 * _RESOLUTION
        size = scaled_size(natural_size(images), side)
        shape = tuple(round(_RESOLUTION * length) for length in inches)
        # What has a colour that says something gets a frame that shows it.
        frame = max(2, round(side / (30 if labels is None else 16)))
        canvas = Canvas(shape, size, frame, *limits(self.positions_))
        self.shown_ = canvas.with_room(self.positions_, min_distance, n_images)

        seen = self.positions_.clip(canvas.low, canvas.high)
        options = {"s": _point_area(len(images)), "linewidths": 0, "zorder": 2}
        self.scatter_ = self.ax_.scatter(*seen.T, **(options | {"c": colors} | (scatter_kw or {})))
        self.im_ = None
        if len(self.shown_):
            tiles = thumbnails(images, self.shown_, size, bands=bands)
            tiles = tiles if tiles.ndim == 4 else _coloured(tiles, cmap)
            picture = canvas.picture(tiles, seen[self.shown_], colors[self.shown_])
            options = {"extent": canvas.extent, "zorder": 3}
            self.im_ = self.ax_.imshow(picture, **(options | (imshow_kw or {})))
        _finish(self.ax_, canvas, names, np.any(seen != self.positions_, axis=1).sum())
        return self


def _features(estimator, X, named):
    """A row of features for each image; messages name the second estimator."""
    if isinstance(estimator, ClusterClassifier):
        last, rows = encoded_once(estimator.clusterer_, X)
        by_steps = last is not estimator.clusterer_ and not hasattr(last, "transform")
        return _rows(rows, named) if by_steps else _features(last, rows, estimator.clusterer_)
    if not hasattr(estimator, "transform"):
        raise TypeError(
            f"{type(named).__name__} has no transform, which gives the features of images. "
            "Give EmbeddingDisplay.from_predictions positions instead."
        )
    return _rows(estimator.transform(X), named)


def _rows(features, named):
    """Features, one row for each image."""
    features = features if issparse(features) or isinstance(features, list) else to_numpy(features)
    if getattr(features, "ndim", 0) != 2:
        shape = f" of shape {features.shape}" if hasattr(features, "shape") else ""
        raise ValueError(
            f"A row of features for each image is needed, but {type(named).__name__}.transform "
            f"returned {type(features).__name__}{shape}. Pool them, for example with pool_grid."
        )
    return features


def _in_two_dimensions(features, reducer):
    """Positions (n, 2) of rows of features."""
    if reducer is not None:
        if not hasattr(reducer, "fit_transform"):
            raise TypeError(
                "reducer must be a transformer with fit_transform, such as TSNE(), got "
                f"{reducer!r}."
            )
        positions = to_numpy(clone(reducer).fit_transform(features))
        if positions.ndim != 2 or positions.shape[1] != 2:
            raise ValueError(
                f"reducer must give two columns, but {type(reducer).__name__} returned an array of "
                f"shape {positions.shape}."
            )
        return positions
    if features.shape[1] == 2:
        return features.toarray() if issparse(features) else features
    if features.shape[0] == 1:
        return np.zeros((1, 2))
    n_components = min(2, *features.shape)
    with np.errstate(invalid="ignore"):  # shares of no variance, of images that are all alike
        positions = PCA(n_components, random_state=0).fit_transform(features)
    return np.pad(positions, [(0, 0), (0, 2 - n_components)])


def _predicted(estimator, X):
    """One label for each image, or None."""
    if not hasattr(estimator, "predict"):
        return None
    labels = estimator.predict(X)
    try:
        return one_cluster_per_sample(labels, type(estimator).__name__)
    except ValueError:  # a label for each location of an image
        return None


def _checked_positions(positions):
    positions = check_array(to_numpy(positions), dtype=np.float64, input_name="positions")
    if positions.shape[1] != 2:
        raise ValueError(f"positions must have two columns, got shape {positions.shape}.")
    return positions


def _inches(ax):
    extent = ax.get_window_extent()
    return extent.height / ax.figure.dpi, extent.width / ax.figure.dpi


def _side_in_points(thumbnail_size, inches, n_images):
    """The longer side of a thumbnail."""
    if thumbnail_size != "auto":
        if isinstance(thumbnail_size, str) or not thumbnail_size > 0:
            raise ValueError(
                f"thumbnail_size must be 'auto' or a positive number, got {thumbnail_size!r}."
            )
        return thumbnail_size
    # Half the side of the square that each would have. In less than 21 points nothing is seen.
    return float(np.clip(36 * math.sqrt(inches[0] * inches[1] / n_images), 21, 54))


def _point_area(n_images):
    """In square points."""
    return float(np.clip(6000 / n_images, 5, 24))


def _coloured(tiles, cmap):
    """Thumbnails in grey as colours; what is blank stays so."""
    colored = pyplot().get_cmap(cmap)(tiles)[..., :3]
    colored[np.isnan(tiles)] = np.nan
    return colored


def _finish(ax, canvas, names, n_outside):
    """Set limits, shape and legend of the axes."""
    left, right, bottom, top = canvas.extent
    # The picture is drawn for axes of this shape: another one would distort it.
    ax.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[], aspect="auto")
    ax.set_box_aspect(canvas.shape[0] / canvas.shape[1])
    ax.set_anchor("W")  # otherwise the legend is moved out of the figure
    for spine in ax.spines.values():
        spine.set(color="0.8")
    if n_outside:
        verb = "lies" if n_outside == 1 else "lie"
        ax.set_xlabel(f"{n_outside} {verb} farther out, drawn at the edge", fontsize=8)
    if names:
        from matplotlib.lines import Line2D

        look = {"linestyle": "none", "marker": "o", "markersize": 6}
        handles = [Line2D([], [], color=color, label=name, **look) for name, color in names.items()]
        ax.legend(
            handles=handles, loc="upper left", bbox_to_anchor=(1, 1), fontsize=9, frameon=False
        )
