"""The images of each cluster, from the nearest to its center to the farthest."""

import math
from typing import Any, Self

import numpy as np
from sklearn.utils import check_consistent_length

from .._cluster_classifier import centers_of, one_cluster_per_sample
from ..metrics import match_clusters
from ._encoded import encoded_once
from ._figure import figure_and_axes, points_per_pixel
from ._mosaic import in_columns, join_tiles
from ._thumbnails import as_images, natural_size, scaled_size, thumbnails

# Images that differ in size are compared as thumbnails: what is in them is seen at 32 pixels.
_COMPARED_SIDE = 32


class ClusterGalleryDisplay:
    """The most and the least typical images of each cluster.

    Each cluster is a row: on the left the images nearest to its center, on the right, after a
    gap, those furthest from it. The title of a row tells the size of the cluster and, where
    classes are known, its most frequent class and the share of that class.

    Make it with :meth:`from_estimator` or :meth:`from_predictions`, or directly.

    Parameters
    ----------
    images : array-like, list of images, or any form of images that the estimators take
        Of shape (n_samples, height, width) or (n_samples, height, width, C), or flattened with
        `image_shape`; the images of a list may differ in size, and grey ones may stand beside
        ones in colour. uint8 values are taken as 0..255; all others are scaled from the smallest
        to the largest value drawn, unless they are between 0 and 1. NaN is left blank. Only the
        images that are drawn are read.

    labels : array-like of shape (n_samples,)
        The cluster of each image.

    distances : array-like of shape (n_samples,), default=None
        The distance of each image to the center of its cluster. `None`: the distance between the
        pixels of the image and those of the mean image of the cluster; where the images are not
        one array in memory, between small thumbnails of them.

    y : array-like of shape (n_samples,), default=None
        The classes, for the titles of the rows.

    image_shape : tuple of int, default=None
        (height, width) or (height, width, C), when the rows of `images` are flattened images.

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
    FilterDisplay : The centers themselves.

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

    def __init__(self, images, labels, distances=None, *, y=None, image_shape=None):
        self.images = images
        self.labels = labels
        self.distances = distances
        self.y = y
        self.image_shape = image_shape

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        y: Any = None,
        image_shape: tuple[int, ...] | None = None,
        ax: Any = None,
        **plot_params: Any,
    ) -> Self:
        """Draw the clusters that a fitted estimator finds in images.

        The distances to the centers are what the estimator's `transform` returns, if these are
        one column for each cluster and smallest for the predicted one, as in
        :class:`~sklearn.cluster.KMeans`. Otherwise, if the estimator has `cluster_centers_` with
        as many columns as the output of `transform`, it is the distance between the two; and
        otherwise the distance of the pixels to those of the mean image of the cluster.

        Parameters
        ----------
        estimator : estimator
            A fitted clusterer with `predict`.

        X : array-like, ImageFiles, list of images or torch Dataset
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
        last, rows = encoded_once(estimator, X)
        labels = one_cluster_per_sample(last.predict(rows), type(estimator).__name__)
        distances = _distances_to_own_center(last, rows, labels)
        return cls.from_predictions(
            X, labels, distances, y=y, image_shape=image_shape, ax=ax, **plot_params
        )

    @classmethod
    def from_predictions(
        cls,
        X: Any,
        labels: Any,
        distances: Any = None,
        *,
        y: Any = None,
        image_shape: tuple[int, ...] | None = None,
        ax: Any = None,
        **plot_params: Any,
    ) -> Self:
        """Draw given clusters of images.

        Parameters
        ----------
        X : array-like, ImageFiles, list of images or torch Dataset
            The images: (n_samples, height, width), (n_samples, height, width, C), or flattened
            with `image_shape`; those of a list may differ in size.

        labels : array-like of shape (n_samples,)
            The cluster of each image.

        distances : array-like of shape (n_samples,), default=None
            The distance of each image to the center of its cluster. `None`: the distance between
            the pixels of the image and those of the mean image of the cluster; where the images
            are not one array in memory, between small thumbnails of them.

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
        display = cls(X, labels, distances, y=y, image_shape=image_shape)
        return display.plot(ax=ax, **plot_params)

    def plot(
        self,
        *,
        ax: Any = None,
        n_images: int = 8,
        n_cols: int | None = None,
        bands: int | tuple[int, ...] | None = None,
        cmap: Any = "gray",
        imshow_kw: dict | None = None,
        text_kw: dict | None = None,
    ) -> Self:
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

        bands : int or tuple of int, default=None
            The channels to draw, counted from 0: three as red, green and blue, as in `(7, 3, 1)`,
            or one in grey. `None`: three channels in colour, of any other number the mean in grey.

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

        Raises
        ------
        ValueError
            If `bands` are not one or three channels of the images.
        """
        images, labels = as_images(self.images, self.image_shape), np.asarray(self.labels)
        check_consistent_length(range(len(images)), labels, self.distances, self.y)
        distances = self.distances
        if distances is None:
            distances = _distances_to_mean_image(images, labels)
        clusters = np.unique(labels)
        n_cols = n_cols or (1 if len(clusters) <= 12 else 2 if len(clusters) <= 60 else 3)
        n_rows = math.ceil(len(clusters) / n_cols)

        chosen = [_extremes(labels == k, np.asarray(distances), n_images) for k in clusters]
        tiles = _drawn_images(images, chosen, n_images, bands)
        blocks = _gallery_blocks(tiles)
        tile_height, (height, width) = tiles.shape[3], blocks.shape[1:3]
        gap = tile_height // 4, tile_height
        mosaic = join_tiles(in_columns(blocks, n_rows), gap)

        inches = (0.45 if n_cols == 1 else 0.36) / tile_height
        size = (mosaic.shape[1] * inches, mosaic.shape[0] * inches)
        self.figure_, self.ax_ = figure_and_axes(ax, size)
        options = {"cmap": cmap, "vmin": 0, "vmax": 1}
        self.im_ = self.ax_.imshow(mosaic, **(options | (imshow_kw or {})))
        self.ax_.set_axis_off()

        strip = height - tile_height
        font_size = min(10, 0.75 * strip * points_per_pixel(self.ax_, mosaic))
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


def _distances_to_own_center(estimator, X, labels):
    """Distance of each sample to the center of its cluster, as the estimator has it, or None."""
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
    """Distance between each image and the mean image of its cluster; blank pixels do not count."""
    if not isinstance(images, np.ndarray):
        size = scaled_size(natural_size(images), _COMPARED_SIDE, enlarge=False)
        images = thumbnails(images, np.arange(len(images)), size)
    distances = np.empty(len(images))
    for cluster in np.unique(labels):
        members = labels == cluster
        pixels = images[members].reshape(members.sum(), -1).astype(np.float64)
        seen = np.isfinite(pixels)
        pixels[~seen] = 0
        mean = pixels.sum(axis=0) / seen.sum(axis=0).clip(min=1)
        squares = np.where(seen, pixels - mean, 0) ** 2
        # As if the pixels that are blank were like the others of the image.
        share = seen.mean(axis=1)
        distances[members] = np.sqrt(squares.sum(axis=1) / np.where(share > 0, share, np.nan))
    return np.nan_to_num(distances, nan=np.inf)


def _extremes(members, distances, n_images):
    """Indices of the nearest and of the furthest members, both from near to far."""
    members = np.flatnonzero(members)
    ordered = members[np.argsort(distances[members], kind="stable")]
    n_near = min(n_images, math.ceil(len(ordered) / 2))
    n_far = min(n_images, len(ordered) - n_near)
    return ordered[:n_near], ordered[len(ordered) - n_far :]


def _drawn_images(images, chosen, n_images, bands):
    """Read the chosen images as (n_clusters, 2, n_images, h, w[, 3]), values in 0..1 or NaN."""
    index = np.concatenate([group for pair in chosen for group in pair])
    tiles = thumbnails(images, index, natural_size(images), bands=bands)
    gallery = np.full((len(chosen), 2, n_images, *tiles.shape[1:]), np.nan)
    start = 0
    for row, pair in enumerate(chosen):
        for side, group in enumerate(pair):
            gallery[row, side, : len(group)] = tiles[start : start + len(group)]
            start += len(group)
    return gallery


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
    return np.stack([join_tiles(row[np.newaxis], (0, gap)) for row in tiles])


def _gallery_title(cluster, members, y):
    size = np.count_nonzero(members)
    title = f"cluster {cluster} · {size} {'image' if size == 1 else 'images'}"
    if y is None:
        return title
    y = np.asarray(y)[members]
    (name,) = match_clusters(y, np.zeros(size, dtype=int)).values()
    return f"{title} · {name} ({np.mean(y == name):.0%})"
