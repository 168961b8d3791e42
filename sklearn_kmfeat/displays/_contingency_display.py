"""How many samples of each class are in each cluster, as a coloured table."""

from typing import Any, Self

import numpy as np

from .._cluster_classifier import one_cluster_per_sample
from ..metrics import contingency_table
from ._figure import figure_and_axes


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
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        sort: bool = True,
        ax: Any = None,
        **plot_params: Any,
    ) -> Self:
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
    def from_predictions(
        cls,
        labels_true: Any,
        labels_pred: Any,
        *,
        sort: bool = True,
        ax: Any = None,
        **plot_params: Any,
    ) -> Self:
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
        ax: Any = None,
        include_values: bool = True,
        cmap: Any = "Blues",
        colorbar: bool = False,
        im_kw: dict | None = None,
        text_kw: dict | None = None,
    ) -> Self:
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
        self.figure_, self.ax_ = figure_and_axes(ax, size)
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


def _font_size_for(ax, n_cols, n_characters):
    """Font size at which numbers of `n_characters` fit into the columns of a table."""
    column = 72 / ax.figure.dpi * ax.get_window_extent().width / n_cols
    return float(np.clip(column / (0.75 * max(n_characters, 2)), 4, 9))
