"""Filters, or cluster centers, as one mosaic of small images."""

import math
from typing import Any, Self

import numpy as np

from ._figure import figure_and_axes
from ._mosaic import as_drawable, in_rows, join_tiles
from ._thumbnails import rows_as_images


class FilterDisplay:
    """Filters, or cluster centers, as one mosaic of small images.

    Make it with :meth:`from_estimator`, or from the filters themselves.

    Parameters
    ----------
    filters : array-like of shape (n_filters, height, width) or (n_filters, height, width, C)
        The filters. One channel is drawn in grey, three in colour; of any other number the mean
        over the channels is drawn in grey, or those that `bands` of :meth:`plot` names.

    Attributes
    ----------
    im_ : matplotlib AxesImage
        The mosaic.

    ax_ : matplotlib Axes
        The axes drawn into.

    figure_ : matplotlib Figure
        The figure of the axes.

    See Also
    --------
    ClusterGalleryDisplay : The images in each cluster.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_kmfeat.displays import FilterDisplay
    >>> rng = np.random.RandomState(0)
    >>> display = FilterDisplay(rng.randn(16, 6, 6, 3)).plot()
    >>> display.im_.get_array().shape
    (27, 27, 3)
    """

    def __init__(self, filters):
        self.filters = filters

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        image_shape: tuple[int, ...] | None = None,
        sort: Any = None,
        ax: Any = None,
        **plot_params: Any,
    ) -> Self:
        """Draw the filters of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted estimator with `filters_`, such as
            :class:`~sklearn_kmfeat.KMeansFilterLearner`, or with `cluster_centers_`, such as
            :class:`~sklearn.cluster.KMeans`.

        image_shape : tuple of int, default=None
            (height, width) or (height, width, C) of the rows of `cluster_centers_`.
            `None`: `filters_` has the shape.

        sort : {"counts"}, default=None
            `"counts"`: the filters that win most often come first (by `counts_`).
            `None`: the estimator's order.

        ax : matplotlib Axes, default=None
            The axes to draw into. `None`: a new figure.

        **plot_params : dict
            More parameters of :meth:`plot`.

        Returns
        -------
        display : FilterDisplay
            The drawn display.
        """
        filters = _filters_of(estimator, image_shape)
        if sort not in (None, "counts"):
            raise ValueError(f"sort must be None or 'counts', got {sort!r}.")
        if sort == "counts":
            filters = filters[np.argsort(-np.asarray(estimator.counts_), kind="stable")]
        return cls(filters).plot(ax=ax, **plot_params)

    def plot(
        self,
        *,
        ax: Any = None,
        n_cols: int | None = None,
        normalize: str | None = "each",
        bands: int | tuple[int, ...] | None = None,
        cmap: Any = "gray",
        imshow_kw: dict | None = None,
    ) -> Self:
        """Draw the mosaic.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw into. `None`: a new figure, large enough for the filters.

        n_cols : int, default=None
            Number of filters in a row. `None`: about as many as there are rows.

        normalize : {"each", "symmetric", "all"}, default="each"
            How values become grey levels or colours. `"each"`: every filter from its smallest to
            its largest value; `"symmetric"`: every filter by its largest absolute value, so that
            zero is mid-grey; `"all"`: all filters from the smallest to the largest value of all,
            so that their contrast can be compared. `None`: values are between 0 and 1 already;
            others are clipped.

        bands : int or tuple of int, default=None
            The channels to draw, counted from 0: three as red, green and blue, as in `(7, 3, 1)`,
            or one in grey. `None`: three channels in colour, of any other number the mean in grey.

        cmap : str or matplotlib Colormap, default="gray"
            The colours of filters that are not in colour themselves.

        imshow_kw : dict, default=None
            More keywords for `ax.imshow`.

        Returns
        -------
        self : FilterDisplay
            The display.

        Raises
        ------
        ValueError
            If `bands` are not one or three channels of the filters.
        """
        filters = as_drawable(np.asarray(self.filters, dtype=np.float64), bands)
        tiles = _normalize(filters, normalize)
        n_cols = n_cols or math.ceil(math.sqrt(len(tiles)))
        mosaic = join_tiles(in_rows(tiles, n_cols), gap=(max(1, tiles.shape[1] // 12),) * 2)
        inches = max(0.5 / tiles.shape[1], 4 / mosaic.shape[1])
        inches = min(inches, 10 / max(mosaic.shape[:2]))
        size = (mosaic.shape[1] * inches, mosaic.shape[0] * inches)
        self.figure_, self.ax_ = figure_and_axes(ax, size)
        options = {"cmap": cmap, "vmin": 0, "vmax": 1, "interpolation": "nearest"}
        self.im_ = self.ax_.imshow(mosaic, **(options | (imshow_kw or {})))
        self.ax_.set_axis_off()
        return self


def _normalize(filters, how):
    """Bring filters into 0..1; what has one value only becomes mid-grey."""
    axes = tuple(range(1, filters.ndim))
    if how is None:
        return filters.clip(0, 1)
    if how == "each":
        low, high = filters.min(axes, keepdims=True), filters.max(axes, keepdims=True)
    elif how == "symmetric":
        high = np.abs(filters).max(axes, keepdims=True)
        low = -high
    elif how == "all":
        low, high = np.array(filters.min()), np.array(filters.max())
    else:
        raise ValueError(f"normalize must be 'each', 'symmetric', 'all' or None, got {how!r}.")
    span = high - low
    scaled = (filters - low) / np.where(span > 0, span, 1)
    return np.where(span > 0, scaled, 0.5)


def _filters_of(estimator, image_shape):
    """Find the filters of an estimator, or its cluster centers as images."""
    filters = getattr(estimator, "filters_", None)
    if filters is not None and image_shape is None:
        return np.asarray(filters)
    centers = getattr(estimator, "cluster_centers_", None)
    if centers is None:
        raise ValueError(
            f"{type(estimator).__name__} has neither filters_ nor cluster_centers_: is it fitted?"
        )
    return rows_as_images(np.asarray(centers), image_shape)
