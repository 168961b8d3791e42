"""Pictures of filters, of clusters and of a training run, as scikit-learn's displays."""

import math

import numpy as np
from sklearn.utils import check_consistent_length

from ._cluster_classifier import centers_of, one_cluster_per_sample
from .metrics import contingency_table, match_clusters


class FilterDisplay:
    """Filters, or cluster centres, as one mosaic of small images.

    Make it with :meth:`from_estimator`, or from the filters themselves.

    Parameters
    ----------
    filters : array-like of shape (n_filters, height, width) or (n_filters, height, width, C)
        The filters. One channel is drawn in grey, three in colour; of any other number the mean
        over the channels is drawn in grey.

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
    def from_estimator(cls, estimator, *, image_shape=None, sort=None, ax=None, **plot_params):
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

    def plot(self, *, ax=None, n_cols=None, normalize="each", cmap="gray", imshow_kw=None):
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

        cmap : str or matplotlib Colormap, default="gray"
            The colours of filters that are not in colour themselves.

        imshow_kw : dict, default=None
            More keywords for `ax.imshow`.

        Returns
        -------
        self : FilterDisplay
            The display.
        """
        filters = _as_drawable(np.asarray(self.filters, dtype=np.float64))
        tiles = _normalize(filters, normalize)
        n_cols = n_cols or math.ceil(math.sqrt(len(tiles)))
        mosaic = _mosaic(_in_rows(tiles, n_cols), gap=(max(1, tiles.shape[1] // 12),) * 2)
        inches = max(0.5 / tiles.shape[1], 4 / mosaic.shape[1])
        inches = min(inches, 10 / max(mosaic.shape[:2]))
        size = (mosaic.shape[1] * inches, mosaic.shape[0] * inches)
        self.figure_, self.ax_ = _figure_and_axes(ax, size)
        options = {"cmap": cmap, "vmin": 0, "vmax": 1, "interpolation": "nearest"}
        self.im_ = self.ax_.imshow(mosaic, **(options | (imshow_kw or {})))
        self.ax_.set_axis_off()
        return self


class ContingencyDisplay:
    """How many samples of each class are in each cluster.

    Make it with :meth:`from_predictions` or :meth:`from_estimator`, or from a table.

    Parameters
    ----------
    contingency : array-like of shape (n_classes, n_clusters)
        The counts.

    classes : array-like of shape (n_classes,), default=None
        The names of the rows. `None`: 0, 1, ...

    clusters : array-like of shape (n_clusters,), default=None
        The names of the columns. `None`: 0, 1, ...

    Attributes
    ----------
    im_ : matplotlib AxesImage
        The coloured table.

    text_ : ndarray of shape (n_classes, n_clusters), dtype object
        The matplotlib Text of each count; `None` where the count is zero or if
        `include_values=False`.

    ax_ : matplotlib Axes
        The axes drawn into.

    figure_ : matplotlib Figure
        The figure of the axes.

    See Also
    --------
    sklearn_kmfeat.metrics.purity_score : The table in one number.
    sklearn.metrics.ConfusionMatrixDisplay : The same for predicted classes.

    Examples
    --------
    >>> from sklearn_kmfeat.displays import ContingencyDisplay
    >>> animals = ["cat", "cat", "cat", "dog", "dog"]
    >>> display = ContingencyDisplay.from_predictions(animals, [1, 1, 0, 0, 0])
    >>> display.contingency
    array([[2, 1],
           [0, 2]])
    >>> display.clusters
    array([1, 0])
    """

    def __init__(self, contingency, *, classes=None, clusters=None):
        self.contingency = contingency
        self.classes = classes
        self.clusters = clusters

    @classmethod
    def from_estimator(cls, estimator, X, y, *, sort=True, ax=None, **plot_params):
        """Draw the classes and the predicted clusters of samples.

        Parameters
        ----------
        estimator : estimator
            A fitted clusterer with `predict`.

        X : array-like
            The samples, in any form that the clusterer takes.

        y : array-like of shape (n_samples,)
            The classes of the samples.

        sort : bool, default=True
            Order the clusters so that a diagonal appears, see :meth:`from_predictions`.

        ax : matplotlib Axes, default=None
            The axes to draw into. `None`: a new figure.

        **plot_params : dict
            More parameters of :meth:`plot`.

        Returns
        -------
        display : ContingencyDisplay
            The drawn display.
        """
        labels = one_cluster_per_sample(estimator.predict(X), type(estimator).__name__)
        return cls.from_predictions(y, labels, sort=sort, ax=ax, **plot_params)

    @classmethod
    def from_predictions(cls, labels_true, labels_pred, *, sort=True, ax=None, **plot_params):
        """Draw given classes and clusters.

        Parameters
        ----------
        labels_true : array-like of shape (n_samples,)
            The classes.

        labels_pred : array-like of shape (n_samples,)
            The clusters.

        sort : bool, default=True
            Order the clusters by their most frequent class, and within a class by the number of
            samples of that class, so that a diagonal appears. If False, in sorted order.

        ax : matplotlib Axes, default=None
            The axes to draw into. `None`: a new figure.

        **plot_params : dict
            More parameters of :meth:`plot`.

        Returns
        -------
        display : ContingencyDisplay
            The drawn display.
        """
        classes, clusters, table = contingency_table(labels_true, labels_pred, None)
        table = table.toarray()
        if sort:
            order = np.lexsort((-table.max(axis=0), table.argmax(axis=0)))
            table, clusters = table[:, order], clusters[order]
        return cls(table, classes=classes, clusters=clusters).plot(ax=ax, **plot_params)

    def plot(
        self,
        *,
        ax=None,
        include_values=True,
        cmap="Blues",
        colorbar=False,
        im_kw=None,
        text_kw=None,
    ):
        """Draw the table.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw into. `None`: a new figure, which grows with the number of clusters
            so that the counts stay legible.

        include_values : bool, default=True
            Write the counts into the cells; zeros are left out.

        cmap : str or matplotlib Colormap, default="Blues"
            The colours of the cells.

        colorbar : bool, default=False
            Draw a colour bar.

        im_kw : dict, default=None
            More keywords for `ax.imshow`.

        text_kw : dict, default=None
            More keywords for the texts of the counts.

        Returns
        -------
        self : ContingencyDisplay
            The display.
        """
        table = np.asarray(self.contingency)
        n_classes, n_clusters = table.shape
        classes = np.arange(n_classes) if self.classes is None else np.asarray(self.classes)
        clusters = np.arange(n_clusters) if self.clusters is None else np.asarray(self.clusters)

        cell = 0.5 if n_clusters <= 20 else 0.3
        size = (cell * n_clusters + 1.5, max(0.36 * n_classes, 0.6) + 1)
        self.figure_, self.ax_ = _figure_and_axes(ax, size)
        options = {"cmap": cmap, "aspect": "auto", "vmin": 0}
        self.im_ = self.ax_.imshow(table, **(options | (im_kw or {})))
        font_size = _font_size_for(self.ax_, n_clusters, max(len(f"{n}") for n in table.flat))
        self.ax_.set_xticks(np.arange(n_clusters), clusters, fontsize=min(font_size + 1, 10))
        self.ax_.set_yticks(np.arange(n_classes), classes)
        self.ax_.set(xlabel="cluster", ylabel="class")
        self.text_ = np.full(table.shape, None, dtype=object)
        if include_values:
            self._write_counts(table, {"fontsize": font_size} | (text_kw or {}))
        if colorbar:
            self.figure_.colorbar(self.im_, ax=self.ax_)
        return self

    def _write_counts(self, table, text_kw):
        dark, light = self.im_.cmap(1.0), self.im_.cmap(0.0)
        for row, col in zip(*np.nonzero(table), strict=True):
            color = light if self.im_.norm(table[row, col]) > 0.5 else dark
            options = {"ha": "center", "va": "center", "color": color} | text_kw
            self.text_[row, col] = self.ax_.text(col, row, f"{table[row, col]}", **options)


class ClusterGalleryDisplay:
    """The most and the least typical images of each cluster.

    Each cluster is a row: on the left the images nearest to its centre, on the right, after a
    gap, those furthest from it. The title of a row tells the size of the cluster and, where
    classes are known, its most frequent class and the share of that class.

    Make it with :meth:`from_estimator` or :meth:`from_predictions`, or directly.

    Parameters
    ----------
    images : array-like of shape (n_samples, height, width) or (n_samples, height, width, C)
        The images. uint8 values are taken as 0..255; all others are scaled from the smallest to
        the largest value drawn, unless they are between 0 and 1.

    labels : array-like of shape (n_samples,)
        The cluster of each image.

    distances : array-like of shape (n_samples,), default=None
        The distance of each image to the centre of its cluster. `None`: the distance between the
        pixels of the image and those of the mean image of the cluster.

    y : array-like of shape (n_samples,), default=None
        The classes, for the titles of the rows.

    Attributes
    ----------
    im_ : matplotlib AxesImage
        All images, as one mosaic.

    text_ : list of matplotlib Text
        The titles of the rows, clusters in sorted order.

    ax_ : matplotlib Axes
        The axes drawn into.

    figure_ : matplotlib Figure
        The figure of the axes.

    See Also
    --------
    ContingencyDisplay : Counts instead of images.
    FilterDisplay : The centres themselves.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_kmfeat.displays import ClusterGalleryDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> kmeans = KMeans(n_clusters=10, random_state=0).fit(X)
    >>> display = ClusterGalleryDisplay.from_estimator(kmeans, X, y=y, image_shape=(8, 8))
    >>> len(display.text_)
    10
    """

    def __init__(self, images, labels, distances=None, *, y=None):
        self.images = images
        self.labels = labels
        self.distances = distances
        self.y = y

    @classmethod
    def from_estimator(cls, estimator, X, *, y=None, image_shape=None, ax=None, **plot_params):
        """Draw the clusters that a fitted estimator finds in images.

        The distances to the centres are what the estimator's `transform` returns, if these are
        one column for each cluster and smallest for the predicted one, as in
        :class:`~sklearn.cluster.KMeans`. Otherwise, if the estimator has `cluster_centers_` with
        as many columns as the output of `transform`, it is the distance between the two; and
        otherwise the distance of the pixels to those of the mean image of the cluster.

        Parameters
        ----------
        estimator : estimator
            A fitted clusterer with `predict`.

        X : array-like
            The images, in a form that the clusterer takes.

        y : array-like of shape (n_samples,), default=None
            The classes, for the titles of the rows.

        image_shape : tuple of int, default=None
            (height, width) or (height, width, C), when the rows of `X` are flattened images.

        ax : matplotlib Axes, default=None
            The axes to draw into. `None`: a new figure.

        **plot_params : dict
            More parameters of :meth:`plot`.

        Returns
        -------
        display : ClusterGalleryDisplay
            The drawn display.
        """
        labels = one_cluster_per_sample(estimator.predict(X), type(estimator).__name__)
        distances = _distances_to_own_center(estimator, X, labels)
        return cls.from_predictions(
            X, labels, distances, y=y, image_shape=image_shape, ax=ax, **plot_params
        )

    @classmethod
    def from_predictions(
        cls, X, labels, distances=None, *, y=None, image_shape=None, ax=None, **plot_params
    ):
        """Draw given clusters of images.

        Parameters
        ----------
        X : array-like
            The images: (n_samples, height, width), (n_samples, height, width, C), or flattened
            with `image_shape`.

        labels : array-like of shape (n_samples,)
            The cluster of each image.

        distances : array-like of shape (n_samples,), default=None
            The distance of each image to the centre of its cluster. `None`: the distance between
            the pixels of the image and those of the mean image of the cluster.

        y : array-like of shape (n_samples,), default=None
            The classes, for the titles of the rows.

        image_shape : tuple of int, default=None
            (height, width) or (height, width, C), when the rows of `X` are flattened images.

        ax : matplotlib Axes, default=None
            The axes to draw into. `None`: a new figure.

        **plot_params : dict
            More parameters of :meth:`plot`.

        Returns
        -------
        display : ClusterGalleryDisplay
            The drawn display.
        """
        images = _as_images(X, image_shape)
        return cls(images, labels, distances, y=y).plot(ax=ax, **plot_params)

    def plot(self, *, ax=None, n_images=8, n_cols=None, cmap="gray", imshow_kw=None, text_kw=None):
        """Draw the gallery.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw into. `None`: a new figure, large enough for the clusters.

        n_images : int, default=8
            How many images of each kind are drawn: the `n_images` most typical ones and as many
            of the least typical. A cluster with fewer images than that is split in two halves.

        n_cols : int, default=None
            Number of clusters side by side. `None`: one for up to 12 clusters, two for up to 60,
            then three.

        cmap : str or matplotlib Colormap, default="gray"
            The colours of images with one channel.

        imshow_kw : dict, default=None
            More keywords for `ax.imshow`.

        text_kw : dict, default=None
            More keywords for the titles of the rows.

        Returns
        -------
        self : ClusterGalleryDisplay
            The display.
        """
        images, labels = _as_images(self.images, None), np.asarray(self.labels)
        check_consistent_length(images, labels, self.distances, self.y)
        distances = self.distances
        if distances is None:
            distances = _distances_to_mean_image(images, labels)
        clusters = np.unique(labels)
        n_cols = n_cols or (1 if len(clusters) <= 12 else 2 if len(clusters) <= 60 else 3)
        n_rows = math.ceil(len(clusters) / n_cols)

        chosen = [_extremes(labels == k, np.asarray(distances), n_images) for k in clusters]
        blocks = _gallery_blocks(_drawn_images(images, chosen, n_images))
        tile_height, (height, width) = images.shape[1], blocks.shape[1:3]
        gap = tile_height // 4, tile_height
        mosaic = _mosaic(_in_columns(blocks, n_rows), gap)

        inches = (0.45 if n_cols == 1 else 0.36) / tile_height
        size = (mosaic.shape[1] * inches, mosaic.shape[0] * inches)
        self.figure_, self.ax_ = _figure_and_axes(ax, size)
        options = {"cmap": cmap, "vmin": 0, "vmax": 1}
        self.im_ = self.ax_.imshow(mosaic, **(options | (imshow_kw or {})))
        self.ax_.set_axis_off()

        strip = height - tile_height
        font_size = min(10, 0.75 * strip * _points_per_pixel(self.ax_, mosaic))
        options = {"fontsize": font_size, "va": "center", "ha": "left"} | (text_kw or {})
        self.text_ = []
        for i, cluster in enumerate(clusters):
            left = i // n_rows * (width + gap[1])
            middle = i % n_rows * (height + gap[0]) + strip / 2
            title = _gallery_title(cluster, labels == cluster, self.y)
            self.text_.append(self.ax_.text(left, middle, title, **options))
            if i % n_rows == 0:
                self.ax_.text(left + width, middle, "least typical", **(options | {"ha": "right"}))
        return self


class HistoryDisplay:
    """Curves of what an estimator recorded in each epoch.

    Losses are drawn against the axis on the left, everything else (such as NMI and purity)
    against the axis on the right.

    Parameters
    ----------
    history : list of dict, or dict of list
        The record of each epoch, or each quantity over the epochs. What is not a number is left
        out; an entry `"epoch"` gives the positions.

    Attributes
    ----------
    lines_ : dict
        The matplotlib Line2D of each quantity.

    ax_ : matplotlib Axes
        The axes on the left.

    right_ax_ : matplotlib Axes or None
        The axes on the right, if there is a loss and something else.

    figure_ : matplotlib Figure
        The figure of the axes.

    See Also
    --------
    sklearn_kmfeat.DeepClusterEstimator : Keeps a `history_`.

    Examples
    --------
    >>> from sklearn_kmfeat.displays import HistoryDisplay
    >>> history = [{"loss": 2.3, "nmi": 0.1}, {"loss": 1.9, "nmi": 0.3}]
    >>> display = HistoryDisplay(history).plot()
    >>> sorted(display.lines_)
    ['loss', 'nmi']
    """

    def __init__(self, history):
        self.history = history

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, **plot_params):
        """Draw the `history_` of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted estimator with `history_`.

        ax : matplotlib Axes, default=None
            The axes to draw into. `None`: a new figure.

        **plot_params : dict
            More parameters of :meth:`plot`.

        Returns
        -------
        display : HistoryDisplay
            The drawn display.
        """
        return cls(estimator.history_).plot(ax=ax, **plot_params)

    def plot(self, *, ax=None, keys=None, line_kw=None):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw into. `None`: a new figure.

        keys : list of str, default=None
            The quantities to draw. `None`: all that are numbers, but for seconds.

        line_kw : dict, default=None
            More keywords for `ax.plot`.

        Returns
        -------
        self : HistoryDisplay
            The display.
        """
        curves = _curves(self.history)
        epochs = curves.pop("epoch", None)
        if keys is None:
            keys = [key for key in curves if not key.startswith("seconds")]
        losses = [key for key in keys if "loss" in key]
        scores = [key for key in keys if "loss" not in key]

        self.figure_, self.ax_ = _figure_and_axes(ax, (6.4, 4))
        from matplotlib.ticker import MaxNLocator

        self.right_ax_ = self.ax_.twinx() if losses and scores else None
        self.lines_ = {}
        for i, key in enumerate(losses + scores):
            axes = self.right_ax_ if self.right_ax_ and key in scores else self.ax_
            x = np.arange(1, len(curves[key]) + 1) if epochs is None else epochs
            options = {"color": f"C{i}", "marker": ".", "label": key} | (line_kw or {})
            (self.lines_[key],) = axes.plot(x, curves[key], **options)
        self.ax_.set(xlabel="epoch", ylabel=", ".join(losses or scores))
        self.ax_.xaxis.set_major_locator(MaxNLocator(integer=True))
        if self.right_ax_:
            self.right_ax_.set_ylabel(", ".join(scores))
        above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1), "frameon": False}
        self.ax_.legend(handles=list(self.lines_.values()), ncols=4, **above)
        return self


def _pyplot():
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            "Drawing needs matplotlib: pip install 'sklearn-kmfeat[plot]'."
        ) from error
    return pyplot


def _figure_and_axes(ax, size):
    """Return the figure and axes to draw into; without `ax` a new figure of `size` inches."""
    if ax is None:
        full = {"left": 0, "right": 1, "bottom": 0, "top": 1}
        figure, ax = _pyplot().subplots(figsize=size, gridspec_kw=full)
        figure.set_layout_engine("constrained")
    return ax.figure, ax


def _points_per_pixel(ax, mosaic):
    """Size of a pixel of a mosaic, shown undistorted in `ax`, in points (1/72 inch)."""
    extent = ax.get_window_extent()
    return 72 / ax.figure.dpi * min(extent.width / mosaic.shape[1], extent.height / mosaic.shape[0])


def _mosaic(grid, gap):
    """Join a (rows, columns) grid of tiles to one image, with `gap` blank lines between them.

    What is blank, NaN in `grid`, is transparent in grey and white in colour.
    """
    n_rows, n_cols, height, width = grid.shape[:4]
    below, right = gap
    pad = [(0, 0), (0, 0), (0, below), (0, right)] + [(0, 0)] * (grid.ndim - 4)
    padded = np.pad(grid, pad, constant_values=np.nan).swapaxes(1, 2)
    joined = padded.reshape(n_rows * (height + below), n_cols * (width + right), *grid.shape[4:])
    joined = joined[: joined.shape[0] - below, : joined.shape[1] - right]
    return np.nan_to_num(joined, nan=1.0) if joined.ndim == 3 else joined


def _in_rows(tiles, n_cols):
    """Arrange tiles in a grid, row by row; what is left of the last row is NaN."""
    n_rows = math.ceil(len(tiles) / n_cols)
    grid = np.full((n_rows * n_cols, *tiles.shape[1:]), np.nan)
    grid[: len(tiles)] = tiles
    return grid.reshape(n_rows, n_cols, *tiles.shape[1:])


def _in_columns(tiles, n_rows):
    """Arrange tiles in a grid, column by column; what is left of the last column is NaN."""
    return _in_rows(tiles, n_rows).swapaxes(0, 1)


def _as_drawable(images):
    """Check the shape of images and make them (n, h, w) in grey or (n, h, w, 3) in colour."""
    if images.ndim not in (3, 4) or 0 in images.shape:
        raise ValueError(
            "Images of shape (n, height, width) or (n, height, width, channels) are needed, got "
            f"{images.shape}."
        )
    if images.ndim == 4 and images.shape[3] != 3:
        return images.mean(axis=3)
    return images


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
    """Find the filters of an estimator, or its cluster centres as images."""
    filters = getattr(estimator, "filters_", None)
    if filters is not None and image_shape is None:
        return np.asarray(filters)
    centers = getattr(estimator, "cluster_centers_", None)
    if centers is None:
        raise ValueError(
            f"{type(estimator).__name__} has neither filters_ nor cluster_centers_: is it fitted?"
        )
    return _as_images(centers, image_shape)


def _as_images(X, image_shape):
    """Reshape flattened images; pass others on."""
    if isinstance(X, list | tuple) and len({np.shape(image) for image in X}) > 1:
        raise ValueError("Only images of one size can be drawn side by side.")
    if np.ndim(X) != 2:
        return X if hasattr(X, "shape") else np.asarray(X)
    X = np.asarray(X)
    if image_shape is None or math.prod(image_shape) != X.shape[1]:
        raise ValueError(
            f"Rows of {X.shape[1]} values need an image_shape with as many pixels, got "
            f"{image_shape}."
        )
    return X.reshape(len(X), *image_shape)


def _font_size_for(ax, n_cols, n_characters):
    """Font size at which numbers of `n_characters` fit into the columns of a table."""
    column = 72 / ax.figure.dpi * ax.get_window_extent().width / n_cols
    return float(np.clip(column / (0.75 * max(n_characters, 2)), 4, 9))


def _distances_to_own_center(estimator, X, labels):
    """Distance of each sample to the centre of its cluster, as the estimator has it, or None."""
    if not hasattr(estimator, "transform"):
        return None
    embedding = np.asarray(estimator.transform(X))
    if embedding.ndim != 2:
        return None
    if np.mean(embedding.argmin(axis=1) == labels) > 0.99:  # rounding may break a tie otherwise
        return embedding[np.arange(len(labels)), labels]
    centers = centers_of(estimator)
    if centers is None or centers.shape[1] != embedding.shape[1]:
        return None
    return np.linalg.norm(embedding - centers[labels], axis=1)


def _distances_to_mean_image(images, labels):
    """Distance between each image and the mean image of its cluster."""
    images = np.asarray(images)
    distances = np.empty(len(images))
    for cluster in np.unique(labels):
        members = labels == cluster
        pixels = images[members].reshape(members.sum(), -1).astype(np.float64)
        distances[members] = np.linalg.norm(pixels - pixels.mean(axis=0), axis=1)
    return distances


def _extremes(members, distances, n_images):
    """Indices of the nearest and of the furthest members, both from near to far."""
    members = np.flatnonzero(members)
    ordered = members[np.argsort(distances[members], kind="stable")]
    n_near = min(n_images, math.ceil(len(ordered) / 2))
    n_far = min(n_images, len(ordered) - n_near)
    return ordered[:n_near], ordered[len(ordered) - n_far :]


def _drawn_images(images, chosen, n_images):
    """Read the chosen images as (n_clusters, 2, n_images, h, w[, 3]), values in 0..1 or NaN."""
    index = np.concatenate([group for pair in chosen for group in pair])
    drawn = images[index]
    tiles = _as_drawable(_unit_range(drawn))
    gallery = np.full((len(chosen), 2, n_images, *tiles.shape[1:]), np.nan)
    start = 0
    for row, pair in enumerate(chosen):
        for side, group in enumerate(pair):
            gallery[row, side, : len(group)] = tiles[start : start + len(group)]
            start += len(group)
    return gallery


def _unit_range(images):
    """Scale pixel values into 0..1."""
    if images.dtype == np.uint8:
        return images / 255.0
    images = images.astype(np.float64)
    low, high = images.min(), images.max()
    if low >= 0 and high <= 1:
        return images
    return (images - low) / (high - low if high > low else 1)


def _gallery_blocks(gallery):
    """Make one image of each cluster: room for a title, below it both groups of images."""
    height, width = gallery.shape[3:5]
    gap = max(1, width // 28)
    groups = [_mosaic_rows(gallery[:, side], gap) for side in (0, 1)]
    blank = np.full_like(groups[0][:, :, : width // 2], np.nan)
    blocks = np.concatenate([groups[0], blank, groups[1]], axis=2)
    strip = round(0.5 * height)
    pad = [(0, 0), (strip, 0), (0, 0)] + [(0, 0)] * (blocks.ndim - 3)
    return np.pad(blocks, pad, constant_values=np.nan)


def _mosaic_rows(tiles, gap):
    """Join (n, columns, h, w[, 3]) tiles to n images of one row each."""
    return np.stack([_mosaic(row[np.newaxis], (0, gap)) for row in tiles])


def _gallery_title(cluster, members, y):
    size = np.count_nonzero(members)
    title = f"cluster {cluster} · {size} {'image' if size == 1 else 'images'}"
    if y is None:
        return title
    y = np.asarray(y)[members]
    (name,) = match_clusters(y, np.zeros(size, dtype=int)).values()
    return f"{title} · {name} ({np.mean(y == name):.0%})"


def _curves(history):
    """Turn a history into one array per quantity, NaN where an epoch has no value."""
    if not isinstance(history, dict):
        keys = list(dict.fromkeys(key for record in history for key in record))
        history = {key: [record.get(key, np.nan) for record in history] for key in keys}
    return {
        key: np.array([np.nan if value is None else value for value in values], dtype=float)
        for key, values in history.items()
        if all(_is_number(value) for value in values)
    }


def _is_number(value):
    return value is None or (np.isscalar(value) and np.asarray(value).dtype.kind in "iuf")
