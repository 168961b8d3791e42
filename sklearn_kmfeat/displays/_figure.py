"""The figure and axes of a display; the only place that needs matplotlib."""

from typing import Any


def pyplot() -> Any:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            "Drawing needs matplotlib: pip install 'sklearn-kmfeat[plot]'."
        ) from error
    return pyplot


def figure_and_axes(ax: Any, size: tuple[float, float]) -> tuple:
    """Return the figure and axes to draw into; without `ax` a new figure of `size` inches."""
    if ax is None:
        full = {"left": 0, "right": 1, "bottom": 0, "top": 1}
        figure, ax = pyplot().subplots(figsize=size, gridspec_kw=full)
        figure.set_layout_engine("constrained")
    return ax.figure, ax


def points_per_pixel(ax: Any, mosaic: Any) -> float:
    """Size of a pixel of a mosaic, shown undistorted in `ax`, in points (1/72 inch)."""
    extent = ax.get_window_extent()
    return 72 / ax.figure.dpi * min(extent.width / mosaic.shape[1], extent.height / mosaic.shape[0])
