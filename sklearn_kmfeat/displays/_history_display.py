"""The curves of a training run."""

from typing import Any, Self

import numpy as np

from ._figure import figure_and_axes


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
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **plot_params: Any) -> Self:
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

    def plot(self, *, ax: Any = None, keys: Any = None, line_kw: dict | None = None) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw into. `None`: a new figure.

        keys : str or list of str, default=None
            The quantities to draw. `None`: all that are numbers, but for seconds.

        line_kw : dict, default=None
            More keywords for `ax.plot`.

        Returns
        -------
        self : HistoryDisplay
            The display.

        Raises
        ------
        ValueError
            For a key that the history does not have.
        """
        curves = _curves(self.history)
        epochs = curves.pop("epoch", None)
        if keys is None:
            keys = [key for key in curves if not key.startswith("seconds")]
        keys = [keys] if isinstance(keys, str) else list(keys)
        unknown = [key for key in keys if key not in curves]
        if unknown:
            raise ValueError(f"keys must be among {list(curves)}, got {unknown}.")
        losses = [key for key in keys if "loss" in key]
        scores = [key for key in keys if "loss" not in key]

        self.figure_, self.ax_ = figure_and_axes(ax, (6.4, 4))
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
