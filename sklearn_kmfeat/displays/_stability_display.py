"""How well runs agree, for each number of clusters."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._figure import figure_and_axes


class StabilityDisplay:
    """The mean agreement of the runs of a consensus against the number of clusters.

    Parameters
    ----------
    stability : mapping of arrays
        ``n_clusters`` and ``agreement``, as in `stability_` of
        :class:`~sklearn_kmfeat.ConsensusClusterer`; with a ``standard_error`` it is drawn as a
        band.

    n_clusters : int, default=None
        The number that was chosen. `None`: the one with the best agreement.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The curve.

    chosen_ : matplotlib Line2D
        The vertical line at the number that was chosen.

    ax_ : matplotlib Axes
        The axes.

    figure_ : matplotlib Figure
        The figure of the axes.

    See Also
    --------
    sklearn_kmfeat.ConsensusClusterer : Compares several numbers of clusters.

    Examples
    --------
    >>> from sklearn_kmfeat.displays import StabilityDisplay
    >>> stability = {"n_clusters": [2, 3, 4], "agreement": [0.6, 0.9, 0.7]}
    >>> display = StabilityDisplay(stability).plot()
    >>> float(display.chosen_.get_xdata()[0])
    3.0
    """

    def __init__(self, stability, *, n_clusters=None):
        self.stability = stability
        self.n_clusters = n_clusters

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None, **plot_params: Any) -> Self:
        """Draw the `stability_` of a fitted consensus.

        Parameters
        ----------
        estimator : ConsensusClusterer
            Fitted with several `n_clusters`.

        ax : matplotlib Axes, default=None
            The axes to draw into. `None`: a new figure.

        **plot_params : dict
            More parameters of :meth:`plot`.

        Returns
        -------
        display : StabilityDisplay
            The drawn display.

        Raises
        ------
        NotFittedError
            If it has no `stability_`.
        """
        check_is_fitted(estimator, "stability_")
        return cls(estimator.stability_, n_clusters=estimator.n_clusters_).plot(
            ax=ax, **plot_params
        )

    def plot(self, *, ax: Any = None, line_kw: Mapping[str, Any] | None = None) -> Self:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw into. `None`: a new figure.

        line_kw : dict, default=None
            More keywords for `ax.plot`.

        Returns
        -------
        self : StabilityDisplay
            The display.
        """
        sizes, agreement = (np.asarray(self.stability[k]) for k in ("n_clusters", "agreement"))
        chosen = sizes[agreement.argmax()] if self.n_clusters is None else self.n_clusters
        self.figure_, self.ax_ = figure_and_axes(ax, (6.4, 4))
        from matplotlib.ticker import MaxNLocator

        options = {"color": "C0", "marker": "."} | dict(line_kw or {})
        (self.line_,) = self.ax_.plot(sizes, agreement, **options)
        if "standard_error" in self.stability:
            error = np.asarray(self.stability["standard_error"])
            band = {"color": self.line_.get_color(), "alpha": 0.2, "linewidth": 0}
            self.ax_.fill_between(sizes, agreement - error, agreement + error, **band)
        self.chosen_ = self.ax_.axvline(chosen, color="0.6", linestyle=":", zorder=0)
        self.ax_.annotate(
            f" {chosen} clusters", (chosen, 0.02), xycoords=("data", "axes fraction"), color="0.4"
        )
        self.ax_.set(xlabel="number of clusters", ylabel="mean adjusted Rand index of the runs")
        self.ax_.xaxis.set_major_locator(MaxNLocator(integer=True))
        return self
