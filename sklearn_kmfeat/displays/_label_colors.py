"""A colour for each label."""

from typing import Any

import numpy as np

from ._figure import pyplot

NEUTRAL = (0.55, 0.55, 0.55)


def label_colors(
    labels: np.ndarray, unknown: np.ndarray
) -> tuple[np.ndarray, dict[Any, tuple[float, float, float]]]:
    """A colour for each sample, and the labels with theirs, in sorted order.

    Neighbours in the order look different. Grey are -1, which is noise, and what is unknown.

    Parameters
    ----------
    labels : ndarray of shape (n,)
    unknown : bool ndarray of shape (n,)

    Returns
    -------
    colors : ndarray of shape (n, 3)
        In 0..1.
    names : dict
        Label to colour, without the unknown.
    """
    found, which = np.unique(labels[~unknown], return_inverse=True)
    names = found.tolist()
    coloured = [name for name in names if name != -1]
    palette = dict(zip(coloured, _palette(len(coloured)), strict=True))
    of_names = {name: palette.get(name, NEUTRAL) for name in names}
    colors = np.full((len(labels), 3), NEUTRAL)
    if names:
        colors[~unknown] = np.array(list(of_names.values()))[which.ravel()]
    return colors, of_names


def _palette(n_colors):
    maps = pyplot().get_cmap
    if n_colors <= 10:
        chosen = np.array(maps("tab10").colors)[:n_colors]
        # Its grey is for what has no label.
        chosen[7:8] = 0.1
    elif n_colors <= 20:
        chosen = np.array(maps("tab20").colors)
        chosen[14:16] = [[0.1] * 3, [0.3] * 3]
        chosen = np.concatenate([chosen[::2], chosen[1::2]])[:n_colors]
    else:
        # Steps of the golden ratio around the circle of hues.
        chosen = maps("hsv")(np.arange(n_colors) * 0.618 % 1)[:, :3] * 0.9
    return [tuple(color) for color in np.asarray(chosen).tolist()]
